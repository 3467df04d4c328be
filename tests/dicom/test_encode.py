"""vna/dicom/encode.py: data sets written by hand, read back by pydicom."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from vna.dicom.encode import decode_dataset, encode_dataset
from vna.errors import MalformedInstance, TooLarge

ANSWER: dict[str, Any] = {
    "00080020": {"vr": "DA", "Value": ["20240102"]},
    "00080050": {"vr": "SH"},
    "00080061": {"vr": "CS", "Value": ["CT", "PT"]},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Adams^John", "Phonetic": "a"}]},
    "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
    "00201208": {"vr": "IS", "Value": [12]},
    "00280010": {"vr": "US", "Value": [512, 65535]},
    "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["S"]}}, {}]},
}


def read(data: bytes, *, explicit: bool) -> Dataset:
    return read_dataset(io.BytesIO(data), is_implicit_VR=not explicit, is_little_endian=True)


def content(ds: Dataset) -> dict[str, Any]:
    """Give the DICOM JSON of a data set without the empty parts that pydicom leaves in."""
    found = ds.to_json_dict()
    for element in ds:
        one = found[f"{element.tag:08X}"]
        if element.VR == "SQ":
            one["Value"] = [content(item) for item in element.value]
        elif element.VR == "PN":
            one["Value"] = [{k: v for k, v in p.items() if v} for p in one.get("Value", [])]
        if not one.get("Value"):
            one.pop("Value", None)
    return found


@pytest.mark.parametrize("explicit", [True, False])
def test_an_answer_is_written_byte_by_byte(explicit: bool) -> None:
    short = (
        (lambda vr, n: vr + struct.pack("<H", n))
        if explicit
        else lambda vr, n: struct.pack("<I", n)
    )
    head = b"\x08\0\x20\0" + short(b"DA", 8) + b"20240102" + b"\x08\0\x50\0" + short(b"SH", 0)
    assert encode_dataset(ANSWER, explicit=explicit).startswith(head)


@pytest.mark.parametrize("explicit", [True, False])
def test_pydicom_reads_what_was_written(explicit: bool) -> None:
    ds = read(encode_dataset(ANSWER, explicit=explicit), explicit=explicit)
    assert content(ds) == ANSWER


def test_elements_are_written_in_ascending_order() -> None:
    shuffled = dict(reversed(ANSWER.items()))
    assert encode_dataset(shuffled, explicit=True) == encode_dataset(ANSWER, explicit=True)


# --- character sets ----------------------------------------------------------------------------


def named(name: str) -> dict[str, Any]:
    return {"00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]}}


@pytest.mark.parametrize(
    ("name", "asked", "used"),
    [
        ("Adams", "ISO_IR 100", None),
        ("Müller", "ISO_IR 100", "ISO_IR 100"),
        ("Müller", "", "ISO_IR 192"),
        ("Müller", "ISO_IR 144", "ISO_IR 192"),
        ("Жюль", "ISO_IR 144", "ISO_IR 144"),
        ("山田", "ISO_IR 100", "ISO_IR 192"),
        ("山田", "ISO_IR 192", "ISO_IR 192"),
        ("山田", "\\ISO 2022 IR 87", ["", "ISO 2022 IR 87"]),
        ("王^小東", "GB18030", "GB18030"),
    ],
)
def test_the_askers_set_is_used_if_it_carries_all_else_utf8(
    name: str, asked: str, used: str | list[str] | None
) -> None:
    ds = read(encode_dataset(named(name), explicit=True, charset=asked), explicit=True)
    assert ds.get("SpecificCharacterSet") == used
    ds.decode()
    assert ds.PatientName == name


def test_the_set_of_the_stored_instance_is_not_repeated() -> None:
    stored = {"00080005": {"vr": "CS", "Value": ["ISO_IR 144"]}}
    assert encode_dataset(stored | named("A"), explicit=True) == encode_dataset(
        named("A"), explicit=True
    )
    item = {"00081032": {"vr": "SQ", "Value": [stored | named("Müller")]}}
    ds = read(encode_dataset(item, explicit=True, charset="ISO_IR 100"), explicit=True)
    ds.decode()
    assert ds.ProcedureCodeSequence[0].PatientName == "Müller"


def test_a_code_that_is_no_ascii_does_not_stop_an_answer() -> None:
    elements = {"00080060": {"vr": "CS", "Value": ["Ü"]}} | named("Müller")
    ds = read(encode_dataset(elements, explicit=True, charset="ISO_IR 100"), explicit=True)
    assert ds[0x00080060].value == "?"


# --- every VR -------------------------------------------------------------------------------

letters = st.text("ABC019 ^", min_size=1, max_size=15).map(str.strip).filter(bool)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "AE": letters,
    "CS": letters,
    "DA": st.dates().map(lambda d: f"{d.year:04}{d.month:02}{d.day:02}"),
    "DS": st.integers(-9999, 9999).map(lambda n: n / 4),
    "FD": st.floats(allow_nan=False, allow_infinity=False),
    "FL": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "IS": st.integers(-(2**31), 2**31 - 1),
    "LO": letters,
    "PN": st.builds(lambda a, b: {"Alphabetic": a, "Ideographic": b}, letters, letters),
    "SH": letters,
    "SL": st.integers(-(2**31), 2**31 - 1),
    "SS": st.integers(-(2**15), 2**15 - 1),
    "SV": st.integers(-(2**63), 2**63 - 1),
    "UC": letters,
    "UI": st.from_regex(r"1\.[1-9][0-9]{0,9}", fullmatch=True),
    "UL": st.integers(0, 2**32 - 1),
    "US": st.integers(0, 2**16 - 1),
    "UV": st.integers(0, 2**64 - 1),
}


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    """Draw elements of private tags, so that any VR fits any of them."""
    made: dict[str, Any] = {"00090010": {"vr": "LO", "Value": ["TEST"]}}
    for number in range(draw(st.integers(0, 6))):
        vr = draw(st.sampled_from(sorted(VALUES)))
        values = draw(st.lists(VALUES[vr], max_size=3))
        made[f"000910{number:02X}"] = {"vr": vr, "Value": values} if values else {"vr": vr}
    if depth and draw(st.booleans()):
        items = draw(st.lists(data_sets(depth=depth - 1), max_size=2))
        made["000910FF"] = {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    return made


@given(data_sets())
@settings(max_examples=150, deadline=None)
def test_every_vr_reads_back(elements: dict[str, Any]) -> None:
    data = encode_dataset(elements, explicit=True)
    assert len(data) % 2 == 0
    assert content(read(data, explicit=True)) == elements


@pytest.mark.parametrize(
    ("element", "tail"),
    [
        ({"vr": "AT", "Value": ["00100020", "7FE00010"]}, b"AT\x08\0\x10\0\x20\0\xe0\x7f\x10\0"),
        ({"vr": "OB", "InlineBinary": "AQID"}, b"OB\0\0\4\0\0\0\1\2\3\0"),
        ({"vr": "OW"}, b"OW\0\0\0\0\0\0"),
        ({"vr": "UT", "Value": ["a\\b"]}, b"UT\0\0\4\0\0\0a\\b "),
        ({"vr": "LO", "Value": ["A", None, "B"]}, b"LO\4\0A\\\\B"),
        ({"vr": "FD", "Value": ["NaN"]}, b"FD\x08\0" + struct.pack("<d", float("nan"))),
        ({"vr": "FL", "Value": ["-Infinity"]}, b"FL\4\0" + struct.pack("<f", float("-inf"))),
        ({"vr": "DS", "Value": [1 / 3]}, b"DS\x10\x000.33333333333333"),
        ({"vr": "DS", "Value": ["1.50", 2]}, b"DS\6\x001.50\\2"),
        ({"vr": "SV", "Value": ["-9223372036854775808"]}, b"SV\0\0\x08\0\0\0" + bytes(7) + b"\x80"),
        ({"vr": "SQ"}, b"SQ\0\0\0\0\0\0"),
        ({"vr": "SQ", "Value": [{}]}, b"SQ\0\0\x08\0\0\0\xfe\xff\0\xe0\0\0\0\0"),
    ],
)
def test_odd_values(element: dict[str, Any], tail: bytes) -> None:
    assert encode_dataset({"00091001": element}, explicit=True) == b"\x09\0\x01\x10" + tail


def test_a_value_too_long_for_its_length_field_goes_as_un() -> None:
    uids = ["1.2." + "3" * 56] * 1200
    data = encode_dataset({"0020000D": {"vr": "UI", "Value": uids}}, explicit=True)
    assert data[4:6] == b"UN"
    assert data[12:].rstrip(b"\0").decode().split("\\") == uids


def test_bulk_data_by_reference_cannot_be_written() -> None:
    with pytest.raises(TooLarge):
        encode_dataset({"00091001": {"vr": "OB", "BulkDataURI": "bulkdata/x"}}, explicit=True)


# --- reading ------------------------------------------------------------------------------------

IMPLICIT, EXPLICIT, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"


@given(data_sets())
@settings(max_examples=100, deadline=None)
def test_reading_gives_what_was_written(elements: dict[str, Any]) -> None:
    read_back = decode_dataset(encode_dataset(elements, explicit=True), EXPLICIT)
    assert _comparable(read_back) == _comparable(elements)


def _comparable(elements: dict[str, Any]) -> dict[str, Any]:
    """Bring the two forms the JSON Model allows for one number to the same one."""
    found: dict[str, Any] = {}
    for tag, element in elements.items():
        values = element.get("Value")
        if element["vr"] == "SQ" and values:
            values = [_comparable(item) for item in values]
        elif element["vr"] in ("SV", "UV", "IS") and values:
            values = [int(value) for value in values]
        found[tag] = {"vr": element["vr"], "Value": values}
    return found


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
@pytest.mark.parametrize("charset", ["", "ISO_IR 100", "ISO_IR 192", "\\ISO 2022 IR 87"])
def test_an_answer_reads_back_in_any_character_set(syntax: str, charset: str) -> None:
    elements = ANSWER | named("Yamada^Tarou")
    elements["00100010"]["Value"] = [{"Alphabetic": "Müller", "Ideographic": "山田^太郎"}]
    data = encode_dataset(elements, explicit=syntax == EXPLICIT, charset=charset)
    read_back = decode_dataset(data, syntax)
    read_back.pop("00080005")
    assert read_back == elements


def test_an_empty_identifier_has_no_elements() -> None:
    assert decode_dataset(b"", IMPLICIT) == {}


@pytest.mark.parametrize("data", [b"\x08", b"garbage, nothing else", b"\x08\0\x20\0DA\x08\x002024"])
def test_garbage_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedInstance):
        decode_dataset(data, EXPLICIT)


@given(st.binary(max_size=200), st.sampled_from((IMPLICIT, EXPLICIT, DEFLATED)))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes, syntax: str) -> None:
    with suppress(MalformedInstance, TooLarge):  # and nothing else
        assert isinstance(decode_dataset(data, syntax), dict)


def test_an_identifier_of_more_than_a_mebibyte_is_refused() -> None:
    def of(size: int) -> bytes:
        return b"\x10\0\x20\0" + struct.pack("<I", size) + b"x" * size

    assert "00100020" in decode_dataset(of((1 << 20) - 8), IMPLICIT)
    with pytest.raises(TooLarge):
        decode_dataset(of((1 << 20) - 6), IMPLICIT)


def test_a_deflated_identifier_cannot_grow_past_a_mebibyte() -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b"\x10\0\0\x40LT\xfe\xff" + b"x" * 65534
    bomb = deflater.compress(data * 20) + deflater.flush()
    with pytest.raises(TooLarge):
        decode_dataset(bomb, DEFLATED)
