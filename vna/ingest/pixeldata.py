"""Pixel Data that came in parts of its own: Transfer Syntax, Image Pixel attributes, fragments.

What the stream says fills in what the metadata left out (PS3.18 10.5.2); where the two contradict
each other, the object is refused: the stream is another image's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vna.dicom import codestreams, jpegxl, layout, uids, video
from vna.dicom.codestreams import Described
from vna.dicom.compose import PIXEL_DATA, Extent, PixelValue
from vna.errors import Conflict, MalformedInstance, UnsupportedMedia
from vna.ingest.parts import OCTETS, Part
from vna.pixels import pictures

Elements = dict[str, Any]  # the DICOM JSON Model is untyped
Reader = Callable[[int, int], bytes]

_BASE = "1.2.840.10008.1.2.4."
_HTJ2K = frozenset(f"{_BASE}{n}" for n in ("201", "202", "203"))
_JPX = {f"{_BASE}90": f"{_BASE}92", f"{_BASE}91": f"{_BASE}93"}
_RLE = "1.2.840.10008.1.2.5"
# What the media type promises (PS3.18 Table 8.7.3-5, Table 10.5.2-1)
_JPEGS = frozenset(u for u, s in uids.TRANSFER_SYNTAXES.items() if s.frame_type == "image/jpeg")
_TAKEN: Mapping[str, frozenset[str]] = {
    "image/jpeg": _JPEGS,
    "image/jls": frozenset((f"{_BASE}80", f"{_BASE}81")),
    "image/jp2": frozenset((f"{_BASE}90", f"{_BASE}91")),
    "image/jpx": frozenset((f"{_BASE}92", f"{_BASE}93")),
    "image/jph": _HTJ2K,
    "image/jphc": _HTJ2K,
    "image/jxl": frozenset((jpegxl.GENERAL, jpegxl.LOSSLESS, jpegxl.RECOMPRESSION)),
    "image/dicom-rle": frozenset((_RLE,)),
    "video/mpeg": frozenset(f"{_BASE}{n}" for n in ("100", "100.1", "101", "101.1")),
    "video/mp4": frozenset(
        f"{_BASE}{n}{more}" for n in range(102, 109) for more in ("", ".1") if n < 107 or not more
    ),
    "video/h265": frozenset((f"{_BASE}107", f"{_BASE}108")),
}
PICTURES = frozenset((pictures.PNG, pictures.GIF))
"""Media types of pictures that are made native."""
PIXEL_MEDIA = frozenset(_TAKEN) | PICTURES
"""Media types Pixel Data may have beside octets."""
_DESCRIPTION = {
    "00280002": "Samples per Pixel",
    "00280004": "Photometric Interpretation",
    "00280010": "Rows",
    "00280011": "Columns",
    "00280100": "Bits Allocated",
    "00280101": "Bits Stored",
    "00280102": "High Bit",
    "00280103": "Pixel Representation",
}
_OF_ONE_SAMPLE = frozenset(("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """How an object's Pixel Data is written; `value` is None where the metadata holds it."""

    transfer_syntax: str
    elements: Elements
    value: PixelValue | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """A picture made native and put aside: what it is like, and where all its frames lie."""

    described: Described
    extent: Extent


Unpack = Callable[[Part], Unpacked]


