"""DICOM JSON elements from outside -> a data set in Explicit VR Little Endian (PS3.18 F, PS3.5 7).

The inverse of `jsonmodel`, for metadata a client sends: nothing of it is trusted. Values that stand
elsewhere (BulkDataURI) are not read: the data set comes out as pieces, bytes and extents of what
was put aside, so that it is written in constant memory. Lengths are defined.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vna.dicom import elements as el
from vna.dicom.attributes import shown_tag
from vna.dicom.encode import CHARSET, UTF8
from vna.dicom.text import encode as encode_text
from vna.errors import MalformedInstance, TooLarge

Elements = Mapping[str, Any]  # the DICOM JSON Model is untyped

PIXEL_DATA = "7FE00010"


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes that were put aside: where they begin, and how many there are."""

    offset: int
    length: int


Piece = bytes | Extent
PixelValue = Extent | Sequence[Sequence[Extent]]
Bulk = Callable[[str, str], Extent]
"""Finds the value of an attribute by its tag and its BulkDataURI. Raises `MalformedInstance`."""

_CHARSET_VRS = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
_PLAIN_VRS = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"))
_SINGLE_VRS = frozenset(("LT", "ST", "UT", "UR"))
_NUMBERS = {"FD": "d", "FL": "f", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}
_UNIT = {"AT": 4, "OD": 8, "OF": 4, "OL": 4, "OV": 8} | {
    vr: struct.calcsize("<" + code) for vr, code in _NUMBERS.items()
}
_FLOATS = frozenset(("FD", "FL"))
_NUL_PADDED = el.BINARY_VRS | {"UI"}
_TAG = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_LONGEST_SHORT = 0xFFFE
_LONGEST = 0xFFFFFFFE
_MOST_DECIMAL = 16


class _NotCarriedError(Exception):
    """The character set at hand cannot carry a text."""


def normalized(elements: object, *, nesting: int, most: int) -> dict[str, Any]:
    """Check the frame of a data set: tags, VRs, one kind of value each, levels, number of elements.

    Tags come out in upper case and ascending; what is no attribute of a data set (group lengths,
    File Meta Information) is left out. Raises `MalformedInstance`, `TooLarge`.
    """
    return _Frame(nesting, most).check(elements, 0)


def compose(elements: Elements, bulk: Bulk, pixels: PixelValue | None = None) -> list[Piece]:
    """Write normalized elements as a data set.

    `pixels` is the value of the top-level Pixel Data where that is settled already: one extent if
    native, else its frames, each of one or more extents, one fragment each. Text is written in the
    character set the data set names if that carries all of it, else in UTF-8, and Specific
    Character Set says so. Raises `MalformedInstance`, `TooLarge`.
    """
    named = _charset(elements)
    elements = _without_nested_charsets(elements)
    for chosen in dict.fromkeys((named, UTF8)):
        if chosen != named:
            value = {"vr": "CS", "Value": [chosen]}
            elements = dict(sorted({**elements, CHARSET: value}.items()))
        try:
            return _merged(_Writer(chosen, bulk).dataset(elements, pixels))
        except _NotCarriedError:
            continue
    raise MalformedInstance("The data set holds text that no character set can carry.")


def length_of(pieces: Sequence[Piece]) -> int:
    """Count the bytes of pieces."""
    return sum(piece.length if isinstance(piece, Extent) else len(piece) for piece in pieces)


