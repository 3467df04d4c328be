"""DICOM JSON elements to the bytes of a small data set, and back (PS3.5 7, PS3.18 F.2).

For Identifiers: a query's answer is written here by hand because thousands a second leave the
archive. Little endian only, implicit or explicit VR; sequences have defined lengths.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import orjson

from vna.config import Limits
from vna.dicom.attributes import shown_tag
from vna.dicom.scan import Scanner
from vna.dicom.text import encode as encode_text
from vna.errors import MalformedInstance, TooLarge

Elements = Mapping[str, Any]  # values of DICOM JSON differ by VR

CHARSET = "00080005"
UTF8 = "ISO_IR 192"

_LONG = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))
_CHARSET_VRS = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
_BINARY = {
    "FD": "d",
    "FL": "f",
    "SL": "i",
    "SS": "h",
    "SV": "q",
    "UL": "I",
    "US": "H",
    "UV": "Q",
}
_TEXT = frozenset(
    (
        *("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT"),
        *("PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"),
    )
)
_FLOATS = frozenset(("FD", "FL"))
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_LONGEST_SHORT = 65534
_LONGEST = 0xFFFFFFFE
_ELEMENT_BYTES = 100  # at most one element in so many bytes, all told
_PLAIN_TEXT, _CHARSET_TEXT, _OTHER = range(3)

Encoder = Callable[[str], bytes]


class _NotCarriedError(Exception):
    """The character set at hand cannot carry a text."""


def encode_dataset(elements: Elements, *, explicit: bool, charset: str = "") -> bytes:
    """Write the elements as a little endian data set, in ascending order.

    `charset` is what the asker reads: it is used if it can carry every text, else UTF-8 is.
    Specific Character Set is set accordingly and absent when the default repertoire is enough.
    """
    elements = _without_charset(elements)
    try:
        return _dataset(elements, explicit, None)
    except UnicodeEncodeError:
        pass  # the usual case is tried first because it is five times as fast
    for chosen in (charset, UTF8):
        try:
            body = {CHARSET: {"vr": "CS", "Value": chosen.split("\\")}, **elements}
            if chosen:
                return _dataset(body, explicit, _in_charset(chosen))
        except _NotCarriedError:
            continue
    raise AssertionError("UTF-8 carries every text")


def decode_dataset(data: bytes, transfer_syntax: str, *, most: int = 1 << 20) -> dict[str, Any]:
    """Read a small data set as DICOM JSON elements.

    Raises `MalformedInstance` when it cannot be read, `TooLarge` past `most` bytes, inflated or
    not.
    """
    if not data:
        return {}
    pieces: list[bytes] = []
    limits = Limits(object_bytes=most, inflate_bytes=most, elements=most // _ELEMENT_BYTES)
    scanner = Scanner(transfer_syntax, limits, json=pieces.append)
    scanner.feed(data)
    scanner.finish()
    try:
        elements: dict[str, Any] = orjson.loads(b"".join(pieces))
    except orjson.JSONDecodeError as exc:
        raise MalformedInstance from exc
    return elements


def _dataset(elements: Elements, explicit: bool, encode: Encoder | None) -> bytes:
    out: list[bytes] = []
    for tag in sorted(elements):
        element = elements[tag]
        values = element.get("Value")
        vr: str = element["vr"]
        kind, head, length, longest = _plan(tag, vr, explicit)
        if kind is _OTHER:
            raw = _other(tag, vr, element, explicit, encode)
        elif values is None:
            raw = b""
        else:
            value = values[0] if len(values) == 1 else _joined(vr, values)
            if value.__class__ is not str:
                value = _text(vr, value)
            if encode is None:
                raw = value.encode("ascii")
            else:
                raw = encode(value) if kind is _CHARSET_TEXT else value.encode("ascii", "replace")
            if len(raw) & 1:
                raw += b"\0" if vr == "UI" else b" "
        if len(raw) > longest:  # PS3.5 6.2.2: too long for its VR's length field, it goes as UN
            _, head, length, _ = _plan(tag, "UN", explicit)
        out += (head, length(len(raw)), raw)
    return b"".join(out)


def _other(
    tag: str, vr: str, element: Any, explicit: bool, encode: Encoder | None
) -> bytes:  # JSON
    values = element.get("Value")
    if values is None:
        return _inline(tag, element)
    if vr == "SQ":
        return b"".join(_item(item, explicit, encode) for item in values)
    if vr in _BINARY:
        return _numbers(vr, values)
    if vr == "AT":
        return b"".join(_tag(value) for value in values if value)
    raise TooLarge(f"{shown_tag(tag)} of VR {vr} has no values that can be written.")


def _joined(vr: str, values: list[Any]) -> str:  # JSON values
    return "\\".join([_text(vr, value) for value in values])


def _text(vr: str, value: Any) -> str:  # one value of DICOM JSON
    if value.__class__ is str:
        return str(value)
    if value is None:
        return ""
    if isinstance(value, dict):
        return "=".join([value.get(group, "") for group in _GROUPS]).rstrip("=")
    return _decimal(value) if vr == "DS" else str(value)


def _decimal(value: float) -> str:
    """Write a number within the 16 characters of a DS."""
    text = repr(value)
    digits = 16
    while len(text) > 16:
        digits -= 1
        text = f"{value:.{digits}g}"
    return text


def _numbers(vr: str, values: list[Any]) -> bytes:  # JSON numbers, or their texts
    read: Callable[[Any], Any] = float if vr in _FLOATS else int
    return struct.pack(f"<{len(values)}{_BINARY[vr]}", *map(read, values))


def _inline(tag: str, element: Any) -> bytes:  # a JSON element without Value
    if "BulkDataURI" in element:
        raise TooLarge(f"The value of {shown_tag(tag)} is too large for this data set.")
    raw = base64.b64decode(element.get("InlineBinary", ""))
    return raw + b"\0" if len(raw) & 1 else raw


def _item(item: Any, explicit: bool, encode: Encoder | None) -> bytes:  # a JSON item
    body = _dataset(_without_charset(item or {}), explicit, encode)
    return b"\xfe\xff\x00\xe0" + _U32(len(body)) + body


def _without_charset(elements: Elements) -> Elements:
    """Leave out what said how the received text was written: here one set holds throughout."""
    return {k: v for k, v in elements.items() if k != CHARSET} if CHARSET in elements else elements


def _in_charset(charset: str) -> Encoder:
    def encode(text: str) -> bytes:
        raw = encode_text(text, charset)
        if raw is None:
            raise _NotCarriedError
        return raw

    return encode


_U16 = struct.Struct("<H").pack
_U32 = struct.Struct("<I").pack


@lru_cache(maxsize=16384)
def _tag(tag: str) -> bytes:
    return struct.pack("<HH", int(tag[:4], 16), int(tag[4:], 16))


@lru_cache(maxsize=16384)
def _plan(tag: str, vr: str, explicit: bool) -> tuple[int, bytes, Callable[[int], bytes], int]:
    """Say how an element is written: kind of value, its start, its length field, the longest."""
    kind = _OTHER if vr not in _TEXT else _CHARSET_TEXT if vr in _CHARSET_VRS else _PLAIN_TEXT
    if not explicit:
        return kind, _tag(tag), _U32, _LONGEST
    head = _tag(tag) + vr.encode("ascii")
    if vr in _LONG:
        return kind, head + b"\0\0", _U32, _LONGEST
    return kind, head, _U16, _LONGEST_SHORT
