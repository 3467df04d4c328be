"""Stored bytes -> the data set or its parts in the form that was chosen."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from vna.blobs.store import BlobStore
from vna.config import Limits
from vna.dicom.rewrite import to_explicit_little
from vna.dicom.uids import is_big_endian, is_deflated
from vna.errors import Corrupt, TooLarge
from vna.index.locate import Located
from vna.retrieve.representation import EXPLICIT_LITTLE

_WORD = {"OW": 2, "US": 2, "SS": 2, "OF": 4, "OL": 4, "FL": 4, "UL": 4, "SL": 4}
_WORD.update({"OD": 8, "OV": 8, "FD": 8, "UV": 8, "SV": 8})


def stored_chunks(store: BlobStore, located: Located) -> Iterator[bytes]:
    """The data set as received."""
    return store.chunks(located.blob_id, located.header, located.payload_len)


def in_syntax(
    store: BlobStore, located: Located, transfer_syntax: str, limits: Limits
) -> Iterator[bytes]:
    """The data set in `transfer_syntax`: the stored one, or Explicit VR Little Endian."""
    chunks = stored_chunks(store, located)
    if transfer_syntax == located.transfer_syntax or transfer_syntax != EXPLICIT_LITTLE:
        return chunks
    return to_explicit_little(chunks, located.transfer_syntax, limits)


def value_bytes(
    store: BlobStore, located: Located, vr: str, offset: int, length: int, limits: Limits
) -> Iterator[bytes]:
    """One value, little endian, from its place in the data set (inflated, if it was deflated)."""
    if is_deflated(located.transfer_syntax):
        chunks = _inflated_range(stored_chunks(store, located), offset, length, limits)
    else:
        chunks = store.chunks(
            located.blob_id, located.header, located.payload_len, offset, length
        )
    word = _WORD.get(vr, 1) if is_big_endian(located.transfer_syntax) else 1
    return chunks if word == 1 else _swapped(chunks, word)


def small_value(store: BlobStore, located: Located, offset: int, length: int) -> bytes:
    """One value as stored, in one read."""
    return store.read_range(
        located.blob_id, located.header, located.payload_len, offset, length
    )


def is_plain(transfer_syntax: str) -> bool:
    """Whether stored values are little endian at the offsets the index knows."""
    return not (is_deflated(transfer_syntax) or is_big_endian(transfer_syntax))


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
