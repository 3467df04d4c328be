"""Attributes of DICOM JSON as people read them: names, dates, times."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vna.web.portal.numbers import is_number

# embeddings, overrides and isolates (UAX #9 2.1 to 2.4); letters know their own direction
_TURNING = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))


@dataclass(frozen=True, slots=True)
class Reading:
    """The attributes of one answer, read as text; what is missing is empty."""

    elements: Mapping[str, Any]  # DICOM JSON

    def text(self, tag: str) -> str:
        """Give all values of an attribute, joined by commas."""
        values = self.elements.get(tag, {}).get("Value") or [""]
        return ", ".join(shown(value) for value in values)

    def date(self, tag: str) -> str:
        """Give a date as year-month-day."""
        return as_date(self.text(tag))

    def time(self, tag: str) -> str:
        """Give a time as hour:minute."""
        return as_time(self.text(tag))

    def number(self, tag: str) -> int:
        """Give a count; 0 where there is none."""
        text = self.text(tag)
        return int(text) if is_number(text) else 0


def shown(value: Any) -> str:  # a value of DICOM JSON
    """Write one value; a Person Name by the first group that is there (PS3.5 6.2.1)."""
    return straight(_text(value))


def straight(text: str) -> str:
    """Take from a text what turns round what stands beside it.

    A name that somebody wrote must not show a birth date, or an id, as another one.
    """
    return text.translate(_TURNING)


def _text(value: Any) -> str:  # a value of DICOM JSON
    if isinstance(value, dict):
        name = next((value[g] for g in ("Alphabetic", "Ideographic", "Phonetic") if g in value), "")
        family, _, rest = str(name).partition("^")
        others = " ".join(rest.replace("^", " ").split())
        return ", ".join(part for part in (family.strip(), others) if part)
    return str(value)


def person(name: str) -> str:
    """Write a Person Name of all its groups by the first that says something (PS3.5 6.2.1)."""
    groups = (shown({"Alphabetic": group}) for group in name.split("="))
    return next(filter(None, groups), "")


def as_date(text: str) -> str:
    """Write a DICOM date as year-month-day; what is none stays as it is."""
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if len(text) == 8 and text.isdigit() else text


def as_time(text: str) -> str:
    """Write a DICOM time as hour:minute."""
    return f"{text[:2]}:{text[2:4]}" if len(text) >= 4 and text[:4].isdigit() else ""


def day_of(date: str) -> dt.date | None:
    """Read a date as `as_date` gives it; None when it is not known, or was never one."""
    try:
        return dt.date.fromisoformat(date)
    except ValueError:
        return None
