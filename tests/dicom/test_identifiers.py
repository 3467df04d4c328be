"""vna/dicom/identifiers.py: C-FIND Identifiers (PS3.4 C.4.1.1.3)."""

from __future__ import annotations

from typing import Any

import pytest

from vna.dicom.identifiers import Model, read_identifier
from vna.dicom.matchkeys import Options
from vna.dicom.refs import Level
from vna.errors import InvalidQuery


def element(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def identifier(level: str, **keys: Any) -> dict[str, Any]:
    return {"00080052": element("CS", level)} | {k.removeprefix("t"): v for k, v in keys.items()}


def test_an_identifier_gives_keys_and_returns() -> None:
    asked = read_identifier(
        Model.STUDY_ROOT,
        identifier(
            "STUDY",
            t00080005=element("CS", "ISO_IR 100"),
            t00080020=element("DA", "20240101-"),
            t00100010=element("PN", {"Alphabetic": "A*", "Ideographic": "B"}),
            t00201208=element("IS"),
            t0020000D=element("UI", "1.2", "1.3"),
            t00200013=element("IS", 5),
            t00400275=element("SQ", {"00400009": element("SH", "S")}),
            t00081032=element("SQ"),
        ),
        Options(),
    )
    assert asked.level is Level.STUDY
    assert asked.tree == {
        "00080020": ("DA", "20240101-"),
        "00100010": ("PN", "A*=B"),
        "00201208": ("IS", ""),
        "0020000D": ("UI", "1.2\\1.3"),
        "00200013": ("IS", "5"),
        "00400275": ("SQ", {"00400009": ("SH", "S")}),
        "00081032": ("SQ", {}),
    }
    assert asked.deviations == ()


@pytest.mark.parametrize(
    ("model", "level"),
    [
        (Model.STUDY_ROOT, "PATIENT"),
        (Model.PATIENT_STUDY_ONLY, "SERIES"),
        (Model.PATIENT_ROOT, "FRAME"),
        (Model.PATIENT_ROOT, ""),
        (Model.PATIENT_ROOT, "study"),
    ],
)
def test_the_level_must_be_one_of_the_models(model: Model, level: str) -> None:
    with pytest.raises(InvalidQuery, match="QueryRetrieveLevel"):
        read_identifier(model, identifier(level), Options())


@pytest.mark.parametrize(
    "above", [None, element("UI"), element("UI", "1.2", "1.3"), element("UI", "1*")]
)
def test_levels_above_need_one_value_unless_relational(above: Any) -> None:
    keys = {} if above is None else {"t0020000D": above}
    asked = identifier("SERIES", t0020000E=element("UI"), **keys)
    with pytest.raises(InvalidQuery, match="StudyInstanceUID"):
        read_identifier(Model.STUDY_ROOT, asked, Options())
    assert read_identifier(Model.STUDY_ROOT, asked, Options(relational=True)).level is Level.SERIES


def test_the_patient_root_needs_a_patient_id_below_the_patient() -> None:
    asked = identifier("STUDY", t0020000D=element("UI"))
    with pytest.raises(InvalidQuery, match="PatientID"):
        read_identifier(Model.PATIENT_ROOT, asked, Options())
    asked["00100020"] = element("LO", "P1")
    assert read_identifier(Model.PATIENT_ROOT, asked, Options()).tree["00100020"] == ("LO", "P1")


def test_the_unique_key_of_the_level_is_added_when_it_is_absent() -> None:
    asked = read_identifier(Model.STUDY_ROOT, identifier("STUDY"), Options())
    assert asked.tree == {"0020000D": ("UI", "")}
    assert len(asked.deviations) == 1


def test_values_that_nothing_is_matched_on_are_named() -> None:
    asked = read_identifier(
        Model.STUDY_ROOT,
        identifier(
            "STUDY",
            t0020000D=element("UI"),
            t00091001={"vr": "UN", "InlineBinary": "AAA="},
            t00324000={"vr": "LT", "BulkDataURI": "bulkdata/00324000"},
        ),
        Options(),
    )
    assert set(asked.tree) == {"0020000D"}
    assert asked.unmatched == (("00091001",), ("00324000",))


@pytest.mark.parametrize(
    "sequence",
    [element("SQ", {}, {}), {"vr": "LO", "Value": ["x"]}],
    ids=["two items", "no sequence"],
)
def test_a_sequence_holds_one_item(sequence: Any) -> None:
    with pytest.raises(InvalidQuery, match="RequestAttributesSequence"):
        read_identifier(
            Model.STUDY_ROOT,
            identifier("STUDY", t0020000D=element("UI"), t00400275=sequence),
            Options(),
        )
