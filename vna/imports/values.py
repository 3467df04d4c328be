"""What is said about imports: pure values, which the desk shows."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass, field
from uuid import UUID


class State(enum.Enum):
    """Where an import is."""

    RECEIVING = "receiving"
    NEEDS_IDENTITY = "needs_identity"
    CONFIRMED = "confirmed"
    FILED = "filed"
    REJECTED = "rejected"
    PURGED = "purged"


class Origin(enum.Enum):
    """How an import came."""

    DESK = "desk"
    REQUEST = "request"
    GUEST = "guest"


class Result(enum.Enum):
    """What became of a file."""

    KEPT = "kept"
    FILED = "filed"
    REMOVED = "removed"
    TWICE = "twice"
    OPENED = "opened"
    OTHER = "other"
    DOCUMENT = "document"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One import, and what was found in it."""

    number: int
    batch: UUID
    origin: Origin
    state: State
    made_by: str
    note: str
    made_at: dt.datetime
    changed_at: dt.datetime
    ends_at: dt.datetime
    expected: int | None
    decided_by: str | None
    reason: str
    filed: int
    removed: int
    files: int
    bytes: int
    images: int
    reports: int
    objects: int
    bad: int
    others: int
    documents: int
    twice: int
    persons: int
    marked: int

    @property
    def is_stopped(self) -> bool:
        """Whether it holds more than one person, so that nobody may go on without looking."""
        return self.persons > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A series of an import."""

    uid: str
    modality: str
    description: str
    images: int
    reports: int
    objects: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study of an import; `is_known` when the archive holds something of it."""

    uid: str
    date: str
    description: str
    is_known: bool
    series: list[Series] = field(default_factory=list)

    @property
    def images(self) -> int:
        """Count its SOP Instances with pixels."""
        return sum(one.images for one in self.series)

    @property
    def modalities(self) -> str:
        """List its modalities."""
        return ", ".join(sorted({one.modality for one in self.series if one.modality}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person as written in an import: one a spelling, birth date and Patient ID."""

    key: str
    name: str
    patient_id: str
    birth_date: str
    sex: str
    studies: list[Study] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A file that was not taken, and why."""

    name: str
    size: int
    result: Result
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """An import with what was found; `unlisted` counts series that are too many to be listed."""

    about: Import
    persons: list[Person]
    troubles: list[Trouble]
    unlisted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What a person at the desk compared and chose.

    `family_name` and `birth_date` (year-month-day) are as the patient, or their request, says them:
    typed, not ticked. `reason` is needed where the two cannot be compared, or several are one.
    """

    persons: frozenset[str]
    studies: frozenset[str]
    family_name: str = field(repr=False)
    birth_date: str = field(repr=False)
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a file that was sent; of a container `files` counts what was in it."""

    result: Result
    reason: str = ""
    files: int = 0
