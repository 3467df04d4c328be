"""Reading the audit trail: search, export, accounting of disclosures. Looking is an act itself."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, NamedTuple

from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.db import statements
from vna.db.pool import Database
from vna.dicom.refs import UID, StudyRef
from vna.errors import InvalidRequest, NotFound

DISCLOSING = ("read", "sent", "export", "share")
"""Kinds of acts by which something of a patient left the archive."""

_SQL = statements.load("audit")
_PAGE = 1000
_STRETCH = 1_000_000  # rows that one statement looks at, where no index leads to them
_LAST = (1 << 63) - 1


class Place(NamedTuple):
    """A row of the trail, to tell later whether the database was put back to before it."""

    audit_id: int
    at: dt.datetime


def newest(database: Database) -> Place | None:
    """Name the newest row; None when there is none."""
    with database.reading() as conn:
        row = conn.execute(_SQL.newest_row).fetchone()
    return None if row is None else Place(*row)


def is_there(database: Database, place: Place) -> bool:
    """Tell whether a row is there still: ids are given again after a database was put back."""
    with database.reading() as conn:
        row = conn.execute(_SQL.has_row, place).fetchone()
    return bool(row and row[0])


class Row(NamedTuple):
    """One row of the trail, and its link where it is sealed. `event` is the text that is hashed."""

    audit_id: int
    at: dt.datetime
    kind: str
    outcome: str
    principal: str
    actor_kind: str
    address: str | None
    study: str | None
    series: str | None
    instance: str | None
    detail: dict[str, Any]
    event: str
    seal_seq: int | None
    prev_hash: bytes | None
    hash: bytes | None

    def studies(self) -> list[str]:
        """Name the studies the act touched."""
        if self.study is not None:
            return [self.study]
        named = self.detail.get("studies", []) if isinstance(self.detail, dict) else []
        return [study for study in named if isinstance(study, str)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rows; None is any. A kind stands for those below it, too: `instance`, `remote`."""

    studies: Sequence[str] | None = None
    principal: str | None = None
    address: str | None = None
    kinds: Sequence[str] | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None

    def detail(self, act: str) -> dict[str, Any]:
        """What is written down of who looked for this."""
        found: dict[str, Any] = {"act": act, "studies": self.studies, "principal": self.principal}
        found |= {"address": self.address, "kinds": self.kinds}
        found |= {"since": self.since, "until": self.until}
        return {name: value for name, value in found.items() if value is not None}


class Opening(NamedTuple):
    """One act by which something of a study was seen or left the archive."""

    audit_id: int
    at: dt.datetime
    kind: str
    principal: str
    actor_kind: str
    study: str | None
    detail: dict[str, Any]


class Patient(NamedTuple):
    """Whose a study is."""

    patient_id: str
    issuer: str


@dataclass(slots=True)
class Affected:
    """One patient of whom something was seen or given on: what, and when.

    `patient` is None for all studies that are no longer held together: whose they were is told by
    what else knows their UIDs.
    """

    patient: Patient | None
    first: dt.datetime
    last: dt.datetime
    acts: int = 0
    studies: list[str] = field(default_factory=list)


