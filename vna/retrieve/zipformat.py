"""The records of a ZIP file (APPNOTE 6.3.10): stored files, plain or sealed by AES (AE-2).

A sealed file says method 99 and, in a field of its own, what is below: AES-256, stored. It carries
no checksum: its authentication code stands behind it, and a checksum would tell what is in it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime

_FULL32, _FULL16 = 0xFFFFFFFF, 0xFFFF
_PLAIN, _LARGE, _AES = 20, 45, 51  # versions needed to extract
_UNIX = 3 << 8
_UNIX_FILE = 0o100644 << 16
_SEALED, _METHOD_AES = 1, 99
_AES_FIELD = struct.pack("<HHH2sBH", 0x9901, 7, 2, b"AE", 3, 0)  # AE-2, 256 bits, stored


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHead:
    """What the records of a file say of it: `size` of its contents, `packed` as it stands here."""

    name: str
    size: int
    packed: int
    changed_at: datetime
    is_sealed: bool = False

    @property
    def local_size(self) -> int:
        """Say how long the record before the file is."""
        return 30 + len(self.name) + len(self._local_extra())

    def central_size(self, place: int) -> int:
        """Say how long its record in the directory is."""
        return 46 + len(self.name) + len(self._central_extra(place))

    def local(self, checksum: int) -> bytes:
        """Write the record before the file."""
        extra = self._local_extra()
        fields = struct.pack("<4sH", b"PK\3\4", self._version())
        return fields + self._common(checksum, extra) + self.name.encode("ascii") + extra

    def central(self, place: int, checksum: int) -> bytes:
        """Write its record in the directory; the file begins at `place`."""
        extra = self._central_extra(place)
        fields = struct.pack(
            "<4sHH", b"PK\1\2", _UNIX | max(_LARGE, self._version()), self._version()
        )
        ends = struct.pack("<HHHII", 0, 0, 0, _UNIX_FILE, min(place, _FULL32))
        return fields + self._common(checksum, extra) + ends + self.name.encode("ascii") + extra

    def _common(self, checksum: int, extra: bytes) -> bytes:
        packed, size = (_FULL32, _FULL32) if self._is_large() else (self.packed, self.size)
        return struct.pack(
            "<HHHHIIIHH",
            _SEALED if self.is_sealed else 0,
            _METHOD_AES if self.is_sealed else 0,
            *_when(self.changed_at),
            0 if self.is_sealed else checksum,
            packed,
            size,
            len(self.name),
            len(extra),
        )

    def _is_large(self) -> bool:
        return self.packed >= _FULL32

    def _version(self) -> int:
        if self.is_sealed:
            return _AES
        return _LARGE if self._is_large() else _PLAIN

    def _local_extra(self) -> bytes:
        sizes = struct.pack("<HHQQ", 1, 16, self.size, self.packed) if self._is_large() else b""
        return sizes + self._sealed_extra()

    def _central_extra(self, place: int) -> bytes:
        values = [self.size, self.packed] if self._is_large() else []
        if place >= _FULL32:
            values.append(place)
        large = struct.pack(f"<HH{len(values)}Q", 1, 8 * len(values), *values) if values else b""
        return large + self._sealed_extra()

    def _sealed_extra(self) -> bytes:
        return _AES_FIELD if self.is_sealed else b""


def closing(count: int, size: int, at: int) -> bytes:
    """Write the end of the directory, which is of `size` and begins `at`; ZIP64 where it must."""
    large = b""
    if count >= _FULL16 or at >= _FULL32 or size >= _FULL32:
        made, needed = _UNIX | _LARGE, _LARGE
        large = struct.pack(
            "<4sQHHIIQQQQ", b"PK\6\6", 44, made, needed, 0, 0, count, count, size, at
        ) + struct.pack("<4sIQI", b"PK\6\7", 0, at + size, 1)
    few = min(count, _FULL16)
    return large + struct.pack(
        "<4sHHHHIIH", b"PK\5\6", 0, 0, few, few, min(size, _FULL32), min(at, _FULL32), 0
    )


def _when(at: datetime) -> tuple[int, int]:
    """Write a moment as MS-DOS time and date, in UTC."""
    at = at.astimezone(UTC)
    date = max(at.year - 1980, 0) << 9 | at.month << 5 | at.day
    return at.hour << 11 | at.minute << 5 | at.second // 2, date
