"""The codecs: which Transfer Syntaxes can be decoded and made, by what, and out of which.

Nothing is decoded here and no codec is imported: what is told here holds in every process, and the
work is done in the sandbox. A test holds the table to what the codecs do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from vna.dicom.uids import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    syntax,
    transfer_syntax,
)
from vna.pixels.description import SUBSAMPLED, PixelDescription

JPEG = "1.2.840.10008.1.2.4."
RLE = "1.2.840.10008.1.2.5"
DEFLATED_FRAME = "1.2.840.10008.1.2.8.1"
BASELINE, EXTENDED = JPEG + "50", JPEG + "51"
LOSSLESS, LOSSLESS_FIRST = JPEG + "57", JPEG + "70"
JPEG_LS, JPEG_LS_NEAR = JPEG + "80", JPEG + "81"
JPEG_2000_LOSSLESS, JPEG_2000 = JPEG + "90", JPEG + "91"
HTJ2K_LOSSLESS, HTJ2K_RPCL, HTJ2K = JPEG + "201", JPEG + "202", JPEG + "203"
JPEG_XL_LOSSLESS, JPEG_XL_JPEG, JPEG_XL = JPEG + "110", JPEG + "111", JPEG + "112"


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """What reads and what makes one Transfer Syntax; `encoder` None: it is never made.

    `bits` are the Bits Allocated it can be made of, `is_signed` whether of signed values too.
    """

    decoder: str
    encoder: str | None = None
    bits: frozenset[int] = frozenset((8, 16))
    is_signed: bool = True


_JPEG8 = Codec(decoder="libjpeg-turbo (imagecodecs)")
_J2K = Codec(decoder="OpenJPEG (imagecodecs)")
_HT = "OpenJPH (imagecodecs)"
_LS = "CharLS (pyjpegls)"
_XL = "libjxl (imagecodecs)"
_ANY_BITS = frozenset((1, 8, 16, 32, 64))
_NATIVE = Codec(decoder="NumPy", encoder="NumPy", bits=_ANY_BITS)

CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        IMPLICIT_LITTLE: Codec(decoder="NumPy"),
        EXPLICIT_LITTLE: _NATIVE,
        DEFLATED: Codec(decoder="NumPy"),
        EXPLICIT_BIG: Codec(decoder="NumPy"),
        "1.2.840.113619.5.2": Codec(decoder="NumPy"),
        RLE: Codec(decoder="pylibjpeg-rle", encoder="pylibjpeg-rle", bits=frozenset((8, 16, 32))),
        DEFLATED_FRAME: Codec(decoder="zlib", encoder="zlib", bits=_ANY_BITS),
        BASELINE: _JPEG8,
        EXTENDED: _JPEG8,
        JPEG + "53": _JPEG8,
        JPEG + "55": _JPEG8,
        LOSSLESS: Codec(decoder="libjpeg-turbo (imagecodecs)"),
        LOSSLESS_FIRST: Codec(
            decoder="libjpeg-turbo (imagecodecs)", encoder="libjpeg-turbo (imagecodecs)"
        ),
        JPEG_LS: Codec(decoder=_LS, encoder=_LS),
        JPEG_LS_NEAR: Codec(decoder=_LS),
        JPEG_2000_LOSSLESS: replace(_J2K, encoder="OpenJPEG (imagecodecs)"),
        JPEG_2000: _J2K,
        HTJ2K_LOSSLESS: Codec(decoder=_HT, encoder=_HT),
        HTJ2K_RPCL: Codec(decoder=_HT, encoder=_HT),
        HTJ2K: _J2K,
        JPEG_XL_LOSSLESS: Codec(decoder=_XL, encoder=_XL, is_signed=False),
        JPEG_XL_JPEG: Codec(decoder=_XL),
        JPEG_XL: Codec(decoder=_XL),
    }
)
"""The registry: one row for each Transfer Syntax whose pixels can be had."""

_REVERSIBLE_COLOUR = frozenset((JPEG_2000_LOSSLESS, HTJ2K_LOSSLESS, HTJ2K_RPCL))
_TRANSFORMED = frozenset(("YBR_RCT", "YBR_ICT"))
_LUMA_FIRST = frozenset(("YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420"))
_ENCODABLE_ALWAYS = frozenset((EXPLICIT_LITTLE, DEFLATED_FRAME))
_LOSSY_JPEG = frozenset((BASELINE, EXTENDED, JPEG + "53", JPEG + "55"))
_ALWAYS_RGB = frozenset((JPEG_XL, JPEG_XL_JPEG))


def decodable(transfer_syntax: str) -> bool:
    """Tell whether pixels stored in this Transfer Syntax can be decoded."""
    return transfer_syntax in CODECS


def encodable(transfer_syntax: str) -> bool:
    """Tell whether pixels can be encoded in this Transfer Syntax."""
    return transfer_syntax in CODECS and CODECS[transfer_syntax].encoder is not None


def targets(
    stored: str,
    *,
    samples: int,
    bits_allocated: int,
    is_signed: bool = False,
    floating: bool = False,
) -> frozenset[str]:
    """Name the Transfer Syntaxes an object stored in `stored` can be given in, but for itself.

    Every one keeps each decoded value: nothing lossy is ever made.
    """
    if not decodable(stored):
        return frozenset()
    return frozenset(
        uid
        for uid, codec in CODECS.items()
        if uid != stored
        and codec.encoder is not None
        and (not floating or uid == EXPLICIT_LITTLE)
        and bits_allocated in codec.bits
        and (codec.is_signed or not is_signed)
        and (samples in (1, 3) or uid in _ENCODABLE_ALWAYS)
        and not (uid == RLE and samples * bits_allocated > 15 * 8)
    )


def transcoded(description: PixelDescription, stored: str, target: str) -> PixelDescription:
    """Describe what `PixelPool.transcode` makes of frames described so.

    What changes are Photometric Interpretation and Planar Configuration: the data set that goes out
    must say so. Compression that knew of luma and chroma comes out as RGB (PS3.5 8.2).
    """
    if stored == target:
        return description
    photometric = decoded_photometric(description, stored)
    if photometric == "RGB" and description.samples == 3 and target in _REVERSIBLE_COLOUR:
        photometric = "YBR_RCT"
    return replace(description, photometric=photometric, planar=0)


def decoded_photometric(description: PixelDescription, stored: str) -> str:
    """Say in which colours the frames are when they are decoded to be encoded anew."""
    told = description.photometric
    if description.samples != 3:
        return told
    if (
        stored in _ALWAYS_RGB
        or told in _TRANSFORMED
        or told in SUBSAMPLED
        or told == "YBR_PARTIAL_420"
    ):
        return "RGB"
    return "RGB" if stored in _LOSSY_JPEG and told in _LUMA_FIRST else told


def native_syntax(uid: str) -> bool:
    """Tell whether frames of this Transfer Syntax are uncompressed."""
    return transfer_syntax(uid) is not None and not syntax(uid).encapsulated
