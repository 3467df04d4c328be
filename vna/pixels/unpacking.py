"""PNG and GIF made native, in the sandbox (PS3.18 Table 10.5.2-1).

Transparency is left out; a palette becomes RGB; of an animation every frame is given whole. Nothing
else is lost.
"""

from __future__ import annotations

import io
from typing import Any

import imagecodecs
import numpy as np
from PIL import GifImagePlugin, Image

from vna.pixels.description import FrameSource
from vna.pixels.faults import Damaged, Mismatch, OutOfMemory
from vna.pixels.pictures import GIF, PNG, declared


def unpacked(picture: FrameSource, asked: dict[str, Any]) -> bytes:
    """Decode a picture into native frames. In the sandbox; raises faults."""
    most = int(asked["most"])
    if picture.transfer_syntax == PNG:
        return _native_png(picture)
    return _native_gif(picture, most)


def _native_png(picture: FrameSource) -> bytes:
    wanted = picture.description
    try:
        array = imagecodecs.png_decode(bytes(picture.data))
    except (imagecodecs.PngError, ValueError) as exc:
        raise Damaged from exc
    if array.ndim == 2:
        array = array[:, :, np.newaxis]
    array = array[:, :, : wanted.samples]  # without transparency
    shape = (wanted.rows, wanted.columns, wanted.samples)
    if array.shape != shape or array.dtype.itemsize * 8 != wanted.bits_allocated:
        raise Mismatch
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _native_gif(picture: FrameSource, most: int) -> bytes:
    frames: list[bytes] = []
    size = 0
    with Image.open(io.BytesIO(picture.data), formats=["GIF"]) as image:
        if image.size != (picture.description.columns, picture.description.rows):
            raise Mismatch
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            frames.append(image.convert("RGB").tobytes())
            size += len(frames[-1])
            if size > most:
                raise OutOfMemory
    return b"".join(frames)


def warm_up() -> None:
    """Load what decodes: a child can open no file."""
    Image.MAX_IMAGE_PIXELS = None  # sizes are checked before
    Image.register_open("GIF", GifImagePlugin.GifImageFile, lambda first: first[:3] == b"GIF")
    out = io.BytesIO()
    pages = [Image.new("P", (2, 2), color) for color in (0, 1)]
    pages[0].save(out, "GIF", save_all=True, append_images=pages[1:])
    for media, data in (
        (GIF, out.getvalue()),
        (PNG, bytes(imagecodecs.png_encode(np.zeros((2, 2, 3), np.uint8)))),
    ):
        description = declared(media, data)
        picture = FrameSource(transfer_syntax=media, data=data, description=description)
        unpacked(picture, {"most": 1 << 10})
