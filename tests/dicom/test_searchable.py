"""Paths of attributes as an administrator writes them, and private attributes by their creators."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vna.dicom import privates
from vna.dicom.modules import is_at_or_above, level_of
from vna.dicom.refs import Level
from vna.dicom.searchable import STEPS_MOST, read, read_path, write_path
from vna.dicom.unknown import with_vrs
from vna.errors import InvalidQuery

CREATORS = (
    st.text(st.characters(exclude_characters='"\\', codec="ascii", min_codepoint=32), min_size=1)
    .map(lambda text: text.strip()[:64])
    .filter(lambda text: text.strip() == text and text)
)
SEQUENCES = st.sampled_from(["00400275", "00081140", "00081110"])
PRIVATES = st.builds(privates.name, st.sampled_from(["00111001", "002910FF"]), CREATORS)
LAST = st.one_of(st.sampled_from(["00100020", "00180060"]), PRIVATES)


@given(st.lists(st.one_of(SEQUENCES, PRIVATES), max_size=STEPS_MOST - 1), LAST)
def test_a_path_is_read_as_it_was_written(above: list[str], last: str) -> None:
    path = (*above, last)
    assert read_path(write_path(path)) == path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("AdmissionID", ("00380010",)),
        ("0008103f.codevalue".replace("codevalue", "CodeValue"), ("0008103F", "00080100")),
        ("00111001:ACME", ("00110001:ACME",)),
        ('00291010:"SIEMENS CSA HEADER"', ("00290010:SIEMENS CSA HEADER",)),
        ('00400275.00111001:"A.B 1"', ("00400275", "00110001:A.B 1")),
    ],
)
def test_steps_are_keywords_tags_and_private_tags(text: str, path: tuple[str, ...]) -> None:
    assert read_path(text) == path


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ".",
            "AdmissionID.",
            ".AdmissionID",
            "a b",
            "00380010:ACME:X",
            '00111001:"',
            "x" * 99,
        ),
        *("00111001", "00110010", "00113", "99980001", ".".join(["00081140"] * 9)),
    ],
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidQuery):
        read_path(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Nothing", "Nothing is no keyword of the standard."),
        ("00400555.Nothing", "Nothing in 00400555.Nothing is no keyword of the standard."),
    ],
)
def test_a_word_that_is_no_keyword_is_named_with_the_path_it_stands_in(
    text: str, told: str
) -> None:
    with pytest.raises(InvalidQuery) as caught:
        read_path(text)
    assert str(caught.value) == told


def test_the_vr_and_the_level_are_those_of_the_standard() -> None:
    one = read("AdmissionID")
    assert (one.vr, one.level, one.ready) == ("LO", Level.STUDY, False)
    assert read("KVP").level is Level.IMAGE
    assert read("ProtocolName").level is Level.SERIES
    assert read("OtherPatientNames").level is Level.PATIENT
    assert read("KVP", level=Level.SERIES).level is Level.SERIES


@pytest.mark.parametrize("text", ["PatientID", "ModalitiesInStudy", "00400275.00400009", "Rows"])
def test_what_is_always_kept_is_not_added(text: str) -> None:
    with pytest.raises(InvalidQuery, match="searched already"):
        read(text)


def test_levels_stand_above_one_another() -> None:
    assert is_at_or_above(Level.PATIENT, Level.IMAGE)
    assert is_at_or_above(Level.SERIES, Level.SERIES)
    assert not is_at_or_above(Level.IMAGE, Level.SERIES)
    assert [level_of(t) for t in ("00100020", "0020000D", "0020000E", "00080018")] == list(Level)


def test_a_private_attribute_is_found_in_the_block_of_its_creator() -> None:
    elements = {
        "00110010": {"vr": "LO", "Value": ["OTHER"]},
        "00110042": {"vr": "LO", "Value": ["ACME "]},
        "00111001": {"vr": "LO", "Value": ["theirs"]},
        "00114201": {"vr": "LO", "Value": ["ours"]},
    }
    assert privates.find(elements, "00110001:ACME") == {"vr": "LO", "Value": ["ours"]}
    assert privates.find(elements, "00110001:OTHER") == {"vr": "LO", "Value": ["theirs"]}
    assert privates.find(elements, "00110002:ACME") is None
    assert privates.find(elements, "00110001:NOBODY") is None


def test_a_value_without_a_vr_is_read_in_the_characters_of_its_data_set() -> None:
    elements = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 100"]},
        "00081140": {
            "vr": "SQ",
            "Value": [
                {
                    "00110010": {"vr": "LO", "Value": ["ACME"]},
                    "00111001": {"vr": "UN", "InlineBinary": "TfxsbGVyIA=="},
                }
            ],
        },
    }
    found = with_vrs(elements, [(("00081140", "00110001:ACME"), "LO")])
    (item,) = found["00081140"]["Value"]
    assert item["00111001"] == {"vr": "LO", "Value": ["Müller"]}
    assert with_vrs(elements, [(("00081140", "00110001:OTHER"), "LO")]) == elements
