"""Payload: what goes out, in no protocol; and bytes any part of which can be walked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from vna.blobs.rooms import Rooms
from vna.dicom.refs import InstanceRef

Buffer = bytes | bytearray | memoryview

Walk = Callable[[int, int], Iterator[Buffer]]
"""Walks from a start to an end. A piece that is no `bytes` is good until the next is asked for."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of known length, any part of which can be walked, as often as wanted."""

    length: int
    walk: Walk


def ready(data: bytes) -> Stretch:
    """Make a stretch of bytes that are at hand."""
    return Stretch(len(data), lambda start, end: iter((data[start:end],)))


def joined(stretches: Iterable[Stretch]) -> Stretch:
    """Make one stretch of several, one behind the other."""
    parts = tuple(stretches)

    def walk(start: int, end: int) -> Iterator[Buffer]:
        at = 0
        for part in parts:
            first, last = max(start - at, 0), min(end - at, part.length)
            at += part.length
            if first < last:
                yield from part.walk(first, last)
            if at >= end:
                return

    return Stretch(sum(part.length for part in parts), walk)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Bytes of one object, frame or value, and what they are.

    `length` is None where it is known only at the end (a data set rewritten as it goes out).
    `chunks` is walked once; every byte of it has been authenticated. `stretch` is the same where
    the stored bytes can be walked from anywhere, with fewer copies. `location` is the path below
    the DICOMweb root under which the same bytes can be asked for again. `revision` names the stored
    version, which stands since `changed_at`.
    """

    ref: InstanceRef
    media_type: str
    transfer_syntax: str | None
    length: int | None
    chunks: Iterator[bytes]
    stretch: Stretch | None = None
    location: str | None = None
    revision: str | None = None
    changed_at: datetime | None = None


def collected(payload: Payload) -> bytes | bytearray:
    """Put all of a payload into one piece, with as few copies as it allows."""
    if payload.stretch is None:
        return b"".join(payload.chunks)
    data = bytearray(payload.stretch.length)
    _fill(memoryview(data), payload.stretch)
    return data


@contextmanager
def lent(payload: Payload, rooms: Rooms) -> Iterator[Buffer]:
    """Do the same in work space that is used again; good until the context is left."""
    if payload.stretch is None:
        yield b"".join(payload.chunks)
        return
    with rooms.lend(payload.stretch.length) as view:
        _fill(view, payload.stretch)
        yield view


def _fill(view: memoryview, stretch: Stretch) -> None:
    at = 0
    for piece in stretch.walk(0, stretch.length):
        view[at : at + len(piece)] = piece
        at += len(piece)


def path_of(ref: InstanceRef) -> str:
    """Path of an instance below the DICOMweb root (PS3.18 10.1)."""
    return f"/studies/{ref.study}/series/{ref.series}/instances/{ref.instance}"