def settle(elements: Elements, parts: Sequence[Part], read: Reader, unpack: Unpack) -> Pixels:
    """Decide how the Pixel Data of normalized elements is written; `parts` are its own.

    Raises `MalformedInstance`, `UnsupportedMedia`, and `Conflict` where metadata and stream differ.
    """
    if not parts:
        inline = elements[PIXEL_DATA].get("InlineBinary", "")
        return _native(elements, len(inline.rstrip("=")) * 3 // 4)
    syntaxes = {_said(part) for part in parts}
    if len(syntaxes) > 1:
        raise MalformedInstance("The frames of the Pixel Data are of several media types.")
    media, said = syntaxes.pop()
    if media == OCTETS and (said is None or not uids.syntax(said).encapsulated):
        if len(parts) > 1:
            raise MalformedInstance("Uncompressed Pixel Data is one part, with all its frames.")
        extent = Extent(parts[0].offset, parts[0].length)
        return replace(_native(elements, extent.length), value=extent)
    if media in PICTURES:
        return _pictures(elements, [unpack(part) for part in parts])
    return _compressed(elements, parts, media, said, read)


def _said(part: Part) -> tuple[str, str | None]:
    """The media type and Transfer Syntax a part names; those no part may have are refused."""
    said = part.head.transfer_syntax
    if said in (uids.IMPLICIT_LITTLE, uids.EXPLICIT_BIG, uids.DEFLATED):
        raise UnsupportedMedia("Bulk data goes uncompressed in little endian, or compressed.")
    if said is not None and uids.transfer_syntax(said) is None:
        raise UnsupportedMedia("A part names a Transfer Syntax this archive does not know.")
    return part.head.media, said


def _native(elements: Elements, length: int) -> Pixels:
    """Little endian octets: the metadata must describe them in full (PS3.18 10.5.2)."""
    missing = [name for tag, name in _DESCRIPTION.items() if layout.first(elements, tag) is None]
    if missing:
        raise Conflict(f"Uncompressed Pixel Data needs {missing[0]}.")
    pixel = elements[PIXEL_DATA]
    allocated = layout.number(elements, "00280100") or 0
    vr = "OW" if allocated > 8 or pixel["vr"] not in ("OB", "OW") else pixel["vr"]
    count = max(1, layout.number(elements, "00280008") or 1)
    _, flag = layout.native(int(PIXEL_DATA, 16), 0, length, count, elements)
    if flag is not None:
        raise Conflict("The Pixel Data is shorter than Rows, Columns and frames ask for.")
    return Pixels(
        transfer_syntax=uids.EXPLICIT_LITTLE,
        elements={**elements, PIXEL_DATA: {**pixel, "vr": vr}},
    )


def _pictures(elements: Elements, found: Sequence[Unpacked]) -> Pixels:
    """Pictures made native: frames of one form, which lie one behind the other."""
    first = found[0].described
    if len(found) > 1 and any(one.described != first for one in found):
        raise MalformedInstance("The frames of the Pixel Data are not encoded alike.")
    count = len(found) if len(found) > 1 else first.frames or 1
    said = layout.number(elements, "00280008")
    if said is not None and said != count:
        raise Conflict(f"Number of Frames says {said}; there are {count} frames.")
    colors = layout.first(elements, "00280004")
    if first.samples > 1 and colors not in (None, first.photometric):
        raise Conflict(f"Photometric Interpretation is {colors}; the picture is RGB.")
    extent = Extent(found[0].extent.offset, sum(one.extent.length for one in found))
    filled = _filled(elements, replace(first, frames=count), count, extent.length)
    if layout.number(filled, "00280100") != (16 if first.bits > 8 else 8):
        raise Conflict("Bits Allocated is another than the picture has.")
    native = _native(filled, extent.length)
    return replace(native, value=extent)


def _compressed(
    elements: Elements, parts: Sequence[Part], media: str, said: str | None, read: Reader
) -> Pixels:
    found = [_describe(elements, part, media, said, read) for part in parts]
    first = found[0]
    if any(replace(one, offset=first.offset, length=first.length) != first for one in found):
        raise MalformedInstance("The frames of the Pixel Data are not encoded alike.")
    chosen = _transfer_syntax(first, media, said)
    is_video = uids.syntax(chosen).is_video
    count = layout.number(elements, "00280008")
    if is_video:
        if len(parts) > 1:
            raise MalformedInstance("A video is one part.")
        if count is None and first.frames is None:
            raise Conflict("The video does not tell its Number of Frames: the metadata must.")
    elif len(parts) != max(1, count or 1) and (count is not None or len(parts) > 1):
        raise Conflict(f"Number of Frames says {count or 1}; there are {len(parts)} frames.")
    size = sum(one.length for one in found)
    frames = [
        [Extent(part.offset + one.offset, one.length)]
        for part, one in zip(parts, found, strict=True)
    ]
    return Pixels(
        transfer_syntax=chosen, elements=_filled(elements, first, len(parts), size), value=frames
    )


def _describe(
    elements: Elements, part: Part, media: str, said: str | None, read: Reader
) -> Described:
    def inner(at: int, count: int) -> bytes:
        return read(part.offset + at, max(0, min(count, part.length - at)))

    kind = media if media != OCTETS else uids.syntax(said or "").frame_type.lower()
    if not part.length:
        raise MalformedInstance("A part of the Pixel Data is empty.")
    if kind in ("image/jpeg", "image/jls"):
        return codestreams.jpeg(inner, part.length)
    if kind in ("image/jp2", "image/jpx", "image/jph", "image/jphc"):
        return codestreams.jpeg_2000(inner, part.length)
    if kind == "image/jxl":
        return jpegxl.jpeg_xl(inner, part.length)
    if kind.startswith("video/"):
        return video.describe(inner, part.length)
    if kind == "image/dicom-rle":
        return _rle(elements, inner, part.length)
    raise UnsupportedMedia(f"Pixel Data as {media} is not taken.")


def _rle(elements: Elements, read: Reader, size: int) -> Described:
    """RLE says only how many byte planes it has: the metadata describes the image (PS3.5 G)."""
    for tag, name in _DESCRIPTION.items():
        if layout.first(elements, tag) is None:
            raise Conflict(f"Pixel Data in RLE needs {name}.")
    allocated = layout.number(elements, "00280100") or 0
    samples = layout.number(elements, "00280002") or 0
    if codestreams.rle(read, size) != samples * ((allocated + 7) // 8):
        raise Conflict("The RLE frame has another number of segments than the metadata asks for.")
    return Described(
        transfer_syntax=_RLE,
        rows=layout.number(elements, "00280010") or 0,
        columns=layout.number(elements, "00280011") or 0,
        samples=samples,
        bits=layout.number(elements, "00280101") or 0,
        photometric=str(layout.first(elements, "00280004")),
        offset=0,
        length=size,
    )


def _transfer_syntax(found: Described, media: str, said: str | None) -> str:
    """The stream's own, refined by what the part names where the stream cannot tell."""
    own = found.transfer_syntax
    if media == "image/jpx" or said in _JPX.values():
        own = _JPX.get(own, own)
    refined = {own, f"{own}.1"}  # fragmentable video
    if own == f"{_BASE}201":
        refined.add(f"{_BASE}202")
    if own in (f"{_BASE}201", f"{_BASE}90", f"{_BASE}92", f"{_BASE}80", f"{_BASE}70"):
        # a reversible stream may have been cut: the sender may call it lossy
        refined |= {f"{_BASE}203"} if own in _HTJ2K else set()
        refined |= {f"{_BASE}{n}" for n in ("91", "93", "81", "57") if _pair(own, n)}
    if own == jpegxl.GENERAL and found.lossy_method is None:
        refined |= {jpegxl.LOSSLESS, jpegxl.RECOMPRESSION}
    if own == f"{_BASE}102":
        refined |= {f"{_BASE}{n}" for n in ("102.1", "103", "103.1", "104", "105")}
    allowed = _TAKEN.get(media)
    if allowed is not None and own not in allowed:
        raise MalformedInstance(f"The Pixel Data is not what its media type {media} says.")
    if said is not None and said not in refined:
        raise MalformedInstance("The Pixel Data is not of the Transfer Syntax its part names.")
    return said or own


def _pair(own: str, lossy: str) -> bool:
    return (own.rpartition(".")[2], lossy) in {
        ("90", "91"),
        ("92", "93"),
        ("80", "81"),
        ("70", "57"),
    }


def _filled(elements: Elements, found: Described, count: int, size: int) -> Elements:
    """Complete the Image Pixel attributes; refuse what contradicts the stream."""
    _agree(elements, found)
    allocated = 8 if found.bits <= 8 else 16 if found.bits <= 16 else 32
    if (layout.number(elements, "00280100") or allocated) < found.bits:
        raise Conflict("Bits Allocated is less than the stream has.")
    stored = layout.number(elements, "00280101") or found.bits
    frames = found.frames or count
    derived: Elements = {
        "00280002": _one("US", found.samples),
        "00280004": _one("CS", found.photometric),
        "00280010": _one("US", found.rows),
        "00280011": _one("US", found.columns),
        "00280100": _one("US", allocated),
        "00280101": _one("US", stored),
        "00280102": _one("US", stored - 1),
        "00280103": _one("US", int(found.signed)),
    }
    if found.samples > 1:
        derived["00280006"] = _one("US", 0)
    if frames > 1:
        derived["00280008"] = _one("IS", frames)
    if found.lossy_method is not None:
        # PS3.3 C.7.6.1.1.5: what was compressed with loss says so
        whole = found.rows * found.columns * found.samples * frames * ((found.bits + 7) // 8)
        derived["00282110"] = _one("CS", "01")
        derived["00282112"] = _one("DS", round(max(whole / max(size, 1), 0.01), 2))
        derived["00282114"] = _one("CS", found.lossy_method)
    missing = {tag: one for tag, one in derived.items() if layout.first(elements, tag) is None}
    if "00282110" in derived and layout.first(elements, "00282110") == "00":
        missing["00282110"] = derived["00282110"]  # of the values before they were compressed
    if "00282110" not in missing:
        missing.pop("00282112", None)
        missing.pop("00282114", None)
    written: Elements = {PIXEL_DATA: {**elements[PIXEL_DATA], "vr": "OB"}}
    if found.samples > 1 and found.transfer_syntax != _RLE:
        # Pictures are made native by pixel; of streams it says nothing and is 0 (PS3.5 8.2)
        written["00280006"] = _one("US", 0)
    return dict(sorted({**elements, **missing, **written}.items()))


def _agree(elements: Elements, found: Described) -> None:
    for tag, stream in (
        ("00280010", found.rows),
        ("00280011", found.columns),
        ("00280002", found.samples),
    ):
        value = layout.number(elements, tag)
        if value is not None and value != stream:
            raise Conflict(f"{_DESCRIPTION[tag]} is {value}, and {stream} in the stream.")
    colors = layout.first(elements, "00280004")
    if colors is not None and (colors in _OF_ONE_SAMPLE) != (found.samples == 1):
        raise Conflict(f"Photometric Interpretation is {colors}; the stream is none of that.")


def _one(vr: str, value: str | float) -> Elements:
    return {"vr": vr, "Value": [value]}


def refuse_media(media: str) -> None:
    """Refuse, before its bytes are taken, a part no instance can hold (`UnsupportedMedia`)."""
    main, _, _ = media.partition("/")
    if main in ("image", "video") and media not in PIXEL_MEDIA:
        raise UnsupportedMedia(
            f"A part of this type cannot be stored. Pixel Data is one of: {OCTETS}, "
            f"{', '.join(sorted(PIXEL_MEDIA))}."
        )
    if main in ("multipart", "message") or media == "application/dicom":
        raise UnsupportedMedia(
            "Beside metadata stand bulk data parts, not files or parts of parts."
        )
