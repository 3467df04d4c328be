"""vna/dicom/moments.py: DA, TM and DT by meaning (PS3.5 6.2)."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vna.dicom.moments import read_date, read_moment, read_offset, read_time


@given(st.dates(dt.date(1000, 1, 1)))
@settings(max_examples=60, deadline=None)
def test_a_date_reads_back(value: dt.date) -> None:
    assert read_date(f"{value.year:04}{value.month:02}{value.day:02}") == value
    assert read_date(f"{value.year:04}.{value.month:02}.{value.day:02} ") == value


@pytest.mark.parametrize(
    "text", ["", "2024", "202401", "20240230", "2024-01-01", "2024.0101", "٢٠٢٤٠١٠١"]
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert read_date(text) is None


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("10", dt.time(10), dt.time(10, 59, 59, 999_999)),
        ("1030", dt.time(10, 30), dt.time(10, 30, 59, 999_999)),
        ("10:30", dt.time(10, 30), dt.time(10, 30, 59, 999_999)),
        ("103015", dt.time(10, 30, 15), dt.time(10, 30, 15, 999_999)),
        ("103015.25", dt.time(10, 30, 15, 250_000), dt.time(10, 30, 15, 259_999)),
        ("103015.250000", dt.time(10, 30, 15, 250_000), dt.time(10, 30, 15, 250_000)),
        ("235960", dt.time(23, 59, 59, 999_999), dt.time(23, 59, 59, 999_999)),
    ],
)
def test_a_time_covers_what_it_does_not_say(text: str, first: dt.time, last: dt.time) -> None:
    assert read_time(text) == (first, last)


@pytest.mark.parametrize(
    "text", ["", "1", "24", "1060", "103061", "1030.5", "10:3015", "103015.1234567"]
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert read_time(text) is None


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2024", (2024, 1, 1), (2024, 12, 31, 23, 59, 59, 999_999)),
        ("202402", (2024, 2, 1), (2024, 2, 29, 23, 59, 59, 999_999)),
        ("20240229", (2024, 2, 29), (2024, 2, 29, 23, 59, 59, 999_999)),
        ("2024022910", (2024, 2, 29, 10), (2024, 2, 29, 10, 59, 59, 999_999)),
    ],
)
def test_a_moment_covers_what_it_does_not_say(
    text: str, first: tuple[int, ...], last: tuple[int, ...]
) -> None:
    assert read_moment(text) == (dt.datetime(*first), dt.datetime(*last))  # type: ignore[arg-type,misc]  # noqa: DTZ001 -- naive on purpose


def test_a_moment_with_an_offset_is_in_utc() -> None:
    span = read_moment("20240101000000-0530")
    assert span is not None
    assert span[0] == dt.datetime(2024, 1, 1, 5, 30, tzinfo=dt.UTC)
    assert read_moment("00010101000000+1400") is None  # before the first year there is


@pytest.mark.parametrize(("text", "hours"), [("+1400", 14), ("-1200", -12), ("+0530", 5.5)])
def test_offsets_reach_from_minus_12_to_plus_14(text: str, hours: float) -> None:
    zone = read_offset(text)
    assert zone is not None
    assert zone.utcoffset(None) == dt.timedelta(hours=hours)


@pytest.mark.parametrize("text", ["+1401", "-1201", "0100", "+0060", "+1"])
def test_other_offsets_are_none(text: str) -> None:
    assert read_offset(text) is None
