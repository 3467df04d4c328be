"""What was decided on an import carried out: filed, or destroyed. Each step may be done again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from vna.access.audit import Audit, Event
from vna.access.principal import system
from vna.blobs.store import BlobStore
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.imports.values import State

_SQL = statements.load("imports")
_BATCH = 100


class _Found(Protocol):
    """What came of letting blobs into the catalogue."""

    refused: list[tuple[str, str]]


class Restore(Protocol):
    """Lets blobs that were kept from the index into it."""

    def __call__(
        self,
        blob_ids: Sequence[bytes],
        free: Callable[[Connection], set[bytes]],
        *,
        work_of: str,
        act: str | None,
    ) -> _Found:
        """Index the blobs `free` sets free, in its transaction."""


class Ending:
    """Ends imports. One a process, shared by its threads.

    What it does gives False when told to leave before the end.
    """

    def __init__(
        self, *, store: BlobStore, database: Database, audit: Audit, restore: Restore
    ) -> None:
        self._store = store
        self._database = database
        self._audit = audit
        self._restore = restore

    def file(self, number: int, must_leave: Callable[[], bool]) -> bool:
        """Let into the catalogue what was confirmed, and destroy the rest."""
        while blobs := self._next(_SQL.next_to_file, number):
            if must_leave():
                return False

            def free(tx: Connection, asked: list[bytes] = blobs) -> set[bytes]:
                return {row[0] for row in tx.execute(_SQL.set_filed, (number, asked))}

            found = self._restore(blobs, free, work_of="import", act="instance.stored")
            for blob, why in found.refused:
                with self._database.transaction() as tx:
                    tx.execute(_SQL.set_damaged, (why[:400], number, [bytes.fromhex(blob)]))
        if not self._remove(number, must_leave):
            return False

        def end(tx: Connection) -> None:
            removed = self._ended(tx, number, State.CONFIRMED, State.FILED)
            if removed is None:
                return
            filed = tx.execute(_SQL.filed_studies, (number,)).fetchall()
            about = {"import": number, "removed": removed}
            self._audit.write(
                tx,
                system("imports"),
                [of_study("filed", study, {**about, "instances": count}) for study, count in filed],
            )

        self._database.changing(end)
        return True

    def purge(self, number: int, must_leave: Callable[[], bool]) -> bool:
        """Destroy all of it."""
        if not self._remove(number, must_leave):
            return False

        def end(tx: Connection) -> None:
            removed = self._ended(tx, number, State.REJECTED, State.PURGED)
            if removed is None:
                return
            tx.execute(_SQL.forget_files, (number,))
            about = {"import": number, "removed": removed}
            event = Event(kind="import.purged", outcome="done", detail=about)
            self._audit.write(tx, system("imports"), [event])

        self._database.changing(end)
        return True

    @staticmethod
    def _ended(tx: Connection, number: int, was: State, state: State) -> int | None:
        """Say how many objects were removed; None when a worker that was slow ended it before."""
        asked = {"import_pk": number, "was": was.value, "state": state.value}
        row = tx.execute(_SQL.end_batch, asked).fetchone()
        return None if row is None else int(row[1])

    def _remove(self, number: int, must_leave: Callable[[], bool]) -> bool:
        """Destroy what stays outside: its keys first, so that a crash leaves nothing readable."""
        with self._database.reading() as conn:
            keys = [row[0] for row in conn.execute(_SQL.keys_of, {"import_pk": number})]
        for key in keys:
            self._store.keys.destroy(key)
        while blobs := self._next(_SQL.next_to_remove, number):
            if must_leave():
                return False
            for blob in blobs:
                self._store.delete(blob)
            with self._database.transaction() as tx:
                tx.execute(_SQL.set_removed, (number, blobs))
        return True

    def _next(self, statement: Any, number: int) -> list[bytes]:  # a LiteralString
        with self._database.reading() as conn:
            return [bytes(row[0]) for row in conn.execute(statement, (number, _BATCH))]


def of_study(done: str, study: str, about: dict[str, Any]) -> Event:
    """Describe what was done with one study of an import."""
    return Event(kind=f"import.{done}", outcome="done", study=study, detail=about)
