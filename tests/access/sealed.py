"""An archive's trail with a sealer, and a person with a superuser's hands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg.conninfo import make_conninfo

from tests.conftest import TestPostgres
from vna.access.audit import Audit, Event
from vna.access.principal import system
from vna.blobs.store import BlobStore
from vna.crypto.keyring import Keyring, RootKey
from vna.db.pool import Database
from vna.operate.evidence import Evidence, Verdict
from vna.operate.sealing import Sealer

ROOT = RootKey(bytes(range(32)), "file")
ARCHIVE = bytes.fromhex("019aa0000000700080000000000000aa")
WHO = system("test")


@dataclass(slots=True)
class Trail:
    """One trail, its sealer, and who checks it."""

    database: Database
    store: BlobStore
    audit: Audit
    sealer: Sealer
    superuser: str

    def write(self, count: int, **event: Any) -> None:
        """Commit some rows in one transaction."""
        values = {"kind": "test", "outcome": "done", **event}
        with self.database.transaction() as tx:
            acts = [Event(detail={"n": n}, **values) for n in range(count)]
            self.audit.write(tx, WHO, acts)

    def verify(self) -> Verdict:
        """Check the whole trail."""
        return Evidence(self.database, self.store.checkpoints).verify()

    def found(self) -> set[str]:
        """What is wrong with it."""
        return {finding.what for finding in self.verify().findings}

    def count(self, statement: LiteralString) -> int:
        """Ask for one number."""
        with self.database.reading() as conn:
            row = conn.execute(statement).fetchone()
        assert row is not None
        return int(row[0])

    @contextmanager
    def tampering(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend a superuser's connection on which no trigger fires."""
        with psycopg.connect(self.superuser, autocommit=True) as conn:
            conn.execute("SET search_path TO vna; SET session_replication_role TO replica")
            yield conn


def make_trail(database: Database, postgres: TestPostgres, blobs: Path) -> Trail:
    """Make a trail over an empty database and an empty store."""
    BlobStore.init(blobs, ARCHIVE, ROOT)
    store = BlobStore.open(blobs, Keyring(ROOT, ARCHIVE))
    name = psycopg.conninfo.conninfo_to_dict(database.dsn)["dbname"]
    superuser = make_conninfo(postgres.cluster.admin_dsn(), dbname=name)
    sealer = Sealer(database, store.checkpoints)
    return Trail(database, store, Audit(database), sealer, superuser)
