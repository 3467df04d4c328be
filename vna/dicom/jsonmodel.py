"""Value fields as DICOM JSON (PS3.18 Annex F), from bytes to bytes.

A form turns one value field into the whole JSON member of its attribute, a comma behind it. `head`
is the member's beginning up to and with `"Value":[`. Nothing here refuses: a value that is not what
its VR says is written as text, or as UN with its bytes.

Choices the Annex leaves open: a DS or IS is a number where its text is a valid JSON number, else
the text; NaN and infinities are the strings NaN, Infinity, -Infinity; padding is left out; an empty
value among others is null.
"""

from __future__ import annotations

import math
import re
import struct
from array import array
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from types import MappingProxyType

import orjson

from vna.dicom.charsets import DELIMITERS, Charset, charset

dumps = orjson.dumps
_VALUE = b',"Value":['
_CUT = -len(_VALUE)
_PADDING = " \0"
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_SIMPLE = re.compile(rb"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,20})?")
_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_SIMPLE_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]{0,14})")
_MOST_NUMBER = 64


class Reading:
    """How the text of a data set is read: its character set, and what was odd about it."""

    __slots__ = ("charset", "flags")

    def __init__(self, name: str, flags: set[str]) -> None:
        self.charset: Charset = charset(name)
        self.flags = flags
        if not self.charset.known:
            flags.add("unknown-charset")

    def text(self, raw: bytes, vr_delimiters: bytes) -> str:
        """Decode a value field, noting characters that had to be guessed or replaced."""
        text, bad = self.charset.decode(raw, vr_delimiters)
        if bad:
            self.flags.add("bad-characters")
        return text

    def plain(self, raw: bytes) -> str:
        """Decode a value field of the default repertoire; other bytes are taken as Latin-1."""
        if not raw.isascii():
            self.flags.add("bad-characters")
        return raw.decode("latin_1")


Form = Callable[[bytes, bytes, Reading], bytes]


def head_of(tag: int, vr: str) -> bytes:
    """Write the beginning of an attribute's JSON member, up to its first value."""
    return b'"%08X":{"vr":"%b"%b' % (tag, vr.encode("ascii"), _VALUE)


def empty(head: bytes) -> bytes:
    """Write an attribute without a value (PS3.18 F.2.5)."""
    return head[:_CUT] + b"},"


def by_uri(head: bytes, path: str) -> bytes:
    """Write an attribute whose value is fetched from a relative URI."""
    return b'%b,"BulkDataURI":"bulkdata/%b"},' % (head[:_CUT], path.encode("ascii"))


def as_unknown(head: bytes, raw: bytes, reading: Reading) -> bytes:
    """Write bytes that are no value of their VR as UN."""
    reading.flags.add("bad-value")
    return _binary(head[: head.index(b"{")] + b'{"vr":"UN"' + _VALUE, raw, reading)


def _several(head: bytes, values: list[str]) -> bytes:
    listed = [value or None for value in values]
    return b"%b%b}," % (head[:-1], dumps(listed))


def _text(delimiters: bytes) -> Form:
    def form(head: bytes, raw: bytes, reading: Reading) -> bytes:
        if raw.isascii() and 27 not in raw:
            text = raw.rstrip(b" \0").decode()
        else:
            text = reading.text(raw, delimiters).rstrip(_PADDING)
        if not text:
            return empty(head)
        if "\\" in text:
            return _several(head, [value.rstrip(_PADDING) for value in text.split("\\")])
        return head + dumps(text) + b"]},"

    return form


def _long_text(head: bytes, raw: bytes, reading: Reading) -> bytes:
    """LT, ST, UT: one value, in which a backslash is a backslash."""
    text = reading.text(raw, b"").rstrip(_PADDING)
    return head + dumps(text) + b"]}," if text else empty(head)


def _name(head: bytes, raw: bytes, reading: Reading) -> bytes:
    if raw.isascii() and 27 not in raw:
        text = raw.rstrip(b" \0").decode()
        if text and "\\" not in text and "=" not in text:
            return head + b'{"Alphabetic":' + dumps(text) + b"}]},"
    else:
        text = reading.text(raw, DELIMITERS["PN"]).rstrip(_PADDING)
    if not text:
        return empty(head)
    names = [name_groups(value) or None for value in text.split("\\")]
    return b"%b%b}," % (head[:-1], dumps(names)) if any(names) else empty(head)


def name_groups(value: str) -> dict[str, str]:
    """Split one person name into its component groups, the empty ones left out (PS3.18 F.2.2)."""
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), value.split("=", 2), strict=False)
    return {name: bare for name, group in groups if (bare := group.rstrip(_PADDING))}


