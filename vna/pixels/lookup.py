"""Look-up tables of the data set: modality, VOI, palettes (PS3.3 C.11.1, C.11.2, C.7.6.3.1.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vna.pixels.elements import Members, binary, integer, numbers, values
from vna.pixels.faults import Damaged

Array = NDArray[Any]  # of integers or floats
_DESCRIPTOR, _DATA = "00283002", "00283006"
_MOST = 1 << 16


@dataclass(frozen=True, slots=True)
class Table:
    """Entries for the values from `first` on; what lies outside takes the first or last entry."""

    first: int
    entries: Array
    bits: int

    def of(self, stored: Array) -> Array:
        """Map values."""
        index = np.clip(np.trunc(stored) - self.first, 0, len(self.entries) - 1)
        return np.asarray(self.entries[index.astype(np.intp)])


def table(members: Members, *, is_signed: bool) -> Table | None:
    """Read an item of a Modality or VOI LUT Sequence; None when it lacks something."""
    described = descriptor(members, _DESCRIPTOR, is_signed=is_signed)
    if described is None:
        return None
    count, first, bits = described
    entries = words(members, _DATA, count)
    return Table(first, entries, bits) if len(entries) else None


def descriptor(members: Members, tag: str, *, is_signed: bool) -> tuple[int, int, int] | None:
    """Read a LUT Descriptor: number of entries, first value mapped, bits of an entry.

    The number is unsigned even where the VR of all three is SS (PS3.3 C.11.1.1.1, C.11.2.1.1).
    """
    read = [int(number) for number in numbers(members, tag)]
    if len(read) != 3:
        return None
    count, first, bits = read[0] % _MOST, read[1], read[2]
    if is_signed and first > 0x7FFF:
        first -= _MOST
    if not 1 <= bits <= 16:
        return None
    return count or _MOST, first, bits


def words(members: Members, tag: str, count: int) -> Array:
    """Read LUT Data: numbers of the JSON, or bytes, two an entry unless there are too few."""
    listed = values(members, tag)
    if listed:
        found = [value & 0xFFFF for value in listed if isinstance(value, int)]  # SS was allowed
        return np.array(found[:count], np.uint16)
    data = binary(members, tag)
    if len(data) < count * 2:
        return np.frombuffer(data[:count], np.uint8).astype(np.uint16)
    return np.frombuffer(data, "<u2", count)


_COLOURS = ("01", "02", "03")


def has_palette(members: Members) -> bool:
    """Tell whether there is a palette."""
    return "00281101" in members and ("00281201" in members or "00281221" in members)


def palette(members: Members, *, is_signed: bool) -> tuple[int, Array]:
    """Read the palette: first value mapped, and (entries, 3) of 8 bits. Raises `Damaged`."""
    described = descriptor(members, "00281101", is_signed=is_signed)
    if described is None:
        raise Damaged
    count, first, bits = described
    columns = [_colour(members, number, count, bits) for number in _COLOURS]
    length = min(len(column) for column in columns)
    if not length:
        raise Damaged
    return first, np.stack([column[:length] for column in columns], axis=-1)


def _colour(members: Members, number: str, count: int, bits: int) -> Array:
    segmented = f"002812{2}{number[1]}"
    if segmented in members and f"002812{number}" not in members:
        entries = _expanded(members, segmented, bits)
        return (entries >> 8 if bits > 8 else entries).astype(np.uint8)[:count]
    tag = f"002812{number}"
    data = binary(members, tag)
    entries = words(members, tag, count)
    is_wide = bool(values(members, tag)) or len(data) >= count * 2
    return (entries >> 8 if is_wide and bits > 8 else entries).astype(np.uint8)


def _expanded(members: Members, tag: str, bits: int) -> Array:
    """Write out a segmented palette (PS3.3 C.7.9.2)."""
    data = binary(members, tag)
    raw = (
        np.frombuffer(data[: len(data) // 2 * 2], "<u2") if bits > 8 else np.frombuffer(data, "u1")
    )
    out: list[int] = []
    _expand(raw.tolist(), bits > 8, out, 1 << 30)
    return np.array(out[:_MOST], np.uint16)


def _expand(data: list[int], is_wide: bool, out: list[int], most: int) -> None:
    at = done = 0
    while at + 1 < len(data) and done < most and len(out) < _MOST:
        kind, length = data[at], data[at + 1]
        at += 2
        if kind == 0:
            out.extend(data[at : at + length])
            at += length
        elif kind == 1 and out and at < len(data):
            start, end = out[-1], data[at]
            at += 1
            steps = np.around(np.linspace(start + (end - start) / max(length, 1), end, length))
            out.extend([end] * length if start == end else steps.astype(int).tolist())
        elif kind == 2 and out and most > length:
            wide = data[at : at + (2 if is_wide else 4)]
            at += len(wide)
            offset = _offset(wide, is_wide)
            _expand(data[offset:], is_wide, out, min(length, 255) if length else 0)
        else:
            raise Damaged
        done += 1


def _offset(cells: list[int], is_wide: bool) -> int:
    """Where an indirect segment begins: told in bytes, the least significant first (C.7.9.2.3)."""
    bits = 16 if is_wide else 8
    return sum(cell << (bits * place) for place, cell in enumerate(cells)) * 8 // bits


def bits_of_modality(members: Members) -> int:
    """Say how many bits the values of a Modality LUT have."""
    return integer(members, _DESCRIPTOR, 16)
