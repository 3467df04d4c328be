"""One open archive: the engines, each put on the stores it stands on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

from vna.access.audit import Audit
from vna.access.peers import Peers
from vna.access.people import People, people
from vna.access.remotes import Remotes
from vna.access.routes import Routes
from vna.access.signing import Changed
from vna.access.trail import Trail
from vna.access.watch import Watch
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.crypto.credentials import Vault
from vna.db.pool import Database, require_writable
from vna.delivery.alerts import of_emergencies, of_many
from vna.delivery.messages import Messages
from vna.engines import Engines
from vna.errors import Unavailable
from vna.imports.engine import ImportEngine
from vna.ingest.backfill import SearchIndex
from vna.ingest.engine import IngestEngine
from vna.ingest.recover import Recovery
from vna.ingest.routing import Router
from vna.operate.carers import CarerEngine
from vna.operate.changes import ChangeFeed
from vna.operate.commitment import CommitmentEngine
from vna.operate.corrections import CorrectionEngine
from vna.operate.graveyard import Graveyard
from vna.operate.holds import HoldEngine
from vna.operate.identities import IdentityEngine
from vna.operate.labels import LabelEngine
from vna.operate.lifecycle import LifecycleEngine
from vna.operate.patient_accounts import PatientAccounts
from vna.operate.purge import Purge
from vna.operate.pushes import CommitmentPushes
from vna.operate.scrubbing import Scrub
from vna.operate.sealing import Sealer
from vna.operate.transactions import CommitmentTransactions
from vna.pixels.sandbox import PixelPool
from vna.query.engine import QueryEngine
from vna.retrieve.disc import DiscEngine
from vna.retrieve.engine import RetrieveEngine
from vna.retrieve.render import RenderEngine
from vna.sharing.engine import SharingEngine
from vna.sharing.open_shares import Apart

_CHECK_S = 2.0  # longest wait for the database when asked whether the archive can work


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """One open archive. Not shared over a fork: each process opens its own."""

    settings: Settings
    store: BlobStore
    database: Database
    audit: Audit
    engines: Engines
    recovery: Recovery
    purge: Purge
    search_index: SearchIndex
    sealer: Sealer
    scrub: Scrub
    watch: Watch


class _Stores(TypedDict):
    """What most engines stand on."""

    store: BlobStore
    database: Database
    audit: Audit
    settings: Settings


def assembled(
    settings: Settings,
    store: BlobStore,
    database: Database,
    audit: Audit,
    pixels: PixelPool,
    *,
    apart: Apart | None = None,
) -> Archive:
    """Put the engines on their stores; `apart` in a process that holds no key of the archive."""
    stores = _Stores(store=store, database=database, audit=audit, settings=settings)
    routes = Routes(database, audit, settings)
    router = Router(routes, store, settings)
    messages = _messages(stores, is_apart=apart is not None)
    sharing = SharingEngine(**stores, outbox=messages, apart=apart)
    messages.receipts.on_bounce = sharing.channel_bounced
    known = _people(stores, messages, sharing.account_notices.changed)
    marks = _marks(stores, known)
    corrections = CorrectionEngine(**stores, suspend=sharing.suspend_study)
    identities = IdentityEngine(**stores, suspend=sharing.suspend_study)
    accounts = _patient_accounts(stores, known, identities, sharing)
    carers = _carers(stores, known, accounts, sharing)
    graveyard = Graveyard(**stores)
    laid = (marks["labels"].lay, marks["holds"].lay)
    derived = (corrections.lay, identities.lay, *laid, carers.lay, sharing.lay)
    recovery = Recovery(**stores, lay=(graveyard.lay, *derived), router=router)
    ingest = IngestEngine(**stores, pixels=pixels, router=router)
    engines = Engines(
        ingest=ingest,
        imports=_imports(stores, recovery, ingest, messages),
        routes=routes,
        **_outgoing(stores, pixels),
        **_committing(stores),
        corrections=corrections,
        identities=identities,
        changes=ChangeFeed(database=database, audit=audit),
        lifecycle=LifecycleEngine(**stores, graveyard=graveyard, restore=recovery.restore),
        **marks,
        people=known,
        trail=Trail(database, audit),
        messages=messages,
        sharing=sharing,
        patient_accounts=accounts,
        carers=carers,
        settings=settings,
        check=_check(database, ingest),
    )
    return Archive(
        **stores,
        engines=engines,
        recovery=recovery,
        purge=Purge(store=store, database=database, audit=audit),
        search_index=SearchIndex(**stores),
        sealer=Sealer(database, store.checkpoints),
        scrub=Scrub(**stores),
        watch=_watch(stores, messages),
    )


class _Marks(TypedDict):
    """What stands on studies: withheld from whom, and kept from being deleted."""

    labels: LabelEngine
    holds: HoldEngine


def _marks(stores: _Stores, known: People) -> _Marks:
    store, database, audit = stores["store"], stores["database"], stores["audit"]
    labels = LabelEngine(store=store, database=database, audit=audit, labels=known.labels)
    return _Marks(
        labels=labels, holds=HoldEngine(store=store, database=database, audit=audit)
    )  # fmt: skip


def _watch(stores: _Stores, messages: Messages) -> Watch:
    settings = stores["settings"]
    return Watch(
        database=stores["database"],
        audit=stores["audit"],
        settings=settings.access,
        told=of_many(messages, settings),
    )


def _messages(stores: _Stores, *, is_apart: bool) -> Messages:
    return Messages(
        database=stores["database"],
        audit=stores["audit"],
        keyring=stores["store"].keyring,
        settings=stores["settings"],
        is_apart=is_apart,
    )


def _people(stores: _Stores, messages: Messages, changed: Changed) -> People:
    return people(
        database=stores["database"],
        audit=stores["audit"],
        keyring=stores["store"].keyring,
        settings=stores["settings"],
        told=of_emergencies(messages, stores["settings"]),
        changed=changed,
    )


def _patient_accounts(
    stores: _Stores, known: People, identities: IdentityEngine, sharing: SharingEngine
) -> PatientAccounts:
    return PatientAccounts(
        database=stores["database"],
        audit=stores["audit"],
        settings=stores["settings"],
        people=known,
        vault=Vault(stores["store"].keyring),
        identities=identities,
        changed=sharing.account_notices.changed,
        suspend=sharing.own.suspend_all,
    )


def _carers(
    stores: _Stores, known: People, accounts: PatientAccounts, sharing: SharingEngine
) -> CarerEngine:
    return CarerEngine(
        **stores,
        people=known,
        vault=Vault(stores["store"].keyring),
        accounts=accounts,
        stop=sharing.own.stop_all,
        changed=sharing.account_notices.changed,
    )


def _imports(
    stores: _Stores, recovery: Recovery, ingest: IngestEngine, messages: Messages
) -> ImportEngine:
    return ImportEngine(
        **stores,
        restore=recovery.restore,
        has_space=ingest.has_space,
        messages=messages,
        vault=Vault(stores["store"].keyring),
    )


class _Outgoing(TypedDict):
    """What is found and given out, and to whom."""

    query: QueryEngine
    retrieve: RetrieveEngine
    render: RenderEngine
    discs: DiscEngine
    remotes: Remotes
    peers: Peers


def _outgoing(stores: _Stores, pixels: PixelPool) -> _Outgoing:
    retrieve = RetrieveEngine(**stores, pixels=pixels)
    render = RenderEngine(**stores, pixels=pixels)
    return _Outgoing(
        query=QueryEngine(**stores),
        retrieve=retrieve,
        render=render,
        discs=DiscEngine(**stores, retrieve=retrieve, render=render),
        remotes=Remotes(stores["database"], stores["audit"]),
        peers=Peers(
            database=stores["database"],
            audit=stores["audit"],
            vault=Vault(stores["store"].keyring),
            settings=stores["settings"],
        ),
    )


class _Committing(TypedDict):
    """Storage Commitment, in both protocols."""

    commitment: CommitmentEngine
    transactions: CommitmentTransactions
    pushes: CommitmentPushes


def _committing(stores: _Stores) -> _Committing:
    database, audit, settings = stores["database"], stores["audit"], stores["settings"]
    commitment = CommitmentEngine(store=stores["store"], database=database)
    return _Committing(
        commitment=commitment,
        transactions=CommitmentTransactions(
            commitment, database=database, audit=audit, settings=settings
        ),
        pushes=CommitmentPushes(commitment, database=database, audit=audit, settings=settings),
    )


def _check(database: Database, ingest: IngestEngine) -> Callable[[], None]:
    """Make what tells whether the archive can work."""

    def check() -> None:
        with database.reading(statement_s=_CHECK_S) as conn:
            require_writable(conn)
        if not ingest.has_space():
            raise Unavailable(
                "The archive is out of disk space, or its disk is read-only: it takes nothing in."
            )

    return check
