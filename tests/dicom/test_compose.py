"""DICOM JSON from outside as a data set: the inverse of our reading, and pydicom's judgement."""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
import math
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from tests.dicom.corpus import files, read, scan_bare
from vna.dicom.compose import Elements, Extent, Piece, compose, length_of, normalized
from vna.errors import MalformedInstance, TooLarge, VNAError


def written(elements: object, bulk: dict[str, bytes] | None = None) -> bytes:
    """Compose elements, values by URI taken from `bulk`."""
    held = b""
    places: dict[str, Extent] = {}
    for uri, data in (bulk or {}).items():
        places[uri] = Extent(len(held), len(data))
        held += data

    def find(_tag: str, uri: str) -> Extent:
        if uri not in places:
            raise MalformedInstance
        return places[uri]

    def raw(piece: Piece) -> bytes:
        return piece if isinstance(piece, bytes) else held[piece.offset :][: piece.length]

    pieces = compose(normalized(elements, nesting=32, most=100_000), find)
    data = b"".join(map(raw, pieces))
    assert len(data) == length_of(pieces)
    return data


def parsed(data: bytes) -> Dataset:
    """Read a bare data set as pydicom does."""
    return pydicom.dcmread(io.BytesIO(data), force=True)


def one(vr: str, *values: Any, tag: str = "00091001") -> dict[str, Any]:
    """One element; private, so that every VR may stand there."""
    return {tag: {"vr": vr, "Value": list(values)}}


def without_charset(elements: Elements) -> dict[str, Any]:
    """Elements without what says how text was written, at any level; of even length."""
    found = {}
    for tag, element in elements.items():
        if tag == "00080005":
            continue
        value = dict(element)
        if raw := base64.b64decode(element.get("InlineBinary", "")):
            value["InlineBinary"] = base64.b64encode(raw + b"\0" * (len(raw) % 2)).decode()
        if element["vr"] == "SQ":
            value["Value"] = [without_charset(item) for item in element.get("Value", [])]
        found[tag] = value
    return found


def bulk_of(
    elements: Elements, data: bytes, places: dict[str, tuple[int, int]]
) -> dict[str, bytes]:
    """The values behind the URIs of our own JSON, out of the data set they stand in."""
    found = {}
    for element in elements.values():
        if (uri := element.get("BulkDataURI")) is not None:
            offset, length = places[uri.removeprefix("bulkdata/")]
            found[uri] = data[offset : offset + length]
        for item in element.get("Value", []) if element["vr"] == "SQ" else []:
            found |= bulk_of(item, data, places)
    return found


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_what_we_read_is_what_we_write(path: Path) -> None:
    try:
        found = read(path.read_bytes())
    except VNAError:
        return  # files that are broken on purpose have no metadata
    syntax = found.meta.transfer_syntax
    if syntax != "1.2.840.10008.1.2.1":
        elements = {k: v for k, v in found.json.items() if "BulkDataURI" not in json.dumps(v)}
        bulk: dict[str, bytes] = {}
    else:
        elements = found.json
        places = {b.path: (b.offset, b.length) for b in found.scan.bulk}
        if found.scan.pixel is not None:
            pixel = found.scan.pixel
            places[pixel.path] = (pixel.offset, pixel.length)
        bulk = bulk_of(elements, found.dataset, places)
    try:
        data = written(elements, bulk)
    except MalformedInstance:
        assert found.scan.flags & {"bad-value", "bad-characters", "unknown-charset"}
        return
    _, again = scan_bare(data)
    assert without_charset(again) == without_charset(elements)
    parsed(data)


def test_a_charset_that_carries_the_text_is_kept() -> None:
    elements = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 100"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller^Jörg"}]},
    }
    dataset = parsed(written(elements))
    assert dataset.SpecificCharacterSet == "ISO_IR 100"
    assert dataset.PatientName == "Müller^Jörg"


@pytest.mark.parametrize("named", [None, "ISO_IR 100", "ISO_IR 6", "no such thing"])
def test_a_charset_that_cannot_becomes_utf_8(named: str | None) -> None:
    name = {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    elements: dict[str, Any] = {"00100010": {"vr": "PN", "Value": [name]}}
    if named is not None:
        elements["00080005"] = {"vr": "CS", "Value": [named]}
    dataset = parsed(written(elements))
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    assert dataset.PatientName == "Yamada^Tarou=山田^太郎=やまだ^たろう"


def test_items_say_nothing_of_a_character_set() -> None:
    item = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 13"]},
        "00080104": {"vr": "LO", "Value": ["Größe"]},
    }
    dataset = parsed(written({"00081140": {"vr": "SQ", "Value": [item, None]}}))
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    assert "SpecificCharacterSet" not in dataset.ReferencedImageSequence[0]
    assert dataset.ReferencedImageSequence[0].CodeMeaning == "Größe"
    assert len(dataset.ReferencedImageSequence[1]) == 0


