"""Many instances as one ZIP file, never held and never on a disk (APPNOTE 6.3.10).

Files are stored, not compressed. Its length is known beforehand and each byte can be walked to, so
that a download that broke off goes on where it was. The format wants a checksum before each file's
bytes: small files are read once and held for that moment, large ones are read twice. What was
computed is remembered for a while, since a resumed download needs the checksums of what went before
it, too.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from vna.blobs.recent import Recent
from vna.dicom.refs import InstanceRef
from vna.retrieve.payload import Buffer, Stretch, joined

_HELD_BYTES = 8 << 20  # a file up to this size is held while its checksum is computed
_REMEMBERED, _REMEMBERED_S = 200_000, 86_400.0
_FULL32, _FULL16 = 0xFFFFFFFF, 0xFFFF
_PLAIN, _LARGE = 20, 45  # versions needed to extract: with and without ZIP64
_UNIX_FILE = 0o100644 << 16

Checksums = Recent[bytes, int]


class Referred(Protocol):
    """What stands for an instance, wherever its bytes are."""

    @property
    def ref(self) -> InstanceRef:
        """Name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file: its name in the archive, its bytes, and under which key its checksum is known."""

    name: str
    content: Stretch
    changed_at: datetime
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A ZIP file of instances: its bytes, which versions are in it, and since when."""

    content: Stretch
    revisions: list[str]
    changed_at: datetime


def file_names(found: Iterable[Referred]) -> Iterator[tuple[str, ...]]:
    """Name the files of instances by number, as File IDs are (PS3.10 8.2): nobody's data."""
    series: dict[str, tuple[str, int]] = {}
    studies: dict[str, str] = {}
    for located in found:
        study = studies.setdefault(located.ref.study, f"ST{len(studies) + 1:06}")
        name, count = series.get(located.ref.series, (f"SE{len(series) + 1:06}", 0))
        series[located.ref.series] = (name, count + 1)
        yield ("DICOM", study, name, f"IM{count + 1:06}")


def checksums() -> Checksums:
    """Make a memory of checksums: of 200,000 files, for a day."""
    return Recent(_REMEMBERED, _REMEMBERED_S)


def package(entries: Sequence[Entry], known: Checksums) -> Stretch:
    """Make the ZIP file of some entries, any part of which can be walked."""
    places: list[int] = []
    at = 0
    files = []
    for entry in entries:
        file = _file(entry, known)
        places.append(at)
        at += file.length
        files.append(file)
    size = sum(
        46 + len(e.name) + len(_central_extra(e, p)) for e, p in zip(entries, places, strict=True)
    )
    closing = len(_closing(len(entries), size, at))

    def directory(start: int, end: int) -> Iterator[Buffer]:
        whole = [_central(e, p, _checksum(e, known)) for e, p in zip(entries, places, strict=True)]
        yield b"".join((*whole, _closing(len(entries), size, at)))[start:end]

    return joined((*files, Stretch(size + closing, directory)))


def packed(entries: Iterable[Entry]) -> Iterator[Buffer]:
    """Make a ZIP file as its files come, each held for that moment: nobody knows its length yet."""
    at = 0
    directory = []
    for entry in entries:
        data = b"".join(map(bytes, entry.content.walk(0, entry.content.length)))
        crc = zlib.crc32(data)
        local = _local(entry, crc)
        directory.append(_central(entry, at, crc))
        at += len(local) + len(data)
        yield local + data
    size = sum(map(len, directory))
    yield b"".join((*directory, _closing(len(directory), size, at)))


def _file(entry: Entry, known: Checksums) -> Stretch:
    head = 30 + len(entry.name) + len(_local_extra(entry))

    def walk(start: int, end: int) -> Iterator[Buffer]:
        content = entry.content
        if start < head and content.length <= _HELD_BYTES and known.get(entry.key) is None:
            data = b"".join(map(bytes, content.walk(0, content.length)))
            known.put(entry.key, zlib.crc32(data))
            yield _local(entry, zlib.crc32(data))[start:end]
            yield memoryview(data)[: max(end - head, 0)]
            return
        if start < head:
            yield _local(entry, _checksum(entry, known))[start:end]
        if end > head:
            yield from content.walk(max(start - head, 0), end - head)

    return Stretch(head + entry.content.length, walk)


def _checksum(entry: Entry, known: Checksums) -> int:
    found = known.get(entry.key)
    if found is None:
        found = 0
        for piece in entry.content.walk(0, entry.content.length):
            found = zlib.crc32(piece, found)
        known.put(entry.key, found)
    return found


def _when(at: datetime) -> tuple[int, int]:
    """Write a moment as MS-DOS time and date, in UTC."""
    at = at.astimezone(UTC)
    date = max(at.year - 1980, 0) << 9 | at.month << 5 | at.day
    return at.hour << 11 | at.minute << 5 | at.second // 2, date


def _local_extra(entry: Entry) -> bytes:
    size = entry.content.length
    return struct.pack("<HHQQ", 1, 16, size, size) if size >= _FULL32 else b""


def _local(entry: Entry, crc: int) -> bytes:
    extra = _local_extra(entry)
    size = min(entry.content.length, _FULL32)
    head = struct.pack(
        "<4sHHHHHIIIHH",
        b"PK\3\4",
        _LARGE if extra else _PLAIN,
        0,
        0,
        *_when(entry.changed_at),
        crc,
        size,
        size,
        len(entry.name),
        len(extra),
    )
    return head + entry.name.encode("ascii") + extra


def _central_extra(entry: Entry, place: int) -> bytes:
    size = entry.content.length
    values = [size, size] if size >= _FULL32 else []
    if place >= _FULL32:
        values.append(place)
    return struct.pack(f"<HH{len(values)}Q", 1, 8 * len(values), *values) if values else b""


def _central(entry: Entry, place: int, crc: int) -> bytes:
    extra = _central_extra(entry, place)
    size = min(entry.content.length, _FULL32)
    head = struct.pack(
        "<4sHHHHHHIIIHHHHHII",
        b"PK\1\2",
        3 << 8 | _LARGE,
        _LARGE if extra else _PLAIN,
        0,
        0,
        *_when(entry.changed_at),
        crc,
        size,
        size,
        len(entry.name),
        len(extra),
        0,
        0,
        0,
        _UNIX_FILE,
        min(place, _FULL32),
    )
    return head + entry.name.encode("ascii") + extra


def _closing(count: int, size: int, at: int) -> bytes:
    """Write the end of the central directory, with ZIP64 where numbers are too large."""
    large = b""
    if count >= _FULL16 or at >= _FULL32 or size >= _FULL32:
        large = struct.pack(
            "<4sQHHIIQQQQ", b"PK\6\6", 44, 3 << 8 | _LARGE, _LARGE, 0, 0, count, count, size, at
        ) + struct.pack("<4sIQI", b"PK\6\7", 0, at + size, 1)
    few = min(count, _FULL16)
    return large + struct.pack(
        "<4sHHHHIIH", b"PK\5\6", 0, 0, few, few, min(size, _FULL32), min(at, _FULL32), 0
    )
