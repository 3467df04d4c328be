"""A whole archive in a test: real blobs on disk, a real database, the real engines, no edge."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vna.access.audit import Audit
from vna.access.peers import Peers
from vna.access.people import People, people
from vna.access.principal import Principal, developer
from vna.access.remotes import Remotes
from vna.access.routes import Routes
from vna.access.watch import Watch
from vna.blobs.files import Files
from vna.blobs.layout import uuid7
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.crypto.credentials import Cost, Vault
from vna.crypto.keyring import Keyring, RootKey
from vna.db.pool import Connection, Database
from vna.delivery.alerts import of_emergencies, of_many
from vna.delivery.channels import Channel
from vna.delivery.messages import Messages
from vna.imports.engine import ImportEngine
from vna.ingest.backfill import SearchIndex
from vna.ingest.engine import IngestEngine
from vna.ingest.outcome import Expected, Outcome, Source
from vna.ingest.recover import Recovery
from vna.ingest.routing import Router
from vna.operate.carers import CarerEngine
from vna.operate.changes import ChangeFeed
from vna.operate.commitment import CommitmentEngine
from vna.operate.corrections import CorrectionEngine
from vna.operate.graveyard import Graveyard
from vna.operate.holds import HoldEngine
from vna.operate.identities import IdentityEngine
from vna.operate.identity_views import Proposal
from vna.operate.labels import LabelEngine
from vna.operate.lifecycle import LifecycleEngine
from vna.operate.patient_accounts import PatientAccounts
from vna.operate.purge import Purge
from vna.operate.pushes import CommitmentPushes
from vna.operate.transactions import CommitmentTransactions
from vna.pixels.sandbox import PixelPool
from vna.query.engine import QueryEngine
from vna.retrieve.disc import DiscEngine
from vna.retrieve.engine import RetrieveEngine
from vna.retrieve.render import RenderEngine
from vna.sharing.engine import SharingEngine

CHEAP = Cost(memory_kib=64, passes=1)  # of a hash: tests make many


@dataclass(slots=True)
class Message:
    """A message that was asked for."""

    to: Channel
    template: str
    values: dict[str, str]
    grant_id: int | None
    until: dt.datetime | None


@dataclass(slots=True)
class Posted:
    """An outbox that keeps what is left in it; a test reads it as its addressee would."""

    outbox: Messages
    messages: list[Message] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)

    def post(
        self,
        tx: Connection,
        *,
        to: Channel,
        template: str,
        values: Mapping[str, str],
        grant_id: int | None,
        until: dt.datetime | None,
        **about: Any,
    ) -> int:
        """Keep a message."""
        self.messages.append(Message(to, template, dict(values), grant_id, until))
        return self.outbox.post(
            tx, to=to, template=template, values=values, grant_id=grant_id, until=until, **about
        )

    def cancel_grant(self, tx: Connection, grant_id: int) -> int:
        """Note which grant's messages are not wanted any more."""
        self.cancelled.append(grant_id)
        return self.outbox.cancel_grant(tx, grant_id)

    def last(self, template: str, to: Channel | None = None) -> Message:
        """Give the latest message of a template."""
        found = [m for m in self.messages if m.template == template and to in (None, m.to)]
        return found[-1]

    def secret(self, to: Channel | None = None) -> str:
        """Take the secret out of the latest link."""
        found = [m for m in self.messages if "link" in m.values and to in (None, m.to)]
        return found[-1].values["link"].partition("#")[2]

    def code(self) -> str:
        """Take the latest code."""
        return self.last("code").values["code"]


@dataclass(slots=True)
class Archive:
    """The rooms of one archive, put together as `vna.archive` does it."""

    settings: Settings
    store: BlobStore
    database: Database
    audit: Audit
    ingest: IngestEngine
    imports: ImportEngine
    query: QueryEngine
    retrieve: RetrieveEngine
    render: RenderEngine
    discs: DiscEngine
    recovery: Recovery
    remotes: Remotes
    peers: Peers
    routes: Routes
    commitment: CommitmentEngine
    transactions: CommitmentTransactions
    pushes: CommitmentPushes
    lifecycle: LifecycleEngine
    corrections: CorrectionEngine
    identities: IdentityEngine
    changes: ChangeFeed
    purge: Purge
    search_index: SearchIndex
    labels: LabelEngine
    holds: HoldEngine
    people: People
    messages: Messages
    sharing: SharingEngine
    posted: Posted
    patient_accounts: PatientAccounts
    carers: CarerEngine
    watch: Watch
    who: Principal

    def join(self, one: bytes, other: bytes, reason: str = "Asked her") -> None:
        """Link two identities; where it takes two people, a colleague agrees."""
        linked = self.identities.link(self.who, one, other, reason=reason)
        if isinstance(linked, Proposal):
            self.identities.agree(developer("colleague"), one, other, is_fresh=True)

    def take(self, data: bytes, *, chunk: int = 1 << 16, **expected: str) -> Outcome:
        """Store a Part 10 file."""
        receiving = self.ingest.receive(
            self.who, Source(proto="stow"), expected=Expected(**expected)
        )
        for at in range(0, len(data), chunk):
            receiving.feed(data[at : at + chunk])
        return receiving.finish()

    def take_dataset(self, data: bytes, transfer_syntax: str, **expected: str) -> Outcome:
        """Store a bare data set, as C-STORE does."""
        receiving = self.ingest.receive(
            self.who,
            Source(proto="dimse", calling_ae="SENDER", called_ae="VNA", address="127.0.0.1"),
            transfer_syntax=transfer_syntax,
            expected=Expected(**expected),
        )
        receiving.feed(data)
        return receiving.finish()


