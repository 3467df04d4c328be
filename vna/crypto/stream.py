"""The body of a sealed blob: segments, meta and trailer, written in one pass, opened by ranges.

No I/O and no clock: bytes go to a sink, ranges come from the caller. Layout: docs/crypto.md 3.
Nonces are counters, fixed by the format; a data key is never used for a second blob.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vna.crypto.envelope import HEADER_SIZE, MAGIC, Subkeys
from vna.errors import Corrupt, TooLarge

Buffer = bytes | bytearray | memoryview
Sink = Callable[[memoryview], object]

SEGMENT = 1 << 16
TAG = 16
SEALED_SEGMENT = SEGMENT + TAG
TRAILER_SIZE = 136
CHECKSUM_SIZE = 32
META_MAX = 16 << 20  # as given, before sealing
SMALLEST = HEADER_SIZE + TAG + TAG + HEADER_SIZE + TRAILER_SIZE

# One held segment, then 16 sealed ones with room for header, a usual meta and the tail: an object
# of up to 1 MiB leaves in a single write.
ROOM_SIZE = SEGMENT + 16 * SEALED_SEGMENT + 8192

_META, _PAYLOAD, _TRAILER = 1, 2, 3
_NONCE = struct.Struct(">BxxQB")
_TRAILER_HEAD = struct.Struct(">4sB3xQI4xQ")
_TRAILER_BODY = struct.Struct(">Q32sQQ")
_TRAILER_MAGIC = b"VNBT"


def nonce(section: int, index: int, *, final: bool) -> bytes:
    """Give the nonce of one message of a blob: section, index, and whether it is the last."""
    return _NONCE.pack(section, index, final)


def segment_count(payload_len: int) -> int:
    """Count the segments of a payload; an empty one has a single empty segment."""
    return max(1, -(-payload_len // SEGMENT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What is known of a blob once its last byte is written."""

    payload_len: int
    payload_sha256: bytes
    size: int
    checksum: bytes