def _plain(*, leading: bool = False, multiple: bool = True) -> Form:
    def form(head: bytes, raw: bytes, reading: Reading) -> bytes:
        bare = raw.strip(b" \0") if leading else raw.rstrip(b" \0")
        if not bare:
            return empty(head)
        text = bare.decode() if bare.isascii() else reading.plain(bare)
        if multiple and "\\" in text:
            values = text.split("\\")
            return _several(
                head, [v.strip(_PADDING) if leading else v.rstrip(_PADDING) for v in values]
            )
        return head + dumps(text) + b"]},"

    return form


def _decimal(simple: re.Pattern[bytes], pattern: re.Pattern[bytes]) -> Form:
    is_simple, is_number = simple.fullmatch, pattern.fullmatch

    def form(head: bytes, raw: bytes, reading: Reading) -> bytes:
        bare = raw.strip(b" \0")
        if is_simple(bare):
            return head + bare + b"]},"
        if not bare:
            return empty(head)
        values = []
        for part in bare.split(b"\\"):
            number = part.strip(b" \0")
            if is_simple(number) or (is_number(number) and _is_safe(number)):
                values.append(number)
            else:
                values.append(dumps(reading.plain(number)) if number else b"null")
        return head + b",".join(values) + b"]},"

    return form


def _is_safe(number: bytes) -> bool:
    """Whether every reader gets the same value: no overflow, no integer past the exact ones."""
    if number.lstrip(b"-").isdigit():
        return len(number) <= 17 and abs(int(number)) < 1 << 53
    return len(number) <= _MOST_NUMBER and math.isfinite(float(number))


def _integers(order: str, code: str) -> Form:
    size = struct.calcsize("<" + code)
    one = struct.Struct(order + code).unpack

    def form(head: bytes, raw: bytes, reading: Reading) -> bytes:
        if len(raw) == size:
            return head + dumps(one(raw)[0]) + b"]},"
        if not raw:
            return empty(head)
        if len(raw) % size:
            return as_unknown(head, raw, reading)
        values = struct.unpack(f"{order}{len(raw) // size}{code}", raw)
        return b"%b%b}," % (head[:-1], dumps(values))

    return form


def _floats(order: str, code: str) -> Form:
    size = struct.calcsize("<" + code)

    def form(head: bytes, raw: bytes, reading: Reading) -> bytes:
        if not raw:
            return empty(head)
        if len(raw) % size:
            return as_unknown(head, raw, reading)
        values = struct.unpack(f"{order}{len(raw) // size}{code}", raw)
        if all(map(math.isfinite, values)):
            return b"%b%b}," % (head[:-1], dumps(values))
        return b"%b%b}," % (head[:-1], dumps([_finite(value) for value in values]))

    return form


def _finite(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _tags(order: str) -> Form:
    def form(head: bytes, raw: bytes, reading: Reading) -> bytes:
        if not raw:
            return empty(head)
        if len(raw) % 4:
            return as_unknown(head, raw, reading)
        words = struct.unpack(f"{order}{len(raw) // 2}H", raw)
        pairs = zip(words[::2], words[1::2], strict=True)
        return b"%b%b]}," % (head, b",".join([b'"%04X%04X"' % pair for pair in pairs]))

    return form


def _binary(head: bytes, raw: bytes, _: Reading) -> bytes:
    if not raw:
        return empty(head)
    return b'%b,"InlineBinary":"%b"},' % (head[:_CUT], b2a_base64(raw, newline=False))


def _swapped(code: str) -> Form:
    """Inline binary is little endian whatever the data set was (PS3.18 F.2.7)."""
    size = struct.calcsize("<" + code)

    def form(head: bytes, raw: bytes, reading: Reading) -> bytes:
        if len(raw) % size:
            return as_unknown(head, raw, reading)
        words = array(code, raw)
        words.byteswap()
        return _binary(head, words.tobytes(), reading)

    return form


_STRINGS: dict[str, Form] = {
    **dict.fromkeys(("AS", "CS", "DA", "DT", "TM", "UI"), _plain()),
    "AE": _plain(leading=True),
    "UR": _plain(multiple=False),
    "DS": _decimal(_SIMPLE, _NUMBER),
    "IS": _decimal(_SIMPLE_INTEGER, _INTEGER),
    **dict.fromkeys(("LO", "SH", "UC"), _text(b"\\")),
    **dict.fromkeys(("LT", "ST", "UT"), _long_text),
    "PN": _name,
}
_INTEGER_CODES = {"SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}


def _forms(order: str) -> Mapping[str, Form]:
    little = order == "<"
    words = {"OD": "Q", "OF": "I", "OL": "I", "OV": "Q", "OW": "H"}
    return MappingProxyType(
        {
            **_STRINGS,
            **{vr: _integers(order, code) for vr, code in _INTEGER_CODES.items()},
            "FL": _floats(order, "f"),
            "FD": _floats(order, "d"),
            "AT": _tags(order),
            **{vr: _binary if little else _swapped(code) for vr, code in words.items()},
            "OB": _binary,
            "UN": _binary,
        }
    )


FORMS_LITTLE = _forms("<")
FORMS_BIG = _forms(">")
