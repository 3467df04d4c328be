"""Synthetic DICOM for all tests: instances in any encoding, whole or broken in one named way.

Built by hand, so that a thousand of them take no time and nothing repairs what a test wants broken.
Names and identifiers are invented.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vna.dicom.attributes import tag_of, vr_of
from vna.dicom.part10 import file_head, group2_for

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
RLE = "1.2.840.10008.1.2.5"
MPEG_4 = "1.2.840.10008.1.2.4.102"
CT = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.7.2"
ROOT = "2.25.4711"

_LONG = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])
_NUMBERS = {
    "US": "H",
    "SS": "h",
    "UL": "I",
    "SL": "i",
    "UV": "Q",
    "SV": "q",
    "FL": "f",
    "FD": "d",
}
_ENDLESS = 0xFFFFFFFF

Value = Any  # bytes, text, number, list of them; a list of items for SQ
Element = tuple[str, str, Value]
"""Tag as 8 hexadecimal digits, VR, value."""


def uid(*numbers: int) -> str:
    """Make a UID below the tests' own root."""
    return ".".join([ROOT, *map(str, numbers)])


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How a data set is written."""

    explicit: bool = True
    little: bool = True
    endless: bool = False  # sequences and items of undefined length
    codec: str = "latin_1"

    @property
    def order(self) -> str:
        """The byte order as struct names it."""
        return "<" if self.little else ">"


def writing(transfer_syntax: str, **options: Any) -> Writing:
    """Tell how a data set of a Transfer Syntax is written."""
    return Writing(
        explicit=transfer_syntax != IMPLICIT, little=transfer_syntax != BIG_ENDIAN, **options
    )


def element(tag: str, vr: str, value: Value, how: Writing | None = None) -> bytes:
    """Write one data element."""
    how = how or Writing()
    if vr == "SQ":
        return _sequence(tag, value, how)
    return header(tag, vr, len(raw := value_field(vr, value, how)), how) + raw


def header(tag: str, vr: str, length: int, how: Writing | None = None) -> bytes:
    """Write an element's header with any length, true or not."""
    how = how or Writing()
    number = int(tag, 16)
    start = struct.pack(how.order + "HH", number >> 16, number & 0xFFFF)
    if not how.explicit or number >> 16 == 0xFFFE:
        return start + struct.pack(how.order + "I", length)
    if vr in _LONG:
        return start + vr.encode() + b"\0\0" + struct.pack(how.order + "I", length)
    return start + vr.encode() + struct.pack(how.order + "H", length)


def value_field(vr: str, value: Value, how: Writing | None = None) -> bytes:
    """Write a value field, padded to even length."""
    how = how or Writing()
    if isinstance(value, (bytes, bytearray, memoryview)):
        raw = bytes(value)
    elif value is None:
        raw = b""
    else:
        values = value if isinstance(value, (list, tuple)) else [value]
        if vr in _NUMBERS:
            raw = struct.pack(f"{how.order}{len(values)}{_NUMBERS[vr]}", *values)
        elif vr == "AT":
            words = [n for v in values for n in (int(v, 16) >> 16, int(v, 16) & 0xFFFF)]
            raw = struct.pack(f"{how.order}{len(words)}H", *words)
        else:
            raw = "\\".join(map(str, values)).encode(how.codec)
    if len(raw) % 2:
        raw += b"\0" if vr in ("UI", "OB", "UN") else b" "
    return raw


def _sequence(tag: str, items: Sequence[Iterable[Element]], how: Writing) -> bytes:
    body = b"".join(_item(dataset(item, how), how) for item in items)
    if how.endless:
        return header(tag, "SQ", _ENDLESS, how) + body + header("FFFEE0DD", "", 0, how)
    return header(tag, "SQ", len(body), how) + body


def _item(body: bytes, how: Writing) -> bytes:
    if how.endless:
        return header("FFFEE000", "", _ENDLESS, how) + body + header("FFFEE00D", "", 0, how)
    return header("FFFEE000", "", len(body), how) + body


def dataset(elements: Iterable[Element], how: Writing | None = None) -> bytes:
    """Write a data set, its elements in ascending order."""
    ordered = sorted(elements, key=lambda e: e[0])
    return b"".join(element(tag, vr, value, how) for tag, vr, value in ordered)


