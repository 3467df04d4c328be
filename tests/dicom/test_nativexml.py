"""Native DICOM Model XML read back: the inverse of what we write, and safe to read from anybody."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dicom.corpus import files, read
from vna.dicom import nativexml
from vna.dicom.compose import normalized
from vna.errors import MalformedInstance, TooLarge, VNAError
from vna.web.dicomweb.xml import native_model

TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]).filter(
        lambda c: c not in "\ufffe\uffff"
    ),
    max_size=8,
)


def back(document: bytes) -> dict[str, Any]:
    return normalized(nativexml.read(document, nesting=32, most=100_000), nesting=32, most=100_000)


def as_text(element: dict[str, Any]) -> dict[str, Any]:
    """An element as XML has it: DS, IS and floats as text, names without empty components."""
    found = dict(element)
    if element["vr"] == "SQ":
        found["Value"] = [
            {tag: as_text(inner) for tag, inner in (item or {}).items()}
            for item in element.get("Value", [])
        ]
    elif element["vr"] in ("DS", "IS", "FL", "FD") and "Value" in element:
        found["Value"] = [None if v is None else str(v) for v in element["Value"]]
    elif element["vr"] == "PN" and "Value" in element:
        groups = [{k: v.rstrip("^") for k, v in (name or {}).items()} for name in element["Value"]]
        found["Value"] = [{k: v for k, v in name.items() if v} or None for name in groups]
    if not found.get("Value", True):
        del found["Value"]
    return found


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_what_we_write_we_read(path: Any) -> None:
    try:
        elements = read(path.read_bytes()).json
    except VNAError:
        return  # files that are broken on purpose have no metadata
    again = {tag: as_text(e) for tag, e in back(native_model(elements)).items()}
    assert native_model(again) == native_model({t: as_text(e) for t, e in elements.items()})


@given(
    st.dictionaries(
        st.sampled_from(["00100020", "00080060", "00104000", "00091001", "00090010"]),
        st.lists(TEXT.filter(bool) | st.none(), min_size=1, max_size=3),
    )
)
@settings(max_examples=150, deadline=None)
def test_any_text_comes_back(found: dict[str, list[str | None]]) -> None:
    elements = {tag: {"vr": "LO", "Value": values} for tag, values in sorted(found.items())}
    read_back = back(native_model(elements))
    values = sorted(str(e["Value"]) for tag, e in read_back.items() if "0009" not in tag[:4])
    assert values == sorted(str(e["Value"]) for t, e in elements.items() if "0009" not in t[:4])


def attribute(inner: str = "", **names: str) -> bytes:
    said = "".join(f' {name}="{value}"' for name, value in names.items())
    element = f"<DicomAttribute{said}>{inner}</DicomAttribute>"
    return f"<NativeDicomModel>{element}</NativeDicomModel>".encode()


def test_values_are_in_the_order_of_their_numbers() -> None:
    inner = '<Value number="2">b</Value><Value number="1">a</Value>'
    assert back(attribute(inner, tag="00080008", vr="CS"))["00080008"]["Value"] == ["a", "b"]


def test_values_without_numbers_are_in_their_order() -> None:
    inner = "<Value>a</Value><Value/>"
    assert back(attribute(inner, tag="00080008", vr="CS"))["00080008"]["Value"] == ["a", None]


def test_a_name_has_groups_of_components() -> None:
    inner = (
        "<PersonName><Alphabetic><GivenName>Jane</GivenName><FamilyName>Doe</FamilyName>"
        "</Alphabetic><Phonetic><NameSuffix>X</NameSuffix></Phonetic></PersonName><PersonName/>"
    )
    value = back(attribute(inner, tag="00100010", vr="PN"))["00100010"]["Value"]
    assert value == [{"Alphabetic": "Doe^Jane", "Phonetic": "^^^^X"}, None]


def test_private_attributes_share_or_reserve_a_block() -> None:
    document = (
        b"<NativeDicomModel>"
        b'<DicomAttribute tag="00090010" vr="LO"><Value>A</Value></DicomAttribute>'
        b'<DicomAttribute tag="00090001" vr="LO" privateCreator="B"><Value>b</Value>'
        b"</DicomAttribute>"
        b'<DicomAttribute tag="00090002" vr="LO" privateCreator="A"><Value>a</Value>'
        b"</DicomAttribute>"
        b"</NativeDicomModel>"
    )
    found = {tag: element["Value"] for tag, element in back(document).items()}
    assert found == {"00090010": ["A"], "00090011": ["B"], "00091101": ["b"], "00091002": ["a"]}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"text",
        b"\xff\xfe\0",
        b"<a>",
        b"<DicomModel/>",
        b"<NativeDicomModel><x/></NativeDicomModel>",
        attribute(),
        attribute(tag="0008"),
        attribute(tag="00080008", vr="XX"),
        attribute("<Value>x</Value><Item/>", tag="00080008", vr="CS"),
        attribute("<Other/>", tag="00080008", vr="CS"),
        attribute('<Value number="2">x</Value>', tag="00080008", vr="CS"),
        attribute(
            '<Value number="1">x</Value><Value number="1">y</Value>', tag="00080008", vr="CS"
        ),
        attribute('<Value number="99999999999">x</Value>', tag="00080008", vr="CS"),
        attribute("<Value>x</Value>", tag="00280010", vr="US"),
        attribute(f"<Value>{'9' * 5000}</Value>", tag="00280010", vr="US"),
        attribute("<PersonName><Other/></PersonName>", tag="00100010", vr="PN"),
        attribute("<BulkData/>", tag="00080008", vr="CS"),
        b"<?xml version='1.0' encoding='utf-99'?><NativeDicomModel/>",
        b"<!DOCTYPE x><NativeDicomModel/>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><NativeDicomModel/>',
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><NativeDicomModel>&a;</NativeDicomModel>',
        b'<!DOCTYPE x [<!ENTITY % a SYSTEM "http://127.0.0.1:9/"> %a;]><NativeDicomModel/>',
        b"<NativeDicomModel>&undefined;</NativeDicomModel>",
        b"<NativeDicomModel>"
        + attribute(tag="00080008", vr="CS")[18:-19] * 2
        + b"</NativeDicomModel>",
    ],
)
def test_what_is_no_data_set_is_refused(document: bytes) -> None:
    with pytest.raises(MalformedInstance):
        back(document)


def test_depth_and_number_are_limited() -> None:
    deep = b"<NativeDicomModel>"
    for _ in range(40):
        deep += b'<DicomAttribute tag="00081140" vr="SQ"><Item number="1">'
    deep += b"</Item></DicomAttribute>" * 40 + b"</NativeDicomModel>"
    with pytest.raises(TooLarge):
        back(deep)
    with pytest.raises(TooLarge):
        nativexml.read(b"<a/>" * 300, nesting=32, most=100)


def test_bulk_data_is_inline_or_elsewhere() -> None:
    raw = base64.b64encode(b"abcd").decode()
    inline = back(attribute(f"<InlineBinary>{raw}</InlineBinary>", tag="00091001", vr="OB"))
    assert inline["00091001"]["InlineBinary"] == raw
    for name in ("uri", "uuid"):
        inner = f'<BulkData {name}="there"/>'
        assert back(attribute(inner, tag="00091001", vr="OB"))["00091001"]["BulkDataURI"] == "there"
