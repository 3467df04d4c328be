"""Objects in an object store (S3, Google Cloud Storage, Azure Blob Storage) through obstore.

A small object is one conditional PUT; a large one a multipart upload, 8 MiB a piece, two in flight,
which appears whole when it is completed. An answer that was lost on the way is looked up: an object
under our own fresh name with our own last bytes is ours, since no two sealed blobs end alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import ObjectStore, from_url

from vna.crypto.stream import Buffer
from vna.errors import ConfigError, Conflict, NotFound, Unavailable, VNAError

PIECE = 8 << 20
_IN_FLIGHT = 2
_FINGERPRINT = 136  # a blob's trailer: holds the checksum of all before it
_RETRY: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=20)}  # a TypedDict of obstore
_CLIENT: Any = {"connect_timeout": "5s", "timeout": "60s"}  # likewise
_FAILURES = (BaseError, OSError)  # obstore raises FileNotFoundError for what is absent


class ObjectBackend:
    """A bucket, or a prefix of one."""

    def __init__(self, store: ObjectStore, *, piece: int = PIECE) -> None:
        self._store = store
        self._piece = piece

    def __repr__(self) -> str:
        return f"ObjectBackend({type(self._store).__name__})"  # the URL may carry credentials

    @classmethod
    def from_url(cls, url: str) -> ObjectBackend:
        """Open a store by URL; credentials come from the provider's usual variables."""
        try:
            return cls(from_url(url, client_options=_CLIENT, retry_config=_RETRY))
        except (BaseError, OSError, ValueError) as exc:
            raise ConfigError("The URL of the blob store is not usable.") from exc

    def prepare(self) -> None:
        """Nothing to do: a bucket is made by its owner, a prefix needs no making."""

    def create(self, name: str) -> ObjectPart:
        """Begin an object; nothing is sent before a piece is full."""
        return ObjectPart(self._store, name, self._piece)

    def read(self, name: str, start: int, size: int) -> Buffer:
        """Read a range in one GET."""
        if size == 0:
            return b""
        try:
            return memoryview(obstore.get_range(self._store, name, start=start, length=size))
        except _FAILURES as exc:
            return self._past_end(name, start, exc)

    def read_into(self, name: str, start: int, view: memoryview) -> int:
        """Read a range in one GET, then copy it."""
        data = memoryview(self.read(name, start, len(view)))
        view[: len(data)] = data
        return len(data)

    def size(self, name: str) -> int:
        """Give an object's size by HEAD."""
        try:
            return obstore.head(self._store, name)["size"]
        except _FAILURES as exc:
            raise fault(exc) from exc

    def list(self, prefix: str, *, after: str = "") -> Iterator[str]:
        """Walk the names by pages of the store."""
        try:
            for page in obstore.list(self._store, prefix.rstrip("/"), offset=after or None):
                for found in page:
                    if found["path"].startswith(prefix):
                        yield found["path"]
        except _FAILURES as exc:
            raise fault(exc) from exc

    def delete(self, name: str) -> None:
        """Delete an object."""
        try:
            obstore.delete(self._store, name)
        except (NotFoundError, FileNotFoundError):
            return
        except _FAILURES as exc:
            raise fault(exc) from exc

    def make_ready(self, folders: Sequence[str]) -> None:
        """Do nothing: names are made by writing to them."""

    def free_bytes(self) -> None:
        """An object store has no such figure."""

    def sweep_parts(self, older_s: float) -> int:  # noqa: ARG002 -- the face of all backends
        """Nothing to do: unfinished uploads are invisible and a rule of the bucket ends them."""
        return 0

    def close(self) -> None:
        """Nothing is held."""

    def _past_end(self, name: str, start: int, exc: BaseException) -> bytes:
        """Tell a range past the end (an error to most stores) from a real failure."""
        if isinstance(exc, NotFoundError | FileNotFoundError):
            raise fault(exc) from exc
        if self.size(name) <= start:
            return b""
        raise fault(exc) from exc


class ObjectPart:
    """An object on its way; one thread writes it."""

    def __init__(self, store: ObjectStore, name: str, piece: int) -> None:
        self._store = store
        self._name = name
        self._piece = piece
        self._pending = bytearray()
        self._upload: Any = None  # obstore's WritableFile
        self._size = 0
        self._tail = b""

    def write(self, data: Buffer) -> None:
        """Keep the bytes until a piece is full, then send it."""
        view = memoryview(data)
        self._size += len(view)
        self._tail = (self._tail + bytes(view[-_FINGERPRINT:]))[-_FINGERPRINT:]
        self._pending += view
        if len(self._pending) >= self._piece:
            self._send()

    def commit(self) -> None:
        """Complete the object, or put it whole."""
        try:
            if self._upload is None:
                obstore.put(self._store, self._name, bytes(self._pending), mode="create")
            else:
                self._upload.write(bytes(self._pending))
                self._upload.close()
        except _FAILURES as exc:
            if not self._is_ours():
                raise fault(exc) from exc
        self._pending.clear()

    def abort(self) -> None:
        """Forget the upload without completing it."""
        self._pending.clear()
        self._upload = None

    def _send(self) -> None:
        try:
            if self._upload is None:
                with suppress(NotFoundError, FileNotFoundError):
                    obstore.head(self._store, self._name)
                    raise Conflict("There is an object of that name already.")
                self._upload = obstore.open_writer(
                    self._store, self._name, buffer_size=self._piece, max_concurrency=_IN_FLIGHT
                )
            self._upload.write(bytes(self._pending))
        except _FAILURES as exc:
            raise fault(exc) from exc
        self._pending.clear()

    def _is_ours(self) -> bool:
        try:
            if obstore.head(self._store, self._name)["size"] != self._size:
                return False
            start = max(0, self._size - _FINGERPRINT)
            length = self._size - start
            there = obstore.get_range(self._store, self._name, start=start, length=length)
            return bytes(there) == self._tail
        except _FAILURES:
            return False


def fault(exc: BaseException) -> VNAError:
    """Name an error of the store in the house's words, without the address."""
    if isinstance(exc, AlreadyExistsError | FileExistsError):
        return Conflict("There is an object of that name already.")
    if isinstance(exc, NotFoundError | FileNotFoundError):
        return NotFound()
    return Unavailable("The object store cannot do this now.")
