"""The grammar of a matching key: VR and text in, a condition out (PS3.4 C.2.2.2).

One grammar for C-FIND and QIDO-RS: both hand in a tree of attributes with their texts. A text that
the VR does not allow raises `InvalidQuery`; the sentence names the attribute, never the value.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

from vna.dicom.attributes import keyword_of, shown_tag
from vna.dicom.matching import (
    AllOf,
    AnyOf,
    Condition,
    DateRange,
    Empty,
    Item,
    MatchingKey,
    MomentRange,
    Name,
    Number,
    Path,
    Single,
    TimeRange,
    UidList,
    Wildcard,
)
from vna.dicom.moments import read_date, read_moment, read_offset, read_time
from vna.dicom.refs import uid
from vna.dicom.text import fold_name
from vna.errors import InvalidQuery, InvalidUID

Tree = Mapping[str, "tuple[str, str | Tree]"]
"""Attribute -> (VR, text or, for a sequence, the tree of its one item)."""

TEXT_MOST = 4096
"""Characters of one key, UID lists apart: a longer pattern has no honest use and costs much."""

MOMENT_PAIRS = {
    "00080020": "00080030",  # Study
    "00080021": "00080031",  # Series
    "00080022": "00080032",  # Acquisition
    "00080023": "00080033",  # Content
    "00080012": "00080013",  # Instance Creation
    "00400002": "00400003",  # Scheduled Procedure Step Start
    "00400004": "00400005",  # Scheduled Procedure Step End
    "00400244": "00400245",  # Performed Procedure Step Start
    "00400250": "00400251",  # Performed Procedure Step End
}
"""Date attribute -> time attribute of the same moment (PS3.4 C.2.2.2.5.4)."""

_WILDCARD = frozenset(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"))
_SEVERAL = frozenset(("AE", "AS", "AT", "CS", "LO", "PN", "SH", "UC"))  # PS3.4 C.2.2.2.8
_ONE_TEXT = frozenset(("LT", "ST", "UR", "UT"))  # a backslash is text here, and so is leading space
# Modality, Modalities in Study: OHIF puts commas between several, and no CS holds one (PS3.5 6.2)
_LISTED = frozenset(("00080060", "00080061"))
_NUMBERS = frozenset(("IS", "DS", "US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"))
_NUMBER = re.compile(r"[+-]?(\d{1,32}(\.\d{0,32})?|\.\d{1,32})([eE][+-]?\d{1,3})?", re.ASCII)
_AGE = re.compile(r"\d{3}[DWMY]", re.ASCII)
_STARS = re.compile(r"\*+")
_OPEN_END = re.compile(r"\*(\^\*)+$")
_ATTRIBUTE = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)

T = TypeVar("T", dt.date, dt.time, dt.datetime)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What both sides agreed on beyond the base grammar.

    C-FIND negotiates these; QIDO-RS asks for each in a parameter and always combines date and time.
    `timezone` lets a question say the zone of its moments, and `zone` is what it said: without one
    moments are compared as they are written, whatever zone they are in.
    """

    relational: bool = False
    combined: bool = False
    fuzzy: bool = False
    empty_value: bool = False
    multiple_value: bool = False
    timezone: bool = False
    zone: dt.tzinfo | None = None


def read_zone(text: str) -> dt.tzinfo | None:
    """Read the Timezone Offset From UTC of a question; None when it says none."""
    if not text.strip(" \0"):
        return None
    zone = read_offset(text)
    if zone is None:
        raise InvalidQuery("TimezoneOffsetFromUTC must be an offset: +ZZXX or -ZZXX.")
    return zone


def condition(
    vr: str,
    text: str,
    *,
    fuzzy: bool = False,
    empty_value: bool = False,
    multiple_value: bool = False,
    zone: dt.tzinfo | None = None,
    name: str = "The key",
) -> Condition | None:
    """Read what a key asks of an attribute of this VR. None is universal matching."""
    text = text.rstrip(" \0") if vr in _ONE_TEXT else text.strip(" \0")
    if not text.strip("*"):
        return None
    if empty_value and text == '""':
        return Empty()
    if vr == "UI":
        return _uids(text, name)
    if len(text) > TEXT_MOST:
        raise InvalidQuery(f"{name} is longer than {TEXT_MOST} characters.")
    if "\\" in text and vr not in _ONE_TEXT:
        if multiple_value and vr in _SEVERAL:
            return _all_of(vr, text, name)
        parts = [
            condition(vr, part, fuzzy=fuzzy, zone=zone, name=name) for part in text.split("\\")
        ]
        return AnyOf(tuple(part for part in parts if part)) if all(parts) else None
    if vr == "PN":
        return _name(text, fuzzy=fuzzy)
    if vr in _WILDCARD:
        return Wildcard(_STARS.sub("*", text)) if "*" in text or "?" in text else Single(text)
    found = _value(vr, text, name)
    if zone is not None and isinstance(found, MomentRange):
        return MomentRange(_in_zone(found.first, zone), _in_zone(found.last, zone))
    return found


