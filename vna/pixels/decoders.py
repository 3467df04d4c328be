"""One frame, from its stored bytes to an array. Runs in the sandbox only.

An array is (rows, columns) or (rows, columns, samples), of the type Bits Allocated and Pixel
Representation call for; one-bit pixels are 0 and 1 in bytes. Its values are those the stream has,
unused high bits and all: `corrected` clears these for who wants to look at them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import imagecodecs
import numpy as np
import rle.rle
from jpeg_ls import CharLS
from numpy.typing import NDArray

from vna.dicom.uids import syntax
from vna.pixels import registry, streams
from vna.pixels.description import FrameSource, PixelDescription
from vna.pixels.faults import Damaged, Mismatch, Unknown
from vna.pixels.native import native
from vna.pixels.streams import Declared

Array = NDArray[Any]  # of integers or floats: the description says which

_WAVELETS = frozenset(
    (
        registry.JPEG_2000_LOSSLESS,
        registry.JPEG_2000,
        registry.HTJ2K_LOSSLESS,
        registry.HTJ2K_RPCL,
        registry.HTJ2K,
    )
)
_MOST_THREADS = 4  # of one frame: others want to be decoded, too
_RGB_IDS = ((82, 71, 66), (114, 103, 98))
LIBRARY_ERRORS = (RuntimeError, ValueError, TypeError, OverflowError, IndexError, KeyError)


class _Work:
    threads = 1  # until the sandbox says that there may be more


def share_work(threads: int) -> None:
    """Let so many threads decode one frame, where a codec can do that and is slow alone."""
    _Work.threads = min(threads, _MOST_THREADS)


def decoded(frame: FrameSource) -> tuple[Array, str]:
    """Decode one frame: the array, and the Photometric Interpretation its values have.

    Raises `Fault`.
    """
    uid, description = frame.transfer_syntax, frame.description
    if not syntax(uid).encapsulated:
        return native(frame.data, description)
    decoder = _DECODERS.get(uid)
    if decoder is None:
        raise Unknown
    try:
        array, photometric = decoder(bytes(frame.data), description)
    except LIBRARY_ERRORS as exc:
        raise Damaged from exc
    return _shaped(array, description), photometric


def _shaped(array: Array, description: PixelDescription) -> Array:
    """Give what a codec made the shape and type of the description."""
    shape: tuple[int, ...] = (description.rows, description.columns)
    if description.samples > 1:
        shape = (*shape, description.samples)
    if array.size != int(np.prod(shape)):
        raise Mismatch
    wanted = dtype_of(description)
    if array.dtype != wanted:
        if array.dtype.itemsize > wanted.itemsize:
            raise Mismatch
        if array.dtype.itemsize == wanted.itemsize:
            array = array.view(wanted)
        else:
            array = array.astype(wanted)
    return array.reshape(shape)


def dtype_of(description: PixelDescription) -> np.dtype[Any]:
    """Name the type of an array of such pixels."""
    if description.floating:
        return np.dtype(f"<f{description.bits_allocated // 8}")
    sign = "i" if description.is_signed else "u"
    return np.dtype(f"<{sign}{max(description.bits_allocated // 8, 1)}")


def _same_size(found: Declared, description: PixelDescription, most_precision: int = 16) -> None:
    """Refuse a stream that declares another picture, before it is decoded: it may be a bomb."""
    if (found.rows, found.columns) != (description.rows, description.columns):
        raise Mismatch
    if found.samples not in (0, description.samples):
        raise Mismatch
    if found.precision > max(min(most_precision, description.bits_allocated), 1):
        raise Mismatch


# -- decoders ----------------------------------------------------------------------------------


def _jpeg(data: bytes, description: PixelDescription) -> tuple[Array, str]:
    found = streams.jpeg(data)
    _same_size(found, description)
    if description.samples == 1:
        return imagecodecs.jpeg8_decode(data), description.photometric
    told = description.photometric
    photometric = jpeg_colours(found, told)
    if description.samples != 3:
        return imagecodecs.jpeg8_decode(data), told
    adobe = found.markers.get(0xEE, b"")
    if adobe.startswith(b"Adobe") and adobe[11:12] == b"\x01":
        # the stream itself says that it is luma and chroma: libjpeg's own conversion, as everywhere
        return imagecodecs.jpeg8_decode(data, outcolorspace="RGB"), "RGB"
    array = imagecodecs.jpeg8_decode(data, colorspace="YCBCR", outcolorspace="YCBCR")
    return array, photometric


def jpeg_colours(found: Declared, told: str) -> str:
    """Say which colours a JPEG of three components holds: the stream is believed before the tag."""
    if found.component_ids in _RGB_IDS:
        return "RGB"
    if "YBR" not in told and any(marker.startswith(b"JFIF") for marker in found.markers.values()):
        return "YBR_FULL"
    return told


def _jpeg_lossless(data: bytes, description: PixelDescription) -> tuple[Array, str]:
    """Samples as they are: what the instance says of their colours is believed."""
    _same_size(streams.jpeg(data), description)
    colours = None if description.samples == 1 else "RGB"
    array = imagecodecs.jpeg8_decode(data, colorspace=colours, outcolorspace=colours)
    return array, description.photometric


def _jpeg_ls(data: bytes, description: PixelDescription) -> tuple[Array, str]:
    found = streams.jpeg(data)
    _same_size(found, description)
    buffer, info = CharLS.decode_pixel_data(data)
    array: Array = np.frombuffer(buffer, "<u2" if found.precision > 8 else "u1")
    if description.samples > 1 and info["interleave_mode"] == 0:
        planes = (description.samples, description.rows, description.columns)
        array = np.moveaxis(array.reshape(planes), 0, -1)
    shift = array.dtype.itemsize * 8 - found.precision
    if description.is_signed and shift:  # JPEG-LS knows no sign
        signed = array.view(f"<i{array.dtype.itemsize}")
        array = (signed << shift) >> shift
    elif description.is_signed:
        array = array.view(f"<i{array.dtype.itemsize}")
    return array, description.photometric


def _jpeg_2000(data: bytes, description: PixelDescription) -> tuple[Array, str]:
    decode = partial(imagecodecs.jpeg2k_decode, verbose=0, numthreads=_Work.threads)
    return _wavelets(data, description, decode)


def _htj2k(data: bytes, description: PixelDescription) -> tuple[Array, str]:
    if not streams.jpeg_2000(data).is_reversible:  # OpenJPH lets irreversible values wrap round
        return _jpeg_2000(data, description)
    return _wavelets(data, description, imagecodecs.htj2k_decode)


def _wavelets(
    data: bytes, description: PixelDescription, decode: Callable[[bytes], Array]
) -> tuple[Array, str]:
    found = streams.jpeg_2000(data)
    _same_size(found, description)
    array = decode(data)
    if description.samples == 1:
        array = _signed_as_told(array, found, description)
    told = description.photometric
    return array, "RGB" if told in ("YBR_RCT", "YBR_ICT") else told


def _signed_as_told(array: Array, found: Declared, description: PixelDescription) -> Array:
    """Mend streams whose sign is not the instance's: the bits are right, their meaning is not."""
    size = array.dtype.itemsize
    shift = size * 8 - found.precision
    if found.is_signed == description.is_signed:
        return array
    wanted = array.view(f"<{'i' if description.is_signed else 'u'}{size}")
    return (wanted << shift) >> shift if shift else wanted


