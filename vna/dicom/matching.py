"""Query and matching keys: what C-FIND and QIDO-RS ask, as one value (PS3.4 C.2.2.2).

The meaning of a key is settled here, without a database: `vna/index/search.py` turns a Query into
SQL, the tests turn it into a plain filter and compare.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from vna.dicom.refs import Level

Path = tuple[str, ...]
"""Attribute path: 8 upper-case hex digits a step, ("00400275", "00400009") inside a sequence."""


@dataclass(frozen=True, slots=True)
class Single:
    """Single value matching: exact, in the normal form of the VR."""

    value: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Wild card matching: `*` any run, `?` any one character."""

    pattern: str


@dataclass(frozen=True, slots=True)
class UidList:
    """List of UID matching."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Name:
    """Person name matching: `pattern` is folded (`vna.dicom.text.fold`) and may hold wild cards.

    It matches when any one of the three component groups matches. `fuzzy` asks for phonetic,
    order-insensitive matching of the components.
    """

    pattern: str
    fuzzy: bool = False


@dataclass(frozen=True, slots=True)
class DateRange:
    """Range matching of a DA, inclusive; None is open. A single date has both ends equal."""

    first: dt.date | None
    last: dt.date | None


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Range matching of a TM, inclusive to the precision given; None is open."""

    first: dt.time | None
    last: dt.time | None


@dataclass(frozen=True, slots=True)
class MomentRange:
    """Range matching of a DT, or of a date and a time attribute taken as one moment.

    Without a zone the moments are in the data set's own zone. With one, the data set's moments are
    taken to it first: its Timezone Offset From UTC holds, or else the zone of the site.
    """

    first: dt.datetime | None
    last: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Number:
    """IS, DS and binary numbers: equal by value."""

    value: float


@dataclass(frozen=True, slots=True)
class Empty:
    """Empty Value Matching (PS3.4 C.2.2.2.7): absent or zero length."""


@dataclass(frozen=True, slots=True)
class AllOf:
    """Multiple Value Matching (PS3.4 C.2.2.2.8): every value is present in the attribute."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Several values where Multiple Value Matching was not agreed upon: one of them is enough.

    PS3.4 C.2.2.2.8 leaves it undefined; those who send such keys mean this.
    """

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """Sequence matching: one item of the attribute satisfies all keys. `keys` is never empty."""

    keys: tuple[MatchingKey, ...]


Condition = (
    Single
    | Wildcard
    | UidList
    | Name
    | DateRange
    | TimeRange
    | MomentRange
    | Number
    | Empty
    | AllOf
    | AnyOf
    | Item
)


@dataclass(frozen=True, slots=True)
class MatchingKey:
    """One attribute and its condition. Universal matching is no key at all, only a return key.

    For a combined date and time (`MomentRange` over DA + TM) `tag` is the date attribute's and
    `time_tag` the time attribute's. Inside an `Item` the tag is the attribute of the item. A
    private attribute has its name for a tag (`vna.dicom.privates`). `added` is the level of an
    attribute that an administrator made searchable; None for those the archive always keeps.
    """

    tag: str
    condition: Condition
    time_tag: str | None = None
    added: Level | None = None


@dataclass(frozen=True, slots=True)
class Detail:
    """An attribute wanted in answers that the index does not keep ready.

    `path` says where it goes in an answer, `names` what it is called: the same but for private
    steps. It is read from the instance that stands for the entity of its `level`, and as of `vr`
    where that is known and the instance does not say.
    """

    path: Path
    names: Path
    level: Level
    vr: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked, in no protocol.

    `level` is the level of the entities wanted. Keys of higher levels narrow them (hierarchical
    unique keys and relational keys alike). `returns` are the attribute paths asked for, of zero
    length in an answer that has no value; those of `if_known` are left out then. `everything` asks
    for all the archive keeps ready for the level. `details` are those of the returns that it does
    not. `limit` None is all there is. `site_zone` holds for data sets that do not say theirs.
    """

    level: Level
    keys: tuple[MatchingKey, ...] = ()
    returns: frozenset[Path] = frozenset()
    if_known: frozenset[Path] = frozenset()
    everything: bool = False
    details: tuple[Detail, ...] = ()
    limit: int | None = None
    offset: int = 0
    site_zone: str = "UTC"