@pytest.mark.parametrize(
    ("elements", "raw"),
    [
        (one("DS", 1.5, "2.50", None, -3), b"1.5\\2.50\\\\-3"),
        (one("DS", 0.1234567890123456789), b"0.12345678901235"),
        (one("DS", -1.2345678901234567e-300), b"-1.23456789e-300"),
        (one("IS", 12, "007", 3.0), b"12\\007\\3"),
        (
            one("FD", "NaN", "-Infinity", 2),
            b"\0\0\0\0\0\0\xf8\x7f\0\0\0\0\0\0\xf0\xff\0\0\0\0\0\0\0@",
        ),
        (one("AT", "00100020"), b"\x10\0\x20\0"),
        (one("UI", "1.2.3"), b"1.2.3\0"),
        (one("UV", "18446744073709551615"), b"\xff" * 8),
        (one("LO", "a", None, "b"), b"a\\\\b"),
        (one("PN", "Plain^Text"), b"Plain^Text"),
        (one("PN", {"Phonetic": "P"}, None), b"==P\\"),
        ({"00091001": {"vr": "OB", "InlineBinary": "AQID"}}, b"\1\2\3\0"),
        ({"00091001": {"vr": "UN"}}, b""),
        ({"00091001": {"vr": "SQ"}}, b""),
    ],
)
def test_values_are_written_as_their_vr_has_them(elements: Any, raw: bytes) -> None:
    data = written(elements)
    value = data[12:] if elements["00091001"]["vr"] in ("OB", "UN", "SQ", "UV") else data[8:]
    assert value.rstrip(b" ") == raw.rstrip(b" ")
    assert len(data) % 2 == 0


def test_a_value_past_its_length_field_goes_as_un() -> None:
    data = written(one("DS", *([1.25] * 20_000)))
    assert data[4:6] == b"UN"
    _, again = scan_bare(data)
    assert again["00091001"]["vr"] == "UN"


def test_what_is_no_attribute_is_left_out() -> None:
    elements = {
        "00020010": {"vr": "UI", "Value": ["1.2"]},
        "00080000": {"vr": "UL", "Value": [1]},
        "FFFEE000": {"vr": "UN"},
        "00080060": {"vr": "CS", "Value": ["CT"]},
    }
    assert list(parsed(written(elements)).keys()) == [0x00080060]


def test_a_vr_left_out_is_that_of_the_dictionary() -> None:
    assert parsed(written({"00100020": {"Value": ["P1"]}})).PatientID == "P1"


@pytest.mark.parametrize(
    "elements",
    [
        [],
        "text",
        {"PatientID": {"vr": "LO"}},
        {"0010002": {"vr": "LO"}},
        {"00100020": "P1"},
        {"00100020": {"vr": "LO"}, "0010002\uff10": {"vr": "LO"}},
        {"0009100a": {"vr": "LO"}, "0009100A": {"vr": "LO"}},
        {"00091001": {"Value": ["no vr"]}},
        one("XX", 1),
        one("US", -1),
        one("US", 65536),
        one("US", 1.5),
        one("US", True),
        one("US", None),
        one("US", "abc"),
        one("SS", [1]),
        one("FL", 1e300),
        one("FL", "abc"),
        one("FD", {}),
        one("AT", "0010"),
        one("AT", 1048608),
        one("IS", 1.5),
        one("IS", False),
        one("DS", {}),
        one("LO", 5),
        one("LO", ["a"]),
        one("CS", "日"),
        one("UT", "a", "b"),
        one("PN", {"Alphabetic": 5}),
        one("PN", ["A"]),
        one("OB", "AQ=="),
        one("SQ", "item"),
        one("SQ", 5),
        {"00091001": {"vr": "SQ", "Value": {}}},
        {"00091001": {"vr": "LO", "Value": "text"}},
        {"00091001": {"vr": "OB", "InlineBinary": "%%%"}},
        {"00091001": {"vr": "OB", "InlineBinary": 5}},
        {"00091001": {"vr": "LO", "InlineBinary": "AQ=="}},
        {"00091001": {"vr": "OB", "InlineBinary": "AQ==", "BulkDataURI": "x"}},
        {"00091001": {"vr": "SQ", "BulkDataURI": "x"}},
        {"00091001": {"vr": "OB", "BulkDataURI": "absent"}},
        {"00091001": {"vr": "US", "BulkDataURI": "odd"}},
    ],
)
def test_what_is_no_data_set_is_refused(elements: object) -> None:
    with pytest.raises(MalformedInstance):
        written(elements, {"odd": b"abc"})


