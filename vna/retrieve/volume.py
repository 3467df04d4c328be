"""A disc's file system: ISO 9660, Joliet and UDF over the same files (PS3.12 F, UDF 2.60).

pycdlib lays the volume out while holes stand for the files; their bytes are walked afterwards, so
that gigabytes go by without being held and without touching a disk.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from vna.errors import Corrupt, TooLarge
from vna.retrieve.payload import Buffer, Stretch, joined, ready

if TYPE_CHECKING:
    from pycdlib import PyCdlib

SECTOR = 2048
LONGEST_FILE = (1 << 32) - SECTOR
"""ISO 9660 tells the length of a file in 32 bits."""

_STEP = 1 << 20
_ZEROS = bytes(_STEP)


@dataclass(frozen=True, slots=True)
class File:
    """One file of a disc: its path in upper case as ISO 9660 has it, and its bytes."""

    path: str
    content: Stretch


class _Hole(io.RawIOBase):
    """Stands for the bytes of one file while the volume is laid out."""

    def __init__(self, number: int, sheet: _Sheet) -> None:
        self._number = number
        self._sheet = sheet

    def seek(self, offset: int, _whence: int = io.SEEK_SET) -> int:
        return offset

    def read(self, size: int = -1) -> bytes:
        self._sheet.hole = self._number
        return _ZEROS if size == _STEP else _ZEROS[:size]


@dataclass(slots=True)
class _Sheet:
    """Takes down what is written of a volume but for its files: their places only."""

    sectors: dict[int, bytearray] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)  # number of a file -> offset
    hole: int | None = None
    end: int = 0
    _at: int = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.end}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def write(self, data: bytes) -> int:
        if self.hole is not None:
            self.places.setdefault(self.hole, self._at)
            self.hole = None
        elif any(data):
            self._keep(data)
        self._at += len(data)
        self.end = max(self.end, self._at)
        return len(data)

    def _keep(self, data: bytes) -> None:
        done = 0
        while done < len(data):
            number, skip = divmod(self._at + done, SECTOR)
            piece = data[done : done + SECTOR - skip]
            sector = self.sectors.setdefault(number, bytearray(SECTOR))
            sector[skip : skip + len(piece)] = piece
            done += len(piece)


def volume(files: Sequence[File], label: str) -> Stretch:
    """Make the image of a disc of these files; any part of it can be walked.

    Raises `TooLarge` for a file that ISO 9660 cannot tell the length of.
    """
    from pycdlib import PyCdlib  # for the process that makes discs, as below

    sheet = _Sheet()
    disc = PyCdlib()
    disc.new(interchange_level=1, vol_ident=label, joliet=3, udf="2.60")
    with closing(disc):
        _add(disc, files, sheet)
        disc.write_fp(cast("BinaryIO", sheet), blocksize=_STEP)
    return joined(_pieces(files, sheet))


def _add(disc: PyCdlib, files: Sequence[File], sheet: _Sheet) -> None:
    made: set[str] = set()
    for number, file in enumerate(files):
        if file.content.length > LONGEST_FILE:
            raise TooLarge("A file on a disc is smaller than 4 GiB.")
        *above, _ = file.path.split("/")
        for depth in range(1, len(above) + 1):
            path = "/" + "/".join(above[:depth])
            if path not in made:
                made.add(path)
                disc.add_directory(iso_path=path, joliet_path=path, udf_path=path)
        path = f"/{file.path}"
        disc.add_fp(
            cast("BinaryIO", _Hole(number, sheet)),
            file.content.length,
            iso_path=_iso(path),
            joliet_path=path,
            udf_path=path,
        )


def _iso(path: str) -> str:
    """Write a path as ISO 9660 has it: with its version, and a dot where there is no extension."""
    return f"{path};1" if "." in path.rsplit("/", 1)[1] else f"{path}.;1"


def _pieces(files: Sequence[File], sheet: _Sheet) -> Iterator[Stretch]:
    """Give the volume in order: runs of sectors, files, and zeros between."""
    parts = [(place, files[number].content) for number, place in sheet.places.items()]
    parts += [(at, ready(data)) for at, data in _runs(sheet.sectors)]
    at = 0
    for place, content in sorted(parts, key=lambda part: part[0]):
        yield _zeros(place - at)
        yield content
        at = place + content.length
    yield _zeros(sheet.end - at)


def _runs(sectors: dict[int, bytearray]) -> Iterator[tuple[int, bytes]]:
    run: list[bytearray] = []
    first = 0
    for number in sorted(sectors):
        if run and number != first + len(run):
            yield first * SECTOR, b"".join(run)
            run = []
        if not run:
            first = number
        run.append(sectors[number])
    if run:
        yield first * SECTOR, b"".join(run)


def _zeros(length: int) -> Stretch:
    def walk(start: int, end: int) -> Iterator[Buffer]:
        while start < end:
            yield _ZEROS[: end - start]
            start += _STEP

    return Stretch(length, walk)


class Readable(Protocol):
    """What can be read at any offset."""

    payload_len: int

    def read(self, offset: int, length: int) -> bytes:
        """Give bytes; fewer at the end."""


class _Window(io.RawIOBase):
    """A sealed image as pycdlib reads files: seek, tell, read."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        size = self._source.payload_len
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: size}[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(self._source.payload_len - self._at, 0)
        count = left if size < 0 else min(size, left)
        data = self._source.read(self._at, count) if count else b""
        self._at += len(data)
        return data


def check(source: Readable, expected: Iterable[tuple[str, bytes]]) -> None:
    """Read a disc back: each path in each of the three file systems, each file's SHA-256.

    Raises `Corrupt` when a file lacks, differs, or is one nobody put there.
    """
    from pycdlib import PyCdlib
    from pycdlib.pycdlibexception import PyCdlibException

    disc = PyCdlib()
    try:
        disc.open_fp(cast("BinaryIO", _Window(source)))
        with closing(disc):
            _check(disc, dict(expected))
    except PyCdlibException as exc:
        raise Corrupt("The disc cannot be read back.") from exc


def _check(disc: PyCdlib, expected: dict[str, bytes]) -> None:
    for path, digest in expected.items():
        extents = {
            disc.get_record(iso_path=_iso(f"/{path}")).extent_location(),
            disc.get_record(joliet_path=f"/{path}").extent_location(),
        }
        found = hashlib.sha256()
        with disc.open_file_from_iso(udf_path=f"/{path}") as file:
            while piece := file.read(_STEP):
                found.update(piece)
        if found.digest() != digest or len(extents) != 1:
            raise Corrupt(f"The file {path} of the disc is not what was written.")
    for name in ("joliet_path", "udf_path"):
        walked = {
            f"{folder.rstrip('/')}/{file}".lstrip("/")
            for folder, _, held in disc.walk(**{name: "/"})
            for file in held
        }
        if walked != expected.keys():
            raise Corrupt("The disc does not hold the files that were written, and no others.")
