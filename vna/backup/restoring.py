"""Brings the objects of a backup back into a store; each is compared once more on its way.

DATA/run/restoring stands there until the archive is whole: one that lacks its accounts and its
trail, since the database was still to come, opens like any other and would be served.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from vna.backup.manifest import Entry, Summary, entries, sync_folder
from vna.backup.taking import BLOBS_FOLDER
from vna.blobs.backends import Backend
from vna.blobs.layout import ARCHIVE_FILE
from vna.blobs.store import BlobStore
from vna.crypto.keyring import Keyring, RootKey
from vna.errors import ConfigError, Corrupt, Unavailable, WrongKey

_STEP = 1 << 20
_BATCH = 64
_THREADS = 4


def begin(data: Path) -> None:
    """Note that an archive is about to be brought into a data folder; durable."""
    mark = _mark(data)
    mark.touch(mode=0o600)
    sync_folder(mark.parent)


def end(data: Path) -> None:
    """Note that it is whole."""
    mark = _mark(data)
    mark.unlink()
    sync_folder(mark.parent)


def require_whole(data: Path) -> None:
    """Make sure that no `vna restore` was cut off. Raises `ConfigError`."""
    if os.path.exists(_mark(data)):  # what may not be looked at is told by who opens it
        raise ConfigError(
            f"`vna restore` was cut off: what is in {data} is not the whole archive. Restore it "
            "again, into an empty folder."
        )


def require_key(folder: Path, summary: Summary, root: RootKey) -> None:
    """Make sure that a root key opens the backup. Raises `WrongKey`, `ConfigError`."""
    archive = uuid.UUID(summary.archive_id).bytes
    try:
        BlobStore.open(folder / BLOBS_FOLDER, Keyring(root, archive)).close()
    except WrongKey as exc:
        raise WrongKey(
            f"This root key does not open the backup of archive {summary.archive_id}: "
            "it is another archive's, or an older one."
        ) from exc


def require_empty(backend: Backend) -> None:
    """Make sure that there is nothing in a store yet. Raises `ConfigError`."""
    if next(iter(backend.list("")), None) is not None:
        raise ConfigError("There are objects in the blob store already; restore into an empty one.")


def bring_objects(
    folder: Path,
    summary: Summary,
    backend: Backend,
    *,
    without: Set[str] = frozenset(),
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Copy the objects into an empty store, the description of the archive last; count them.

    `without` names paths that are to be left out. Raises `Corrupt`, `Unavailable`.
    """
    backend.prepare()
    last: list[Entry] = []
    count = 0

    def bring(entry: Entry) -> None:
        _bring(folder / BLOBS_FOLDER / entry.path, entry, backend)

    listed = _objects(folder, summary, without)
    with ThreadPoolExecutor(_THREADS, "restore") as pool:
        while batch := list(islice(listed, _BATCH)):
            last += [entry for entry in batch if entry.path == ARCHIVE_FILE]
            for _ in pool.map(bring, [e for e in batch if e.path != ARCHIVE_FILE]):
                count += 1
            progress(count)
    if not last:
        raise Corrupt(f"The backup has no {ARCHIVE_FILE}.")
    bring(last[0])
    return count + 1


def _objects(folder: Path, summary: Summary, without: Set[str]) -> Iterator[Entry]:
    for entry in entries(folder, summary):
        top, _, name = entry.path.partition("/")
        if top == BLOBS_FOLDER and entry.path not in without:
            yield Entry(name, entry.digest)


def _bring(path: Path, entry: Entry, backend: Backend) -> None:
    digest = hashlib.sha256()
    part = backend.create(entry.path)
    try:
        with path.open("rb") as file:
            while piece := file.read(_STEP):
                digest.update(piece)
                part.write(piece)
        if digest.hexdigest() != entry.digest:
            raise Corrupt(f"The file {BLOBS_FOLDER}/{entry.path} is not what was written.")
        part.commit()
    except OSError as exc:
        part.abort()
        raise Unavailable(f"The backup cannot be read: {exc.strerror}.") from exc
    except BaseException:
        part.abort()
        raise


def _mark(data: Path) -> Path:
    return data / "run" / "restoring"
