"""Takes a backup: PostgreSQL first, blobs second, `backup.json` last.

A blob is durable before its row, so every row of the copied database has its blob among those
copied after it. Within the store it is blobs, then journal, then keys: a key is durable before the
first blob under it and a deletion is written down after the blobs it names, so nothing copied lacks
either. Sealed objects are never changed, so those that are there are not copied again, and a run
that is cut off leaves the backup before it as it was.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import vna
from vna.backup import manifest
from vna.backup.manifest import Entry, Summary, SumsWriter, digest_of
from vna.backup.objects import Copied, Copier, Objects
from vna.blobs.backends import Backend
from vna.blobs.layout import CHECKPOINTS
from vna.errors import ConfigError, NotFound, Unavailable

BLOBS_FOLDER = "blobs"
ROOT_KEY = "keys/root.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be copied."""

    archive_id: bytes
    schema: str
    copy_database: Callable[[Path], tuple[str, str]]  # into a folder; gives kind and version
    backend: Backend
    needed: Callable[[Sequence[str]], set[str]]  # which object names the index still speaks of
    root_key: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a run did."""

    summary: Summary
    copied: Copied


def take(folder: Path, order: Order, progress: Callable[[int], None] = lambda _: None) -> Taken:
    """Take a backup into `folder`, or bring the one that is there up to date.

    Raises `ConfigError` for a folder that is not ours, `Unavailable` when it cannot be written.
    """
    try:
        with _alone(folder):
            before = _before(folder, order)
            return _take(folder, order, before, progress)
    except OSError as exc:
        why = exc.strerror or str(exc)
        raise Unavailable(f"The backup in {folder} cannot be written: {why}.") from exc


def _take(
    folder: Path, order: Order, before: Summary | None, progress: Callable[[int], None]
) -> Taken:
    begun = dt.datetime.now(dt.UTC)
    stamp = f"{begun:%Y%m%dT%H%M%S}-{os.urandom(4).hex()}"
    archive = str(uuid.UUID(bytes=order.archive_id))
    manifest.write_json(folder, manifest.BEGUN, {"archive_id": archive, "begun": begun.isoformat()})
    database = folder / f"postgres-{stamp}"
    database.mkdir(mode=0o700)
    # a checkpoint signs audit rows: none may come along that is younger than the rows do
    checkpoints = list(order.backend.list(CHECKPOINTS))
    kind, major = order.copy_database(database)
    known = manifest.entries(folder, before) if before else iter(())
    sums = SumsWriter(folder, stamp)
    try:
        target = folder / BLOBS_FOLDER
        objects = Objects(order.backend, target, order.needed, first=checkpoints)
        with Copier(objects) as copier:
            for entry in copier.run(_blobs_of(known)):
                sums.add(Entry(f"{BLOBS_FOLDER}/{entry.path}", entry.digest))
                progress(sums.files)
        size = copier.done.size
        for entry in [*_root_key(folder, order.root_key), *_hashed(folder, database)]:
            sums.add(entry)
            size += (folder / entry.path).stat().st_size
        digest = sums.finish()
    finally:
        sums.close()
    manifest.sync_folder(folder)
    summary = Summary(
        archive_id=archive,
        stamp=stamp,
        begun=begun.isoformat(timespec="seconds"),
        ended=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        release=vna.__version__,
        database=kind,
        postgres=major,
        schema=order.schema,
        with_root_key=order.root_key is not None,
        files=sums.files,
        size=size,
        sums_sha256=digest,
    )
    summary.write(folder)
    sweep(folder, summary)
    (folder / manifest.BEGUN).unlink()
    return Taken(summary=summary, copied=copier.done)


def sweep(folder: Path, summary: Summary) -> None:
    """Remove what a complete backup does not name: older copies, what was deleted since."""
    for found in folder.iterdir():
        if found.name.startswith("postgres-") and found.name != f"postgres-{summary.stamp}":
            shutil.rmtree(found)
        elif manifest.is_sums(found.name) and found.name != summary.sums:
            found.unlink()
    if not summary.with_root_key:
        (folder / ROOT_KEY).unlink(missing_ok=True)
    named = (entry.path for entry in _blobs_of(manifest.entries(folder, summary)))
    wanted = next(named, None)
    for name in _names(folder / BLOBS_FOLDER):
        while wanted is not None and wanted < name:
            wanted = next(named, None)
        if name != wanted:
            (folder / BLOBS_FOLDER / name).unlink()


def _names(root: Path, prefix: str = "") -> Iterator[str]:
    """Walk a folder in order of names."""
    for name, is_folder in sorted(
        (entry.name, entry.is_dir(follow_symlinks=False)) for entry in os.scandir(root / prefix)
    ):
        if is_folder:
            yield from _names(root, f"{prefix}{name}/")
        else:
            yield prefix + name


def _before(folder: Path, order: Order) -> Summary | None:
    """Find the complete backup that is there. Raises `ConfigError` when the folder is not ours."""
    archive = str(uuid.UUID(bytes=order.archive_id))
    try:
        found = Summary.read(folder)
        whose = found.archive_id
    except NotFound:
        found = None
        try:
            whose = manifest.read_json(folder / manifest.BEGUN).get("archive_id", "")
        except FileNotFoundError:
            if any(not found.name.endswith(".part") for found in folder.iterdir()):
                said = f"The folder {folder} holds something else than a backup; take an empty one."
                raise ConfigError(said) from None
            return None
    if whose != archive:
        raise ConfigError(f"The folder {folder} holds the backup of another archive.")
    return found


def _blobs_of(listed: Iterator[Entry]) -> Iterator[Entry]:
    start = f"{BLOBS_FOLDER}/"
    for entry in listed:
        if entry.path.startswith(start):
            yield Entry(entry.path.removeprefix(start), entry.digest)


def _root_key(folder: Path, source: Path | None) -> Iterator[Entry]:
    if source is None:
        return
    target = folder / ROOT_KEY
    target.parent.mkdir(mode=0o700, exist_ok=True)
    target.unlink(missing_ok=True)
    text = source.read_bytes()
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o400)
    with open(handle, "wb") as out:
        out.write(text)
        out.flush()
        os.fsync(handle)
    manifest.sync_folder(target.parent)
    yield Entry(ROOT_KEY, digest_of(target))


def _hashed(folder: Path, database: Path) -> Iterator[Entry]:
    """List the files of the database's copy, durable."""
    for path in sorted(database.iterdir()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.chmod(0o600)
        yield Entry(f"{database.name}/{path.name}", digest_of(folder / database.name / path.name))
    manifest.sync_folder(database)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Make the folder, closed to others, and keep a second run out of it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as exc:
        raise ConfigError(f"Another backup into {folder} is under way.") from exc
    finally:
        os.close(handle)
