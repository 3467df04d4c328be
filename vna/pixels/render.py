"""From a stored frame to a picture, in the standard's order (PS3.4 N.2, PS3.18 8.3.5.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from vna.dicom.uids import EXPLICIT_LITTLE
from vna.pixels import canvas, geometry, graphics, overlays
from vna.pixels.colour import over_grey, shown_colours, shown_palette
from vna.pixels.decoders import decoded, is_kept
from vna.pixels.description import FrameSource, PixelDescription
from vna.pixels.elements import Members, binary, text
from vna.pixels.grey import grey
from vna.pixels.lookup import has_palette
from vna.pixels.rendering import MEDIA, WITH_PROFILE, Profile, Rendering, Viewport
from vna.pixels.shape import shape_of
from vna.pixels.thinning import thinned

Array = NDArray[Any]  # of integers or floats


def rendered(frame: FrameSource, how: Rendering, members: bytes, number: int) -> bytes:
    """Render frame `number` of its image; `members` is the DICOM JSON of what decides its looks."""
    array, photometric = decoded(frame)
    read = orjson.loads(members)
    if how.thinned and photometric.startswith("MONOCHROME") and "state" not in read:
        array = thinned(array, frame.description, how.viewport)
    picture = shown(array, photometric, frame, members, how)
    if how.overlays or "state" in read:  # a state says itself which of them are shown
        picture = overlays.laid_over(picture, read, array, number)
    if "state" in read:
        space = geometry.display_space(read, picture)
        picture = geometry.presented(graphics.annotated(picture, read), read)
        picture = graphics.annotated(picture, read, space)
    picture = canvas.fitted(picture, how.viewport, shape_of(read), enlarge=how.enlarge)
    picture = canvas.written_on(picture, how.patient, how.technique)
    return canvas.encoded(picture, how, _own_profile(read))


def shown(
    array: Array, photometric: str, frame: FrameSource, members: bytes, how: Rendering
) -> Array:
    """Show decoded values as 8 bits: grey, or RGB. Raises `Fault`."""
    description = frame.description
    if array.ndim == 3:
        return shown_colours(array, photometric, description)
    if photometric == "PALETTE COLOR" and b'"00281101"' in members:
        return shown_palette(array, description, members)
    picture = grey(array, description, members, how.window, is_kept(frame))
    read: Members = orjson.loads(members)
    if text(read, "00089205") in ("COLOR", "MIXED") and has_palette(read):
        return over_grey(picture, array, description, members)
    return np.asarray(picture)


def _own_profile(members: Members) -> bytes:
    return binary(members, "00282000")


def warm_up() -> None:
    """Use everything once, so that all is loaded: a child can open no file."""
    words = ("A",)
    for photometric, samples in (("MONOCHROME2", 1), ("YBR_FULL", 3)):
        small = PixelDescription(
            rows=64,
            columns=64,
            samples=samples,
            photometric=photometric,
            bits_allocated=8,
            bits_stored=8,
        )
        frame = FrameSource(
            transfer_syntax=EXPLICIT_LITTLE, data=bytes(64 * 64 * samples), description=small
        )
        viewport = Viewport(width=16, height=16)
        for media in MEDIA:
            rendered(frame, Rendering(media=media, viewport=viewport, patient=words), b"{}", 1)
        for media in WITH_PROFILE:
            how = Rendering(media=media, profile=Profile.ADOBE_RGB)
            rendered(frame, how, b"{}", 1)
    canvas.prepare_letters()
