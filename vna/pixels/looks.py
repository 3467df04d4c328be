"""What of an instance's DICOM JSON decides how its frames look, cut down to one frame at a time.

The functional groups of a frame, then those all frames share, stand over what the data set says at
the top (PS3.3 C.7.6.16); a presentation state stands over all of them (PS3.4 N.2).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from vna.dicom.text import decode
from vna.dicom.unknown import charset_of
from vna.pixels.elements import Members, integer, item, items, text, values
from vna.pixels.shape import PIXEL_MEASURES, PIXEL_SPACING, SHAPES

OVERLAY_GROUPS = tuple(f"60{number:02X}" for number in range(0, 0x20, 2))

SHUTTER_GROUP = "00181623"
"""Shutter Overlay Group: whose overlay is no graphic, but covers the image (PS3.3 C.7.6.15)."""

Fetch = Callable[[str], bytes]
"""Reads the value behind a relative BulkDataURI."""

_MODALITY = ("00283000", "00281052", "00281053")
_VOI = ("00283010", "00281050", "00281051", "00281056")
_PADDING = tuple(f"002801{number}" for number in range(20, 26))
_PROFILE, _OPTICAL_PATHS = "00282000", "00480105"
_OTHER = ("00089205", "20500010", "20500020", _PROFILE)
_PALETTE = (
    *("00281101", "00281102", "00281103", "00281201", "00281202", "00281203"),
    *("00281221", "00281222", "00281223"),
)
_OVERLAY = ("0010", "0011", "0015", "0050", "0051", "0100", "0102", "3000")
_OVERLAYS = tuple(group + element for group in OVERLAY_GROUPS for element in _OVERLAY)
_LAYER = "1001"  # of an overlay group: the layer a presentation state shows it in
_KEPT = (*_MODALITY, *_VOI, *_PADDING, *_OTHER, *_PALETTE, *SHAPES)
_SHARED, _PER_FRAME = "52009229", "52009230"
# functional group -> what of it counts here
_GROUPS = {
    "00289132": _VOI,  # Frame VOI LUT Sequence
    PIXEL_MEASURES: (PIXEL_SPACING,),
    "00289145": _MODALITY,  # Pixel Value Transformation Sequence
    "00189226": ("00089205",),  # MR Image Frame Type Sequence
    "00189329": ("00089205",),  # CT Image Frame Type Sequence
}
_SHUTTER = (
    *("00181600", "00181602", "00181604", "00181606", "00181608", "00181610", "00181612"),
    *("00181620", "00181622", SHUTTER_GROUP),
)
_SHUTTER_SHAPE = _SHUTTER[0]
_STATE = ("00700042", "00700041")
_AREAS, _ANNOTATIONS, _STATE_VOI = "0070005A", "00700001", "00283110"
_IMAGES, _INSTANCE, _FRAME = "00081140", "00081155", "00081160"


@dataclass(frozen=True, slots=True)
class Looks:
    """What decides the looks of one instance: of all its frames, and of each that differs."""

    common: dict[str, Any]
    frames: tuple[dict[str, Any], ...]

    def of_frame(self, number: int, state: Members | None = None) -> bytes:
        """Write the DICOM JSON that decides the looks of frame `number`, from 1."""
        own = self.frames[number - 1] if number <= len(self.frames) else {}
        found = self.common | own
        return orjson.dumps(found if state is None else under(found, state))


def looks(members: Members, fetch: Fetch) -> Looks:
    """Read what decides the looks of an instance; large values are fetched."""
    common = _of_slide(members)
    common |= {tag: members[tag] for tag in (*_KEPT, *_OVERLAYS) if tag in members}
    common |= _grouped(item(members, _SHARED))
    frames = tuple(_fetched(_grouped(group), fetch) for group in items(members, _PER_FRAME))
    return Looks(_fetched(common, fetch), frames if any(frames) else ())


def _of_slide(members: Members) -> dict[str, Any]:
    """Take the ICC Profile of a slide from its first optical path (PS3.3 C.8.12.5)."""
    path = item(members, _OPTICAL_PATHS)
    return {_PROFILE: path[_PROFILE]} if _PROFILE in path else {}


def _grouped(group: Members) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for tag, kept in _GROUPS.items():
        inside = item(group, tag)
        found |= {name: inside[name] for name in kept if name in inside}
    return found


def _fetched(members: Members, fetch: Fetch, charset: str = "") -> dict[str, Any]:
    """Put large values where their URIs stand, in items, too; text is read in `charset`."""
    found: dict[str, Any] = {}
    for tag, element in members.items():
        if not isinstance(element, dict):
            continue
        if "BulkDataURI" in element:
            data = fetch(str(element["BulkDataURI"]))
            found[tag] = _inside(str(element.get("vr", "UN")), data, charset)
        elif element.get("vr") == "SQ":
            inner = [_fetched(one, fetch, charset) for one in items(members, tag)]
            found[tag] = element | {"Value": inner}
        else:
            found[tag] = element
    return found


def _inside(vr: str, data: bytes, charset: str) -> dict[str, Any]:
    """Write a value as it stands in DICOM JSON where it is small."""
    if vr in ("LT", "ST", "UT"):
        return {"vr": vr, "Value": [decode(data, charset, vr)[0].rstrip(" \0")]}
    return {"vr": vr, "InlineBinary": base64.b64encode(data).decode("ascii")}


def state_of(members: Members, fetch: Fetch) -> dict[str, Any]:
    """Read what a presentation state says of looks; large values are fetched."""
    kept = (*_MODALITY, *_OTHER[1:], *_SHUTTER, *_STATE, *_OVERLAYS)
    kept += tuple(group + _LAYER for group in OVERLAY_GROUPS)
    kept += (_AREAS, _ANNOTATIONS, _STATE_VOI)
    found = {tag: members[tag] for tag in kept if tag in members}
    return _fetched(found, fetch, charset_of(members))


def for_image(state: Members, sop_instance: str, number: int) -> dict[str, Any]:
    """Cut a presentation state down to what it says of one frame of one image."""
    found = {
        tag: element
        for tag, element in state.items()
        if tag not in (_AREAS, _ANNOTATIONS, _STATE_VOI)
    }
    for tag in (_AREAS, _ANNOTATIONS):
        applied = [one for one in items(state, tag) if _applies(one, sop_instance, number)]
        if applied:
            found[tag] = {"vr": "SQ", "Value": applied}
    for one in items(state, _STATE_VOI):
        if _applies(one, sop_instance, number):
            found |= {name: one[name] for name in _VOI if name in one}
            break
    return found


def _applies(one: Members, sop_instance: str, number: int) -> bool:
    """Tell whether an item is about a frame: it names it, or its image, or none at all."""
    listed = items(one, _IMAGES)
    return not listed or any(
        text(image, _INSTANCE) == sop_instance and number in _frames_of(image, number)
        for image in listed
    )


def _frames_of(image: Members, default: int) -> Iterator[int]:
    named = image.get(_FRAME)
    listed = named.get("Value") if isinstance(named, dict) else None
    for value in listed or [default]:
        if isinstance(value, int):
            yield value
        elif isinstance(value, str) and value.strip().isdigit():
            yield int(value)


def under(image: Members, state: Members) -> dict[str, Any]:
    """Lay a presentation state over an image's looks: what it leaves out is identity (N.2.1).

    Overlays are shown as the state says, which may be those of the image.
    """
    left_out = (*_MODALITY, *_VOI, *_OTHER[1:], *_OVERLAYS)
    kept = {tag: element for tag, element in image.items() if tag not in left_out}
    if any(tag in state for tag in _VOI):
        kept |= {tag: state[tag] for tag in _VOI if tag in state}
    kept |= {tag: element for tag, element in state.items() if tag not in _OVERLAYS}
    return kept | _activated(image, state) | {"state": {}}


def _activated(image: Members, state: Members) -> dict[str, Any]:
    """Choose the overlays that have a layer: the state's own before the image's (PS3.3 C.11.7)."""
    found: dict[str, Any] = {}
    for group in OVERLAY_GROUPS:
        tags = [group + element for element in _OVERLAY]
        is_own = any(tag in state for tag in tags)
        if text(state, group + _LAYER) or (is_own and shutter_group(state) == group):
            source = state if is_own else image
            found |= {tag: source[tag] for tag in tags if tag in source}
    return found


def shutter_group(members: Members) -> str:
    """Name the overlay group that is a shutter; empty where none is."""
    if "BITMAP" not in values(members, _SHUTTER_SHAPE):
        return ""
    return f"{integer(members, SHUTTER_GROUP):04X}"
