"""Is it the same object? Two contents under one SOP Instance UID, compared by what they say.

Digests already differ when this is asked. Padding, byte order, implicit or explicit VR and the
order of fragments' offset tables are no difference; a value or a pixel is.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from vna.blobs.store import BlobReader
from vna.config import Limits
from vna.dicom.rewrite import to_explicit_little
from vna.dicom.scan import Scanner
from vna.dicom.uids import EXPLICIT_LITTLE, syntax

_PADDING = "FFFCFFFC"  # Data Set Trailing Padding: always the last attribute


class Comparison(enum.Enum):
    """What two contents are to each other."""

    EQUAL = "equal"
    ENCODING = "encoding"  # compressed differently: nobody can say without decoding
    CONTENT = "content"


@dataclass(frozen=True, slots=True)
class _Content:
    attributes: bytes
    bulk: tuple[tuple[str, bytes], ...]


def compare(
    first: BlobReader, first_syntax: str, second: BlobReader, second_syntax: str, limits: Limits
) -> Comparison:
    """Read both payloads again and compare them by content."""
    compressed = syntax(first_syntax).encapsulated, syntax(second_syntax).encapsulated
    if any(compressed) and first_syntax != second_syntax:
        return Comparison.ENCODING
    if _content(first, first_syntax, limits) == _content(second, second_syntax, limits):
        return Comparison.EQUAL
    return Comparison.CONTENT


def _content(blob: BlobReader, transfer_syntax: str, limits: Limits) -> _Content:
    encapsulated = syntax(transfer_syntax).encapsulated
    read_as = transfer_syntax if encapsulated else EXPLICIT_LITTLE
    pieces: list[bytes] = []
    scanner = Scanner(read_as, limits, json=pieces.append)
    for chunk in _explicit(blob, transfer_syntax, limits):
        scanner.feed(chunk)
    scan = scanner.finish()
    # the ranges are known only now: a second walk over the same bytes hashes them
    places = [(b.path, b.offset, b.length) for b in scan.bulk if b.path != _PADDING]
    if scan.pixel is not None and all(p != scan.pixel.path for p, _, _ in places):
        places.append((scan.pixel.path, scan.pixel.offset, scan.pixel.length))
    if encapsulated and scan.frames is not None and scan.pixel is not None:
        places = [p for p in places if p[0] != scan.pixel.path]
        last = 1 if scan.frames.is_stream else scan.frames.count
        for number in range(1, last + 1):
            where = f"{scan.pixel.path}/{number}"
            places += [(where, at, length) for at, length in scan.frames.frame(number)]
    return _Content(_digest(pieces), _digests(_explicit(blob, transfer_syntax, limits), places))


def _digest(pieces: list[bytes]) -> bytes:
    """SHA-256 of the DICOM JSON without the padding at its end (PS3.10 7.2)."""
    whole = b"".join(pieces)
    kept, found, _ = whole.rpartition(b',"%b":' % _PADDING.encode())
    return hashlib.sha256(kept + b"}" if found else whole).digest()


def _explicit(blob: BlobReader, transfer_syntax: str, limits: Limits) -> Iterator[bytes]:
    if transfer_syntax == EXPLICIT_LITTLE or syntax(transfer_syntax).encapsulated:
        return blob.chunks()
    return to_explicit_little(blob.chunks(), transfer_syntax, limits)


def _digests(
    chunks: Iterator[bytes], places: list[tuple[str, int, int]]
) -> tuple[tuple[str, bytes], ...]:
    """SHA-256 of each range, trailing zero padding of a value left out, in one walk."""
    pending = sorted(places, key=lambda p: p[1])
    hashes = [hashlib.sha256() for _ in pending]
    zeros = [0] * len(pending)  # zero bytes seen last: padding, unless another byte follows
    at = first = 0
    for chunk in chunks:
        end = at + len(chunk)
        while first < len(pending) and pending[first][1] + pending[first][2] <= at:
            first += 1
        for i in range(first, len(pending)):
            _, start, length = pending[i]
            if start >= end:
                break
            piece = chunk[max(start - at, 0) : start + length - at]
            kept = piece.rstrip(b"\0")
            if kept:
                _update_zeros(hashes[i], zeros[i])
                hashes[i].update(kept)
                zeros[i] = 0
            zeros[i] += len(piece) - len(kept)
        at = end
    return tuple(
        (path, h.digest()) for (path, _, _), h in sorted(zip(pending, hashes, strict=True), key=_by)
    )


def _update_zeros(digest: hashlib._Hash, count: int) -> None:
    block = bytes(min(count, 1 << 20))
    while count > 0:
        digest.update(block[:count])
        count -= len(block)


def _by(pair: tuple[tuple[str, int, int], object]) -> tuple[str, int]:
    return pair[0][0], pair[0][1]
