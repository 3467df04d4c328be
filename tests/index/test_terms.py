"""What senders write in an indexed attribute, in whatever VR, has a form the index can hold."""

from __future__ import annotations

import datetime as dt

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dicom.corpus import scan_bare
from tests.factories import Element, Value, dataset
from vna.dicom.attributes import ALL_INDEXED
from vna.dicom.elements import BINARY_VRS, KNOWN_VRS
from vna.dicom.searchable import read
from vna.index import faces, terms
from vna.index.extras import extra
from vna.ingest.quarantine import described
from vna.patients import demographics

WHOLE = {"US": 16, "SS": 15, "UL": 32, "SL": 31, "UV": 64, "SV": 63}
ADDED = [
    read("PatientWeight"),
    read("ContributingEquipmentSequence"),
    read("PerformedProtocolCodeSequence.CodeValue"),
]
TAGS = sorted(ALL_INDEXED.keys() | {one.path[0] for one in ADDED})
NESTED: Element = ("00400008", "LO", "no sequence")


def of_vr(vr: str) -> st.SearchStrategy[Value]:
    """Write values of a VR, as far as one can be written that is none of its own."""
    if vr in WHOLE:
        return st.integers(0, (1 << WHOLE[vr]) - 1)
    if vr in ("FL", "FD"):
        return st.floats(width=32 if vr == "FL" else 64)
    if vr in BINARY_VRS:
        return st.binary(max_size=4).map(lambda data: data * 8)
    if vr == "SQ":
        return st.just([[NESTED]])
    numbers = st.sampled_from(["1e308", "9" * 30, "-0", "1\\\\2", "^=\\^"])
    return st.just(b"\1\0\2\0") if vr == "AT" else numbers | st.text("A1^=\\ .", max_size=9)


ELEMENT = st.tuples(st.sampled_from(TAGS), st.sampled_from(sorted(KNOWN_VRS))).flatmap(
    lambda one: st.tuples(st.just(one[0]), st.just(one[1]), of_vr(one[1]))
)


@given(ELEMENT)
def test_an_indexed_attribute_may_be_written_in_any_vr(element: Element) -> None:
    scan, _ = scan_bare(dataset([element]))
    study, series, own = faces.part(scan.attributes, "HERE")
    orjson.loads(faces.study_columns(study)["terms"])
    orjson.loads(faces.series_columns(series)["terms"])
    faces.instance_columns(own, ())
    described(scan.attributes)
    demographics.of_elements(study, {})


@given(ELEMENT)
def test_an_added_attribute_may_be_written_in_any_vr(element: Element) -> None:
    _, found = scan_bare(dataset([element]))
    said = extra(found, ADDED, zone=dt.UTC)
    for text in (said.study, said.series, said.own):
        assert text is None or orjson.loads(text)


@pytest.mark.parametrize("number", [2.0**63, 1e30, -1e308])
def test_a_number_no_integer_of_64_bits_holds_is_still_one_number(number: float) -> None:
    found = terms.terms({"00101030": {"vr": "DS", "Value": [number, str(number)]}})
    assert orjson.loads(faces.as_json(found)) == {"00101030": [number, number]}


def test_a_name_written_in_another_vr_is_its_text() -> None:
    scan, _ = scan_bare(dataset([("00100010", "US", 7)]))
    assert faces.study_columns(scan.attributes)["patient_name"] == "=7==="
    assert described(scan.attributes)["patient_name"] == "7"
