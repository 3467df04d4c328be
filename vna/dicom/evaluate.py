"""Whether an entity matches a query, by the letter of PS3.4 C.2.2.2 and without a database.

The entity is a dict of DICOM JSON elements: its own attributes and those of the levels above. This
is the meaning that search must have; it is written to be read, not to be fast.

One rule is not kept: a zero-length attribute of the archive does not match every key (C.2.2.1.2).
Who asks for one Patient ID or one Accession Number is not served by all studies that lack theirs.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Any

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
    Query,
    Single,
    TimeRange,
    UidList,
    Wildcard,
)
from vna.dicom.moments import in_utc, read_date, read_moment, read_offset, read_time
from vna.dicom.text import fold_name, phonetic

Elements = Mapping[str, Any]  # values of DICOM JSON differ by VR

_ZONE = "00080201"


def matches(query: Query, attributes: Elements, *, zone: dt.tzinfo = dt.UTC) -> bool:
    """Tell whether every key of the query holds. `zone` is the site's, for moments without one."""
    zone = _zone_of(attributes) or zone
    return all(key_matches(key, attributes, zone=zone) for key in query.keys)


def key_matches(key: MatchingKey, attributes: Elements, *, zone: dt.tzinfo = dt.UTC) -> bool:
    """Tell whether one key holds; of several values one is enough (PS3.4 C.2.2.3)."""
    values = values_of(attributes.get(key.tag))
    asked = key.condition
    if isinstance(asked, Empty):
        return not values
    if isinstance(asked, AllOf):
        vr = (attributes.get(key.tag) or {}).get("vr")
        held = {fold_name(v) if vr == "PN" else str(v).strip() for v in values}
        return all(value in held for value in asked.values)
    if isinstance(asked, MomentRange) and key.time_tag:
        return _joined(asked, values, values_of(attributes.get(key.time_tag)), zone)
    return any(_value_matches(asked, value, zone) for value in values)


def values_of(element: Any) -> list[Any]:  # a DICOM JSON element or None
    """List the values that are there: neither null nor empty."""
    return [v for v in (element or {}).get("Value", ()) if v not in (None, "", {})]


def name_matches(asked: Name, value: Any) -> bool:  # a PN of DICOM JSON
    """Tell whether a name matches: any one component group, or group by group when `=` is asked."""
    groups = fold_name(value).split("=")
    wanted = asked.pattern.split("=")
    if len(wanted) > 1:
        pairs = zip(wanted, groups + [""] * len(wanted), strict=False)
        return all(not want or wild(want, group) for want, group in pairs)
    if any(group and wild(asked.pattern, group) for group in groups):
        return True
    return asked.fuzzy and any(_sounds_like(asked.pattern, group) for group in groups)


def wild(pattern: str, text: str) -> bool:
    """Match `*` with any run of characters and `?` with any one (PS3.4 C.2.2.2.4).

    What stands between two stars is taken where it comes first and nowhere else, which loses no
    match: a pattern from outside must not have every way of placing its stars tried.
    """
    first, *others = (
        "".join("." if char == "?" else re.escape(char) for char in part)
        for part in pattern.split("*")
    )
    between = "".join(f"(?>.*?{part})" for part in others[:-1])
    last = f".*{others[-1]}" if others else ""
    return re.fullmatch(first + between + last, text, re.DOTALL) is not None


def _value_matches(asked: Condition, value: Any, zone: dt.tzinfo) -> bool:  # one DICOM JSON value
    match asked:
        case Single(wanted):
            return str(value).strip(" \0") == wanted.strip(" \0")
        case UidList(wanted_uids):
            return str(value) in wanted_uids
        case Wildcard(pattern):
            return wild(pattern, str(value).strip(" \0"))
        case Name():
            return name_matches(asked, value)
        case Number(number):
            return _number(value) == number
        case AnyOf(conditions):
            return any(_value_matches(one, value, zone) for one in conditions)
        case Item(keys):
            is_item = isinstance(value, Mapping)  # senders write sequences in other VRs, too
            return is_item and all(key_matches(key, value, zone=zone) for key in keys)
        case DateRange(first, last):
            date = read_date(str(value))
            return date is not None and _between(first, date, last)
        case TimeRange(begin, end):
            time = read_time(str(value))
            return time is not None and _between(begin, time[0], end)
        case MomentRange():
            return _moment_matches(asked, str(value), zone)
    return False


def _between(first: Any, value: Any, last: Any) -> bool:  # all dates, all times or all moments
    return (first is None or first <= value) and (last is None or value <= last)


def _joined(
    asked: MomentRange, dates: Iterable[Any], times: Iterable[Any], zone: dt.tzinfo
) -> bool:
    """Match a date and a time attribute as one moment; without a date there is none."""
    for date_text, time_text in zip(dates, times, strict=False):
        date, time = read_date(str(date_text)), read_time(str(time_text))
        if not date or not time:
            continue
        moment = dt.datetime.combine(date, time[0])
        if all(
            _between(first, moment if end.tzinfo is None else in_utc(moment, zone), last)
            for end, first, last in (
                (asked.first, asked.first, None),
                (asked.last, None, asked.last),
            )
            if end is not None
        ):
            return True
    return False


def _moment_matches(asked: MomentRange, text: str, zone: dt.tzinfo) -> bool:
    span = read_moment(text)
    if span is None:
        return False
    first, last = (b and in_utc(b, zone) for b in (asked.first, asked.last))
    return _between(first, in_utc(span[0], zone), last)


def _number(value: Any) -> float | None:  # a DICOM JSON number, or its text
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _sounds_like(pattern: str, group: str) -> bool:
    wanted, held = set(phonetic(re.sub(r"[*?]", "", pattern))), set(phonetic(group))
    return bool(wanted) and wanted <= held


def _zone_of(attributes: Elements) -> dt.tzinfo | None:
    values = values_of(attributes.get(_ZONE))
    return read_offset(str(values[0])) if values else None