class _Frame:
    """Checks the shape of a data set from outside."""

    def __init__(self, nesting: int, most: int) -> None:
        self._nesting = nesting
        self._left = most

    def check(self, elements: object, level: int) -> dict[str, Any]:
        if not isinstance(elements, dict):
            raise MalformedInstance("A data set of DICOM JSON is an object of attributes by tag.")
        if level > self._nesting:
            raise TooLarge(f"Sequences may be nested {self._nesting} levels deep.")
        self._left -= len(elements)
        if self._left < 0:
            raise TooLarge("The data set has too many elements.")
        found: dict[str, Any] = {}
        for name, element in elements.items():
            if not _TAG.fullmatch(name):
                raise MalformedInstance(
                    "The name of an attribute is its tag: 8 hexadecimal digits."
                )
            tag = name.upper()
            if tag in found:
                raise MalformedInstance(f"{shown_tag(tag)} is there twice.")
            if not el.is_aside(int(tag, 16)):
                found[tag] = self._element(tag, element, level)
        return dict(sorted(found.items()))

    def _element(self, tag: str, element: object, level: int) -> dict[str, Any]:
        if not isinstance(element, dict):
            raise MalformedInstance(f"{shown_tag(tag)} is no object with a vr.")
        vr = element.get("vr") or el.dictionary_vr(int(tag, 16))
        if not isinstance(vr, str) or vr not in el.KNOWN_VRS:
            raise MalformedInstance(f"{shown_tag(tag)} has no VR of the standard.")
        kinds = [k for k in ("Value", "BulkDataURI", "InlineBinary") if element.get(k) is not None]
        if len(kinds) > 1:
            raise MalformedInstance(f"{shown_tag(tag)} has more than one kind of value.")
        if not kinds:
            return {"vr": vr}
        kind, value = kinds[0], element[kinds[0]]
        if kind != "Value":
            if not isinstance(value, str):
                raise MalformedInstance(f"The {kind} of {shown_tag(tag)} is no text.")
            if kind == "InlineBinary" and vr not in el.BINARY_VRS:
                raise MalformedInstance(f"{shown_tag(tag)} of VR {vr} cannot be given inline.")
            if kind == "BulkDataURI" and vr not in el.BY_URI_VRS:
                raise MalformedInstance(f"{shown_tag(tag)} of VR {vr} cannot be given by URI.")
        elif not isinstance(value, list):
            raise MalformedInstance(f"The Value of {shown_tag(tag)} is no array.")
        elif vr == "SQ":
            value = [self.check({} if item is None else item, level + 1) for item in value]
        return {"vr": vr, kind: value}


class _Writer:
    """Writes data sets in one character set."""

    def __init__(self, charset: str, bulk: Bulk) -> None:
        self._charset = charset
        self._bulk = bulk

    def dataset(self, elements: Elements, pixels: PixelValue | None = None) -> list[Piece]:
        pieces: list[Piece] = []
        for tag, element in elements.items():
            if pixels is not None and tag == PIXEL_DATA:
                pieces += (
                    _native(element, pixels) if isinstance(pixels, Extent) else _capsule(pixels)
                )
            else:
                pieces += self._element(tag, element)
        return pieces

    def _element(self, tag: str, element: Elements) -> list[Piece]:
        vr = element["vr"]
        try:
            value = self._value(tag, vr, element)
        except (struct.error, OverflowError, ValueError, TypeError, AttributeError) as exc:
            raise MalformedInstance(
                f"{shown_tag(tag)} has a value that is none of VR {vr}."
            ) from exc
        length = length_of(value)
        if length % 2:
            value = [*value, b"\0" if vr in _NUL_PADDED else b" "]
            length += 1
        if length > _LONGEST:
            raise TooLarge(f"The value of {shown_tag(tag)} is too long to be written.")
        if length > _LONGEST_SHORT and vr in el.SHORT_VRS:
            vr = "UN"  # PS3.5 6.2.2: too long for its VR's length field
        return [_header(tag, vr, length), *value]

    def _value(self, tag: str, vr: str, element: Elements) -> list[Piece]:
        if (uri := element.get("BulkDataURI")) is not None:
            extent = self._bulk(tag, uri)
            if extent.length % _UNIT.get(vr, 1):
                raise MalformedInstance(
                    f"The bulk data of {shown_tag(tag)} is no whole {vr} value."
                )
            return [extent]
        if (inline := element.get("InlineBinary")) is not None:
            return [_decoded(tag, inline)]
        values = element.get("Value") or []
        if vr == "SQ":
            return [piece for item in values for piece in self._item(item)]
        if vr in _NUMBERS:
            read = _real if vr in _FLOATS else _integer
            return [struct.pack(f"<{len(values)}{_NUMBERS[vr]}", *map(read, values))]
        if vr == "AT":
            return [b"".join(_tag(value) for value in values)]
        if values and vr not in _CHARSET_VRS and vr not in _PLAIN_VRS:
            raise ValueError("a binary VR has no values")
        return [self._text(vr, values)]

    def _text(self, vr: str, values: list[Any]) -> bytes:
        if len(values) > 1 and vr in _SINGLE_VRS:
            raise ValueError("this VR has a single value")
        text = "\\".join(_plain(vr, value) for value in values)
        if vr not in _CHARSET_VRS:
            return text.encode("latin_1")  # what `jsonmodel` reads such bytes as
        raw = encode_text(text, self._charset)
        if raw is None:
            raise _NotCarriedError
        return raw

    def _item(self, item: Elements) -> list[Piece]:
        pieces = self.dataset(item)
        return [b"\xfe\xff\x00\xe0" + struct.pack("<I", length_of(pieces)), *pieces]


