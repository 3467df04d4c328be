"""One decoded frame to the bytes of another Transfer Syntax, lossless. Runs in the sandbox only."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
import rle.rle
from jpeg_ls import CharLS

from vna.dicom.uids import EXPLICIT_LITTLE
from vna.pixels import registry, streams
from vna.pixels.colour import to_rgb
from vna.pixels.decoders import LIBRARY_ERRORS, Array, decoded
from vna.pixels.description import FrameSource, PixelDescription
from vna.pixels.faults import Unencodable, Unknown


def transcoded(frame: FrameSource, target: str) -> bytes:
    """Give one frame in another Transfer Syntax, every decoded value kept. Raises `Fault`."""
    uid = frame.transfer_syntax
    if uid == target:
        return bytes(frame.data)
    encoder = _ENCODERS.get(target)
    if encoder is None:
        raise Unknown
    array, photometric = decoded(frame)
    wanted = registry.decoded_photometric(frame.description, uid)
    if photometric != wanted and frame.description.samples == 3:
        array = to_rgb(array, photometric)
    try:
        return bytes(encoder(np.ascontiguousarray(array), frame.description))
    except LIBRARY_ERRORS as exc:
        raise Unencodable from exc


def _precision(array: Array, description: PixelDescription) -> int:
    """Bits that hold every value: those stored, or all where the unused ones are used."""
    stored = description.bits_stored
    if not description.is_signed and stored < description.bits_allocated:
        return stored if int(array.max()) < 1 << stored else description.bits_allocated
    return description.bits_allocated


def _unsigned(array: Array) -> Array:
    return array.view(f"<u{array.dtype.itemsize}")


def _to_native(array: Array, description: PixelDescription) -> bytes:
    if description.bits_allocated == 1:
        return np.packbits(array.reshape(-1), bitorder="little").tobytes()
    return array.tobytes()


def _to_deflated(array: Array, description: PixelDescription) -> bytes:
    deflater = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflater.compress(_to_native(array, description)) + deflater.flush()


def _to_rle(array: Array, description: PixelDescription) -> bytes:
    size = (description.rows, description.columns)
    bits = description.bits_allocated
    return bytes(rle.rle.encode_frame(array.tobytes(), *size, description.samples, bits, "<"))


def _to_jpeg_lossless(array: Array, description: PixelDescription) -> bytes:
    colours = None if array.ndim == 2 else "RGB"
    return bytes(
        imagecodecs.jpeg8_encode(
            _unsigned(array),
            lossless=True,
            predictor=1,
            bitspersample=max(_precision(array, description), 2),
            colorspace=colours,
            outcolorspace=colours,
        )
    )


def _to_jpeg_ls(array: Array, description: PixelDescription) -> bytes:
    values = _unsigned(array)
    if values.size < 64:  # pyjpegls takes too little room for the headers of the smallest pictures
        return bytes(imagecodecs.jpegls_encode(values))
    return bytes(
        CharLS.encode_pixel_data(
            values.tobytes(),
            rows=description.rows,
            columns=description.columns,
            samples_per_pixel=description.samples,
            bits_stored=max(_precision(array, description), 2),
            interleave_mode=2 if description.samples > 1 else 0,
        )
    )


def _to_jpeg_2000(array: Array, description: PixelDescription) -> bytes:
    stored = description.bits_stored
    limits = (-(1 << (stored - 1)), (1 << (stored - 1)) - 1)
    precision = _precision(array, description)
    if description.is_signed and limits[0] <= int(array.min()) and int(array.max()) <= limits[1]:
        precision = stored
    return bytes(
        imagecodecs.jpeg2k_encode(
            array,
            level=0,
            reversible=True,
            codecformat="J2K",
            bitspersample=precision,
            mct=description.samples == 3 and _is_rgb(description),
        )
    )


def _to_htj2k(array: Array, description: PixelDescription) -> bytes:
    colour = description.samples == 3 and _is_rgb(description)
    return bytes(imagecodecs.htj2k_encode(array, reversible=True, rgb=colour))


def _to_htj2k_rpcl(array: Array, description: PixelDescription) -> bytes:
    """Resolution first, lengths of tile parts told, smallest picture within 64 (PS3.5 10.18)."""
    shorter = min(description.rows, description.columns)
    levels = max((shorter - 1).bit_length() - 6, 0) or 1
    return bytes(
        imagecodecs.htj2k_encode(
            array,
            reversible=True,
            rgb=description.samples == 3 and _is_rgb(description),
            # OpenJPH 0.32 loses the least value of a single line when it is told how many
            resolutions=levels if shorter > 1 else None,
            tlm=True,
            tilepart=imagecodecs.HTJ2K.TILEPART.RESOLUTIONS,
        )
    )


def _to_jpeg_xl(array: Array, description: PixelDescription) -> bytes:
    """Encode, and look whether it comes back: effort 1 of libjxl 0.11 loses colours of drawings."""
    precision = max(_precision(array, description), 1)
    for effort in (1, 2, 3):
        made = bytes(
            imagecodecs.jpegxl_encode(
                array,
                lossless=True,
                effort=effort,
                bitspersample=precision,
                usecontainer=False,
                numthreads=1,
            )
        )
        made = streams.bare_jpeg_xl(made)
        if np.array_equal(imagecodecs.jpegxl_decode(made, numthreads=1), array):
            return made
    raise Unencodable


def _is_rgb(description: PixelDescription) -> bool:
    return description.photometric not in ("YBR_FULL",)


_ENCODERS: dict[str, Callable[[Array, PixelDescription], bytes]] = {
    EXPLICIT_LITTLE: _to_native,
    registry.DEFLATED_FRAME: _to_deflated,
    registry.RLE: _to_rle,
    registry.LOSSLESS_FIRST: _to_jpeg_lossless,
    registry.JPEG_LS: _to_jpeg_ls,
    registry.JPEG_2000_LOSSLESS: _to_jpeg_2000,
    registry.HTJ2K_LOSSLESS: _to_htj2k,
    registry.HTJ2K_RPCL: _to_htj2k_rpcl,
    registry.JPEG_XL_LOSSLESS: _to_jpeg_xl,
}


def warm_up() -> None:
    """Use every codec once, so that all libraries are loaded: a child can open no file."""
    for photometric, samples, bits in (("MONOCHROME2", 1, 16), ("RGB", 3, 8)):
        small = PixelDescription(
            rows=16,
            columns=16,
            samples=samples,
            photometric=photometric,
            bits_allocated=bits,
            bits_stored=bits,
        )
        plain = FrameSource(
            transfer_syntax=EXPLICIT_LITTLE,
            data=bytes(small.native_bytes),
            description=small,
        )
        for target in _ENCODERS:
            made = transcoded(plain, target)
            after = registry.transcoded(small, plain.transfer_syntax, target)
            decoded(FrameSource(transfer_syntax=target, data=made, description=after))
