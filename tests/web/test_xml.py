"""Native DICOM Model XML from DICOM JSON elements (PS3.19 A.1)."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web.conftest import read_xml
from vna.web.dicomweb.xml import NAMESPACE, native_model

N = f"{{{NAMESPACE}}}"


def one(elements: dict[str, Any]) -> Element:
    """The only attribute of a document."""
    (node,) = read_xml(native_model(elements))
    return node


def test_values_are_numbered_and_an_empty_one_keeps_its_place() -> None:
    node = one({"00080008": {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL"]}})
    assert node.attrib == {"tag": "00080008", "keyword": "ImageType", "vr": "CS"}
    assert [(v.get("number"), v.text) for v in node] == [
        ("1", "ORIGINAL"),
        ("2", None),
        ("3", "AXIAL"),
    ]


def test_an_empty_attribute_has_no_content() -> None:
    assert list(one({"00100020": {"vr": "LO"}})) == []


def test_a_name_is_taken_apart() -> None:
    value = {"Alphabetic": "Doe^Jane^^Dr", "Ideographic": "X^Y"}
    node = one({"00100010": {"vr": "PN", "Value": [value, {}]}})
    first, second = node
    assert first.get("number") == "1"
    alphabetic = first.find(f"{N}Alphabetic")
    assert alphabetic is not None
    assert {child.tag.removeprefix(N): child.text for child in alphabetic} == {
        "FamilyName": "Doe",
        "GivenName": "Jane",
        "NamePrefix": "Dr",
    }
    assert first.find(f"{N}Phonetic") is None
    assert list(second) == []


def test_a_private_attribute_is_named_by_its_creator() -> None:
    elements = {
        "00091000": {"vr": "UN"},
        "00090010": {"vr": "LO", "Value": ["ACME & <Sons>"]},
        "00091001": {"vr": "LO", "Value": ["x"]},
        "00091101": {"vr": "LO", "Value": ["nobody's"]},
    }
    nodes = {node.get("tag"): node for node in read_xml(native_model(elements))}
    assert nodes["00090001"].get("privateCreator") == "ACME & <Sons>"
    assert nodes["00090001"].get("keyword") is None
    assert nodes["00090010"].get("privateCreator") is None
    assert nodes["00091101"].get("privateCreator") is None


def test_items_bulk_data_and_inline_binary() -> None:
    elements = {
        "00081140": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}, {}]},
        "00420011": {"vr": "OB", "InlineBinary": "AAEC"},
        "7FE00010": {"vr": "OW", "BulkDataURI": "http://a/b?c&d"},
    }
    sequence, inline, bulk = read_xml(native_model(elements))
    assert [item.get("number") for item in sequence] == ["1", "2"]
    assert sequence[0][0][0].text == "1.2"
    assert inline[0].text == "AAEC"
    assert bulk[0].get("uri") == "http://a/b?c&d"


TEXT = st.text(max_size=20)
VALUES = st.recursive(
    st.one_of(
        st.builds(lambda v: {"vr": "LO", "Value": v}, st.lists(st.one_of(TEXT, st.none()))),
        st.builds(lambda v: {"vr": "UT", "Value": [v]}, TEXT),
        st.builds(lambda v: {"vr": "FD", "Value": [v]}, st.floats(allow_nan=False, width=32)),
        st.builds(lambda v: {"vr": "PN", "Value": [{"Alphabetic": v}]}, TEXT),
    ),
    lambda inner: st.builds(
        lambda v: {"vr": "SQ", "Value": [v]}, st.dictionaries(st.just("00080100"), inner)
    ),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_any_element_becomes_well_formed_xml_with_its_text(element: dict[str, Any]) -> None:
    node = one({"00081030": orjson.loads(orjson.dumps(element, default=str))})
    if element["vr"] in ("LO", "UT"):
        for child, value in zip(node, element["Value"], strict=True):
            expected = "" if value is None else value
            if expected.isprintable():
                assert (child.text or "") == expected
