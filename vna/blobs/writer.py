"""One blob on its way in: sealed as it arrives, durable when settle() returns, else never there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType
from typing import Self

from vna.blobs.backends import Backend
from vna.blobs.compression import INFLATED_MAX, frame_size, is_frame
from vna.blobs.layout import blob_name
from vna.blobs.rooms import Rooms
from vna.crypto.envelope import USED_SIZE, Core, seal_header
from vna.crypto.stream import META_MAX, Buffer, Sealer
from vna.errors import TooLarge


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlob:
    """A blob that is durable: what the index keeps of it."""

    blob_id: bytes
    key_id: bytes
    key_version: int
    created_us: int
    header: bytes  # the 220 bytes that open a range without the file's header being read again
    payload_len: int
    payload_sha256: bytes
    size: int
    checksum: bytes  # BLAKE3 of the file


class _State(Enum):
    OPEN = auto()
    SEALED = auto()  # written whole, not durable
    SETTLED = auto()
    DROPPED = auto()


class BlobWriter:
    """Writes one blob; leaving its context before it is settled drops it. One thread writes it.

    The data key is drawn here and used for this blob alone: after any failure the writer is dead
    and the next attempt needs another one, with another id.
    """

    def __init__(self, backend: Backend, core: Core, kek: bytes, rooms: Rooms) -> None:
        self.blob_id = core.blob_id
        self._core = core
        self._header, keys = seal_header(core, kek)
        self._rooms = rooms
        self._part = backend.create(blob_name(core.blob_id, core.kind))
        self._room = rooms.take()
        self._sealer = Sealer(self._header, keys, self._part.write, self._room)
        self._state = _State.OPEN

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.abort()

    @property
    def payload_len(self) -> int:
        """Count the payload's bytes so far."""
        return self._sealer.payload_len

    def write(self, data: Buffer) -> None:
        """Hash and seal the next bytes. Raises `Unavailable`."""
        self._require(_State.OPEN)
        try:
            self._sealer.feed(data)
        except BaseException:
            self.abort()
            raise

    def finish(self, meta: bytes) -> StoredBlob:
        """Seal the rest with the meta (a zstd frame or plain JSON); durable on return.

        Raises `TooLarge` for a meta that could not be read back, `Unavailable`.
        """
        stored = self.seal(meta)
        self.settle()
        return stored

    def seal(self, meta: bytes) -> StoredBlob:
        """Seal the rest with the meta; `settle` then makes it durable. Raises as `finish`."""
        self._require(_State.OPEN)
        try:
            _check_meta(meta)
            sealed = self._sealer.finish(meta)
        except BaseException:
            self.abort()
            raise
        self._state = _State.SEALED
        return StoredBlob(
            blob_id=self.blob_id,
            key_id=self._core.key_id,
            key_version=self._core.key_version,
            created_us=self._core.created_us,
            header=self._header[:USED_SIZE],
            payload_len=sealed.payload_len,
            payload_sha256=sealed.payload_sha256,
            size=sealed.size,
            checksum=sealed.checksum,
        )

    def settle(self) -> None:
        """Make a sealed blob durable under its name; of no effect the second time.

        Raises `Unavailable`. A sync that failed is never tried again: the blob is dropped.
        """
        if self._state is _State.SETTLED:
            return
        self._require(_State.SEALED)
        try:
            self._part.commit()
        except BaseException:
            self.abort()
            raise
        self._end(_State.SETTLED)

    def abort(self) -> None:
        """Drop the blob; without effect once it is settled."""
        if self._state in (_State.OPEN, _State.SEALED):
            self._part.abort()
            self._end(_State.DROPPED)

    def _end(self, state: _State) -> None:
        self._state = state
        self._rooms.give_back(self._room)

    def _require(self, state: _State) -> None:
        if self._state is not state:
            raise ValueError(f"the blob is {self._state.name.lower()}, not {state.name.lower()}")


def _check_meta(meta: bytes) -> None:
    if len(meta) > META_MAX:
        raise TooLarge("The metadata of a blob may have at most 16 MiB.")
    if is_frame(meta) and (frame_size(meta) or 0) > INFLATED_MAX:
        raise TooLarge("The metadata of a blob may have at most 256 MiB when inflated.")
