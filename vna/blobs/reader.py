"""One blob on its way out, opened by its id alone: trailer first, then any range.

Either header copy opens it; a difference between the two is what the keyless scrub finds.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

from vna.blobs.backends import Backend
from vna.blobs.compression import INFLATED_MAX, inflate, is_frame
from vna.blobs.rooms import Rooms
from vna.crypto.envelope import HEADER_SIZE, USED_SIZE, Core, Subkeys
from vna.crypto.stream import (
    META_MAX,
    SEGMENT,
    SMALLEST,
    TAG,
    TRAILER_SIZE,
    Buffer,
    Cut,
    PayloadOpener,
    Trailer,
    open_meta,
    open_trailer,
)
from vna.errors import Corrupt, TooLarge, Unavailable, VNAError
from vna.telemetry import BLOB_READS_CORRUPT

_TAIL = 65536

Opens = Callable[[Core, bytes], Subkeys]


@dataclass(frozen=True, slots=True)
class Source:
    """Where one blob's bytes come from."""

    backend: Backend
    name: str
    rooms: Rooms

    def open(self, opener: PayloadOpener, cut: Cut) -> bytes:
        """Read a cut in one request and open it. Raises `Corrupt`, `NotFound`."""
        with self.rooms.lend(cut.size) as sealed, self.rooms.lend(cut.size) as plain:
            return bytes(self.open_in(opener, cut, sealed, plain))

    def open_in(
        self, opener: PayloadOpener, cut: Cut, sealed: memoryview, plain: memoryview
    ) -> memoryview:
        """Do the same with the caller's work space; what is given is a view of `plain`."""
        have = self.backend.read_into(self.name, cut.start, sealed[: cut.size])
        try:
            return opener.open_in(sealed[:have], cut, plain)
        except Corrupt:
            BLOB_READS_CORRUPT.inc()
            raise


class BlobReader:
    """An open blob whose header and trailer have verified; safe to share between threads."""

    def __init__(
        self, source: Source, header: bytes, keys: Subkeys, trailer: Trailer, tail: bytes
    ) -> None:
        core = Core.unpack(header)
        self.blob_id = core.blob_id
        self.kind = core.kind
        self.key_id = core.key_id
        self.key_version = core.key_version
        self.created_us = core.created_us
        self.header = header[:USED_SIZE]
        self.payload_len = trailer.payload_len
        self.payload_sha256 = trailer.payload_sha256
        self.checksum = trailer.checksum
        self.size = trailer.meta_offset + trailer.meta_size + HEADER_SIZE + TRAILER_SIZE
        self._source = source
        self._trailer = trailer
        self._sealed_meta = _meta_in(tail, trailer)
        self._meta_key = keys.meta
        self._opener = PayloadOpener(keys.payload)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing stays open between two reads: this only ends the reader's scope."""

    def meta(self) -> bytes:
        """Give the meta's JSON, inflated. Raises `Corrupt`, `TooLarge`."""
        trailer = self._trailer
        if trailer.meta_size > META_MAX + TAG:
            raise TooLarge("The metadata of a blob may have at most 16 MiB.")
        source = self._source
        sealed: Buffer | None = self._sealed_meta
        if sealed is None:
            sealed = source.backend.read(source.name, trailer.meta_offset, trailer.meta_size)
        meta = open_meta(self._meta_key, sealed)
        return inflate(meta, INFLATED_MAX) if is_frame(meta) else meta

    def read(self, offset: int, length: int) -> bytes:
        """Give payload[offset : offset + length], authenticated. Raises `Corrupt`."""
        return self._source.open(self._opener, Cut.of(self.payload_len, offset, length))

    def chunks(
        self, offset: int = 0, length: int | None = None, *, size: int = 1 << 20
    ) -> Iterator[bytes]:
        """Stream the payload or a range of it, about `size` bytes at a time."""
        return payload_chunks(self.read, self.payload_len, offset, length, size)

    def verify(self) -> None:
        """Read the whole payload and compare its digest. Raises `Corrupt`."""
        digest = hashlib.sha256(self.read(0, 0))  # an empty payload has a segment to check, too
        for chunk in self.chunks():
            digest.update(chunk)
        if not hmac.compare_digest(digest.digest(), self.payload_sha256):
            raise Corrupt("The payload's digest does not verify.")


def read_blob(source: Source, blob_id: bytes, kind: int, opens: Opens) -> BlobReader:
    """Open a blob; `opens` gives the keys of a core and its header, or raises.

    Raises `NotFound`, `Corrupt`, and what `opens` raises when both header copies agree.
    """
    backend, name = source.backend, source.name
    size = backend.size(name)
    if size < SMALLEST:
        raise Corrupt("The blob is cut off.")
    tail = bytes(backend.read(name, size - min(size, _TAIL), _TAIL))
    head = tail[:HEADER_SIZE] if size <= _TAIL else bytes(backend.read(name, 0, HEADER_SIZE))
    copy = tail[-TRAILER_SIZE - HEADER_SIZE : -TRAILER_SIZE]
    failure: VNAError | None = None
    for header in (head,) if head == copy else (head, copy):
        try:
            core = Core.unpack(header)
            if core.blob_id != blob_id or core.kind != kind:
                raise Corrupt("The blob stands under another's name.")
            keys = opens(core, header)
            trailer = open_trailer(keys.meta, tail[-TRAILER_SIZE:], size)
        except Unavailable:
            raise
        except VNAError as exc:
            failure = exc
            continue
        return BlobReader(source, header, keys, trailer, tail)
    if head == copy and failure is not None:
        raise failure
    raise Corrupt("Neither copy of the blob's header verifies.") from failure


def _meta_in(tail: bytes, trailer: Trailer) -> bytes | None:
    """Cut the sealed meta out of the last bytes of the file, where it usually is whole."""
    end = len(tail) - TRAILER_SIZE - HEADER_SIZE
    return tail[end - trailer.meta_size : end] if trailer.meta_size <= end else None


def payload_chunks(
    read: Callable[[int, int], bytes], payload_len: int, offset: int, length: int | None, size: int
) -> Iterator[bytes]:
    """Cut a range where segments end, so that none is opened twice, and read piece by piece."""
    return (read(at, count) for at, count in _steps(payload_len, offset, length, size))


def payload_views(
    source: Source,
    opener: PayloadOpener,
    payload_len: int,
    *,
    offset: int,
    length: int | None,
    size: int,
) -> Iterator[memoryview]:
    """Walk a range in one and the same work space: a view is good until the next one is asked for.

    Fresh memory for each piece, and copying it there, cost as much as opening it.
    """
    room = max(SEGMENT, size // SEGMENT * SEGMENT)
    room += room // SEGMENT * TAG
    with source.rooms.lend(room) as sealed, source.rooms.lend(room) as plain:
        for at, count in _steps(payload_len, offset, length, size):
            yield source.open_in(opener, Cut.of(payload_len, at, count), sealed, plain)


def _steps(
    payload_len: int, offset: int, length: int | None, size: int
) -> Iterator[tuple[int, int]]:
    """Cut a range where segments end: offset and length of each piece."""
    step = max(SEGMENT, size // SEGMENT * SEGMENT)
    end = payload_len if length is None else min(payload_len, offset + length)
    while offset < end:
        until = min(end, (offset // step + 1) * step)
        yield offset, until - offset
        offset = until
