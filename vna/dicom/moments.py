"""Dates, times and moments: DA, TM and DT read by meaning (PS3.5 6.2), with their precision.

Every value is read as the span it covers: `2230` is the whole minute, `2024` in a DT the whole
year. What cannot be read is None: it refuses nothing and matches no range.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re

Span = tuple[dt.datetime, dt.datetime]

_DATE = re.compile(r"(\d{4})(\.?)(\d{2})\2(\d{2})", re.ASCII)
_TIME = re.compile(r"(\d{2})(?:(:?)(\d{2})(?:\2(\d{2})(?:\.(\d{1,6}))?)?)?", re.ASCII)
_MOMENT = re.compile(
    r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,6}))?)?)?)?)?)?"
    r"([+-]\d{4})?",
    re.ASCII,
)
_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})", re.ASCII)


def read_date(text: str) -> dt.date | None:
    """Read a DA; the form `YYYY.MM.DD` of ACR-NEMA is read, too (PS3.5 6.2 DA)."""
    found = _DATE.fullmatch(text.strip(" \0"))
    if not found:
        return None
    try:
        return dt.date(int(found[1]), int(found[3]), int(found[4]))
    except ValueError:
        return None


def read_time(text: str) -> tuple[dt.time, dt.time] | None:
    """Read a TM as its first and last microsecond; `HH:MM:SS` is read, too (PS3.5 6.2 TM)."""
    found = _TIME.fullmatch(text.strip(" \0"))
    if not found:
        return None
    try:
        return _clock(found[1], found[3], found[4], found[5])
    except ValueError:
        return None


def read_moment(text: str) -> Span | None:
    """Read a DT as its first and last microsecond: in UTC when it carries an offset, else naive."""
    found = _MOMENT.fullmatch(text.strip(" \0"))
    if not found:
        return None
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    try:
        first, last = _clock(hour, minute, second, fraction)
        span = (
            dt.datetime.combine(dt.date(int(year), int(month or 1), int(day or 1)), first),
            dt.datetime.combine(_last_day(int(year), month, day), last),
        )
        if offset is None:
            return span
        zone = read_offset(offset)
        return None if zone is None else (in_utc(span[0], zone), in_utc(span[1], zone))
    except (ValueError, OverflowError):
        return None


def read_offset(text: str) -> dt.timezone | None:
    """Read an offset from UTC, `+ZZXX` or `-ZZXX`, within -1200 and +1400 (PS3.5 6.2 DT)."""
    found = _OFFSET.fullmatch(text.strip(" \0"))
    if not found or int(found[3]) > 59:
        return None
    minutes = int(found[2]) * 60 + int(found[3])
    if minutes > (840 if found[1] == "+" else 720):
        return None
    return dt.timezone(dt.timedelta(minutes=minutes if found[1] == "+" else -minutes))


def in_utc(moment: dt.datetime, zone: dt.tzinfo) -> dt.datetime:
    """Take a moment to UTC; `zone` holds for one that carries none. Raises OverflowError."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
    return aware.astimezone(dt.UTC)


def _clock(
    hour: str | None, minute: str | None, second: str | None, fraction: str | None
) -> tuple[dt.time, dt.time]:
    if hour is None:
        return dt.time.min, dt.time.max
    h = int(hour)
    if minute is None:
        return dt.time(h), dt.time(h, 59, 59, 999_999)
    m = int(minute)
    if second is None:
        return dt.time(h, m), dt.time(h, m, 59, 999_999)
    s = int(second)
    if s == 60:  # a leap second has no place in Python's clock: it counts with the one before
        s, fraction = 59, "999999"
    if fraction is None:
        return dt.time(h, m, s), dt.time(h, m, s, 999_999)
    first = int(fraction.ljust(6, "0"))
    return dt.time(h, m, s, first), dt.time(h, m, s, int(fraction.ljust(6, "9")))


def _last_day(year: int, month: str | None, day: str | None) -> dt.date:
    if month is None:
        return dt.date(year, 12, 31)
    if day is None:
        return dt.date(year, int(month), calendar.monthrange(year, int(month))[1])
    return dt.date(year, int(month), int(day))
