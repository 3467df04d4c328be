"""vna/dicom/parameters.py: QIDO-RS parameters (PS3.18 8.3.4)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vna.dicom.matchkeys import Options
from vna.dicom.parameters import read_parameters
from vna.errors import InvalidQuery


def test_keywords_and_numbers_name_attributes() -> None:
    asked = read_parameters(
        [("PatientID", "A"), ("0020000d", "1.2"), ("RequestAttributesSequence.00400009", "S")]
    )
    assert asked.tree == {
        "00100020": ("LO", "A"),
        "0020000D": ("UI", "1.2"),
        "00400275": ("SQ", {"00400009": ("SH", "S")}),
    }
    assert asked.options.combined


def test_parameters_that_are_not_keys() -> None:
    asked = read_parameters(
        [
            ("limit", "10"),
            ("offset", "007"),
            ("fuzzymatching", "true"),
            ("emptyvaluematching", "false"),
            ("multiplevaluematching", "true"),
            ("includefield", "StudyDescription, 00081030"),
            ("includefield", "OtherPatientIDsSequence.00100020"),
            ("accept", "application/dicom+json"),
        ]
    )
    assert (asked.limit, asked.offset, asked.everything) == (10, 7, False)
    assert asked.options == Options(combined=True, fuzzy=True, multiple_value=True)
    assert asked.includes == {("00081030",), ("00101002", "00100020")}
    assert asked.deviations == ()
    assert read_parameters([("includefield", "all")]).everything


def test_a_plus_is_a_plus() -> None:
    assert read_parameters([("PatientID", "A+B")]).tree == {"00100020": ("LO", "A+B")}


def test_what_is_unknown_is_ignored_and_said() -> None:
    asked = read_parameters([("foo", "1"), ("patientid", "1"), ("includefield", "NoSuchThing")])
    assert (asked.tree, asked.includes) == ({}, frozenset())
    assert len(asked.deviations) == 3


@pytest.mark.parametrize(
    "pairs",
    [
        [("limit", "-1")],
        [("limit", "abc")],
        [("limit", "")],
        [("limit", "1"), ("limit", "1")],
        [("offset", "1.5")],
        [("fuzzymatching", "yes")],
        [("fuzzymatching", "true"), ("fuzzymatching", "true")],
        [("includefield", "")],
        [("includefield", "PatientID,,PatientName")],
        [("includefield", "PatientName.PatientID")],
        [("PatientID", "1"), ("00100020", "1")],
        [("PatientName.PatientID", "1")],
        [("RequestAttributesSequence", "1")],
        [("RequestAttributesSequence", ""), ("RequestAttributesSequence", "")],
        [(".".join(["00400275"] * 9), "1")],
    ],
)
def test_a_known_parameter_with_a_bad_value_is_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidQuery):
        read_parameters(pairs)


def test_huge_numbers_are_capped() -> None:
    assert read_parameters([("limit", "9" * 5000)]).limit == 2**31 - 1


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_parameters_are_read_or_refused(pairs: list[tuple[str, str]]) -> None:
    try:
        asked = read_parameters(pairs)
    except InvalidQuery:
        return
    assert len(asked.deviations) <= len(pairs)
