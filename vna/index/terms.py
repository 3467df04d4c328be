"""The form an attribute is matched in: stored values and asked values meet here, and only here.

Text loses its padding, a name is folded, a date or time is read by meaning, a number is a number.
What cannot be read matches nothing, but it is there: the attribute does not count as empty.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from vna.dicom.moments import in_utc, read_date, read_moment, read_offset, read_time
from vna.dicom.text import fold_name, phonetic

Elements = Mapping[str, Any]  # DICOM JSON elements: their values differ by VR

UTC_SUFFIX = "Z"
"""A DT stands twice: under its tag in the zone of its data set, under tag + `Z` in UTC."""

SOUND_SUFFIX = "~"
"""The phonetic codes of a PN stand under tag + `~`: one list for each group of each value."""

_TEXT_MOST = 256  # an index entry must stay below 2.7 KB; the standard's longest such value has 64
_CODE_MOST = 64
_INTEGERS_END = 1 << 63

ZONE = "00080201"
"""Timezone Offset From UTC of the data set."""


def values(element: Any) -> list[Any]:  # an element of DICOM JSON, or None
    """List the values that are there: neither null nor empty."""
    return [v for v in (element or {}).get("Value", ()) if v not in (None, "", {})]


def text(value: Any) -> str:  # a value of DICOM JSON
    """Strip padding and what PostgreSQL cannot hold."""
    return str(value).replace("\0", "").strip(" ")


def line(element: Any) -> str | None:  # an element of DICOM JSON, or None
    """Give a short text its column: values joined by a backslash, None when there is none."""
    found = values(element)
    return "\\".join(map(text, found))[:_TEXT_MOST] or None if found else None


def padded(folded: str) -> str:
    """Delimit a folded name, always three groups: `=alphabetic=ideographic=phonetic=`.

    "Any group is exactly this" and "any group begins so" are then one LIKE, which trigrams index.
    """
    groups = [*folded.replace("\0", "").split("="), "", ""][:3]
    return f"={'='.join(groups)}="


def name(element: Any) -> str | None:  # an element of DICOM JSON, or None
    """Give a name its column; of several values each keeps its three groups."""
    found = [padded(fold_name(value)) for value in values(element)]
    return found[0] + "".join(f[1:] for f in found[1:]) if found else None


def codes(element: Any) -> list[str] | None:  # an element of DICOM JSON, or None
    """List the phonetic codes of a name, each with the number of the group it is from."""
    found = [
        f"{number}:{code}"
        for value in values(element)[:1]
        for number, group in enumerate(_sounds(value))
        for code in group
    ]
    return sorted(set(found)) or None


def date(element: Any) -> dt.date | None:  # an element of DICOM JSON, or None
    """Read a DA; None when it is absent or not valid."""
    found = values(element)
    return read_date(str(found[0])) if found else None


def time(element: Any) -> dt.time | None:  # an element of DICOM JSON, or None
    """Read a TM as the first moment it covers; None when it is absent or not valid."""
    found = values(element)
    span = read_time(str(found[0])) if found else None
    return span[0] if span else None


def integer(element: Any) -> int | None:  # an element of DICOM JSON, or None
    """Read a whole number that a bigint column holds."""
    for value in values(element)[:1]:
        number = _number(value)
        if number is not None and number == int(number) and abs(number) < 1 << 62:
            return int(number)
    return None


def terms(
    elements: Elements, *, without: Iterable[str] = (), zone: dt.tzinfo = dt.UTC
) -> dict[str, list[Any]]:
    """Give every attribute without a column its matching form, items of sequences too.

    `zone` holds for moments without one, unless the elements name one of their own.
    """
    left_out = set(without)
    zone = zone_of(elements) or zone
    found: dict[str, list[Any]] = {}
    for tag, element in elements.items():
        if tag in left_out or not (present := values(element)):
            continue
        vr = element.get("vr", "UN")
        if vr == "DT":
            found[tag], found[tag + UTC_SUFFIX] = _moments(present, zone)
        elif vr == "PN":
            found[tag] = [padded(fold_name(value)) for value in present]
            found[tag + SOUND_SUFFIX] = [by for value in present for by in _sounds(value)]
        elif vr == "SQ":
            found[tag] = [terms(item, zone=zone) for item in present]
        else:
            read = _READERS.get(vr, text)
            found[tag] = [v for v in map(read, present) if v is not None]
    return found


def plain_number(number: float) -> float | int:
    """Write a finite number, equal ones alike: whole ones as integers where 64 bits hold them."""
    return int(number) if number == int(number) and abs(number) < _INTEGERS_END else number


def clock(moment: dt.time) -> str:
    """Write a time so that it compares as text."""
    return moment.isoformat(timespec="microseconds")


def instant(moment: dt.datetime) -> str:
    """Write a moment, without its zone, so that it compares as text."""
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds")


def _sounds(value: Any) -> list[list[str]]:
    groups = fold_name(value).replace("\0", "").split("=")
    return [[code[:_CODE_MOST] for code in phonetic(group)] for group in groups]


def _moments(present: list[Any], zone: dt.tzinfo) -> tuple[list[str], list[str]]:
    firsts = [in_utc(span[0], zone) for v in present if (span := read_moment(str(v)))]
    return [instant(m.astimezone(zone)) for m in firsts], [instant(m) for m in firsts]


def zone_of(elements: Elements) -> dt.tzinfo | None:
    """Read the zone a data set says it is in."""
    found = values(elements.get(ZONE))
    return read_offset(str(found[0])) if found else None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _whole(value: Any) -> float | int | None:
    number = _number(value)
    return None if number is None else plain_number(number)


def _date(value: Any) -> str | None:
    found = read_date(str(value))
    return found.isoformat() if found else None


def _time(value: Any) -> str | None:
    span = read_time(str(value))
    return clock(span[0]) if span else None


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "DA": _date,
    "TM": _time,
    **dict.fromkeys(("IS", "DS", "FL", "FD", "SL", "SS", "UL", "US", "SV", "UV"), _whole),
}
