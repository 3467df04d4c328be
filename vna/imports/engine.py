"""The import desk: what is brought waits in quarantine until a person has said whose it is.

    receiving -> needs_identity -> confirmed -> filed
                       |-> rejected -> purged

Objects are sealed as they come, and found by nobody. Confirming lets the chosen studies out into
the catalogue by the ordinary way; rejecting destroys the keys of an import, then its blobs.
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Principal, system
from vna.access.rates import Rates
from vna.blobs.journal import Entry
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.crypto.credentials import Vault
from vna.db import statements
from vna.db.outbox import enqueue
from vna.db.pool import Connection, Database
from vna.delivery.messages import Messages
from vna.errors import Conflict, InvalidRequest, NotFound, Unavailable, VNAError
from vna.imports.confirming import LEAST_REASON, check
from vna.imports.ending import Ending, Restore, of_study
from vna.imports.findings import detail_of, import_of, persons_of, troubles_of
from vna.imports.guest_rooms import GuestRooms
from vna.imports.guests import Guests
from vna.imports.handing import Handing
from vna.imports.intake import Intake
from vna.imports.keeping import Keeping
from vna.imports.requests import ImageRequests
from vna.imports.values import Confirmation, Detail, Import, Origin, Person, State
from vna.index.deleted import mark_applied
from vna.ingest.quarantine import Quarantine, require_bringing
from vna.ingest.releases import RELEASE, Release
from vna.sharing.keys import ShareKeys
from vna.texts import marked

log = logging.getLogger(__name__)

KIND = "import"
"""The kind of job that ends an import."""

_SQL = statements.load("imports")
_LATER = "This is written down and will take effect as soon as the index can be changed."
_BATCH = 100
_MOST_SHOWN = 500
_MOST_SERIES = 2000
_MARK = re.compile(r"[0-9a-f]{32}", re.ASCII)


class ImportEngine:
    """Imports from their beginning to their end. One a process, shared by its threads."""

    def __init__(
        self,
        *,
        store: BlobStore,
        database: Database,
        audit: Audit,
        settings: Settings,
        restore: Restore,
        has_space: Callable[[], bool],
        messages: Messages,
        vault: Vault,
    ) -> None:
        """`restore` lets blobs into the catalogue, `has_space` says whether more may come."""
        self._database = database
        self._audit = audit
        self._settings = settings
        self._ending = Ending(store=store, database=database, audit=audit, restore=restore)
        self._quarantine = Quarantine(
            store=store, database=database, audit=audit, settings=settings
        )
        self.intake = Intake(
            Keeping(
                store=store,
                quarantine=self._quarantine,
                database=database,
                settings=settings,
                has_space=has_space,
            )
        )
        self.requests = ImageRequests(
            desk=self,
            database=database,
            audit=audit,
            settings=settings,
            messages=messages,
            vault=vault,
        )
        self.guests = Guests(
            GuestRooms(
                desk=self,
                intake=self.intake,
                handing=Handing(store),
                database=database,
                audit=audit,
                settings=settings,
                messages=messages,
                vault=vault,
                keys=ShareKeys(store.keyring),
                rates=Rates(database),
            )
        )

    # ---- coming in -----------------------------------------------------------------------------

    def begin(self, who: Principal, *, note: str = "", origin: Origin = Origin.DESK) -> int:
        """Begin an import; give its number. Raises `InvalidRequest`."""
        require(who, Action.IMPORT)
        if len(note) > 200 or not note.isprintable():
            raise InvalidRequest(
                marked("Where it comes from is said in one line of 200 characters.")
            )

        def work(tx: Connection) -> int:
            return self.begin_in(tx, who, note=note, origin=origin)

        return self._database.changing(work)

    def begin_in(
        self,
        tx: Connection,
        who: Principal,
        *,
        note: str,
        origin: Origin,
        keep_s: float | None = None,
    ) -> int:
        """Do so in a transaction of the caller's."""
        if keep_s is None:
            keep_s = self._settings.imports.keep_days * 86400
        asked = {
            "batch": uuid.uuid4(),
            "source": origin.value,
            "made_by": who.name,
            "note": note.strip(),
            "keep_s": keep_s,
        }
        row = tx.execute(_SQL.begin, asked).fetchone()
        number = int(row[0]) if row else 0
        about = {"import": number, "origin": origin.value}
        self._audit.write(tx, who, [Event(kind="import.begun", outcome="done", detail=about)])
        return number

    def expect(self, who: Principal, number: int, marks: Sequence[str]) -> list[int]:
        """Take the list of what is to come; say which of it is missing, by position.

        Raises `InvalidRequest`, `NotFound`.
        """
        require_bringing(who)
        if len(marks) > self._settings.imports.files or not all(map(_MARK.fullmatch, marks)):
            raise InvalidRequest("The list of files is not well formed, or too long.")

        def work(tx: Connection) -> set[str]:
            asked = {"import_pk": number, "expected": len(set(marks)), "marks": list(marks)}
            if tx.execute(_SQL.expect, asked).rowcount != 1:
                raise self._not_so(tx, number)
            return {row[0] for row in tx.execute(_SQL.marks, (number, list(marks)))}

        there = self._database.changing(work)
        return [n for n, mark in enumerate(marks) if mark not in there]

    def finish(self, who: Principal, number: int) -> Import:
        """Say that everything has come: now a person must look. Raises `Conflict`, `NotFound`."""
        self._database.changing(lambda tx: self.finish_in(tx, who, number))
        return self.brought(who, number)

    def finish_in(self, tx: Connection, who: Principal, number: int) -> Import:
        """Do so in a transaction of the caller's; give what has come."""
        require_bringing(who)
        self._lock(tx, number, State.RECEIVING)
        found = self._found(tx, number)
        if not found.images + found.reports + found.objects:
            raise Conflict(
                marked("Nothing was found that could be kept: there is nothing to confirm.")
            )
        self._move(tx, number, State.NEEDS_IDENTITY)
        self._told(tx, who, "received", found)
        return found

    def keep_until(self, tx: Connection, number: int, until: dt.datetime) -> None:
        """Say until when an import waits for a decision, in a transaction of the caller's."""
        tx.execute(_SQL.set_end, (until, number))

    def brought(self, who: Principal, number: int) -> Import:
        """Count what came, for who brings it: no names, nothing of a patient."""
        require_bringing(who)
        with self._database.reading() as conn:
            return self._found(conn, number)

    # ---- looking -------------------------------------------------------------------------------

    def listed(
        self,
        who: Principal,
        *,
        waiting: bool | None = None,
        before: int | None = None,
        most: int = 50,
    ) -> list[Import]:
        """List imports, the newest first: those that wait for somebody, those that are over."""
        require(who, Action.IMPORT)
        asked = {"import_pk": None, "before": before, "waiting": waiting, "most": most}
        with self._database.reading() as conn:
            return [import_of(row) for row in conn.execute(_SQL.batches, asked)]

    def one(self, who: Principal, number: int) -> Import:
        """Show one import. Raises `NotFound`."""
        require(who, Action.IMPORT)
        with self._database.reading() as conn:
            return self._found(conn, number)

    def persons_in(self, conn: Connection, number: int) -> list[Person]:
        """List whose images an import holds, for who was sent them; whoever asks has audited it."""
        return persons_of(self._findings(conn, number))

    def detail(self, who: Principal, number: int) -> Detail:
        """Show what was found in an import; audited as a look at patients. Raises `NotFound`."""
        require(who, Action.IMPORT)
        with self._database.reading() as conn:
            found = self._found(conn, number)
            rows = self._findings(conn, number)
            asked = {"import_pk": number, "most": _MOST_SHOWN}
            troubles = conn.execute(_SQL.troubles, asked).fetchall()
            row = conn.execute(_SQL.count_series, (number,)).fetchone()
        persons = persons_of(rows)
        if persons:
            about = {"import": number, "persons": len(persons)}
            self._audit.note(who, Event(kind="import.seen", outcome="done", detail=about))
        unlisted = max((row[0] if row else 0) - len(rows), 0)
        return detail_of(found, persons, troubles_of(troubles), unlisted=unlisted)

    # ---- deciding ------------------------------------------------------------------------------

    def confirm(self, who: Principal, number: int, said: Confirmation) -> Import:
        """Let chosen studies of chosen persons into the catalogue.

        Raises `InvalidRequest`, `Conflict` when it does not fit what was found, `NotFound`;
        `Unavailable` also when it is written down and will only take effect later.
        """
        require(who, Action.IMPORT)
        written: list[str] = []

        def work(tx: Connection) -> None:
            batch = self._lock(tx, number, State.NEEDS_IDENTITY)
            studies = check(persons_of(self._findings(tx, number)), said)
            what = Release(studies=frozenset(studies), persons=said.persons)
            self._choose(tx, number, what)
            self._quarantine.release(tx, batch, what, who.name)
            written[:] = studies
            self._move(tx, number, State.CONFIRMED, by=who.name, reason=said.reason.strip())
            about = {"import": number, "studies": len(studies), "persons": len(said.persons)}
            self._audit.write(tx, who, [of_study("confirmed", study, about) for study in studies])
            enqueue(tx, KIND, {"import": number}, requested_by=who.name)

        try:
            self._database.changing(work)
        except VNAError as exc:
            if not written:
                raise
            raise Unavailable(_LATER) from exc
        return self.one(who, number)

    def reject(self, who: Principal, number: int, reason: str) -> Import:
        """Destroy an import. Raises `InvalidRequest`, `Conflict`, `NotFound`."""
        require(who, Action.IMPORT)
        if len(reason.strip()) < LEAST_REASON or len(reason) > 400:
            raise InvalidRequest(marked("Write why it is rejected, in a few words."))
        self._database.changing(lambda tx: self.reject_in(tx, who, number, reason.strip()))
        return self.one(who, number)

    def catch_up(self, *, older_s: float, since: dt.date | None = None) -> int:
        """Bring in what the journal says was confirmed and the database does not know; count it.

        A crash kept it from taking effect, or the database was put back to before it.
        """
        found = self._quarantine.unapplied(older_s=older_s, since=since)
        for batch, entries in found.items():
            self._database.changing(functools.partial(self._confirmed, batch, entries))
        return sum(map(len, found.values()))

    def _confirmed(self, batch: UUID, entries: Sequence[Entry], tx: Connection) -> None:
        """Let what the journal says was confirmed take effect, unless it was decided otherwise.

        Of several entries the last one counts, as it would have, had none been lost.
        """
        row = tx.execute(_SQL.take_batch, (batch,)).fetchone()
        if not mark_applied(tx, [entry.id for entry in entries], RELEASE):
            return
        if row is None or State(row[1]) not in (State.RECEIVING, State.NEEDS_IDENTITY):
            return
        number, actor = row[0], entries[-1].actor
        what = self._exactly(tx, number, Release.of(entries[-1]))
        if what is None:
            log.warning("import left to the desk", extra={"import": number})
            return
        self._choose(tx, number, what)
        self._move(tx, number, State.CONFIRMED, by=actor)
        about = {"import": number, "studies": len(what.studies)}
        told = [of_study("confirmed", study, about) for study in sorted(what.studies)]
        self._audit.write(tx, system(f"recovery for {actor}"), told)
        enqueue(tx, KIND, {"import": number}, requested_by=actor)

    @staticmethod
    def _exactly(tx: Connection, number: int, what: Release) -> Release | None:
        """Say whose objects an entry means that names studies alone; None when nobody can."""
        if what.persons is not None:
            return what
        asked = {"studies": sorted(what.studies), "import_pk": number}
        persons = frozenset(row[0] for row in tx.execute(_SQL.persons_of, asked))
        return None if len(persons) > 1 else Release(studies=what.studies, persons=persons)

    @staticmethod
    def _choose(tx: Connection, number: int, what: Release) -> None:
        asked = {"studies": sorted(what.studies), "persons": sorted(what.persons or ())}
        tx.execute(_SQL.choose, {**asked, "import_pk": number})

    def sweep(self) -> int:
        """Reject what nobody decided on in time; count it."""
        self.requests.sweep()
        self.guests.sweep()
        with self._database.reading() as conn:
            late = [int(row[0]) for row in conn.execute(_SQL.over_their_time, (_BATCH,))]
        return sum(self._database.changing(functools.partial(self._expire, n)) for n in late)

    def _expire(self, number: int, tx: Connection) -> bool:
        if tx.execute(_SQL.lock_late, (number,)).fetchone() is None:
            return False  # it was sent, or decided on, at the last moment
        self.reject_in(tx, system("imports"), number, "Nobody decided on it in time.")
        return True

    def reject_in(self, tx: Connection, who: Principal, number: int, reason: str) -> None:
        """Reject in a transaction of the caller's, who may do so. Raises `Conflict`, `NotFound`."""
        self._lock(tx, number, State.RECEIVING, State.NEEDS_IDENTITY)
        self._move(tx, number, State.REJECTED, by=who.name, reason=reason)
        self._told(tx, who, "rejected", self._found(tx, number))
        enqueue(tx, KIND, {"import": number}, requested_by=who.name)

    def carry_out(self, number: int, *, must_leave: Callable[[], bool] = lambda: False) -> bool:
        """Do what was decided; False when told to leave before the end. May be done again."""
        with self._database.reading() as conn:
            state = self._found(conn, number).state
        if state is State.CONFIRMED:
            return self._ending.file(number, must_leave)
        if state is State.REJECTED:
            return self._ending.purge(number, must_leave)
        return True

    # ---- rows ----------------------------------------------------------------------------------

    def _found(self, conn: Connection, number: int) -> Import:
        asked = {"import_pk": number, "before": None, "waiting": None, "most": 1}
        row = conn.execute(_SQL.batches, asked).fetchone()
        if row is None:
            raise NotFound("There is no such import.")
        return import_of(row)

    @staticmethod
    def _findings(conn: Connection, number: int) -> list[tuple[Any, ...]]:
        return conn.execute(_SQL.findings, {"import_pk": number, "most": _MOST_SERIES}).fetchall()

    def _lock(self, tx: Connection, number: int, *states: State) -> UUID:
        row = tx.execute(_SQL.lock_batch, (number,)).fetchone()
        if row is None or State(row[1]) not in states:
            raise self._not_so(tx, number)
        batch: UUID = row[0]
        return batch

    @staticmethod
    def _move(
        tx: Connection,
        number: int,
        state: State,
        *,
        by: str | None = None,
        reason: str | None = None,
    ) -> None:
        asked = {"import_pk": number, "state": state.value, "by": by, "reason": reason}
        tx.execute(_SQL.decide, asked)

    def _told(self, tx: Connection, who: Principal, done: str, found: Import) -> None:
        about = {
            "import": found.number,
            "images": found.images,
            "reports": found.reports,
            "bad": found.bad,
            "persons": found.persons,
        }
        self._audit.write(tx, who, [Event(kind=f"import.{done}", outcome="done", detail=about)])

    @staticmethod
    def _not_so(tx: Connection, number: int) -> Conflict | NotFound:
        row = tx.execute(_SQL.lock_batch, (number,)).fetchone()
        if row is None:
            return NotFound("There is no such import.")
        return Conflict(marked("This import has moved on meanwhile; look at it again."))