def test_depth_and_number_of_elements_are_limited() -> None:
    deep: dict[str, Any] = {}
    for _ in range(4):
        deep = {"00081140": {"vr": "SQ", "Value": [deep]}}
    assert normalized(deep, nesting=4, most=4)
    for nesting, most in ((3, 10), (10, 3)):
        with pytest.raises(TooLarge):
            normalized(deep, nesting=nesting, most=most)


TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]).filter(
        lambda c: c not in "\\^="
    ),
    min_size=1,
    max_size=12,
)
PLAIN = st.text("ABCDEFGHIJ0123456789_", min_size=1, max_size=12)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "AE": PLAIN,
    "CS": PLAIN,
    "LO": TEXT,
    "SH": TEXT,
    "UC": TEXT,
    "PN": st.builds("{}^{}={}".format, TEXT, TEXT, TEXT),
    "DS": st.floats(-1e12, 1e12).map(lambda f: f"{f:.6g}"),
    "IS": st.integers(-(2**31), 2**31 - 1),
    "US": st.integers(0, 65535),
    "SS": st.integers(-32768, 32767),
    "UL": st.integers(0, 2**32 - 1),
    "SL": st.integers(-(2**31), 2**31 - 1),
    "SV": st.integers(-(2**63), 2**63 - 1),
    "UV": st.integers(0, 2**64 - 1),
    "FL": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "FD": st.floats(allow_nan=False, allow_infinity=False),
    "DA": st.dates(min_value=dt.date(1900, 1, 1)).map("{:%Y%m%d}".format),
    "UI": st.lists(st.integers(1, 999), min_size=2, max_size=6).map(
        lambda numbers: ".".join(map(str, numbers))
    ),
    "AT": st.integers(0, 2**32 - 1),
}
SINGLE: dict[str, st.SearchStrategy[Any]] = {
    "LT": TEXT,
    "ST": TEXT,
    "UT": TEXT,
    "UR": st.just("http://example.org/a"),
    "OB": st.binary(min_size=1, max_size=40),
    "OW": st.binary(min_size=1, max_size=20).map(lambda b: b * 2),
    "OF": st.binary(min_size=1, max_size=10).map(lambda b: b * 4),
    "OD": st.binary(min_size=1, max_size=5).map(lambda b: b * 8),
    "UN": st.binary(min_size=1, max_size=20).map(lambda b: b * 2),
}


@st.composite
def datasets(draw: st.DrawFn, depth: int = 2) -> Dataset:
    """Data sets of private elements of any VR, sequences among them."""
    dataset = Dataset()
    number = 0x00091001
    for vr in draw(st.lists(st.sampled_from([*VALUES, *SINGLE, "SQ"]), max_size=6)):
        if vr == "SQ":
            items = draw(st.lists(datasets(depth - 1), max_size=2)) if depth else []
            value: Any = pydicom.Sequence(items)
        elif vr in SINGLE:
            value = draw(SINGLE[vr])
        else:
            value = draw(st.lists(VALUES[vr], min_size=1, max_size=3))
        dataset.add(
            DataElement(number, vr, value[0] if vr in VALUES and len(value) == 1 else value)
        )
        number += 1
    return dataset


def same(left: Dataset, right: Dataset) -> bool:
    """Whether two data sets hold the same, but for padding and numbers' own precision."""
    if list(left.keys()) != list(right.keys()):
        return False
    for one_, other in zip(left, right, strict=True):
        if one_.VR == "SQ":
            pairs = zip(one_.value, other.value, strict=True)
            if not all(same(a, b) for a, b in pairs):
                return False
        elif one_.VR in ("OB", "UN"):
            if bytes(one_.value).rstrip(b"\0") != bytes(other.value or b"").rstrip(b"\0"):
                return False
        elif one_.VR == "DS":
            lefts = one_.value if one_.VM > 1 else [one_.value]
            rights = other.value if other.VM > 1 else [other.value]
            if not all(math.isclose(a, b) for a, b in zip(lefts, rights, strict=True)):
                return False
        elif one_.value != other.value:
            return False
    return True


@given(datasets())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_pydicom_writes_as_json_comes_back_the_same(dataset: Dataset) -> None:
    again = parsed(written(json.loads(dataset.to_json())))
    again.pop(0x00080005, None)
    assert same(dataset, again)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["00091001", "00100010", "vr", "Value", "Alphabetic", "BulkDataURI", "x"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
        | st.fixed_dictionaries(
            {
                "vr": st.sampled_from([*VALUES, *SINGLE, "SQ", "??"]),
                "Value": st.lists(inner, max_size=2),
            }
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["00091001", "00100010", "00081140"]), JSON) | JSON)
@settings(max_examples=400, deadline=None)
def test_nothing_a_client_sends_is_a_failure_of_ours(elements: object) -> None:
    try:
        data = written(elements)
    except (MalformedInstance, TooLarge):
        return
    if data:
        scan_bare(data)
