"""How the pixels of an image are written (PS3.3 C.7.6.3): what every codec has to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vna.errors import Undecodable

_ROWS, _COLUMNS, _SAMPLES, _PHOTOMETRIC = "00280010", "00280011", "00280002", "00280004"
_PLANAR, _ALLOCATED, _STORED, _SIGNED = "00280006", "00280100", "00280101", "00280103"
_FRAMES = "00280008"
FLOAT, DOUBLE = "7FE00008", "7FE00009"
SUBSAMPLED = frozenset(("YBR_FULL_422", "YBR_PARTIAL_422"))
Buffer = bytes | bytearray | memoryview
_MOST = {_ROWS: 65535, _COLUMNS: 65535, _SAMPLES: 4, _ALLOCATED: 64, _STORED: 64}


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelDescription:
    """The Image Pixel Module's attributes of one image.

    `floating` is Float or Double Float Pixel Data, of 32 or 64 bits allocated.
    """

    rows: int
    columns: int
    samples: int = 1
    photometric: str = "MONOCHROME2"
    planar: int = 0
    bits_allocated: int = 16
    bits_stored: int = 16
    is_signed: bool = False
    frames: int = 1
    floating: bool = False

    @property
    def pixels(self) -> int:
        """How many pixels a frame has."""
        return self.rows * self.columns

    @property
    def native_bytes(self) -> int:
        """How many bytes one uncompressed frame takes, each on its own (PS3.5 8.1)."""
        if self.samples == 3 and self.photometric in SUBSAMPLED and self.bits_allocated == 8:
            return self.rows * (self.columns + self.columns % 2) * 2
        return (self.pixels * self.samples * self.bits_allocated + 7) // 8

    @property
    def decoded_bytes(self) -> int:
        """How many bytes one decoded frame takes: every sample apart, bits as bytes."""
        return self.pixels * self.samples * max(self.bits_allocated // 8, 1)

    @classmethod
    def of(cls, members: Mapping[str, Any]) -> PixelDescription:
        """Read it from the DICOM JSON of an instance. Raises `Undecodable`."""
        floating = FLOAT in members or DOUBLE in members
        allocated = _number(members, _ALLOCATED, 64 if DOUBLE in members else 32 if floating else 0)
        made = cls(
            rows=_number(members, _ROWS),
            columns=_number(members, _COLUMNS),
            samples=_number(members, _SAMPLES, 1),
            photometric=str(_value(members, _PHOTOMETRIC) or "MONOCHROME2").strip().upper(),
            planar=1 if _value(members, _PLANAR) == 1 else 0,
            bits_allocated=allocated,
            bits_stored=min(_number(members, _STORED, allocated), allocated),
            is_signed=_value(members, _SIGNED) == 1,
            frames=_count(members),
            floating=floating,
        )
        if made.bits_allocated not in ((32, 64) if floating else (1, 8, 16, 32, 64)):
            raise Undecodable("Bits Allocated is none that pixels can have.")
        if made.samples == 2 or (made.samples > 1 and made.bits_allocated == 1):
            raise Undecodable("Samples per Pixel is none that pixels can have.")
        return made


def _value(members: Mapping[str, Any], tag: str) -> Any:  # a value of DICOM JSON: text or number
    found = members.get(tag)
    values = found.get("Value") if isinstance(found, dict) else None
    return values[0] if isinstance(values, list) and values else None


def _number(members: Mapping[str, Any], tag: str, default: int = 0) -> int:
    value = _value(members, tag)
    if value is None:
        value = default
    if not isinstance(value, int) or not 1 <= value <= _MOST[tag]:
        raise Undecodable("The instance does not describe its pixels as an image must.")
    return value


def _count(members: Mapping[str, Any]) -> int:
    value = _value(members, _FRAMES)
    return value if isinstance(value, int) and value > 0 else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSource:
    """One frame as it is stored.

    `data` is what a frame of an instance is given as elsewhere: the codestream of a compressed one;
    little endian octets of an uncompressed one, whatever its Transfer Syntax, from bit 0 on.
    """

    transfer_syntax: str
    data: Buffer
    description: PixelDescription
