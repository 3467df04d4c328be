"""What was let out of quarantine: written into the journal, and read back from it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from vna.blobs.journal import Entry, Journal
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.index.deleted import known_to, mark_applied

RELEASE = "import.released"
"""The journal's word for letting studies of an import out."""

_SQL = statements.load("imports")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What a person at the desk let out of an import: of these studies, what is of these persons.

    `persons` is None in entries of releases of this archive that wrote down studies alone: where
    one study holds several persons, such an entry does not say whose objects were chosen.
    """

    studies: frozenset[str]
    persons: frozenset[str] | None

    @classmethod
    def of(cls, entry: Entry) -> Release:
        """Read an entry of the journal."""
        persons = entry.args.get("persons")
        return cls(
            studies=frozenset(entry.args["studies"]),
            persons=None if persons is None else frozenset(persons),
        )

    def is_of(self, person: str) -> bool:
        """Whether the objects of a person were let out, as far as this says."""
        return self.persons is None or person in self.persons


class Releases:
    """The releases of one archive. One a process, shared by its threads."""

    def __init__(self, journal: Journal, database: Database) -> None:
        self._journal = journal
        self._database = database
        self._found: dict[str, Release] | None = None

    def write(self, tx: Connection, batch: UUID, what: Release, actor: str) -> None:
        """Write a release down, which takes effect with the transaction."""
        said = {"studies": sorted(what.studies), "persons": sorted(what.persons or ())}
        entry = self._journal.append(RELEASE, {"import": batch.hex}, said, actor)
        mark_applied(tx, [entry], RELEASE)

    def look_again(self) -> None:
        """Forget what the journal said."""
        self._found = None

    def of(self, batch: str) -> Release | None:
        """Give the last release of an import that took effect here.

        One that did not is brought in, or overruled by what was decided since; until then its
        import waits.
        """
        if self._found is None:
            entries = [entry for entry in self._journal.replay() if entry.op == RELEASE]
            known = known_to(self._database)([entry.id for entry in entries])
            self._found = {
                entry.target["import"]: Release.of(entry) for entry in entries if entry.id in known
            }
        return self._found.get(batch)

    def lay(self, tx: Connection) -> None:
        """Note in an emptied catalogue that the journal's releases have taken effect.

        Those of imports that wait for a decision here have not: the database was put back to
        before it.
        """
        waiting = {batch.hex for (batch,) in tx.execute(_SQL.waiting)}
        entries = [
            entry.id
            for entry in self._journal.replay()
            if entry.op == RELEASE and entry.target["import"] not in waiting
        ]
        mark_applied(tx, entries, RELEASE)

    def unapplied(self, *, older_s: float, since: dt.date | None = None) -> dict[UUID, list[Entry]]:
        """Read the releases the database does not know of, by import."""
        found: dict[UUID, list[Entry]] = {}
        known = known_to(self._database)
        for entry in self._journal.unknown(known, older_s=older_s, since=since):
            if entry.op == RELEASE:
                found.setdefault(UUID(entry.target["import"]), []).append(entry)
        return found