class Trail:
    """The trail of one archive, for those who may look into it."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    def search(self, principal: Principal, wanted: Wanted, *, act: str) -> Iterator[Row]:
        """Give rows in order. That they are looked at is written before the first is given.

        Raises `NotPermitted`.
        """
        require(principal, Action.AUDIT)
        event = Event(kind="audit.read", outcome="done", detail=wanted.detail(act))
        with self._database.transaction() as tx:
            self._audit.write(tx, principal, [event])
        return self._rows(wanted)

    def disclosures(
        self, principal: Principal, of: str, *, issuer: str | None = None
    ) -> Iterator[Row]:
        """Give every act by which something of a patient, or of a study, left the archive.

        Raises `NotPermitted`; `NotFound` when neither such a patient nor such a study is known, and
        `InvalidRequest` when several issuers gave the id: what was shown of one patient is told
        nobody else.
        """
        require(principal, Action.AUDIT)
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.studies_of, {"of": of, "issuer": issuer}).fetchall()
        if len({row[1] for row in rows if row[1] is not None}) > 1:
            raise InvalidRequest("Several issuers use this Patient ID: say which is meant.")
        studies = [row[0] for row in rows]
        if not studies:
            studies = [of]  # a study that was deleted is still in the trail
        wanted = Wanted(studies=studies, kinds=DISCLOSING)
        if not rows and next(self._rows(Wanted(studies=studies)), None) is None:
            raise NotFound("No study is held of such a patient, and no such study is in the trail.")
        return self.search(principal, wanted, act="disclosures")

    def affected(self, principal: Principal, wanted: Wanted) -> list[Affected]:
        """Say of whom something was seen or left the archive by some acts, each patient once.

        What a breach is reported by: of one principal or address, in a time. Names in lists of
        search results are not told study by study, so they are not in it. Raises `NotPermitted`.
        """
        require(principal, Action.AUDIT)
        rows = self.search(principal, replace(wanted, kinds=DISCLOSING), act="affected")
        found: dict[Patient | None, Affected] = {}
        listed: set[tuple[Patient | None, str]] = set()
        while page := list(islice(rows, _PAGE)):
            whose = self.patients(list({study for row in page for study in row.studies()}))
            for row in page:
                for study in row.studies():
                    patient = whose.get(study)
                    one = found.setdefault(patient, Affected(patient, row.at, row.at))
                    one.acts += 1
                    one.first, one.last = min(one.first, row.at), max(one.last, row.at)
                    if (patient, study) not in listed:
                        listed.add((patient, study))
                        one.studies.append(study)
        return sorted(found.values(), key=lambda one: one.patient or ("", ""))

    def openings(
        self, principal: Principal, studies: Sequence[str], *, before: int | None, most: int
    ) -> list[Opening]:
        """Tell who opened or was given studies, the latest first: for whom they are about.

        That they are looked at is written before the first is given. Raises `NotPermitted`,
        `NotFound` for a study that is out of sight.
        """
        require(principal, Action.QUERY)
        for study in studies:
            require(principal, Action.QUERY, StudyRef(UID(study)))
        told = Event(kind="audit.read", outcome="done", detail={"act": "own", "studies": studies})
        asked = {
            "studies": list(studies),
            "before": _LAST if before is None else before,
            "most": most,
        }
        with self._database.transaction() as tx:
            self._audit.write(tx, principal, [told])
            return [Opening(*row) for row in tx.execute(_SQL.list_openings, asked).fetchall()]

    def patients(self, studies: Sequence[str]) -> dict[str, Patient]:
        """Say whose studies are, as far as they are held."""
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.patients_of, (list(studies),)).fetchall()
        return {study: Patient(patient_id, issuer) for study, patient_id, issuer in rows}

    def _rows(self, wanted: Wanted) -> Iterator[Row]:
        asked = {
            "studies": None if wanted.studies is None else list(wanted.studies),
            "kinds": None if wanted.kinds is None else list(wanted.kinds),
            "principal": wanted.principal,
            "address": wanted.address,
            "since": wanted.since,
            "until": wanted.until,
            "most": _PAGE,
        }
        with self._database.reading() as conn:
            first, last = conn.execute(_SQL.ends).fetchone() or (0, -1)
        after = first - 1
        while after < last:
            # one statement for all of a long trail would come to the end of its time
            upto = min(after + _STRETCH, last) if wanted.studies is None else last
            with self._database.reading() as conn:
                place = {"after": after, "upto": upto}
                page = conn.execute(_SQL.search_audit, {**asked, **place}).fetchall()
            for row in page:
                yield Row(*row)
            after = upto if len(page) < _PAGE else page[-1][0]