class Sealer:
    """Seal one payload as it arrives, hash it, and give the file's bytes to `sink` in few pieces.

    A full segment is held back until a further byte or the end, since the last one is marked in
    its nonce. The pieces are valid only during the call. `room` is ROOM_SIZE bytes of work space.
    """

    def __init__(self, header: bytes, keys: Subkeys, sink: Sink, room: bytearray) -> None:
        self._header = header
        self._payload = AESGCM(keys.payload)
        self._meta = AESGCM(keys.meta)
        self._sink = sink
        self._held = memoryview(room)[:SEGMENT]
        self._out = memoryview(room)[SEGMENT:]
        self._held_len = 0
        self._out_len = 0
        self._segments = 0
        self._size = 0
        self._digest = hashlib.sha256()
        self._checksum = blake3()
        self.payload_len = 0
        self._put(header)

    def feed(self, data: Buffer) -> None:
        """Take the next bytes of the payload; they are used up on return."""
        view = memoryview(data)
        if view.nbytes == 0:
            return
        view = view.cast("B")
        self._digest.update(view)
        self.payload_len += len(view)
        if self._held_len:
            view = self._top_up(view)
        while len(view) > SEGMENT:  # straight from the caller's bytes, without a copy
            self._seal(view[:SEGMENT], final=False)
            view = view[SEGMENT:]
        if len(view):
            self._held[self._held_len : self._held_len + len(view)] = view
            self._held_len += len(view)

    def finish(self, meta: bytes) -> Sealed:
        """Seal the last segment, the meta and the trailer. Raises `TooLarge`."""
        if len(meta) > META_MAX:
            raise TooLarge("The metadata of a blob may have at most 16 MiB.")
        self._seal(self._held[: self._held_len], final=True)
        meta_offset = self._size + self._out_len
        sealed_meta = self._meta.encrypt(nonce(_META, 0, final=True), meta, None)
        self._put(sealed_meta)
        self._put(self._header)
        digest = self._digest.digest()
        head = _TRAILER_HEAD.pack(_TRAILER_MAGIC, 1, meta_offset, len(sealed_meta), self._segments)
        body = _TRAILER_BODY.pack(self.payload_len, digest, self._segments, len(meta))
        self._put(head + self._meta.encrypt(nonce(_TRAILER, 0, final=True), body, head))
        checksum = self._close()
        return Sealed(
            payload_len=self.payload_len,
            payload_sha256=digest,
            size=self._size,
            checksum=checksum,
        )

    def _top_up(self, view: memoryview) -> memoryview:
        """Fill the held segment; seal it when a byte beyond it is here."""
        take = min(SEGMENT - self._held_len, len(view))
        self._held[self._held_len : self._held_len + take] = view[:take]
        self._held_len += take
        rest = view[take:]
        if len(rest):
            self._seal(self._held, final=False)
            self._held_len = 0
        return rest

    def _seal(self, plain: memoryview, *, final: bool) -> None:
        size = len(plain) + TAG
        if self._out_len + size > len(self._out):
            self._flush()
        place = self._out[self._out_len : self._out_len + size]
        self._payload.encrypt_into(nonce(_PAYLOAD, self._segments, final=final), plain, None, place)
        self._segments += 1
        self._out_len += size

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            if self._out_len == len(self._out):
                self._flush()
            take = min(len(rest), len(self._out) - self._out_len)
            self._out[self._out_len : self._out_len + take] = rest[:take]
            self._out_len += take
            rest = rest[take:]

    def _flush(self) -> None:
        piece = self._out[: self._out_len]
        self._checksum.update(piece)
        self._size += len(piece)
        self._out_len = 0
        self._sink(piece)

    def _close(self) -> bytes:
        if self._out_len + CHECKSUM_SIZE > len(self._out):
            self._flush()
        self._checksum.update(self._out[: self._out_len])
        checksum: bytes = self._checksum.digest()
        self._out[self._out_len : self._out_len + CHECKSUM_SIZE] = checksum
        piece = self._out[: self._out_len + CHECKSUM_SIZE]
        self._size += len(piece)
        self._sink(piece)
        return checksum


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where in the file the segments of a payload range stand."""

    payload_len: int
    first: int  # index of the first segment
    start: int  # offset in the file
    size: int  # sealed bytes
    skip: int  # bytes of the first segment before the range
    length: int  # bytes of the range

    @classmethod
    def of(cls, payload_len: int, offset: int, length: int) -> Cut:
        """Find the segments of payload[offset : offset + length]; a range past the end is cut."""
        if payload_len < 0 or offset < 0 or length < 0:
            raise ValueError("a range has no negative numbers")
        offset = min(offset, payload_len)
        end = min(offset + length, payload_len)
        first = min(offset // SEGMENT, segment_count(payload_len) - 1)
        last = max(first, (end - 1) // SEGMENT)
        plain = min((last + 1) * SEGMENT, payload_len) - first * SEGMENT
        return cls(
            payload_len=payload_len,
            first=first,
            start=HEADER_SIZE + first * SEALED_SEGMENT,
            size=plain + (last - first + 1) * TAG,
            skip=offset - first * SEGMENT,
            length=end - offset,
        )


class PayloadOpener:
    """Open ranges of one blob's payload; safe to share between threads."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def open(self, sealed: Buffer, cut: Cut, room: memoryview) -> bytes:
        """Give the range's bytes, all authenticated. Raises `Corrupt`.

        `room` is work space of cut.size bytes; what a failure leaves in it must not be used.
        """
        return bytes(self.open_in(sealed, cut, room))

    def open_in(self, sealed: Buffer, cut: Cut, room: memoryview) -> memoryview:
        """Give the same as a view of `room`, good for as long as nobody else writes there."""
        view = memoryview(sealed)
        if len(view) != cut.size:
            raise Corrupt("The blob is cut off.")
        last = segment_count(cut.payload_len) - 1
        for i in range(-(-cut.size // SEALED_SEGMENT)):
            index = cut.first + i
            piece = view[i * SEALED_SEGMENT : (i + 1) * SEALED_SEGMENT]
            place = room[i * SEGMENT : i * SEGMENT + len(piece) - TAG]
            try:
                self._cipher.decrypt_into(
                    nonce(_PAYLOAD, index, final=index == last), piece, None, place
                )
            except InvalidTag as exc:
                raise Corrupt(f"Segment {index} of the blob does not verify.") from exc
        return room[cut.skip : cut.skip + cut.length]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trailer:
    """What the sealed trailer says."""

    payload_len: int
    payload_sha256: bytes
    meta_offset: int
    meta_size: int  # sealed
    checksum: bytes


def open_trailer(key: bytes, trailer: bytes, size: int) -> Trailer:
    """Open the last 136 bytes of a file of `size` bytes. Raises `Corrupt`.

    The geometry must be exact, so that nothing can be cut off or appended.
    """
    head = trailer[: _TRAILER_HEAD.size]
    magic, version, meta_offset, meta_size, segments = _TRAILER_HEAD.unpack(head)
    if magic != _TRAILER_MAGIC or version != 1:
        raise Corrupt("The blob does not end as one: it is cut off or something follows it.")
    try:
        sealed = trailer[_TRAILER_HEAD.size : -CHECKSUM_SIZE]
        body = AESGCM(key).decrypt(nonce(_TRAILER, 0, final=True), sealed, head)
    except InvalidTag as exc:
        raise Corrupt("The blob's trailer does not verify.") from exc
    payload_len, digest, again, meta_plain = _TRAILER_BODY.unpack(body)
    if (
        segments != again
        or segments != segment_count(payload_len)
        or meta_offset != HEADER_SIZE + payload_len + segments * TAG
        or meta_size != meta_plain + TAG
        or size != meta_offset + meta_size + HEADER_SIZE + TRAILER_SIZE
    ):
        raise Corrupt("The blob's size is not what its trailer says.")
    return Trailer(
        payload_len=payload_len,
        payload_sha256=digest,
        meta_offset=meta_offset,
        meta_size=meta_size,
        checksum=trailer[-CHECKSUM_SIZE:],
    )


def open_meta(key: bytes, sealed: Buffer) -> bytes:
    """Open the meta, still compressed. Raises `Corrupt`."""
    try:
        return AESGCM(key).decrypt(nonce(_META, 0, final=True), sealed, None)
    except InvalidTag as exc:
        raise Corrupt("The blob's metadata does not verify.") from exc


def scrub(pieces: Iterable[Buffer], size: int) -> None:
    """Check a whole file without any key: its frame and its BLAKE3. Raises `Corrupt`.

    This finds rot; only the tags find tampering, since anybody can compute this checksum.
    """
    if size < SMALLEST:
        raise Corrupt("The blob is cut off.")
    checksum = blake3()
    head = tail = b""
    seen = 0
    for piece in pieces:
        if len(head) < len(MAGIC):
            head += bytes(memoryview(piece)[: len(MAGIC) - len(head)])
        seen += len(piece)
        if len(piece) < TRAILER_SIZE:
            piece, tail = tail + bytes(piece), b""  # noqa: PLW2901 -- joined, then cut anew
        checksum.update(tail)
        cut = max(0, len(piece) - TRAILER_SIZE)
        checksum.update(memoryview(piece)[:cut])
        tail = bytes(memoryview(piece)[cut:])
    if head != MAGIC:
        raise Corrupt("The blob does not begin as one.")
    if seen != size or tail[:4] != _TRAILER_MAGIC or len(tail) != TRAILER_SIZE:
        raise Corrupt("The blob does not end as one: it is cut off or something follows it.")
    checksum.update(tail[:-CHECKSUM_SIZE])
    if not hmac.compare_digest(checksum.digest(), tail[-CHECKSUM_SIZE:]):
        raise Corrupt("The blob's checksum does not verify.")
