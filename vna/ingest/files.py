"""Objects from files, folders and ZIP archives: content decides, whatever they are called."""

from __future__ import annotations

import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from vna.access.principal import Principal
from vna.dicom.part10 import NO_DICOM
from vna.errors import TooLarge
from vna.ingest.engine import IngestEngine
from vna.ingest.outcome import Cause, Outcome, Refused, Source

_CHUNK, _HEAD = 1 << 20, 1024
_DIRECTORY = b"1.2.840.10008.1.3.10"  # Media Storage Directory: the class of a DICOMDIR
_ENTRIES = 100_000
_RATIO = 200
_PREAMBLE = 128
_CLAIMS = (".dcm", ".dicom", ".ima")
_ARCHIVES = (b"PK", b"MZ")  # the second: an archive that unpacks itself
_PACKED = (".zip", ".7z", ".rar", ".tar", ".tgz", ".tar.gz", ".dcm.gz", ".iso")
_UNOPENED = "An archive that is cut off or not looked into: unpack it, and import what is in it."
# what the readers of ZIP raise beside OSError on bytes that are none, or by a way they do not know
_DAMAGED = (EOFError, RuntimeError, ValueError, struct.error, zlib.error, lzma.LZMAError)


class Stream(Protocol):
    """Bytes to be read piece by piece."""

    def read(self, size: int, /) -> bytes:
        """Read at most `size` bytes; none at the end."""


@dataclass(frozen=True, slots=True)
class Member:
    """One thing to import: a name to show to the person who asked, its size, and how to open it.

    `is_named`: it was asked for by itself, and did not just lie there.
    """

    name: str
    size: int
    open: Callable[[], AbstractContextManager[Stream]]
    problem: str | None = None
    is_named: bool = False


@dataclass(frozen=True, slots=True)
class Beside:
    """What lies beside objects and is none: a disc's viewer and its texts, its DICOMDIR."""


def members(paths: list[Path]) -> Iterator[Member]:
    """Every object below the paths. Links are not followed; a ZIP archive is looked into.

    What cannot be read, a folder too, is a member with its `problem`: nothing is passed over.
    """
    for path in paths:
        if os.path.isdir(path) and not os.path.islink(path):
            yield from _below(path)
        else:
            yield from (replace(one, is_named="!" not in one.name) for one in _of_file(path))


def take(engine: IngestEngine, principal: Principal, member: Member) -> Outcome | Beside:
    """Import one member."""
    if member.problem is not None:
        return Refused(cause=Cause.CANNOT_UNDERSTAND, message=member.problem)
    receiving = engine.receive(principal, Source(proto="import"))
    head = b""
    try:
        with member.open() as stream:
            while chunk := stream.read(_CHUNK):
                head = head or chunk[:_HEAD]
                receiving.feed(chunk)
                if receiving.refused is not None:
                    break
    except (OSError, zipfile.BadZipFile, TooLarge) as exc:
        receiving.abort()
        return Refused(cause=Cause.CANNOT_UNDERSTAND, message=f"It cannot be read: {exc}.")
    outcome = receiving.finish()
    if not isinstance(outcome, Refused):
        return outcome
    if outcome.message == NO_DICOM and member.name.lower().endswith(_PACKED):
        return replace(outcome, message=_UNOPENED)
    return Beside() if _is_beside(member, head, outcome) else outcome


def _is_beside(member: Member, head: bytes, outcome: Refused) -> bool:
    """Whether something refused is no object at all, and nobody said that it is one.

    Zeros may be an object the disc lost.
    """
    if member.is_named or member.name.lower().endswith(_CLAIMS):
        return False
    return _DIRECTORY in head or (outcome.message == NO_DICOM and bool(head.strip(b"\0")))


def _below(folder: Path) -> Iterator[Member]:
    closed: list[OSError] = []
    for at, folders, names in os.walk(folder, onerror=closed.append):
        folders.sort()
        for name in sorted(names):
            if _may_be_file(inner := Path(at, name)):
                yield from _of_file(inner)
    for exc in closed:
        yield _unread(Path(exc.filename or folder), exc)


def _may_be_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return True  # said when it is opened


def _of_file(path: Path) -> Iterator[Member]:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            yield _refused(path, "It is not a file.")
        elif _is_zip(path):
            yield from _of_zip(path)
        else:
            yield Member(str(path), about.st_size, lambda: path.open("rb"))
    except (OSError, zipfile.BadZipFile) as exc:
        yield _unread(path, exc)


def _is_zip(path: Path) -> bool:
    """Whether it begins and ends as an archive: pixels may hold by chance what ends one."""
    with path.open("rb") as file:
        head = file.read(_PREAMBLE + 4)
    if not head.startswith(_ARCHIVES) or head[_PREAMBLE:] == b"DICM":
        return False
    return zipfile.is_zipfile(path)


def _unread(path: Path, exc: OSError | zipfile.BadZipFile) -> Member:
    return _refused(path, f"It cannot be read: {getattr(exc, 'strerror', None) or exc}.")


def _refused(path: Path, problem: str) -> Member:
    return Member(str(path), 0, lambda: path.open("rb"), problem=problem)


@contextmanager
def _reading_zip() -> Iterator[None]:
    """Turn whatever damaged bytes made of the readers into `zipfile.BadZipFile`."""
    try:
        yield
    except _DAMAGED as exc:
        raise zipfile.BadZipFile(str(exc) or "the archive is damaged") from exc


def _of_zip(path: Path) -> Iterator[Member]:
    with _reading_zip(), zipfile.ZipFile(path) as archive:
        # `is_dir` fails on an entry without a name
        entries = [e for e in archive.infolist() if not e.filename.endswith("/")]
    if len(entries) > _ENTRIES:
        yield _refused(path, f"The archive has more than {_ENTRIES} entries.")
        return
    for entry in entries:
        yield Member(f"{path}!{entry.filename}", entry.file_size, partial(_Entry, path, entry))


class _Entry:
    """An entry's bytes, counted as they come: the size the archive declares is not believed.

    It opens the archive for itself, so that entries are read in any thread at any time.
    """

    def __init__(self, path: Path, entry: zipfile.ZipInfo) -> None:
        with _reading_zip():
            self._archive = zipfile.ZipFile(path)
        try:
            with _reading_zip():
                self._stream = self._archive.open(entry)
        except BaseException:
            self._archive.close()
            raise
        self._left = max(entry.compress_size, 4096) * _RATIO

    def read(self, size: int, /) -> bytes:
        """Read on. Raises `TooLarge` when it inflates beyond all reason."""
        with _reading_zip():
            data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise TooLarge("the entry inflates beyond the limit")
        return data

    def __enter__(self) -> _Entry:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._archive.close()
