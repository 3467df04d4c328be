"""Where objects rest: the one face of a local folder and of an object store, and the choice by URL.

A name is made by layout.py. An object appears whole and durable, or not at all, and is never
replaced. Absent is `NotFound`; a name taken is `Conflict`; whatever the disk or the network did is
`Unavailable`. No method may be called again on a part after it failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from vna.blobs.files import Files
from vna.blobs.local import LocalBackend
from vna.blobs.objects import ObjectBackend
from vna.crypto.stream import Buffer
from vna.errors import ConfigError, NotFound

OBJECT_SCHEMES = ("s3", "gs", "az")


class Part(Protocol):
    """An object that is being written; invisible until committed."""

    def write(self, data: Buffer) -> None:
        """Take the next bytes; they are used up on return."""

    def commit(self) -> None:
        """Make the object durable, then visible. On failure nothing of it stays visible."""

    def abort(self) -> None:
        """Drop what was written. Never raises; without effect after a commit."""


class Backend(Protocol):
    """A place for objects; shared by the threads of one process."""

    def prepare(self) -> None:
        """Make the place itself where it does not exist yet."""

    def make_ready(self, folders: Sequence[str]) -> None:
        """Make folders that will be written to, where there is such a thing as a folder."""

    def create(self, name: str) -> Part:
        """Begin an object."""

    def read(self, name: str, start: int, size: int) -> Buffer:
        """Read a range in one request; shorter than asked only where the object ends."""

    def read_into(self, name: str, start: int, view: memoryview) -> int:
        """Read a range into a buffer; give the bytes read, fewer only where the object ends."""

    def size(self, name: str) -> int:
        """Give an object's size."""

    def list(self, prefix: str, *, after: str = "") -> Iterator[str]:
        """Walk the names below a prefix (which ends in a slash), in order, those after `after`."""

    def delete(self, name: str) -> None:
        """Remove an object for good; an absent one is no error."""

    def free_bytes(self) -> tuple[int, int] | None:
        """Give free and whole bytes; None where there is no such figure."""

    def sweep_parts(self, older_s: float) -> int:
        """Remove what dead processes left half written; count the parts."""

    def close(self) -> None:
        """Let go of what is held."""


def connect(where: str | Path, files: Files | None = None) -> Backend:
    """Choose the backend: a folder, or an s3://, gs:// or az:// URL."""
    scheme, colon, _ = str(where).partition("://")
    if isinstance(where, Path) or not colon or scheme == "file":
        return LocalBackend(str(where).removeprefix("file://"), files or Files())
    if scheme in OBJECT_SCHEMES:
        return ObjectBackend.from_url(where)
    raise ConfigError(f"Blobs rest in a folder or behind {', '.join(OBJECT_SCHEMES)}://.")


def put(backend: Backend, name: str, data: bytes) -> None:
    """Write a small object whole."""
    part = backend.create(name)
    try:
        part.write(data)
        part.commit()
    except BaseException:
        part.abort()
        raise


def get(backend: Backend, name: str, most: int) -> bytes:
    """Read a small object whole, at most `most` bytes of it."""
    return bytes(backend.read(name, 0, most))


def is_there(backend: Backend, name: str) -> bool:
    """Tell whether an object exists."""
    with suppress(NotFound):
        backend.size(name)
        return True
    return False
