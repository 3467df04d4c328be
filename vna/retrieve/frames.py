"""One frame of an instance: found in the frame table, read by range, only its segments opened."""

from __future__ import annotations

from collections.abc import Iterator

from vna.blobs.store import BlobStore
from vna.config import Limits
from vna.dicom.frames import FrameTable
from vna.dicom.uids import syntax
from vna.errors import NotFound
from vna.index.locate import Located
from vna.retrieve.datasets import is_plain, stored_stretch, value_bytes
from vna.retrieve.payload import Buffer, Payload, Stretch, Walk, joined, path_of


def count(table: bytes | None) -> int:
    """How many frames can be asked for."""
    if table is None:
        return 0
    places = FrameTable.decode(table)
    return 1 if places.is_stream else places.count


def frame(
    store: BlobStore,
    located: Located,
    table: bytes | None,
    number: int,
    *,
    transfer_syntax: str,
    limits: Limits,
) -> Payload:
    """Frame `number`, from 1, in `transfer_syntax`. Raises `NotFound`."""
    if table is None or located.pixel is None:
        raise NotFound("This instance has no frames.")
    places = FrameTable.decode(table)
    if places.is_stream and 1 < number <= places.count:
        raise NotFound("The frames of this instance are one stream: ask for frame 1.")
    if not 1 <= number <= places.count:
        raise NotFound(f"This instance has {places.count} frames.")
    stretch: Stretch | None = None
    chunks: Iterator[bytes]
    if places.bits is not None:
        length = (places.bits + 7) // 8
        stretch = Stretch(length, _bit_walk(store, located, places, number, limits))
        chunks = (bytes(piece) for piece in stretch.walk(0, length))
    else:
        pieces = places.frame(number)
        length = sum(size for _, size in pieces)
        if is_plain(located.transfer_syntax):
            stretch = joined(stored_stretch(store, located, at, size) for at, size in pieces)
        chunks = _pieces(store, located, pieces, limits)
    return Payload(
        ref=located.ref,
        media_type=syntax(transfer_syntax).frame_type,
        transfer_syntax=transfer_syntax,
        length=length,
        chunks=chunks,
        stretch=stretch,
        location=f"{path_of(located.ref)}/frames/{number}",
        revision=located.blob_id.hex(),
        changed_at=located.changed_at,
    )


def _pieces(
    store: BlobStore, located: Located, pieces: tuple[tuple[int, int], ...], limits: Limits
) -> Iterator[bytes]:
    vr = located.pixel[1] if located.pixel else "OB"
    return (
        chunk
        for at, size in pieces
        for chunk in value_bytes(store, located, (vr, at, size), limits)
    )


def _bit_walk(
    store: BlobStore, located: Located, places: FrameTable, number: int, limits: Limits
) -> Walk:
    def walk(start: int, end: int) -> Iterator[Buffer]:
        yield _bits(store, located, places, number, limits)[start:end]

    return walk


def _bits(
    store: BlobStore, located: Located, places: FrameTable, number: int, limits: Limits
) -> bytes:
    """A frame of one-bit pixels that begins inside a byte, shifted to begin at one (PS3.5 8.1)."""
    offset, length, shift = places.frame_bits(number)
    vr = located.pixel[1] if located.pixel else "OB"
    data = b"".join(value_bytes(store, located, (vr, offset, length), limits))
    bits = places.bits or 0
    whole = int.from_bytes(data, "little") >> shift & ((1 << bits) - 1)
    return whole.to_bytes((bits + 7) // 8, "little")
