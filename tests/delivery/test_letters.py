"""What a message says in words: in the language of who reads it, and never as programs write it."""

from __future__ import annotations

import re

import pytest

from vna.config import Site
from vna.delivery.forms import FORMS
from vna.delivery.letters import compose
from vna.texts import languages

SITE = Site(name="Example Hospital", help="Imaging desk, +44 20 7946 0000")
SAMPLES = {
    "link": "https://example.org/s#" + "A" * 43,
    "code": "12345678",
    "host": "example.org",
    "minutes": "10",
    "number": "7B3H-94DM",
    "until": "2026-12-20",
    "day": "2026-11-23",
    "when": "2026-11-23T09:30:00+00:00",
    "way": "…23",
    **dict.fromkeys(("shared", "waiting", "blocked", "left", "failed", "count"), "3"),
}


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("template", sorted(FORMS))
def test_a_day_is_written_in_words_whatever_the_message(template: str, language: str) -> None:
    values = {name: SAMPLES[name] for name in FORMS[template].takes}
    letter = compose(template, values, language=language, site=SITE)
    for said in (letter.subject, letter.text, letter.html, letter.short):
        assert re.search(r"\d{4}-\d{2}-\d{2}", said) is None


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "On November 23, 2026, Example Hospital"), ("de", "Am 23. November 2026 hat")],
)
def test_a_patient_is_told_on_which_day_their_images_were_shared(language: str, said: str) -> None:
    letter = compose("shared-with-person", {"day": "2026-11-23"}, language=language, site=SITE)
    assert said in letter.text
    assert said in letter.html
