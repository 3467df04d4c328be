"""The language is the one a browser asks for; counts and dates are written as it writes them."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vna.texts import Texts, chosen, languages


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("de", "de"),
        ("DE-at", "de"),
        ("fr, de;q=0.5, en;q=0.4", "de"),
        ("en;q=0.4, de;q=0.5", "de"),
        ("de;q=0, en", "en"),
        ("de;q=nothing, en", "en"),
        ("tlh", "en"),
        ("", "en"),
        (None, "en"),
    ],
)
def test_the_best_of_what_is_asked_for_is_taken(asked: str | None, found: str) -> None:
    assert chosen(asked) == found


def test_the_default_is_taken_when_nothing_fits_and_english_when_there_is_no_such_default() -> None:
    assert chosen("fr", default="de") == "de"
    assert chosen("fr", default="xx") == "en"


@given(st.text())
def test_whatever_is_asked_for_a_language_of_ours_is_found(asked: str) -> None:
    assert chosen(asked) in languages()


def test_a_text_is_translated_and_english_stands_for_itself() -> None:
    assert Texts("de").gettext("Your code") == "Ihr Code"
    assert Texts().gettext("Your code") == "Your code"
    assert Texts("xx").language == "en"


def test_dates_moments_and_lengths_are_written_in_words_with_their_zone() -> None:
    when = dt.datetime(2026, 12, 20, 14, 5, tzinfo=dt.UTC)
    german = Texts("de")
    assert german.date(when.date()) == "20. Dezember 2026"
    assert german.moment(when, "Europe/Berlin") == "20. Dezember 2026, 15:05:00 MEZ"
    assert Texts().moment(when).endswith("UTC")
    assert german.duration(600) == "10 Minuten"
    assert (german.direction, german.name) == ("ltr", "Deutsch")


@pytest.mark.parametrize(
    ("size", "english", "german"),
    [
        (0, "0 B", "0 B"),
        (1023, "1023 B", "1023 B"),
        (1536, "1.5 kB", "1,5 kB"),
        (1 << 20, "1.0 MB", "1,0 MB"),
        (25 << 20, "25 MB", "25 MB"),
        (9 << 30, "9.0 GB", "9,0 GB"),
    ],
)
def test_a_size_is_written_as_its_readers_write_numbers(
    size: int, english: str, german: str
) -> None:
    assert (Texts().size(size), Texts("de").size(size)) == (english, german)
