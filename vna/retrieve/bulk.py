"""The bulk data of instances: the values behind BulkDataURIs, Pixel Data as its frames.

An uncompressed value is one payload. Compressed Pixel Data is one payload a frame (PS3.18 8.6.1.2,
10.4.3.3.2), since the codestreams stand for themselves outside a data set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import orjson

from vna.blobs.store import BlobStore
from vna.config import Limits
from vna.dicom.uids import EXPLICIT_LITTLE, syntax
from vna.index.locate import Located
from vna.retrieve.datasets import is_plain, stored_stretch, value_bytes
from vna.retrieve.payload import Payload, Stretch, path_of


@dataclass(frozen=True, slots=True)
class Place:
    """One bulk value: its path as BulkDataURIs have it, its VR, and where it lies."""

    path: str
    vr: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What is given of many bulk values, in order, and how many of them had no form asked for.

    `payloads` is a list where each is known, and an iterator where frames are looked up as it goes.
    """

    payloads: list[Payload] | Iterator[Payload]
    revisions: list[str]
    changed_at: datetime
    refused: int = 0


def pixel_place(located: Located) -> Place | None:
    """Give the place of the Pixel Data, Float or Double Float Pixel Data (PS3.18 10.4.3.3.3)."""
    return None if located.pixel is None else Place(*located.pixel)


def other_places(located: Located) -> list[Place]:
    """Give the places of all other bulk values."""
    return [Place(*found) for found in orjson.loads(located.bulk or b"[]")]


def place_of(located: Located, path: str) -> Place | None:
    """Find the value of a bulk path."""
    pixels = pixel_place(located)
    if pixels is not None and pixels.path == path:
        return pixels
    return next((place for place in other_places(located) if place.path == path), None)


def is_capsule(located: Located, place: Place) -> bool:
    """Whether a value is compressed Pixel Data."""
    is_pixels = located.pixel is not None and place.path == located.pixel[0]
    return is_pixels and syntax(located.transfer_syntax).encapsulated


def value(store: BlobStore, located: Located, place: Place, limits: Limits) -> Payload:
    """Give one value as little endian octets."""
    stretch: Stretch | None = None
    if is_plain(located.transfer_syntax):
        stretch = stored_stretch(store, located, place.offset, place.length)
    return Payload(
        ref=located.ref,
        media_type="application/octet-stream",
        transfer_syntax=EXPLICIT_LITTLE,
        length=place.length,
        chunks=value_bytes(store, located, (place.vr, place.offset, place.length), limits),
        stretch=stretch,
        location=f"{path_of(located.ref)}/bulkdata/{place.path}",
        revision=located.blob_id.hex(),
        changed_at=located.changed_at,
    )
