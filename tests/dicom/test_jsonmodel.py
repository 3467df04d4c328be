"""Single value fields in DICOM JSON (PS3.18 Annex F)."""

from __future__ import annotations

import math
import struct
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vna.dicom.jsonmodel import FORMS_BIG, FORMS_LITTLE, Reading, head_of


def form(vr: str, raw: bytes, charset: str = "", *, big: bool = False) -> dict[str, Any]:
    """Form one element, as values."""
    forms = FORMS_BIG if big else FORMS_LITTLE
    member = forms[vr](head_of(0x00091001, vr), raw, Reading(charset, set()))
    assert member.endswith(b",")
    element: dict[str, Any] = orjson.loads(b"{%b}" % member[:-1])["00091001"]
    return element


@pytest.mark.parametrize("vr", sorted(set(FORMS_LITTLE)))
def test_nothing_has_no_value(vr: str) -> None:
    assert form(vr, b"") == {"vr": vr}
    assert form(vr, b"", big=True) == {"vr": vr}


@pytest.mark.parametrize(
    ("vr", "raw", "values"),
    [
        ("CS", b"A\\B ", ["A", "B"]),
        ("CS", b"A \\\\B", ["A", None, "B"]),
        ("CS", b"  ", None),
        ("AE", b" A \\ B", ["A", "B"]),
        ("UI", b"1.2\0", ["1.2"]),
        ("LO", b"a\\b", ["a", "b"]),
        ("LO", b'quo"te\\\x07', ['quo"te', "\x07"]),
        ("LT", b"a\\b ", ["a\\b"]),
        ("UR", b"http://x/a\\b ", ["http://x/a\\b"]),
        ("UC", b" a\\ b ", [" a", " b"]),
        ("PN", b"A^B", [{"Alphabetic": "A^B"}]),
        ("PN", b"A^B=C=D \\E", [{"Alphabetic": "A^B", "Ideographic": "C", "Phonetic": "D"}, None]),
        ("PN", b"==P", [{"Phonetic": "P"}]),
        ("PN", b"==", None),
        ("DS", b"1.50", [1.5]),
        ("DS", b" 1.5\\-2e3 ", [1.5, -2000.0]),
        ("DS", b"+1\\.5\\1.\\01\\x\\\\1,5", ["+1", ".5", "1.", "01", "x", None, "1,5"]),
        ("DS", b"1e999", ["1e999"]),
        ("IS", b"12 ", [12]),
        ("IS", b"1.0\\-0\\007", ["1.0", 0, "007"]),
        ("IS", b"9007199254740993", ["9007199254740993"]),
        ("US", b"\1\0", [1]),
        ("SS", b"\xff\xff\1\0", [-1, 1]),
        ("UV", b"\xff" * 8, [2**64 - 1]),
        ("AT", b"\x10\0\x20\0", ["00100020"]),
        ("DA", b"20240101\\2024.01.02", ["20240101", "2024.01.02"]),
    ],
)
def test_values(vr: str, raw: bytes, values: list[Any] | None) -> None:
    wanted = {"vr": vr} if values is None else {"vr": vr, "Value": values}
    if vr == "PN" and values and values[-1] is None:
        wanted["Value"] = [values[0], {"Alphabetic": "E"}]
    assert form(vr, raw) == wanted


@pytest.mark.parametrize(("vr", "size"), [("US", 2), ("SL", 4), ("FD", 8), ("AT", 4), ("UV", 8)])
def test_a_value_of_no_whole_number_is_unknown(vr: str, size: int) -> None:
    flags: set[str] = set()
    raw = b"a" * (size + 1)
    member = FORMS_LITTLE[vr](head_of(0x00280010, vr), raw, Reading("", flags))
    assert orjson.loads(b"{%b}" % member[:-1])["00280010"]["vr"] == "UN"
    assert flags == {"bad-value"}


@pytest.mark.parametrize(
    ("vr", "raw"), [("OW", b"ab"), ("OL", b"abcd"), ("OF", b"abcd"), ("OD", b"abcdefgh")]
)
def test_inline_binary_is_little_endian(vr: str, raw: bytes) -> None:
    assert form(vr, raw[::-1], big=True) == form(vr, raw)
    assert form("OB", raw, big=True) == form("OB", raw)


numbers = st.lists(st.floats(width=32), min_size=1, max_size=5)


@given(numbers, st.booleans())
def test_floats_survive(values: list[float], big: bool) -> None:
    raw = struct.pack(f"{'>' if big else '<'}{len(values)}f", *values)
    back = form("FL", raw, big=big)["Value"]
    for value, got in zip(values, back, strict=True):
        if math.isfinite(value):
            assert got == value
        else:
            assert isinstance(got, str)
            assert repr(float(got)) == repr(value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4))
def test_a_decimal_string_keeps_its_value(number: Any) -> None:
    text = f"{number:f}"
    (value,) = form("DS", text.encode())["Value"]
    assert float(value) == float(text)


@given(st.sampled_from(sorted(FORMS_LITTLE)), st.binary(max_size=64), st.booleans())
@settings(max_examples=200, deadline=None)
def test_any_bytes_of_any_vr_have_a_form(vr: str, raw: bytes, big: bool) -> None:
    for charset in ("", "ISO_IR 192", "\\ISO 2022 IR 87"):
        assert "vr" in form(vr, raw, charset, big=big)