def encapsulated(
    frames: Sequence[Sequence[bytes]], *, table: bool = True, tag: str = "7FE00010"
) -> bytes:
    """Write encapsulated Pixel Data: frames of fragments, with or without a Basic Offset Table."""
    offsets, body = [], b""
    for fragments in frames:
        offsets.append(len(body))
        body += b"".join(header("FFFEE000", "", len(f)) + f for f in map(_even, fragments))
    basic = struct.pack(f"<{len(offsets)}I", *offsets) if table else b""
    start = header(tag, "OB", _ENDLESS) + header("FFFEE000", "", len(basic)) + basic
    return start + body + header("FFFEE0DD", "", 0)


def _even(fragment: bytes) -> bytes:
    return fragment + b"\0" if len(fragment) % 2 else fragment


def jpeg(number: int, size: int = 40) -> bytes:
    """Make bytes that begin and end as a JPEG codestream does."""
    return b"\xff\xd8\xff\xe0" + bytes([number % 251]) * max(0, size - 6) + b"\xff\xd9"


def elements_of(values: Mapping[str, Value]) -> list[Element]:
    """Turn keywords or tags into elements of their standard VR: `{"PatientID": "P1"}`."""
    found: list[Element] = []
    for name, value in values.items():
        tag = tag_of(name) or name
        vr = vr_of(tag) or "UN"
        items = value if vr == "SQ" else ()
        nested = [elements_of(item) if isinstance(item, Mapping) else item for item in items]
        found.append((tag, vr, nested if vr == "SQ" else value))
    return found


