"""Identifiers of C-MOVE and C-GET as selections (PS3.4 C.4.2.1.4, C.4.2.2)."""

from __future__ import annotations

from typing import Any

import pytest

from vna.dicom.identifiers import Model
from vna.dicom.refs import Level
from vna.errors import InvalidQuery, InvalidUID
from vna.retrieve.keys import selection

LEVEL, PATIENT, STUDY, SERIES, INSTANCE = (
    *("00080052", "00100020", "0020000D", "0020000E", "00080018"),
)


def elements(level: str, **keys: str) -> dict[str, Any]:
    """Write an Identifier; keys are named t<tag>."""
    found: dict[str, Any] = {LEVEL: {"vr": "CS", "Value": [level]}}
    for name, text in keys.items():
        found[name[1:]] = {"vr": "UI", "Value": text.split("\\")} if text else {"vr": "UI"}
    return found


def test_a_level_with_its_key_and_those_above_is_taken() -> None:
    asked = selection(
        Model.PATIENT_ROOT,
        elements("IMAGE", t00100020="P", t0020000D="1.2", t0020000E="1.3", t00080018="1.4\\1.5"),
        relational=False,
    )
    assert (asked.level, asked.patient_id) == (Level.IMAGE, "P")
    assert (asked.studies, asked.series, asked.instances) == ({"1.2"}, {"1.3"}, {"1.4", "1.5"})


def test_the_study_root_has_no_patient() -> None:
    keys = elements("STUDY", t00100020="P", t0020000D="1.2\\1.3")
    asked = selection(Model.STUDY_ROOT, keys, relational=False)
    assert (asked.patient_id, asked.studies) == ("", {"1.2", "1.3"})
    keys = elements("STUDY", t00100020="P", t0020000D="1.2")
    assert selection(Model.PATIENT_ROOT, keys, relational=False).patient_id == "P"


def test_padding_and_empty_values_are_no_keys() -> None:
    keys = elements("STUDY", t0020000D="1.2\0\\\\ 1.3 ", t0020000E="")
    assert selection(Model.STUDY_ROOT, keys, relational=False).studies == {"1.2", "1.3"}


@pytest.mark.parametrize(
    "keys",
    [
        {"t0020000D": "1.2", "t0020000E": "1.3"},
        {"t00100020": "P", "t0020000E": "1.3"},
        {"t00100020": "P", "t0020000D": "1.2\\1.3", "t0020000E": "1.4"},
    ],
    ids=["no patient", "no study", "two studies"],
)
def test_without_relational_one_value_stands_above(keys: dict[str, str]) -> None:
    with pytest.raises(InvalidQuery, match="level above"):
        selection(Model.PATIENT_ROOT, elements("SERIES", **keys), relational=False)
    asked = selection(Model.PATIENT_ROOT, elements("SERIES", **keys), relational=True)
    assert asked.level is Level.SERIES


@pytest.mark.parametrize("text", ["", "P*", "P?", "P1\\P2"])
def test_a_patient_is_one_and_named_exactly(text: str) -> None:
    with pytest.raises(InvalidQuery):
        selection(Model.PATIENT_ROOT, elements("PATIENT", t00100020=text), relational=True)


@pytest.mark.parametrize("text", ["1.2.*", "../../etc", "1" * 65, "1.2.x"])
def test_a_key_that_is_no_uid_is_refused(text: str) -> None:
    with pytest.raises(InvalidUID):
        selection(Model.STUDY_ROOT, elements("STUDY", t0020000D=text), relational=False)


@pytest.mark.parametrize("level", ["", "IMAGES", "PATIENT", "FRAME"])
def test_a_level_the_model_has_not_is_refused(level: str) -> None:
    with pytest.raises(InvalidQuery):
        selection(Model.STUDY_ROOT, elements(level, t0020000D="1.2"), relational=False)


@pytest.mark.parametrize("level", ["SERIES", "IMAGE"])
def test_patient_study_only_ends_at_the_study(level: str) -> None:
    keys = elements(level, t00100020="P", t0020000D="1.2", t0020000E="1.3", t00080018="1.4")
    with pytest.raises(InvalidQuery):
        selection(Model.PATIENT_STUDY_ONLY, keys, relational=True)


def test_a_key_below_the_level_is_not_passed_over() -> None:
    """It would select less than what is sent."""
    keys = elements("STUDY", t0020000D="1.2", t0020000E="1.3")
    with pytest.raises(InvalidQuery, match="below"):
        selection(Model.STUDY_ROOT, keys, relational=False)
