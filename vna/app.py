"""The composition root: settings in, a working archive out. Stores are opened here only."""

from __future__ import annotations

import logging
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from vna.access.audit import Audit
from vna.access.peers import Peers
from vna.access.people import People, people
from vna.access.remotes import Remotes
from vna.access.routes import Routes
from vna.access.signing import Changed
from vna.access.trail import Trail
from vna.blobs.layout import uuid7
from vna.blobs.store import BlobStore
from vna.config import Settings, address
from vna.crypto import certificates
from vna.crypto.credentials import Vault
from vna.crypto.keyring import Keyring, RootKey, make_root_key
from vna.db import guest_role, migrate, runlock, statements
from vna.db.cluster import Cluster
from vna.db.place import make_data
from vna.db.pool import Database
from vna.delivery.alerts import of_emergencies
from vna.delivery.messages import Messages
from vna.engines import Engines
from vna.errors import ConfigError, NotFound, Unavailable
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
from vna.operate.identities import IdentityEngine
from vna.operate.labels import LabelEngine
from vna.operate.lifecycle import LifecycleEngine
from vna.operate.patient_accounts import PatientAccounts
from vna.operate.purge import Purge
from vna.operate.pushes import CommitmentPushes
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

logger = logging.getLogger(__name__)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The database server an archive uses: `cluster` is ours, None when it is somebody else's."""

    dsn: str
    cluster: Cluster | None = None


@contextmanager
def at_work(settings: Settings, command: str, *, exclusive: bool = False) -> Iterator[Archive]:
    """Open the archive for a command: the folder's lock, the database server, stores, engines.

    `exclusive` for what must be alone. Raises `ConfigError` when it was not set up yet.
    """
    store_of(settings)  # before anything is made or started
    make_data(settings.data)
    with (
        runlock.held(settings.data, command, exclusive=exclusive),
        index_of(settings) as index,
    ):
        if exclusive:  # a lost database is made again, and `vna reindex` fills it
            found_index(settings, index)
        with opened(settings, index.dsn) as archive:
            yield archive


@contextmanager
def index_of(settings: Settings) -> Iterator[Index]:
    """Hold the database server: the one of `postgres.url`, else the embedded one."""
    if settings.postgres.url:
        yield Index(dsn=settings.postgres.url)
        return
    name = str(uuid.UUID(bytes=store_of(settings)))
    with Cluster.obtain(settings.data, settings.postgres, name=name) as cluster:
        yield Index(dsn=cluster.dsn, cluster=cluster)


@contextmanager
def opened(settings: Settings, dsn: str) -> Iterator[Archive]:
    """Open stores and engines on a database that is running and migrated."""
    with ExitStack() as opening:
        root = root_key(settings)
        store = BlobStore.open(blobs_at(settings), Keyring(root, store_of(settings)))
        opening.callback(store.close)
        database = connected(settings, dsn)
        opening.callback(database.close)
        with database.reading() as conn:
            migrate.check(conn)
        _agree(database, store.archive_id)
        audit = Audit(database)
        opening.callback(audit.close)
        pixels = PixelPool(settings.pixels)
        opening.callback(pixels.close)
        yield assembled(settings, store, database, audit, pixels)


def found(settings: Settings) -> list[str]:
    """Make the keys and the store where they are missing, and say what was made.

    May be cut off anywhere and run again. Raises `ConfigError`.
    """
    where, path = blobs_at(settings), root_key_at(settings)
    made = []
    make_data(settings.data)
    try:
        archive_id, is_new = BlobStore.describe(where).archive_id, False
    except NotFound:
        archive_id, is_new = uuid7(), True
    if settings.keys.root == "file" and _lacks_key(path, is_new=is_new):
        make_root_key(path)
        made.append(f"root key {path} (keep a copy elsewhere: nothing can be read without it)")
    BlobStore.init(where, archive_id, root_key(settings))
    if is_new:
        made.append(f"blob store {where} of archive {uuid.UUID(bytes=archive_id)}")
    if not settings.dev:
        made += found_certificate(settings)
    return made


def tls_files(settings: Settings) -> tuple[Path, Path]:
    """Say where certificate and key of HTTP are: the settings', else those made by us."""
    if settings.tls.certificate:
        return Path(settings.tls.certificate), Path(settings.tls.key or settings.tls.certificate)
    folder = settings.data / "tls"
    return folder / "server.crt", folder / "server.key"


def found_certificate(settings: Settings) -> list[str]:
    """Make a certificate where none is given, or ours is about to end; say what was made."""
    certificate, key = tls_files(settings)
    if settings.tls.certificate or (certificates.is_current(certificate) and key.exists()):
        return []
    listens = [where for where in (settings.http.listen, settings.sharing.listen) if where]
    hosts = {address(where)[0] for where in listens} - {"0.0.0.0", "::"}  # noqa: S104 -- left out
    names = {"localhost", "127.0.0.1", "::1", socket.gethostname(), *hosts}
    certificates.make(certificate, key, sorted(names))
    print_ = certificates.fingerprint(certificate)
    return [f"TLS certificate {certificate}, SHA-256 fingerprint {print_}"]