def _in_zone(moment: dt.datetime | None, zone: dt.tzinfo) -> dt.datetime | None:
    return moment.replace(tzinfo=zone) if moment and moment.tzinfo is None else moment


def keys_of(tree: Tree, options: Options) -> tuple[MatchingKey, ...]:
    """Read every key of a tree; dates and times that form one range are joined when agreed."""
    keys: list[MatchingKey] = []
    joined: set[str] = set()
    if options.combined:
        for date_tag, time_tag in MOMENT_PAIRS.items():
            if moment := _combined(tree, date_tag, time_tag, options.zone):
                keys.append(MatchingKey(date_tag, moment, time_tag))
                joined |= {date_tag, time_tag}
    for tag, (vr, asked) in tree.items():
        if tag in joined:
            continue
        if (found := _condition_of(tag, vr, asked, options)) is not None:
            keys.append(MatchingKey(tag, found))
    return tuple(keys)


def paths_of(tree: Tree, above: Path = ()) -> frozenset[Path]:
    """List the attribute paths a tree names: each key is a return key, too (PS3.4 C.2.2.2.3)."""
    paths: set[Path] = set()
    for tag, (_, asked) in tree.items():
        if isinstance(asked, str) or not asked:
            paths.add((*above, tag))
        else:
            paths |= paths_of(asked, (*above, tag))
    return frozenset(paths)


def range_form(text: str) -> tuple[bool, bool] | None:
    """Tell which ends a DA or TM range has; None when the text is no range."""
    first, hyphen, last = text.partition("-")
    return (bool(first.strip()), bool(last.strip())) if hyphen else None


def name_of(tag: str) -> str:
    """Give an attribute its keyword for a sentence, or its number when it has none."""
    return keyword_of(tag) or shown_tag(tag)


def _condition_of(tag: str, vr: str, asked: str | Tree, options: Options) -> Condition | None:
    if isinstance(asked, str):
        return condition(
            vr,
            asked.replace(",", "\\") if tag in _LISTED else asked,
            fuzzy=options.fuzzy,
            empty_value=options.empty_value,
            multiple_value=options.multiple_value,
            zone=options.zone,
            name=name_of(tag),
        )
    inner = keys_of(asked, options)
    return Item(inner) if inner else None


def _combined(
    tree: Tree, date_tag: str, time_tag: str, zone: dt.tzinfo | None
) -> MomentRange | None:
    date_text, time_text = (tree.get(t, ("", ""))[1] for t in (date_tag, time_tag))
    if not isinstance(date_text, str) or not isinstance(time_text, str):
        return None
    if "\\" in date_text + time_text:
        return None
    form = range_form(date_text)
    if form is None or form != range_form(time_text):
        return None
    dates = condition("DA", date_text, name=name_of(date_tag))
    times = _ends(time_text, _time_span, name_of(time_tag), "times HHMMSS")
    if not isinstance(dates, DateRange):
        return None
    first, last = _moment(dates.first, times[0], zone), _moment(dates.last, times[1], zone)
    return MomentRange(first, _in_order(first, last, name_of(date_tag)))


def _moment(
    date: dt.date | None, time: dt.time | None, zone: dt.tzinfo | None
) -> dt.datetime | None:
    return None if date is None or time is None else dt.datetime.combine(date, time, zone)


def _uids(text: str, name: str) -> Condition:
    try:
        values = tuple(uid(part) for part in re.split(r"[\\,]", text))
    except InvalidUID:
        raise InvalidQuery(
            f"{name} must be a UID, 1 to 64 characters of digits and dots, or a list of them."
        ) from None
    return Single(values[0]) if len(values) == 1 else UidList(tuple(dict.fromkeys(values)))


def _all_of(vr: str, text: str, name: str) -> AllOf:
    if "*" in text or "?" in text:
        raise InvalidQuery(f"{name} may not mix wild cards with several values.")
    values = [part.strip(" \0") for part in text.split("\\")]
    if not all(values):
        raise InvalidQuery(f"{name} holds an empty value among several.")
    return AllOf(tuple(_normal(vr, value, name) for value in values))


