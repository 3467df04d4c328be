"""A picture of 8 bits: cut, scaled, turned, written on, encoded. Runs in the sandbox only."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw, ImageFont

from vna.pixels.faults import Unknown
from vna.pixels.rendering import Profile, Rendering, Viewport
from vna.pixels.shape import Shape

Array = NDArray[Any]  # uint8, (rows, columns) or (rows, columns, 3)

_INK, _EDGE = 255, 0
_LEAST_LETTERS, _MOST_LETTERS, _LINES = 9, 32, 40


def fitted(picture: Array, viewport: Viewport | None, shape: Shape, *, enlarge: bool) -> Array:
    """Cut the region out and scale it into the viewport, as large as its shape allows.

    Without a viewport it stays pixel for pixel, whatever the shape of these.
    """
    if viewport is None:
        return picture
    rows, columns = picture.shape[:2]
    left, top, wide, high, turn_across, turn_down = region_of(viewport, rows, columns)
    true_wide, true_high = wide * shape.across, high * shape.down
    scale = min(viewport.width / true_wide, viewport.height / true_high)
    if not enlarge:
        scale = min(scale, 1.0)
    size = max(round(true_wide * scale), 1), max(round(true_high * scale), 1)
    size = min(size[0], viewport.width), min(size[1], viewport.height)
    box = (left, top, left + wide, top + high)
    is_whole = max(left, top, columns - wide, rows - high) == 0
    if is_whole and size == (columns, rows):
        out = picture
    else:
        image = Image.fromarray(np.ascontiguousarray(picture))
        times = columns // size[0]
        if is_whole and (size[0] * times, size[1] * times) == (columns, rows):
            out = np.asarray(image.reduce(times))  # each pixel the mean of a square: half the work
        else:
            how = Image.Resampling.BILINEAR
            out = np.asarray(image.resize(size, how, box=box, reducing_gap=2.0))
    if turn_across:
        out = out[:, ::-1]
    return out[::-1] if turn_down else out


def region_of(
    viewport: Viewport, rows: int, columns: int
) -> tuple[float, float, float, float, bool, bool]:
    """Left, top, width and height of the region inside the image, and how it is turned over."""
    left, top, wide, high = viewport.region or (0.0, 0.0, None, None)
    wide = columns - left if wide is None else wide
    high = rows - top if high is None else high
    right, bottom = min(left + abs(wide), columns), min(top + abs(high), rows)
    left, top = max(left, 0.0), max(top, 0.0)
    if right <= left or bottom <= top:
        raise Unknown
    return left, top, right - left, bottom - top, wide < 0, high < 0


def written_on(picture: Array, patient: tuple[str, ...], technique: tuple[str, ...]) -> Array:
    """Burn lines into the upper left and lower left corner, white with a dark edge."""
    if not patient and not technique:
        return picture
    image = Image.fromarray(np.ascontiguousarray(picture))
    font = letters(image.height)
    draw = ImageDraw.Draw(image)
    for lines, at_bottom in ((patient, False), (technique, True)):
        shown = "\n".join(line for line in lines[:_LINES])
        if not shown:
            continue
        box = draw.multiline_textbbox((0, 0), shown, font=font)
        top = image.height - box[3] - 4 if at_bottom else 4
        ink = _INK if picture.ndim == 2 else (_INK,) * 3
        edge = _EDGE if picture.ndim == 2 else (_EDGE,) * 3
        draw.multiline_text((4, top), shown, fill=ink, font=font, stroke_width=1, stroke_fill=edge)
    return np.asarray(image)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def letters(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Choose letters for a picture of this height."""
    return _font(min(max(height // 36, _LEAST_LETTERS), _MOST_LETTERS))


def prepare_letters() -> None:
    """Load the letters of every size there is."""
    for size in range(_LEAST_LETTERS, _MOST_LETTERS + 1):
        _font(size)


def encoded(picture: Array, how: Rendering, profile: bytes) -> bytes:
    """Write a picture in the media type asked for. `profile` is the image's own, if it has one."""
    picture = np.ascontiguousarray(picture)
    if how.profile is not Profile.NO:
        picture, profile = in_colour_space(picture, how.profile, profile)
        return _with_profile(picture, how, profile)
    if how.media == "image/jpeg":
        return bytes(imagecodecs.jpeg8_encode(picture, level=how.quality))
    if how.media == "image/png":
        filtering, strategy = imagecodecs.PNG.FILTER.UP, imagecodecs.PNG.STRATEGY.RLE
        made = imagecodecs.png_encode(picture, level=1, filter=filtering, strategy=strategy)
        return bytes(made)
    if how.media == "image/gif":
        return _gif(picture)
    if how.media == "image/jp2":
        reversible = how.quality == 100
        level = 0 if reversible else 25 + how.quality * 0.25  # PSNR in dB
        made = imagecodecs.jpeg2k_encode(
            picture, level=int(level), reversible=reversible, codecformat="JP2", numthreads=1
        )
        return bytes(made)
    if how.media == "image/jxl":
        made = imagecodecs.jpegxl_encode(picture, level=how.quality, effort=3, numthreads=1)
        return bytes(made)
    if how.media == "image/webp":
        rgb = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1)
        return bytes(imagecodecs.webp_encode(rgb, level=how.quality, method=0, numthreads=1))
    raise Unknown


def _gif(picture: Array) -> bytes:
    image = Image.fromarray(picture)
    if picture.ndim == 3:
        image = image.quantize(256, method=Image.Quantize.FASTOCTREE)
    out = io.BytesIO()
    image.save(out, "GIF")
    return out.getvalue()


def _with_profile(picture: Array, how: Rendering, profile: bytes) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(picture)
    if how.media == "image/jpeg":
        image.save(out, "JPEG", quality=how.quality, icc_profile=profile)
    elif how.media == "image/png":
        image.save(out, "PNG", compress_level=1, icc_profile=profile)
    else:
        raise Unknown
    return out.getvalue()


def in_colour_space(picture: Array, wanted: Profile, own: bytes) -> tuple[Array, bytes]:
    """Convert to a colour space and give its profile; YES: the image's own, or sRGB."""
    rgb = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1)
    if wanted is Profile.YES and own:
        return rgb, own
    target = _profile("adobergb" if wanted is Profile.ADOBE_RGB else "srgb")
    source = own or _profile("srgb")
    if source == target:
        return rgb, target
    try:
        made = ImageCms.profileToProfile(
            Image.fromarray(np.ascontiguousarray(rgb)),
            ImageCms.ImageCmsProfile(io.BytesIO(source)),
            ImageCms.ImageCmsProfile(io.BytesIO(target)),
        )
    except (ImageCms.PyCMSError, OSError, ValueError) as exc:
        raise Unknown from exc
    return np.asarray(made), target


@cache
def _profile(name: str) -> bytes:
    return bytes(imagecodecs.cms_profile(name))
