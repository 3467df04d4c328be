"""Stored bytes -> the data set or its parts in the form that was chosen."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import orjson

from vna.blobs.meta import read
from vna.blobs.store import BlobStore
from vna.config import Limits
from vna.dicom.rewrite import REWRITTEN, to_explicit_little, to_implicit_little
from vna.dicom.uids import EXPLICIT_LITTLE, IMPLICIT_LITTLE, syntax
from vna.errors import Corrupt, TooLarge
from vna.index.locate import Located
from vna.retrieve.payload import Buffer, Stretch

_WORD = {"OW": 2, "US": 2, "SS": 2, "OF": 4, "OL": 4, "FL": 4, "UL": 4, "SL": 4}
_WORD.update({"OD": 8, "OV": 8, "FD": 8, "UV": 8, "SV": 8})


def stored_chunks(store: BlobStore, located: Located) -> Iterator[bytes]:
    """The data set as received."""
    return store.chunks(located.blob_id, located.header, located.payload_len)


def stored_stretch(
    store: BlobStore, located: Located, offset: int = 0, length: int | None = None
) -> Stretch:
    """The data set as received, or a range of it, to be walked from anywhere."""
    size = located.payload_len - offset if length is None else length

    def walk(start: int, end: int) -> Iterator[Buffer]:
        return store.views(
            located.blob_id, located.header, located.payload_len, offset + start, end - start
        )

    return Stretch(size, walk)


def in_syntax(
    store: BlobStore, located: Located, transfer_syntax: str, limits: Limits
) -> Iterator[bytes]:
    """The data set in `transfer_syntax`: the stored one, Explicit or Implicit VR Little Endian."""
    chunks = stored_chunks(store, located)
    if transfer_syntax == IMPLICIT_LITTLE:
        return to_implicit_little(chunks, located.transfer_syntax, limits)
    if transfer_syntax != EXPLICIT_LITTLE or located.transfer_syntax not in REWRITTEN:
        return chunks
    return to_explicit_little(chunks, located.transfer_syntax, limits)


def value_bytes(
    store: BlobStore, located: Located, place: tuple[str, int, int], limits: Limits
) -> Iterator[bytes]:
    """One value, little endian, from its place in the data set: VR, offset, length.

    The offset is one of the inflated data set where it was deflated.
    """
    vr, offset, length = place
    if syntax(located.transfer_syntax).deflated:
        return _inflated_range(stored_chunks(store, located), offset, length, limits)
    word = 1 if syntax(located.transfer_syntax).little else _word(store, located, vr, offset)
    # a frame of an odd number of bytes begins or ends inside a word of its Pixel Data
    start = located.pixel[2] if located.pixel is not None else offset
    lead = (offset - start) % word if offset >= start else 0
    whole = lead + length + (-(lead + length) % word)
    chunks = store.chunks(
        located.blob_id, located.header, located.payload_len, offset - lead, whole
    )
    return chunks if word == 1 else _cut(_swapped(chunks, word), lead, length)


def _cut(chunks: Iterator[bytes], lead: int, length: int) -> Iterator[bytes]:
    """Leave out `lead` bytes, then give `length` of them."""
    for chunk in chunks:
        piece = chunk[lead : lead + length]
        lead = max(0, lead - len(chunk))
        length -= len(piece)
        if piece:
            yield piece


def is_plain(transfer_syntax: str) -> bool:
    """Whether stored values are little endian at the offsets the index knows."""
    held = syntax(transfer_syntax)
    return held.little and not held.deflated


def _word(store: BlobStore, located: Located, vr: str, offset: int) -> int:
    """How many bytes are turned round together in a big endian value.

    Pixel cells of more than 16 bits are turned round whole, as every writer of them has done,
    though PS3.5 7.3 speaks of 16-bit words for OW.
    """
    if vr == "OW" and located.pixel is not None and offset >= located.pixel[2]:
        members = orjson.loads(read(store.reader(located.blob_id).meta()).json or b"{}")
        bits = (members.get("00280100") or {}).get("Value") or [16]
        if bits[0] in (32, 64):
            return int(bits[0]) // 8
    return _WORD.get(vr, 1)


def _inflated_range(
    chunks: Iterator[bytes], offset: int, length: int, limits: Limits
) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    at, end = 0, offset + length
    for chunk in chunks:
        data = chunk
        while data:
            piece = inflater.decompress(data, 1 << 20)
            data = inflater.unconsumed_tail
            if at + len(piece) > limits.inflate_bytes:
                raise TooLarge("The deflated data set grows past the limit.")
            wanted = piece[max(offset - at, 0) : max(end - at, 0)]
            at += len(piece)
            if wanted:
                yield wanted
            if at >= end:
                return
    raise Corrupt("The deflated data set ends before this value.")


def _swapped(chunks: Iterator[bytes], word: int) -> Iterator[bytes]:
    held = b""
    for chunk in chunks:
        data = held + chunk
        whole = len(data) - len(data) % word
        held = data[whole:]
        swapped = bytearray(whole)
        for i in range(word):
            swapped[i::word] = data[word - 1 - i : whole : word]
        yield bytes(swapped)
    if held:
        yield held