@dataclass(kw_only=True)
class Instance:
    """One synthetic instance.

    `values` holds attributes by keyword or tag that replace or join its own; None drops one.
    """

    study: str = field(default_factory=lambda: uid(1))
    series: str = field(default_factory=lambda: uid(1, 1))
    instance: str = field(default_factory=lambda: uid(1, 1, 1))
    sop_class: str = CT
    transfer_syntax: str = EXPLICIT
    patient_id: str = "P-0001"
    patient_name: str = "Doe^Jane"
    charset: str | None = "ISO_IR 100"
    codec: str = "latin_1"
    modality: str = "CT"
    number: int = 1
    rows: int = 16
    columns: int = 16
    frames: int | None = None
    pixels: bytes | None = None  # the value of native Pixel Data
    pixel_element: bytes | None = None  # the whole element, as `encapsulated` writes it
    endless: bool = False
    values: Mapping[str, Value] = field(default_factory=dict)
    extra: Sequence[Element] = ()

    @property
    def how(self) -> Writing:
        """How the data set is written."""
        return writing(self.transfer_syntax, endless=self.endless, codec=self.codec)

    def elements(self) -> list[Element]:
        """The elements of the data set but Pixel Data that is given whole."""
        values: dict[str, Value] = {
            "00080005": self.charset,
            "00080008": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "00080016": self.sop_class,
            "00080018": self.instance,
            "00080020": "20240102",
            "00080021": "20240102",
            "00080023": "20240102",
            "00080030": "101112",
            "00080033": "101113.5",
            "00080050": "A-0001",
            "00080060": self.modality,
            "00080070": "Example",
            "00080080": "Example Hospital",
            "00080090": "Ref^Erring",
            "00081030": "Chest",
            "0008103E": "Axial 5 mm",
            "00100010": self.patient_name,
            "00100020": self.patient_id,
            "00100030": "19700101",
            "00100040": "F",
            "00180015": "CHEST",
            "00180050": "5.0",
            "0020000D": self.study,
            "0020000E": self.series,
            "00200010": "S-1",
            "00200011": "1",
            "00200013": str(self.number),
            "00200032": ["-100.0", "-100.0", str(float(self.number))],
            "00280002": 1,
            "00280004": "MONOCHROME2",
            "00280008": None if self.frames is None else str(self.frames),
            "00280010": self.rows,
            "00280011": self.columns,
            "00280030": ["0.5", "0.5"],
            "00280100": 16,
            "00280101": 12,
            "00280102": 11,
            "00280103": 0,
            "00281052": "-1024",
            "00281053": "1",
        }
        values.update({tag_of(name) or name: value for name, value in self.values.items()})
        present = {tag: value for tag, value in values.items() if value is not None}
        found = [*elements_of(present), *self.extra]
        if self.pixel_element is None:
            found.append(("7FE00010", "OW", self._pixels()))
        return found

    def _pixels(self) -> bytes:
        if self.pixels is not None:
            return self.pixels
        size = self.rows * self.columns * 2 * (self.frames or 1)
        return (bytes(range(256)) * (size // 256 + 1))[:size]

    def dataset(self) -> bytes:
        """The bare data set, as C-STORE carries it."""
        body = dataset(self.elements(), self.how) + (self.pixel_element or b"")
        return deflate(body) if self.transfer_syntax == DEFLATED else body

    def group2(self) -> bytes:
        """The group 2 of its file."""
        return group2_for(
            sop_class=self.sop_class,
            sop_instance=self.instance,
            transfer_syntax=self.transfer_syntax,
            source_ae="FACTORY",
        )

    def part10(self) -> bytes:
        """The instance as a file."""
        return file_head(group2=self.group2(), preamble=b"") + self.dataset()


def ct(study: int = 1, series: int = 1, instance: int = 1, **options: Any) -> Instance:
    """Make a CT instance, its UIDs told from three numbers; options are fields of `Instance`."""
    options.setdefault("number", instance)
    return Instance(
        study=uid(study),
        series=uid(study, series),
        instance=uid(study, series, instance),
        **options,
    )


def ct_of_bytes(size: int, instance: int = 1, **options: Any) -> Instance:
    """Make a CT instance whose Pixel Data has about so many bytes (512 KiB is 512 x 512)."""
    rows = max(1, int((size / 2) ** 0.5))
    columns = max(1, size // 2 // rows)
    return ct(instance=instance, rows=rows, columns=columns, **options)


def multi_frame(frames: int = 4, **options: Any) -> Instance:
    """Make a native multi-frame instance."""
    return ct(sop_class=MULTI_FRAME, modality="OT", frames=frames, **options)


def compressed(
    frames: Sequence[Sequence[bytes]],
    *,
    transfer_syntax: str = JPEG,
    table: bool = True,
    count: int | None = None,
    **options: Any,
) -> Instance:
    """Make an encapsulated instance of frames of fragments; `count` is what it says it has."""
    return ct(
        frames=len(frames) if count is None else count,
        sop_class=MULTI_FRAME,
        modality="OT",
        transfer_syntax=transfer_syntax,
        pixel_element=encapsulated(frames, table=table),
        **options,
    )


def deflate(data: bytes) -> bytes:
    """Deflate a data set as PS3.5 A.5 has it."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(data) + packer.flush()
    return packed + b"\0" if len(packed) % 2 else packed


def deflate_bomb(size: int = 64 << 20) -> bytes:
    """Make a deflated data set that inflates about 1000 to 1: one value of zeros."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    packed = packer.compress(element("00080060", "CS", "OT") + header("00091010", "OB", size))
    block = bytes(1 << 20)
    for _ in range(size >> 20):
        packed += packer.compress(block)
    return packed + packer.flush()


BROKEN = (
    *(
        "truncated",
        "garbage",
        "empty",
        "no-study",
        "no-instance",
        "no-class",
        "bad-uid",
        "long-uid",
    ),
    *("unclosed-sequence", "length-past-end", "deep", "text", "half-head", "html"),
)
"""The names `broken` knows."""


def broken(name: str, **options: Any) -> bytes:
    """Make a file that is wrong in one named way (see BROKEN)."""
    whole = ct(**options)
    match name:
        case "truncated":
            return whole.part10()[:-101]
        case "half-head":
            return whole.part10()[:170]
        case "garbage":
            return file_head(group2=whole.group2(), preamble=b"") + b"\xa7\x13" * 700
        case "text":
            return b"This is a letter, and not an instance. " * 40
        case "html":
            return b"<!doctype html><html><body>404</body></html>" * 20
        case "empty":
            return b""
        case "no-study" | "no-instance" | "no-class":
            dropped = {"no-study": "0020000D", "no-instance": "00080018", "no-class": "00080016"}
            whole.values = {**whole.values, dropped[name]: None}
            return whole.part10()
        case "bad-uid":
            return ct(**options, values={"SOPInstanceUID": "1.2.abc/../etc"}).part10()
        case "long-uid":
            return ct(**options, values={"SOPInstanceUID": "1." + "2" * 63}).part10()
        case "unclosed-sequence":
            tail = header("FFFCFFFC", "OB", 0)
            start = header("00400275", "SQ", _ENDLESS) + header("FFFEE000", "", _ENDLESS)
            return whole.part10() + start + tail
        case "length-past-end":
            return whole.part10() + header("7FE10010", "OB", 1 << 31) + b"\1\2"
        case "deep":
            return file_head(group2=whole.group2(), preamble=b"") + nested(40)
    raise KeyError(name)


def nested(depth: int, how: Writing | None = None) -> bytes:
    """Write a data set of sequences, one inside the other."""
    how = how or Writing()
    items: list[Element] = [("00080100", "SH", "T1")]
    for _ in range(depth):
        items = [("00081140", "SQ", [items])]
    return dataset(items, how)