def settings_for(folder: Path, **sections: dict[str, Any]) -> Settings:
    """Settings of an archive in `folder`; no free space is asked for, tests say when they do."""
    settings = Settings(data=folder, dev=True)
    asked = {"blobs": {"free_bytes": 0, "free_percent": 0.0}, **sections}
    changed = {
        name: dataclasses.replace(getattr(settings, name), **values)
        for name, values in asked.items()
    }
    return dataclasses.replace(settings, **changed)


@contextmanager
def open_archive(
    folder: Path, database: Database, *, files: Files | None = None, **sections: dict[str, Any]
) -> Iterator[Archive]:
    """Open an archive in `folder`, made on first use."""
    settings = settings_for(folder, **sections)
    root = folder / "root.bin"
    if not root.exists():
        root.write_bytes(os.urandom(32))
        BlobStore.init(folder / "blobs", uuid7(), RootKey(root.read_bytes(), "file"))
    found = BlobStore.describe(folder / "blobs")
    keyring = Keyring(RootKey(root.read_bytes(), "file"), found.archive_id)
    store = BlobStore.open(folder / "blobs", keyring, files=files)
    audit = Audit(database)
    pixels = PixelPool(dataclasses.replace(settings.pixels, children=1))
    rooms = {"store": store, "database": database, "audit": audit, "settings": settings}
    retrieve = RetrieveEngine(**rooms, pixels=pixels)
    render = RenderEngine(**rooms, pixels=pixels)
    commitment = CommitmentEngine(store=store, database=database)
    graveyard = Graveyard(**rooms)
    routes = Routes(database, audit, settings)
    router = Router(routes, store, settings)
    messages = Messages(database=database, audit=audit, keyring=keyring, settings=settings)
    posted = Posted(messages)
    sharing = SharingEngine(**rooms, outbox=posted, cost=CHEAP)
    messages.receipts.on_bounce = sharing.channel_bounced

    known = people(
        database=database,
        audit=audit,
        keyring=keyring,
        settings=settings,
        cost=CHEAP,
        told=of_emergencies(messages, settings),
        changed=sharing.account_notices.changed,
    )
    labels = LabelEngine(store=store, database=database, audit=audit, labels=known.labels)
    holds = HoldEngine(store=store, database=database, audit=audit)
    corrections = CorrectionEngine(**rooms, suspend=sharing.suspend_study)
    identities = IdentityEngine(**rooms, suspend=sharing.suspend_study)
    accounts = PatientAccounts(
        database=database,
        audit=audit,
        settings=settings,
        people=known,
        vault=Vault(keyring, CHEAP),
        identities=identities,
        changed=sharing.account_notices.changed,
        suspend=sharing.own.suspend_all,
    )
    carers = CarerEngine(
        **rooms,
        people=known,
        vault=Vault(keyring, CHEAP),
        accounts=accounts,
        stop=sharing.own.stop_all,
        changed=sharing.account_notices.changed,
    )
    marks = (labels.lay, holds.lay)
    derived = (corrections.lay, identities.lay, *marks, carers.lay, sharing.lay)
    lay = (graveyard.lay, *derived)
    recovery = Recovery(**rooms, lay=lay, router=router)
    ingest = IngestEngine(**rooms, pixels=pixels, router=router)
    try:
        yield Archive(
            settings=settings,
            store=store,
            database=database,
            audit=audit,
            ingest=ingest,
            imports=ImportEngine(
                **rooms,
                restore=recovery.restore,
                has_space=ingest.has_space,
                messages=messages,
                vault=Vault(keyring, CHEAP),
            ),
            query=QueryEngine(**rooms),
            retrieve=retrieve,
            remotes=Remotes(database, audit),
            render=render,
            discs=DiscEngine(**rooms, retrieve=retrieve, render=render),
            peers=Peers(
                database=database, audit=audit, vault=Vault(keyring, CHEAP), settings=settings
            ),
            routes=routes,
            recovery=recovery,
            commitment=commitment,
            transactions=CommitmentTransactions(
                commitment, database=database, audit=audit, settings=settings
            ),
            pushes=CommitmentPushes(commitment, database=database, audit=audit, settings=settings),
            changes=ChangeFeed(database=database, audit=audit),
            lifecycle=LifecycleEngine(**rooms, graveyard=graveyard, restore=recovery.restore),
            corrections=corrections,
            identities=identities,
            purge=Purge(store=store, database=database, audit=audit),
            search_index=SearchIndex(**rooms),
            messages=messages,
            sharing=sharing,
            posted=posted,
            patient_accounts=accounts,
            carers=carers,
            labels=labels,
            holds=holds,
            people=known,
            watch=Watch(
                database=database,
                audit=audit,
                settings=settings.access,
                told=of_many(messages, settings),
            ),
            who=developer("test"),
        )
    finally:
        pixels.close()
        audit.close()
        store.close()
