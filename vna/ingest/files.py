"""Objects from files, folders and ZIP archives: content decides, names are ignored."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from vna.access.principal import Principal
from vna.errors import TooLarge
from vna.ingest.engine import IngestEngine
from vna.ingest.outcome import Cause, Outcome, Refused, Source

_CHUNK = 1 << 20
_ENTRIES = 100_000
_RATIO = 200


class Stream(Protocol):
    """Bytes to be read piece by piece."""

    def read(self, size: int, /) -> bytes:
        """Read at most `size` bytes; none at the end."""


@dataclass(frozen=True, slots=True)
class Member:
    """One thing to import: a name to show to the person who asked, its size, and how to open it."""

    name: str
    size: int
    open: Callable[[], AbstractContextManager[Stream]]
    problem: str | None = None


def members(paths: list[Path]) -> Iterator[Member]:
    """Every object below the paths. Links are not followed; a ZIP archive is looked into."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            for inner in sorted(path.rglob("*")):
                if inner.is_symlink() or not inner.is_file():
                    continue
                yield from _of_file(inner)
        else:
            yield from _of_file(path)


def take(engine: IngestEngine, principal: Principal, member: Member) -> Outcome:
    """Import one member."""
    if member.problem is not None:
        return Refused(cause=Cause.CANNOT_UNDERSTAND, message=member.problem)
    receiving = engine.receive(principal, Source(proto="import"))
    try:
        with member.open() as stream:
            while chunk := stream.read(_CHUNK):
                receiving.feed(chunk)
                if receiving.refused is not None:
                    break
    except (OSError, zipfile.BadZipFile, RuntimeError, TooLarge) as exc:
        receiving.abort()
        return Refused(cause=Cause.CANNOT_UNDERSTAND, message=f"It cannot be read: {exc}.")
    return receiving.finish()


def _of_file(path: Path) -> Iterator[Member]:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            yield Member(str(path), 0, lambda: path.open("rb"), problem="It is not a file.")
        elif zipfile.is_zipfile(path):
            yield from _of_zip(path)
        else:
            yield Member(str(path), about.st_size, lambda: path.open("rb"))
    except OSError as exc:
        reason = exc.strerror or "unreadable"
        yield Member(str(path), 0, lambda: path.open("rb"), problem=f"It cannot be read: {reason}.")


def _of_zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        entries = [e for e in archive.infolist() if not e.is_dir()]
    if len(entries) > _ENTRIES:
        problem = f"The archive has more than {_ENTRIES} entries."
        yield Member(str(path), 0, lambda: path.open("rb"), problem=problem)
        return
    for entry in entries:
        yield Member(f"{path}!{entry.filename}", entry.file_size, partial(_Entry, path, entry))


class _Entry:
    """An entry's bytes, counted as they come: the size the archive declares is not believed.

    It opens the archive for itself, so that entries are read in any thread at any time.
    """

    def __init__(self, path: Path, entry: zipfile.ZipInfo) -> None:
        self._archive = zipfile.ZipFile(path)
        try:
            self._stream = self._archive.open(entry)
        except BaseException:
            self._archive.close()
            raise
        self._left = max(entry.compress_size, 4096) * _RATIO

    def read(self, size: int, /) -> bytes:
        """Read on. Raises `TooLarge` when it inflates beyond all reason."""
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
