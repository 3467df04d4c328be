"""What is printed for a disc: two pages, in any script, however long a name is."""

from __future__ import annotations

import re
import zlib

import pytest

from vna.retrieve.papers import Printed, papers


def printed(**differs: str) -> Printed:
    values = {
        "patient": "Adams, Ada",
        "birth_date": "1960-01-02",
        "patient_id": "ID 12",
        "study": "CT of the chest",
        "study_date": "2026-01-03",
        "institution": "Example Hospital",
        "modalities": "CT",
        "made_on": "2026-11-22",
    }
    return Printed(number=7, objects=312, **{**values, **differs})


def text_of(pdf: bytes) -> str:
    """Read what is shown on the pages, as far as it is written in Latin letters."""
    streams = re.findall(rb"stream\n(.*?)\nendstream", pdf, re.S)
    plain = b"".join(zlib.decompress(one) for one in streams)
    shown = re.findall(rb"\(((?:[^()\\\\]|\\\\.)*)\) Tj", plain)
    return " ".join(one.decode("latin-1") for one in shown)


def test_a_label_says_whose_and_what_it_is() -> None:
    pdf = papers(printed())
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 2
    text = text_of(pdf)
    for word in ("Adams, Ada", "1960-01-02", "CT of the chest", "disc 7", "312 objects"):
        assert word in text
    assert "INDEX.HTM" in text


def test_whoever_speaks_german_is_handed_a_german_letter() -> None:
    pdf = papers(printed(language="de"))
    text = text_of(pdf)
    for word in ("Ihre medizinischen Bilder", "Datenträger 7", "geboren 1960-01-02", "312 Objekte"):
        assert word in text
    for word in ("disc", "born", "made", "object ", "hand over"):
        assert word not in text
    assert b"/Lang (de)" in pdf


@pytest.mark.parametrize(
    ("name", "shown"),
    [("Müller, Jürgen", "Müller, Jürgen"), ("Łuczak, Žofie", "Luczak, Zofie"), ("山田", "??")],
)
def test_a_name_is_printed_as_far_as_the_fonts_go(name: str, shown: str) -> None:
    assert shown in text_of(papers(printed(patient=name)))


def test_a_long_name_stays_on_the_label() -> None:
    assert papers(printed(patient="A" * 64 + ", " + "B" * 64, study="S" * 300))
