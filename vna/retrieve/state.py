"""Presentation states: what they say, and of which images (PS3.3 A.33, C.11.11)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vna.dicom.refs import InstanceRef, SeriesRef, uid
from vna.errors import InvalidUID
from vna.pixels.elements import items, numbers, text
from vna.pixels.looks import Fetch, state_of

_SERIES, _SERIES_UID, _IMAGES = "00081115", "0020000E", "00081140"
_INSTANCE, _FRAMES = "00081155", "00081160"


@dataclass(frozen=True, slots=True)
class State:
    """One presentation state: its blob, and what of its DICOM JSON is about looks."""

    blob_id: bytes
    members: dict[str, Any]
    looks: dict[str, Any]

    @classmethod
    def of(cls, blob_id: bytes, members: dict[str, Any], fetch: Fetch) -> State:
        """Read it; large values are fetched."""
        return cls(blob_id, members, state_of(members, fetch))


@dataclass(frozen=True, slots=True)
class Referenced:
    """An image a presentation state is of; no frames: all of them."""

    ref: InstanceRef
    frames: tuple[int, ...]


def referenced(study: str, members: dict[str, Any]) -> Iterator[Referenced]:
    """Name the images a presentation state is of, in its order."""
    for series in items(members, _SERIES):
        for image in items(series, _IMAGES):
            try:
                of_series = SeriesRef(uid(study), uid(text(series, _SERIES_UID)))
                sop_instance = uid(text(image, _INSTANCE))
            except InvalidUID:
                continue  # a reference nobody could follow
            listed = tuple(int(number) for number in numbers(image, _FRAMES) if number >= 1)
            yield Referenced(InstanceRef(of_series.study, of_series.series, sop_instance), listed)
