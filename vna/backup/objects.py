"""Copies the sealed objects of a store into a folder: those that are not there yet, as they are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Self

from vna.backup.manifest import Entry, digest_of, sync_folder
from vna.blobs.backends import Backend
from vna.blobs.layout import ARCHIVE_FILE, BLOBS, JOURNALS, KEYS
from vna.errors import NotFound, Unavailable

ORDER = (BLOBS, JOURNALS, KEYS)
"""Blobs before the journal and the keys: see taking.py. It is the order of the alphabet, too."""

_STEP = 1 << 20
_BATCH = 64
_THREADS = 4


@dataclass(slots=True)
class Copied:
    """What was done with the objects."""

    new: int = 0
    new_size: int = 0
    kept: int = 0  # there already
    size: int = 0  # of all
    lost: int = 0  # the index names them and the store has them no more: kept in the backup


@dataclass(frozen=True, slots=True)
class Objects:
    """From where to where, and what may not be dropped."""

    backend: Backend
    target: Path
    needed: Callable[[Sequence[str]], set[str]]
    first: Sequence[str] = ()  # what was there before the database was copied, and no more of it


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One object: in the store, in the backup before this one, or in both."""

    name: str
    digest: str | None  # what the backup before this one says of it
    is_there: bool


@dataclass(frozen=True, slots=True)
class _Copy:
    """One object as the backup holds it."""

    entry: Entry
    size: int
    is_new: bool
    is_lost: bool


class Copier:
    """One walk over a store, a batch at a time, a few objects at once."""

    def __init__(self, objects: Objects) -> None:
        self.done = Copied()
        self._objects = objects
        self._pool = ThreadPoolExecutor(_THREADS, "backup")
        self._made: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, before: Iterator[Entry]) -> Iterator[Entry]:
        """Copy what is new, and list all that the backup holds then, in order of names."""
        objects = self._objects
        objects.target.mkdir(mode=0o700, exist_ok=True)
        prefixes = (objects.backend.list(prefix) for prefix in ORDER)
        names = chain(objects.first, [ARCHIVE_FILE], *prefixes)
        wanted = _merged(names, before)
        while batch := list(islice(wanted, _BATCH)):
            kept = self._still_needed(batch)
            batch = [one for one in batch if one.is_there or one.name in kept]
            self._make_folders(batch)
            copies = [copy for copy in self._pool.map(self._copy, batch) if copy]
            for folder in {os.path.dirname(copy.entry.path) for copy in copies if copy.is_new}:
                sync_folder(objects.target / folder)
            for copy in copies:
                self._count(copy)
                yield copy.entry

    def _still_needed(self, batch: list[_Wanted]) -> set[str]:
        """Tell a loss from a deletion, of what the store has no more."""
        absent = [one.name for one in batch if not one.is_there]
        if not absent:
            return set()
        # a disk that is not mounted loses nothing
        try:
            self._objects.backend.size(ARCHIVE_FILE)
        except NotFound as exc:
            raise Unavailable("The blob store is not there.") from exc
        return self._objects.needed(absent)

    def _make_folders(self, batch: list[_Wanted]) -> None:
        for folder in sorted({os.path.dirname(one.name) for one in batch} - self._made):
            path = self._objects.target
            for part in folder.split("/") if folder else ():
                path /= part
                with suppress(FileExistsError):
                    path.mkdir(mode=0o700)
                    sync_folder(path.parent)
            self._made.add(folder)

    def _copy(self, one: _Wanted) -> _Copy | None:
        """Bring one object into the backup; None when it was deleted meanwhile."""
        path = self._objects.target / one.name
        have = _size(path)
        try:
            size = self._objects.backend.size(one.name) if one.is_there else have
            if size is None:  # lost in the store and in the backup
                return None
            digest = self._known(path, one, size) if have == size else None
            is_new = digest is None
            if digest is None:
                digest = self._fetch(one.name, path, size)
        except NotFound:
            return None
        return _Copy(Entry(one.name, digest), size, is_new=is_new, is_lost=not one.is_there)

    def _known(self, path: Path, one: _Wanted, size: int) -> str | None:
        """Give the digest of an object that is in the backup; None when it must be copied.

        After a run that was cut off nothing says what it should be: both are read then.
        """
        if one.digest is not None or not one.is_there:
            return one.digest
        read = self._read(one.name, size)
        wanted = hashlib.sha256()
        for piece in read:
            wanted.update(piece)
        found = wanted.hexdigest()
        return found if digest_of(path) == found else None

    def _fetch(self, name: str, path: Path, size: int) -> str:
        part = path.with_name(f"{path.name}.part")
        digest = hashlib.sha256()
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            with open(handle, "wb", buffering=0) as out:
                for piece in self._read(name, size):
                    digest.update(piece)
                    _write(out.fileno(), piece)
                os.fsync(handle)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return digest.hexdigest()

    def _read(self, name: str, size: int) -> Iterator[memoryview]:
        for start in range(0, size, _STEP):
            piece = memoryview(self._objects.backend.read(name, start, min(_STEP, size - start)))
            if not piece:
                raise Unavailable(f"The object {name} became shorter while it was read.")
            yield piece

    def _count(self, copy: _Copy) -> None:
        done = self.done
        done.new += copy.is_new
        done.new_size += copy.size if copy.is_new else 0
        done.kept += not copy.is_new
        done.size += copy.size
        done.lost += copy.is_lost


def _merged(names: Iterator[str], before: Iterator[Entry]) -> Iterator[_Wanted]:
    """Go through the store and the backup before this one side by side."""
    old = next(before, None)
    for name in names:
        while old is not None and old.path < name:
            yield _Wanted(old.path, old.digest, is_there=False)
            old = next(before, None)
        same = old is not None and old.path == name
        yield _Wanted(name, old.digest if old is not None and same else None, is_there=True)
        if same:
            old = next(before, None)
    while old is not None:
        yield _Wanted(old.path, old.digest, is_there=False)
        old = next(before, None)


def _size(path: Path) -> int | None:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return None


def _write(handle: int, data: memoryview) -> None:
    while data:
        data = data[os.write(handle, data) :]