def _name(text: str, *, fuzzy: bool) -> Condition | None:
    """Fold a name; `SMITH*^*`, as forms with a field a component send it, is `SMITH*`.

    Trailing null components may be omitted (PS3.5 6.2 PN): `SMITH^*` asks for `SMITH`, too.
    """
    groups = [_OPEN_END.sub("*", _STARS.sub("*", group)) for group in fold_name(text).split("=")]
    if all(group in ("", "*") for group in groups):
        return None
    readings = [_readings(group) for group in groups[:3]] + [(group,) for group in groups[3:]]
    names = tuple(Name("=".join(one), fuzzy) for one in product(*readings))
    return names[0] if len(names) == 1 else AnyOf(names)


def _readings(group: str) -> tuple[str, ...]:
    bare = group.rstrip("^*")
    return (group, bare) if bare and group[len(bare) :].startswith("^") else (group,)


def _value(vr: str, text: str, name: str) -> Condition:
    if vr == "DA":
        first, last = _ends(text, _date_span, name, "dates YYYYMMDD")
        return DateRange(first, _in_order(first, last, name))
    if vr == "TM":
        begin, end = _ends(text, _time_span, name, "times HHMMSS")
        return TimeRange(begin, _in_order(begin, end, name))
    if vr == "DT":
        return _moments(text, name)
    if vr in _NUMBERS:
        return _number(text, name)
    return Single(_normal(vr, text, name))


def _normal(vr: str, text: str, name: str) -> str:
    if vr == "PN":
        return fold_name(text)
    if vr == "AS" and not _AGE.fullmatch(text):
        raise InvalidQuery(f"{name} must be an age: three digits and D, W, M or Y.")
    if vr == "AT":
        if not _ATTRIBUTE.fullmatch(text):
            raise InvalidQuery(f"{name} must be an attribute: eight hexadecimal digits.")
        return text.upper()
    if vr not in _WILDCARD and vr not in ("AS", "AT"):
        raise InvalidQuery(f"{name} cannot be matched: its VR is {vr}.")
    return text


def _number(text: str, name: str) -> Number:
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    if not math.isfinite(value):
        raise InvalidQuery(f"{name} must be a number.")
    return Number(value)


def _date_span(text: str) -> tuple[dt.date, dt.date] | None:
    date = read_date(text)
    return None if date is None else (date, date)


def _time_span(text: str) -> tuple[dt.time, dt.time] | None:
    return read_time(text)


def _ends(
    text: str, read: Callable[[str], tuple[T, T] | None], name: str, what: str
) -> tuple[T | None, T | None]:
    """Read `a`, `a-b`, `a-` or `-b`: the first moment of the one, the last of the other."""
    parts = text.split("-")
    spans = [read(part) if part.strip() else None for part in parts]
    unread = any(part.strip() and span is None for part, span in zip(parts, spans, strict=True))
    if len(parts) > 2 or unread or not any(spans):
        raise InvalidQuery(f"{name} must be one of or a range between two {what}.")
    return spans[0] and spans[0][0], spans[-1] and spans[-1][1]


def _in_order(first: T | None, last: T | None, name: str) -> T | None:
    if first is not None and last is not None and first > last:
        raise InvalidQuery(f"The range of {name} ends before it begins.")
    return last


def _moments(text: str, name: str) -> MomentRange:
    """Read a DT or a range of two.

    A hyphen is the range's, unless no such reading makes sense: then it is a negative offset.
    """
    readings = [(text[:at], text[at + 1 :]) for at, char in enumerate(text) if char == "-"]
    for before, after in readings:
        first, last = read_moment(before), read_moment(after)
        if (bool(before.strip()) and first is None) or (bool(after.strip()) and last is None):
            continue
        if (first or last) and not _backwards(first, last):
            return MomentRange(first and first[0], last and last[1])
    if span := read_moment(text):
        return MomentRange(*span)
    raise InvalidQuery(f"{name} must be one of or a range between two moments YYYYMMDDHHMMSS.")


def _backwards(
    first: tuple[dt.datetime, dt.datetime] | None, last: tuple[dt.datetime, dt.datetime] | None
) -> bool:
    if first is None or last is None:
        return False
    if (first[0].tzinfo is None) != (last[1].tzinfo is None):
        return False  # one has a zone and one has not: the data set's own zone will tell
    return first[0] > last[1]
