"""The files of an ISO 9660 image (ECMA-119), as far as its directories can be read.

Discs of patients are damaged, cut off and badly written: a directory that leads nowhere, or back to
itself, ends there, and everything else is read. Joliet and UDF beside it hold the same files.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from vna.errors import InvalidRequest
from vna.texts import filled, marked

SECTOR = 2048
MAGIC_AT = 16 * SECTOR + 1
MAGIC = b"CD001"
UDF_MAGIC = b"BEA01"

_PRIMARY, _LAST = 1, 255
_MOST_DESCRIPTORS = 64
_ROOT_AT, _BLOCK_AT = 156, 128
_DIRECTORY, _MORE = 0x02, 0x80
_MOST_DIRECTORY = 32 << 20
_MOST_ENTRIES = 200_000
_MOST_NAME = 400

ReadAt = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file: where its bytes lie, as (offset, length) in the image."""

    name: str
    extents: tuple[tuple[int, int], ...]
    is_directory: bool = False
    problem: str = ""

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return sum(length for _, length in self.extents)


def files(read_at: ReadAt) -> Iterator[Entry]:
    """Walk all files. Raises `InvalidRequest` when there is no primary volume descriptor."""
    block, root = _root(read_at)
    waiting = deque([root])
    seen = {root.extents}
    count = 0
    while waiting:
        folder = waiting.popleft()
        for entry in _entries(read_at, folder, block):
            count += 1
            if count > _MOST_ENTRIES:
                raise InvalidRequest(
                    filled("The image has more than %(most)s entries.", most=_MOST_ENTRIES)
                )
            if not entry.is_directory:
                yield entry
            elif entry.extents not in seen:
                seen.add(entry.extents)
                waiting.append(entry)


def _root(read_at: ReadAt) -> tuple[int, Entry]:
    """Find the root directory (ECMA-119 8.4)."""
    for number in range(16, 16 + _MOST_DESCRIPTORS):
        sector = read_at(number * SECTOR, SECTOR)
        if len(sector) < SECTOR or sector[1:6] != MAGIC or sector[0] == _LAST:
            break
        if sector[0] == _PRIMARY:
            block = int.from_bytes(sector[_BLOCK_AT : _BLOCK_AT + 2], "little")
            if block not in (512, 1024, 2048):
                break
            return block, _record(sector[_ROOT_AT : _ROOT_AT + 34], block, "")
    raise InvalidRequest(
        marked(
            "The image has no ISO 9660 list of files; copy the files of the disc, and bring those."
        )
    )


def _entries(read_at: ReadAt, folder: Entry, block: int) -> Iterator[Entry]:
    """Read one directory (ECMA-119 9.1): records do not cross sectors."""
    (start, length), *_ = folder.extents
    length = min(length, _MOST_DIRECTORY)
    begun: Entry | None = None  # a file whose next part follows
    for at in range(start, start + length, SECTOR):
        sector = read_at(at, min(SECTOR, start + length - at))
        position = 0
        while position < len(sector) and sector[position] >= 34:
            record = sector[position : position + sector[position]]
            position += sector[position]
            if len(record) < 34 or record[32] == 0 or (record[32] == 1 and record[33] < 2):
                continue  # cut off, nameless, or the directory itself and its parent
            entry = _record(record, block, folder.name)
            if begun is not None and begun.name == entry.name:
                entry = replace(entry, extents=begun.extents + entry.extents)
            begun = entry if record[25] & _MORE else None
            if begun is None:
                yield entry
    if begun is not None:
        yield replace(begun, problem="The last part of this file is missing.")


def _record(record: bytes, block: int, folder: str) -> Entry:
    first = int.from_bytes(record[2:6], "little") + record[1]  # past its extended attributes
    length = int.from_bytes(record[10:14], "little")
    name = record[33 : 33 + record[32]].decode("ascii", "replace").partition(";")[0].rstrip(".")
    is_interleaved = bool(record[26] or record[27])
    return Entry(
        name=f"{folder}/{name}".lstrip("/\0")[:_MOST_NAME],
        extents=((first * block, length),),
        is_directory=bool(record[25] & _DIRECTORY),
        problem="It is written in a way that is not read here." if is_interleaved else "",
    )