def _jpeg_xl(data: bytes, description: PixelDescription) -> tuple[Array, str]:
    found = streams.jpeg_xl(data)
    if (found.rows, found.columns) != (description.rows, description.columns):
        raise Mismatch
    return imagecodecs.jpegxl_decode(data, numthreads=1, keeporientation=True), (
        "RGB" if description.samples == 3 else description.photometric
    )


def _jpeg_xl_lossless(data: bytes, description: PixelDescription) -> tuple[Array, str]:
    array, _ = _jpeg_xl(data, description)
    return array, description.photometric


def _rle(data: bytes, description: PixelDescription) -> tuple[Array, str]:
    if description.bits_allocated == 1:
        return _rle_bits(data, description), description.photometric
    raw = rle.rle.decode_frame(data, description.pixels, description.bits_allocated, "<")
    array: Array = np.frombuffer(raw, dtype_of(description))
    if array.size != description.pixels * description.samples:
        raise Mismatch
    if description.samples > 1:
        planes = (description.samples, description.rows, description.columns)
        array = np.moveaxis(array.reshape(planes), 0, -1)
    return array, description.photometric


def _rle_bits(data: bytes, description: PixelDescription) -> Array:
    """One-bit pixels are met both packed before they were compressed, and one in a byte."""
    try:  # what holds a byte a pixel would do for packed ones, too: only too little is refused
        cells = rle.rle.decode_frame(data, description.pixels, 8, "<")
    except ValueError:
        packed = rle.rle.decode_frame(data, (description.pixels + 7) // 8, 8, "<")
        bits = np.frombuffer(packed, "u1")
        return np.unpackbits(bits, bitorder="little", count=description.pixels)
    return np.frombuffer(cells, "u1") & 1


def _inflated(data: bytes, description: PixelDescription) -> tuple[Array, str]:
    size = description.native_bytes
    try:
        raw = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 2)
    except zlib.error as exc:
        raise Damaged from exc
    if not size <= len(raw) <= size + 1:
        raise Mismatch
    return native(raw, description)


_DECODERS: dict[str, Callable[[bytes, PixelDescription], tuple[Array, str]]] = {
    registry.RLE: _rle,
    registry.DEFLATED_FRAME: _inflated,
    registry.BASELINE: _jpeg,
    registry.EXTENDED: _jpeg,
    registry.JPEG + "53": _jpeg,
    registry.JPEG + "55": _jpeg,
    registry.LOSSLESS: _jpeg_lossless,
    registry.LOSSLESS_FIRST: _jpeg_lossless,
    registry.JPEG_LS: _jpeg_ls,
    registry.JPEG_LS_NEAR: _jpeg_ls,
    registry.JPEG_2000_LOSSLESS: _jpeg_2000,
    registry.JPEG_2000: _jpeg_2000,
    registry.HTJ2K_LOSSLESS: _htj2k,
    registry.HTJ2K_RPCL: _htj2k,
    registry.HTJ2K: _htj2k,
    registry.JPEG_XL_LOSSLESS: _jpeg_xl_lossless,
    registry.JPEG_XL_JPEG: _jpeg_xl,
    registry.JPEG_XL: _jpeg_xl,
}


def is_kept(frame: FrameSource) -> bool:
    """Tell whether bits above Bits Stored count: in grey JPEG 2000 they are lossy overshoot."""
    return frame.transfer_syntax in _WAVELETS and frame.description.samples == 1


def corrected(array: Array, frame: FrameSource) -> Array:
    """Let the bits above Bits Stored say nothing (PS3.5 8.1.1): what a viewer does with them."""
    description = frame.description
    spare = array.dtype.itemsize * 8 - description.bits_stored
    if description.floating or description.bits_allocated == 1 or not spare or is_kept(frame):
        return array
    if description.is_signed:
        return (array << spare) >> spare
    return array & ((1 << description.bits_stored) - 1)
