"""What a backup says of itself: `backup.json`, and a list of files that `sha256sum -c` reads.

DIR/backup.json          written last: a backup without it is not one
DIR/SHA256SUMS-<stamp>   a line "digest  path" for each file, in order of their paths
DIR/begun.json           only while a backup is written, or after one that was cut off
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from vna.errors import ConfigError, Corrupt, NotFound, Unavailable

FORMAT = "vna backup 1"
SUMMARY = "backup.json"
BEGUN = "begun.json"
CLUSTER, DUMP = "cluster", "dump"  # how PostgreSQL was copied

_SUMS = "SHA256SUMS-"
_STAMP = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{8}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SUMMARY_MAX = 65536
_STEP = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One complete backup."""

    archive_id: str
    stamp: str  # tells the runs into one folder apart
    begun: str  # UTC, ISO 8601: what was acknowledged before is in it
    ended: str
    release: str  # of this program
    database: str  # CLUSTER or DUMP
    postgres: str  # its major version
    schema: str
    with_root_key: bool
    files: int
    size: int
    sums_sha256: str
    format: str = FORMAT

    @property
    def sums(self) -> str:
        """The name of its list of files."""
        return sums_name(self.stamp)

    def write(self, folder: Path) -> None:
        """Make the backup a complete one."""
        write_json(folder, SUMMARY, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read it. Raises `NotFound` for what is no complete backup, `Corrupt`, `ConfigError`."""
        try:
            values = read_json(folder / SUMMARY)
        except FileNotFoundError:
            if (folder / BEGUN).exists():
                said = f"The backup in {folder} was begun and never finished: it is incomplete."
                raise NotFound(said) from None
            raise NotFound(f"There is no backup in {folder}.") from None
        except OSError as exc:
            raise Unavailable(f"The backup in {folder} cannot be read: {exc.strerror}.") from exc
        if values.get("format") != FORMAT:
            raise ConfigError(f"The backup in {folder} has a format this release does not know.")
        try:
            found = cls(**values)
            uuid.UUID(found.archive_id)
        except (TypeError, ValueError, AttributeError) as exc:
            raise Corrupt(f"The file {SUMMARY} of the backup is damaged.") from exc
        if not _STAMP.fullmatch(str(found.stamp)):
            raise Corrupt(f"The file {SUMMARY} of the backup is damaged.")
        return found


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a backup. `path` is relative, its parts divided by slashes."""

    path: str
    digest: str  # SHA-256, hexadecimal

    def line(self) -> bytes:
        """Write it as sha256sum does."""
        return f"{self.digest}  {self.path}\n".encode()


class SumsWriter:
    """Writes a list of files; in order of their paths, which is what makes it mergeable."""

    def __init__(self, folder: Path, stamp: str) -> None:
        self.files = 0
        self._last = ""
        self._path = folder / sums_name(stamp)
        self._hash = hashlib.sha256()
        self._out = self._path.open("xb")
        self._path.chmod(0o600)

    def add(self, entry: Entry) -> None:
        """Add the next file."""
        if entry.path <= self._last:
            raise Corrupt("The files of a backup are not in order.")
        self._last = entry.path
        line = entry.line()
        self._hash.update(line)
        self._out.write(line)
        self.files += 1

    def finish(self) -> str:
        """Make the list durable and give its own digest."""
        self._out.flush()
        os.fsync(self._out.fileno())
        self._out.close()
        return self._hash.hexdigest()

    def close(self) -> None:
        """Close what was not finished."""
        self._out.close()


def sums_name(stamp: str) -> str:
    """Name the list of files of one run."""
    return _SUMS + stamp


def is_sums(name: str) -> bool:
    """Tell whether a file is such a list."""
    return name.startswith(_SUMS)


def entries(folder: Path, summary: Summary) -> Iterator[Entry]:
    """Read the list of files, whose digest is compared first. Raises `Corrupt`."""
    path = folder / summary.sums
    try:
        if digest_of(path) != summary.sums_sha256:
            raise Corrupt(f"The list {summary.sums} of the backup is damaged.")
    except FileNotFoundError:
        raise Corrupt(f"The list {summary.sums} of the backup is missing.") from None
    last = ""
    with path.open("rb") as lines:
        for line in lines:
            digest, _, name = line.decode("utf-8", "replace").rstrip("\n").partition("  ")
            parts = name.split("/")
            if not _DIGEST.fullmatch(digest) or name <= last or {"", ".", ".."} & set(parts):
                raise Corrupt(f"The list {summary.sums} of the backup is not well formed.")
            last = name
            yield Entry(name, digest)


def digest_of(path: Path) -> str:
    """Give the SHA-256 of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """Read a small object of JSON. Raises `Corrupt`, and OSError as it comes."""
    with path.open("rb") as file:
        text = file.read(_SUMMARY_MAX)
    try:
        values = json.loads(text)
    except ValueError as exc:
        raise Corrupt(f"The file {path.name} of the backup is damaged.") from exc
    if not isinstance(values, dict):
        raise Corrupt(f"The file {path.name} of the backup is damaged.")
    return values


def write_json(folder: Path, name: str, values: dict[str, Any]) -> None:
    """Put a small file into place, durable, by one rename."""
    part = folder / f"{name}.part"
    with part.open("w", encoding="utf-8") as out:
        part.chmod(0o600)
        json.dump(values, out, indent=2)
        out.write("\n")
        out.flush()
        os.fsync(out.fileno())
    part.replace(folder / name)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
