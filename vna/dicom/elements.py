"""How a data element is encoded: VRs, the four encodings, what the first bytes betray (PS3.5 7).

An Encoding keeps, for each tag (and VR) it has met, everything the scanner needs in one look-up.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import lru_cache

from vna.dicom import dictionary
from vna.dicom.attributes import ALL_INDEXED
from vna.dicom.jsonmodel import FORMS_BIG, FORMS_LITTLE, Form, head_of

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_DATA = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
INLINE_BYTES = 1024
"""Values of BULK_VRS above this go by BulkDataURI."""
MOST_INLINE_BYTES = 1 << 20
"""Values of any VR above this go by BulkDataURI."""
LIGHT_BYTES = 4096
"""Values above this are formed one by one, so that their JSON can be counted."""

LONG_VRS = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))
SHORT_VRS = frozenset(
    (
        *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO"),
        *("LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"),
    )
)
KNOWN_VRS = LONG_VRS | SHORT_VRS
BINARY_VRS = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "UN"])
BULK_VRS = BINARY_VRS | {"UC", "UR", "UT", "LT", "ST"}
BY_URI_VRS = BULK_VRS | frozenset(["DS", "FL", "FD", "IS", "SL", "SS", "SV", "UL", "US", "UV"])
"""PS3.18 F.2.2 allows BulkDataURI for these; a huge value of another VR is given as UN."""

# Attributes the scanner must look at while it goes: they change how others are read, or end a wait
CHARSET, STUDY, PIXEL_SIGN, LUT_DESCRIPTOR = 0x00080005, 0x0020000D, 0x00280103, 0x00283002
EXTENDED_OFFSETS, EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002
SPECIAL = frozenset({CHARSET, PIXEL_SIGN, LUT_DESCRIPTOR, EXTENDED_OFFSETS, EXTENDED_LENGTHS})
LOW_GROUP = 0x0040
"""A data set begins with a group this low; one that does not may be in the other byte order."""
SAMPLES_PER_PIXEL = 0x00280002
KEPT = frozenset({int(tag, 16) for tag in ALL_INDEXED} | {SAMPLES_PER_PIXEL})

Entry = tuple[int, Form, bytes, int, bool, bool]
"""Tag, form of its value, head of its JSON, longest value, long header, kept for the index.

The longest value is -1 where the element wants more thought than a form.
"""
_MOST_ENTRIES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoding:
    """One of the ways to write data elements. `entries` is a memory of what was met."""

    explicit: bool
    little: bool
    tag: struct.Struct
    short: struct.Struct
    long: struct.Struct
    key_size: int  # bytes that tell an element's kind: tag and VR, or the tag alone
    entries: dict[bytes, Entry] = field(default_factory=dict)

    def learn(self, key: bytes, tag: int, vr: str, written: str) -> None:
        """Remember an element by its first bytes: its VR, and the VR as written."""
        if len(self.entries) >= _MOST_ENTRIES:
            self.entries.clear()
        self.entries[key] = self.entry(tag, vr, written)

    def entry(self, tag: int, vr: str, written: str) -> Entry:
        """Put together what the scanner needs to know of an element."""
        forms = FORMS_LITTLE if self.little else FORMS_BIG
        wide = self.explicit and written in LONG_VRS
        most = min(most_inline(vr), LIGHT_BYTES)
        if vr == "SQ" or tag in SPECIAL or tag in PIXEL_DATA or is_aside(tag):
            most = -1
        return tag, forms.get(vr, forms["UN"]), head_of(tag, vr), most, wide, tag in KEPT


def _encoding(explicit: bool, little: bool) -> Encoding:
    order = "<" if little else ">"
    return Encoding(
        explicit=explicit,
        little=little,
        tag=struct.Struct(order + "HH"),
        short=struct.Struct(order + ("H" if explicit else "I")),
        long=struct.Struct(order + "I"),
        key_size=6 if explicit else 4,
    )


EXPLICIT_LITTLE = _encoding(True, True)
IMPLICIT_LITTLE = _encoding(False, True)
EXPLICIT_BIG = _encoding(True, False)
IMPLICIT_BIG = _encoding(False, False)


def encoding(explicit: bool, little: bool) -> Encoding:
    """Look up an encoding by its two properties."""
    if little:
        return EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE
    return EXPLICIT_BIG if explicit else IMPLICIT_BIG


def most_inline(vr: str) -> int:
    """Tell the longest value of a VR that stands in the JSON itself."""
    return INLINE_BYTES if vr in BULK_VRS else MOST_INLINE_BYTES


def is_aside(tag: int) -> bool:
    """Whether an element is no attribute: delimiters, group lengths, group 0000 and 0002."""
    return not tag & 0xFFFF or tag >> 16 in (0x0000, 0x0002, 0xFFFE)


def is_private_creator(tag: int) -> bool:
    """Whether an element reserves a private block (PS3.5 7.8.1)."""
    return bool(tag & 0x10000) and 0x10 <= tag & 0xFFFF <= 0xFF


@lru_cache(16384)
def dictionary_vr(tag: int) -> str:
    """Look up the VR of an element written without one; "US or SS" and the like where it depends.

    Private elements are UN, their creators LO (PS3.5 7.8.1, 6.2.2).
    """
    if tag & 0x10000:
        return "LO" if is_private_creator(tag) else "UN"
    try:
        vr = dictionary.vr_of(tag)
    except KeyError:
        return "UN"
    return vr if vr in KNOWN_VRS or " or " in vr else "UN"


def settled_vr(vr: str, *, signed: bool, single_lut: bool) -> str:
    """Settle a VR that depends on other attributes, where none was written (PS3.5 A.1)."""
    if vr == "US or SS":
        return "SS" if signed else "US"
    if vr == "US or OW":
        return "US" if single_lut else "OW"
    return "OW" if " or " in vr else vr


def sniff(first: bytes, declared: Encoding) -> Encoding:
    """Tell the encoding a data set really has from its first 8 bytes; senders mix them up."""
    mine, other = first[0] | first[1] << 8, first[0] << 8 | first[1]
    if not declared.little:
        mine, other = other, mine
    if other <= LOW_GROUP < mine:
        declared = encoding(declared.explicit, not declared.little)
    has_vr = first[4:6].decode("latin_1") in KNOWN_VRS
    if has_vr == declared.explicit:
        return declared
    length: int = declared.long.unpack_from(first, 4)[0]
    if declared.explicit and length >= 0x10000:
        return declared  # a VR of another time; the length would make no sense as implicit
    return encoding(has_vr, declared.little)