def found_index(settings: Settings, index: Index) -> list[str]:
    """Bring the index's schema up to date; say what was made. Raises `ConfigError`."""
    made = []
    if index.cluster is not None and index.cluster.is_new:
        made.append(f"PostgreSQL cluster {index.cluster.files}")
    schema = settings.postgres.schema
    made += [f"migration {n:04} of schema {schema}" for n in migrate.migrate(index.dsn, schema)]
    database = connected(settings, index.dsn)
    try:
        _agree(database, store_of(settings))
    finally:
        database.close()
    return made


def found_guest_role(settings: Settings, index: Index) -> str:
    """Make sure that there is a role for guests, with its rights; say how to connect as it.

    Raises `ConfigError` where the server is somebody else's and nobody made the role.
    """
    schema = settings.postgres.schema
    if index.cluster is not None:
        guest_role.make(index.cluster.admin_dsn())
        guest_role.give(index.dsn, schema)
        return guest_role.dsn_as(index.dsn)
    wanted = settings.sharing.database_url
    if not wanted:
        raise ConfigError("sharing.listen asks for sharing.database_url beside postgres.url.")
    guest_role.give(index.dsn, schema, guest_role.role_of(wanted))
    return wanted


def require_administrator(settings: Settings, index: Index) -> None:
    """Make sure that somebody can let people in before others reach us. Raises `ConfigError`."""
    with opened(settings, index.dsn) as archive:
        if not archive.engines.people.accounts.has_administrator():
            raise ConfigError(
                f"http.listen is {settings.http.listen}, and there is no administrator yet: "
                "`vna init` prints the link of the first one."
            )


def connected(settings: Settings, dsn: str) -> Database:
    """Prepare connections to the index."""
    limits = settings.postgres
    return Database(
        dsn,
        schema=limits.schema,
        connections=limits.connections,
        statement_s=limits.statement_s,
    )


def blobs_at(settings: Settings) -> str | Path:
    """Say where the blobs lie."""
    return settings.blobs.url or settings.data / "blobs"


def root_key_at(settings: Settings) -> Path:
    """Say where the file provider keeps the root key."""
    return settings.data / "keys" / "root.key"


def root_key(settings: Settings) -> RootKey:
    """Get the root key from its provider. Raises `ConfigError`."""
    if settings.keys.root == "env":
        return RootKey.env()
    return RootKey.file(root_key_at(settings))


def store_of(settings: Settings) -> bytes:
    """Read the archive_id of the blob store. Raises `ConfigError` when there is none yet."""
    try:
        return BlobStore.describe(blobs_at(settings)).archive_id
    except NotFound as exc:
        raise ConfigError(
            f"There is no archive in {settings.data} yet; make one with `vna init`."
        ) from exc


def _lacks_key(path: Path, *, is_new: bool) -> bool:
    if path.exists():
        if not is_new or path.stat().st_size:
            return False
        path.unlink()  # cut off while it was made; nothing was ever sealed under it
        return True
    if not is_new:
        raise ConfigError(f"The root key {path} is missing: restore it, a new one opens nothing.")
    return True


def _agree(database: Database, archive_id: bytes) -> None:
    """Make sure that the index is this archive's."""
    sql = statements.load("archive")
    with database.transaction() as tx:
        tx.execute(sql.claim_archive, (str(uuid.UUID(bytes=archive_id)),))
        row = tx.execute(sql.find_archive).fetchone()
    if row is None or uuid.UUID(row[0]).bytes != archive_id:
        raise ConfigError(
            "The index database belongs to another archive than the blob store; "
            "look at postgres.url, postgres.schema and blobs.url."
        )


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
    labels = LabelEngine(store=store, database=database, audit=audit, labels=known.labels)
    corrections = CorrectionEngine(**stores, suspend=sharing.suspend_study)
    identities = IdentityEngine(**stores, suspend=sharing.suspend_study)
    accounts = _patient_accounts(stores, known, identities, sharing.account_notices.changed)
    carers = _carers(stores, known, accounts, sharing)
    graveyard = Graveyard(**stores)
    derived = (corrections.lay, identities.lay, labels.lay, carers.lay, sharing.lay)
    recovery = Recovery(
        **stores,
        lay=(graveyard.lay, *derived),
        router=router,
    )
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
        labels=labels,
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
    stores: _Stores, known: People, identities: IdentityEngine, changed: Changed
) -> PatientAccounts:
    return PatientAccounts(
        database=stores["database"],
        audit=stores["audit"],
        settings=stores["settings"],
        people=known,
        vault=Vault(stores["store"].keyring),
        identities=identities,
        changed=changed,
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
            conn.execute("SELECT 1")
        if not ingest.has_space():
            raise Unavailable("The archive is out of disk space and takes nothing in.")

    return check