def _header(tag: str, vr: str, length: int) -> bytes:
    start = struct.pack("<HH", int(tag[:4], 16), int(tag[4:], 16)) + vr.encode("ascii")
    if vr in el.LONG_VRS:
        return start + struct.pack("<HI", 0, length)
    return start + struct.pack("<H", length)


def _native(element: Elements, extent: Extent) -> list[Piece]:
    padding = extent.length % 2
    if extent.length + padding > _LONGEST:
        raise TooLarge("The Pixel Data is too long to be written.")
    return [_header(PIXEL_DATA, element["vr"], extent.length + padding), extent, b"\0" * padding]


def _capsule(frames: Sequence[Sequence[Extent]]) -> list[Piece]:
    """Write encapsulated Pixel Data: a Basic Offset Table for several frames, then fragments."""
    table: list[int] = []
    body: list[Piece] = []
    at = 0
    for frame in frames:
        table.append(at)
        for extent in frame:
            padding = extent.length % 2
            length = extent.length + padding
            if length > _LONGEST:
                raise TooLarge("A fragment of Pixel Data is too long to be written.")
            body += [_ITEM + struct.pack("<I", length), extent, b"\0" * padding]
            at += 8 + length
    fits = len(frames) > 1 and table[-1] <= 0xFFFFFFFF
    offsets = struct.pack(f"<{len(table)}I", *table) if fits else b""
    start = _header(PIXEL_DATA, "OB", el.UNDEFINED) + _ITEM + struct.pack("<I", len(offsets))
    return [start + offsets, *body, b"\xfe\xff\xdd\xe0\0\0\0\0"]


_ITEM = b"\xfe\xff\x00\xe0"


def _charset(elements: Elements) -> str:
    values = elements.get(CHARSET, {}).get("Value") or []
    return "\\".join(value if isinstance(value, str) else "" for value in values)


def _without_nested_charsets(elements: Elements) -> dict[str, Any]:
    """One character set holds throughout: what items said of theirs was about other bytes."""
    return {
        tag: {**element, "Value": [_bare(item) for item in element["Value"]]}
        if element["vr"] == "SQ" and element.get("Value")
        else element
        for tag, element in elements.items()
    }


def _bare(item: Elements) -> dict[str, Any]:
    found = _without_nested_charsets(item)
    found.pop(CHARSET, None)
    return found


def _merged(pieces: Sequence[Piece]) -> list[Piece]:
    """Join neighbouring bytes: few long pieces instead of many short ones."""
    found: list[Piece] = []
    run: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, Extent):
            found += [b"".join(run), piece]
            run = []
        else:
            run.append(piece)
    return [piece for piece in (*found, b"".join(run)) if not isinstance(piece, bytes) or piece]


def _decoded(tag: str, text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as exc:
        raise MalformedInstance(f"The InlineBinary of {shown_tag(tag)} is no base64.") from exc


def _plain(vr: str, value: Any) -> str:  # one value of DICOM JSON
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if vr == "PN" and isinstance(value, dict):
        return "=".join([_group(value, name) for name in _GROUPS]).rstrip("=")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("no text")
    if vr == "DS":
        return _decimal(value)
    if vr == "IS":
        return str(_integer(value))
    raise TypeError("no text")


def _group(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name) or ""
    if not isinstance(text, str):
        raise TypeError("a component group is text")
    return text


def _decimal(value: float) -> str:
    """Write a number within the 16 characters of a DS (PS3.5 6.2)."""
    text = repr(value)
    digits = _MOST_DECIMAL + 1
    while len(text) > _MOST_DECIMAL:
        digits -= 1
        text = f"{float(value):.{digits}g}"
    return text


def _integer(value: Any) -> int:  # one value of DICOM JSON
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise TypeError("no integer")
    return int(value)


def _real(value: Any) -> float:  # one value of DICOM JSON
    if isinstance(value, bool):
        raise TypeError("no number")
    return float(value)


def _tag(value: Any) -> bytes:  # one value of DICOM JSON
    if not isinstance(value, str) or not _TAG.fullmatch(value):
        raise ValueError("no tag")
    return struct.pack("<HH", int(value[:4], 16), int(value[4:], 16))
