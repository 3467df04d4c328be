"""What stands in a ZIP or an ISO image: each file with a name to show, its size, and its bytes.

Names are shown and used for nothing else. Sizes that are declared are not believed: bytes are
counted as they come, against what the container itself has.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial

from vna.errors import InvalidRequest, TooLarge, UnsupportedMedia
from vna.imports import iso
from vna.imports.held import HeldFile
from vna.texts import filled, marked

PIECE = 1 << 20
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    TooLarge,
    UnsupportedMedia,
)
"""What reading a member may raise when it is damaged, or is not what it says."""

_ENTRIES = 100_000
_ENCRYPTED = 0x1
_LEAST = 64 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of a container; `problem` says why it cannot even be begun."""

    name: str
    size: int
    pieces: Callable[[], Generator[bytes]]
    problem: str = ""


class Budget:
    """Bytes that may still come out of a container, all its members together."""

    def __init__(self, most: int) -> None:
        self._left = most

    def spend(self, count: int) -> None:
        """Count bytes. Raises `TooLarge`."""
        self._left -= count
        if self._left < 0:
            raise TooLarge(marked("More comes out of this than can be in it: it was not read on."))


def of_zip(file: HeldFile, *, ratio: int) -> Iterator[Member]:
    """Give the files of a ZIP. Raises `InvalidRequest` when its list cannot be read."""
    try:
        archive = zipfile.ZipFile(file)
        entries = archive.infolist()
    except UNREADABLE as exc:
        raise InvalidRequest(
            marked("The ZIP cannot be read: its list of entries is missing, damaged or too long.")
        ) from exc
    if len(entries) > _ENTRIES:
        raise InvalidRequest(filled("The ZIP has more than %(most)s entries.", most=_ENTRIES))
    budget = Budget(max(file.size, _LEAST) * ratio)
    for entry in entries:
        if not entry.filename.endswith("/"):  # `is_dir` fails on an entry without a name
            pieces = partial(_inflated, archive, entry, ratio, budget)
            yield Member(
                name=entry.filename,
                size=entry.file_size,
                pieces=pieces,
                problem=_problem(entry),
            )


def _problem(entry: zipfile.ZipInfo) -> str:
    if entry.flag_bits & _ENCRYPTED:
        return "It is encrypted: unpack the ZIP with its password, and bring the files."
    if entry.compress_type not in _METHODS:
        return "It is compressed in a way that is not read here."
    return ""


def _inflated(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, ratio: int, budget: Budget
) -> Generator[bytes]:
    own = Budget(max(entry.compress_size, 4096) * ratio)
    with archive.open(entry) as stream:
        while piece := stream.read(PIECE):
            own.spend(len(piece))
            budget.spend(len(piece))
            yield piece


def of_iso(file: HeldFile) -> Iterator[Member]:
    """Give the files of an ISO 9660 image. Raises `InvalidRequest` when it has no list of them."""
    budget = Budget(2 * file.size + _LEAST)  # files may lie over each other, within reason
    for entry in iso.files(file.read_at):
        is_cut = any(start + length > file.size for start, length in entry.extents)
        yield Member(
            name=entry.name,
            size=entry.size,
            pieces=partial(_read, file, entry, budget),
            problem="The image ends before this file does." if is_cut else entry.problem,
        )


def _read(file: HeldFile, entry: iso.Entry, budget: Budget) -> Generator[bytes]:
    for start, length in entry.extents:
        at, end = start, start + length
        while at < end:
            piece = file.read_at(at, min(PIECE, end - at))
            budget.spend(len(piece))
            yield piece
            at += len(piece)
