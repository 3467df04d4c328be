"""Many instances as one ZIP file, never held and never on a disk (APPNOTE 6.3.10).

Files are stored, not compressed. Its length is known beforehand and each byte can be walked to, so
that a download that broke off goes on where it was. The format wants a checksum before each file's
bytes: small files are read once and held for that moment, large ones are read twice. What was
computed is remembered for a while, since a resumed download needs the checksums of what went before
it, too. Sealed ones: sealed.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from vna.blobs.recent import Recent
from vna.dicom.refs import InstanceRef
from vna.retrieve.payload import Buffer, Stretch, joined
from vna.retrieve.zipformat import FileHead, closing

_HELD_BYTES = 8 << 20  # a file up to this size is held while its checksum is computed
_REMEMBERED, _REMEMBERED_S = 200_000, 86_400.0

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
class File:
    """One instance as the DICOM file it goes out as; `name` is its place within its study."""

    name: tuple[str, ...]
    ref: InstanceRef
    sop_class: str
    transfer_syntax: str
    content: Stretch


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
    heads = [_head(entry) for entry in entries]
    files = [_file(entry, head, known) for entry, head in zip(entries, heads, strict=True)]
    return bound(files, heads, lambda at: _checksum(entries[at], known))


def bound(
    files: Sequence[Stretch], heads: Sequence[FileHead], checksum_of: Callable[[int], int]
) -> Stretch:
    """Put files that have their records before them together, and the directory behind them."""
    places: list[int] = []
    at = 0
    for file in files:
        places.append(at)
        at += file.length
    size = sum(head.central_size(place) for head, place in zip(heads, places, strict=True))
    ending = closing(len(heads), size, at)

    def directory(start: int, end: int) -> Iterator[Buffer]:
        whole = [
            head.central(place, checksum_of(number))
            for number, (head, place) in enumerate(zip(heads, places, strict=True))
        ]
        yield b"".join((*whole, ending))[start:end]

    return joined((*files, Stretch(size + len(ending), directory)))


def packed(entries: Iterable[Entry]) -> Iterator[Buffer]:
    """Make a ZIP file as its files come, each held for that moment: nobody knows its length yet."""
    at = 0
    directory = []
    for entry in entries:
        data = b"".join(map(bytes, entry.content.walk(0, entry.content.length)))
        crc = zlib.crc32(data)
        head = _head(entry)
        local = head.local(crc)
        directory.append(head.central(at, crc))
        at += len(local) + len(data)
        yield local + data
    size = sum(map(len, directory))
    yield b"".join((*directory, closing(len(directory), size, at)))


def _head(entry: Entry) -> FileHead:
    size = entry.content.length
    return FileHead(name=entry.name, size=size, packed=size, changed_at=entry.changed_at)


def _file(entry: Entry, head: FileHead, known: Checksums) -> Stretch:
    before = head.local_size

    def walk(start: int, end: int) -> Iterator[Buffer]:
        content = entry.content
        if start < before and content.length <= _HELD_BYTES and known.get(entry.key) is None:
            data = b"".join(map(bytes, content.walk(0, content.length)))
            known.put(entry.key, zlib.crc32(data))
            yield head.local(zlib.crc32(data))[start:end]
            yield memoryview(data)[: max(end - before, 0)]
            return
        if start < before:
            yield head.local(_checksum(entry, known))[start:end]
        if end > before:
            yield from content.walk(max(start - before, 0), end - before)

    return Stretch(before + entry.content.length, walk)


def _checksum(entry: Entry, known: Checksums) -> int:
    found = known.get(entry.key)
    if found is None:
        found = 0
        for piece in entry.content.walk(0, entry.content.length):
            found = zlib.crc32(piece, found)
        known.put(entry.key, found)
    return found
