"""Finding the frames: from what the scanner noted of the Pixel Data to a frame table.

Native (PS3.5 8.1, A.1-A.2), encapsulated with a Basic or an Extended Offset Table or without (PS3.5
A.4, PS3.3 C.7.6.3.1.8), one fragment a frame or many. Without a table, fragments are put together
by the codestreams' own marks, seen at the ends of each fragment as it went by.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from vna.dicom.frames import FrameTable, Piece
from vna.dicom.uids import TransferSyntax

ENDS_BYTES = 10
"""How many bytes of a fragment's end are looked at; an encoder may pad behind its end marker."""
STARTS_BYTES = 12
# First bytes of a JPEG, JPEG-LS, JPEG 2000 / HTJ2K, JPEG XL codestream or file
_STARTS = (
    b"\xff\xd8\xff",
    b"\xff\x4f\xff\x51",
    b"\xff\x0a",
    b"\0\0\0\x0cJXL ",
    b"\0\0\0\x0cjP  ",
)
_END = b"\xff\xd9"  # EOI of JPEG and JPEG-LS, EOC of JPEG 2000


@dataclass(slots=True)
class Fragments:
    """What was noted of the fragments of the top-level Pixel Data."""

    first: int = 0  # offset of the item behind the Basic Offset Table
    offsets: array[int] = field(default_factory=lambda: array("Q"))
    lengths: array[int] = field(default_factory=lambda: array("I"))
    starts: bytearray = field(default_factory=bytearray)
    ends: bytearray = field(default_factory=bytearray)
    basic: Sequence[int] = ()
    extended: Sequence[int] = ()
    extended_lengths: Sequence[int] = ()

    def note(self, head: bytes, tail: bytes) -> None:
        """Note whether a fragment begins and ends a codestream."""
        self.starts.append(head.startswith(_STARTS))
        self.ends.append(_END in tail)

    def piece(self, index: int) -> Piece:
        """Give the place of a fragment's bytes."""
        return self.offsets[index], self.lengths[index]


def encapsulated(
    fragments: Fragments, count: int, syntax: TransferSyntax | None
) -> tuple[FrameTable | None, str | None]:
    """Find encapsulated frames; the second result is what is to be flagged."""
    if syntax is not None and syntax.is_video:
        return FrameTable.stream(_all(fragments), count), "frames-stream"
    if table := _by_extended(fragments):
        return table, None if table.count == count else "frames-count"
    wrong_table = bool(fragments.extended)
    if (table := _by_basic(fragments)) and (
        table.count == count or count != len(fragments.offsets)
    ):
        return table, None if table.count == count else "frames-count"
    wrong_table = wrong_table or bool(fragments.basic)
    found = _without_table(fragments, count)
    if found is not None:
        return FrameTable.listed(found), "offset-table" if wrong_table else None
    return None, "frames-unknown"


def _all(fragments: Fragments) -> list[Piece]:
    return list(zip(fragments.offsets, fragments.lengths, strict=True))


def _by_extended(fragments: Fragments) -> FrameTable | None:
    """One fragment a frame; the lengths of the table are without padding (PS3.3 C.7.6.3.1.8)."""
    if not fragments.extended or len(fragments.extended) != len(fragments.extended_lengths):
        return None
    places = dict(zip(fragments.offsets, fragments.lengths, strict=True))
    frames = []
    for start, length in zip(fragments.extended, fragments.extended_lengths, strict=True):
        offset = fragments.first + start + 8
        if length > places.get(offset, -1):
            return None
        frames.append(((offset, length),))
    return FrameTable.listed(frames)


def _by_basic(fragments: Fragments) -> FrameTable | None:
    """A frame reaches from its offset to the next one's (PS3.5 A.4)."""
    if not fragments.basic or not fragments.offsets:
        return None
    index_of = {offset - 8 - fragments.first: i for i, offset in enumerate(fragments.offsets)}
    firsts = [index_of.get(start, -1) for start in fragments.basic]
    if firsts[0] != 0 or any(b <= a for a, b in pairwise(firsts)):
        return None
    return FrameTable.listed(_cut(fragments, firsts))


def _cut(fragments: Fragments, firsts: Sequence[int]) -> list[list[Piece]]:
    """Put fragments together, given the index of each frame's first one."""
    pieces = _all(fragments)
    bounds = [*firsts, len(pieces)]
    return [pieces[a:b] for a, b in pairwise(bounds)]


def _without_table(fragments: Fragments, count: int) -> list[list[Piece]] | None:
    pieces = _all(fragments)
    if len(pieces) == count:
        return [[piece] for piece in pieces]
    if count == 1:
        return [pieces] if pieces else None
    if len(pieces) < count:
        return None
    after_ends = [0, *(i + 1 for i, end in enumerate(fragments.ends) if end)]
    if len(after_ends) == count + 1 and after_ends[-1] == len(pieces):
        return _cut(fragments, after_ends[:-1])
    starts = [i for i, start in enumerate(fragments.starts) if start]
    if len(starts) == count and starts[0] == 0:
        return _cut(fragments, starts)
    return None


def native(
    tag: int, offset: int, length: int, count: int, attributes: Mapping[str, Any]
) -> tuple[FrameTable | None, str | None]:
    """Find native frames from Rows, Columns, Samples per Pixel and Bits Allocated (PS3.5 8.1.1)."""
    rows, columns = number(attributes, "00280010"), number(attributes, "00280011")
    allocated = {0x7FE00008: 32, 0x7FE00009: 64}.get(tag) or number(attributes, "00280100")
    samples = number(attributes, "00280002") or 1
    if not rows or not columns or not allocated or rows < 0 or columns < 0 or allocated < 0:
        return None, "frames-unknown"
    bits = rows * columns * max(samples, 1) * allocated
    if fitting := _fitting(bits, length, count, attributes):
        bits = fitting
        return FrameTable.native(offset, (bits + 7) // 8, count, bits), None
    whole = length * 8 // bits
    if whole == 0:
        return None, "frames-unknown"
    return FrameTable.native(offset, (bits + 7) // 8, min(count, whole), bits), "frames-short"


def _fitting(bits: int, length: int, count: int, attributes: Mapping[str, Any]) -> int | None:
    """Choose the frame size that fits the value: chroma may be subsampled (PS3.3 C.7.6.3.1.2)."""
    photometric = str(first(attributes, "00280004") or "")
    sizes = [bits]
    if "422" in photometric:
        sizes.insert(0, bits * 2 // 3)
    elif "420" in photometric:
        sizes.insert(0, bits // 2)
    for size in sizes:
        if size and (size * count + 7) // 8 in (length, length - 1):
            return size
    return next((size for size in sizes if size and (size * count + 7) // 8 <= length), None)


def first(attributes: Mapping[str, Any], tag: str) -> Any:  # any value of the DICOM JSON Model
    """Give an attribute's first value, or None."""
    values = attributes.get(tag, {}).get("Value") or [None]
    return values[0]


def number(attributes: Mapping[str, Any], tag: str) -> int | None:
    """Give an attribute's first value as an integer, or None where it is none."""
    value = first(attributes, tag)
    try:
        return int(value)
    except (OverflowError, TypeError, ValueError):
        return None
