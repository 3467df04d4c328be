"""A stored instance -> the instance in another Transfer Syntax, while it streams (PS3.5 8.2, A.4).

Attributes before the Pixel Data pass through with the few changed that say how pixels are written;
then frame after frame goes through the sandbox; then what stands behind them. One frame is held at
a time. The first one is converted before the first byte is given: what cannot be decoded is told
while there is still time to say so.

Nothing lossy is made here. What has been lossy before says so afterwards, too (PS3.3 C.7.6.1.1.5).
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import orjson

from vna.blobs.meta import read
from vna.blobs.store import BlobStore
from vna.config import Limits
from vna.dicom.encode import encode_dataset
from vna.dicom.frames import FrameTable
from vna.dicom.rewrite import edited, inflate
from vna.dicom.uids import EXPLICIT_LITTLE, syntax
from vna.errors import Undecodable
from vna.index.locate import Located
from vna.pixels import registry
from vna.pixels.description import FrameSource, PixelDescription
from vna.pixels.sandbox import PixelPool
from vna.retrieve import frames
from vna.retrieve.bulk import other_places
from vna.retrieve.datasets import stored_chunks
from vna.retrieve.metadata import from_blob
from vna.retrieve.payload import Payload, collected, path_of

_PIXEL_DATA = "7FE00010"
_PHOTOMETRIC, _PLANAR = "00280004", "00280006"
_LOSSY, _RATIO, _METHOD = "00282110", "00282112", "00282114"
_OFFSET_TABLES = (0x7FE00001, 0x7FE00002, 0x7FE00003)
_PIXEL_GROUPS = frozenset(("0028", "7FE0"))
_LONGEST = 0xFFFFFFFE  # of a value of defined length (PS3.5 7.1.1)
_UNDEFINED = 0xFFFFFFFF
# How an image was compressed lossily (PS3.3 C.7.6.1.1.5.1), by media type of the frames
_METHODS = {
    "image/jpeg": "ISO_10918_1",
    "image/jls": "ISO_14495_1",
    "image/jp2": "ISO_15444_1",
    "image/jpx": "ISO_15444_1",
    "image/jphc": "ISO_15444_15",
    "image/jxl": "ISO_18181_1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A stored instance, its frame table and what its DICOM JSON says."""

    store: BlobStore
    located: Located
    table: bytes | None
    members: Mapping[str, Any]  # values of DICOM JSON differ by VR
    limits: Limits

    @property
    def description(self) -> PixelDescription:
        """How its pixels are written. Raises `Undecodable`."""
        return PixelDescription.of(self.members)


def source_of(store: BlobStore, located: Located, limits: Limits) -> Source:
    """Read from the blob's own meta what converting its pixels takes. Raises `Corrupt`."""
    meta = read(store.reader(located.blob_id).meta())
    text = meta.fields.get("frames")
    members = orjson.loads(from_blob(store, located.blob_id, limits, meta))
    return Source(
        store=store,
        located=located,
        table=None if text is None else base64.b64decode(text),
        members={tag: members[tag] for tag in members if tag[:4] in _PIXEL_GROUPS},
        limits=limits,
    )


def targets(source: Source) -> frozenset[str]:
    """Name the Transfer Syntaxes an instance can become beside its own; Explicit VR LE apart."""
    located = source.located
    if located.pixel is None or source.table is None or _has_compressed_icon(source):
        return frozenset()
    try:
        told = source.description
    except Undecodable:
        return frozenset()
    found = registry.targets(
        located.transfer_syntax,
        samples=told.samples,
        bits_allocated=told.bits_allocated,
        is_signed=told.is_signed,
        floating=told.floating,
    )
    places = FrameTable.decode(source.table)
    if places.is_stream:
        return frozenset()
    if _native_size(told, places.count) > _LONGEST:
        found -= {EXPLICIT_LITTLE}
    return found


def frame(source: Source, number: int, target: str, pool: PixelPool) -> bytes:
    """Give one frame, from 1, in another Transfer Syntax. Raises `NotFound`, `Undecodable`."""
    located = source.located
    stored = frames.frame(
        source.store,
        located,
        source.table,
        number,
        transfer_syntax=located.transfer_syntax,
        limits=source.limits,
    )
    description = source.description
    data = collected(stored)
    held = located.transfer_syntax
    try:
        made = pool.transcode(
            FrameSource(transfer_syntax=held, data=data, description=description), target
        )
    except Undecodable as exc:
        raise Undecodable(f"{exc} They are stored in {held}: ask for that.") from exc
    if target == EXPLICIT_LITTLE and len(made) != _told(source, target).native_bytes:
        raise Undecodable("A frame does not have the size its instance says.")
    return made


def frame_payload(source: Source, number: int, target: str, pool: PixelPool) -> Payload:
    """Give the same as a payload; nothing is converted before it is walked."""
    native = target == EXPLICIT_LITTLE
    ref = source.located.ref
    return Payload(
        ref=ref,
        media_type=syntax(target).frame_type,
        transfer_syntax=target,
        length=_told(source, target).native_bytes if native else None,
        chunks=(frame(source, n, target, pool) for n in (number,)),
        location=f"{path_of(ref)}/frames/{number}",
        revision=source.located.blob_id.hex(),
        changed_at=source.located.changed_at,
    )


def value_payload(source: Source, path: str, pool: PixelPool) -> Payload:
    """Give the value of compressed Pixel Data uncompressed, as a payload."""
    ref = source.located.ref
    count = FrameTable.decode(source.table or b"").count
    description = _told(source, EXPLICIT_LITTLE)
    made = (frame(source, number, EXPLICIT_LITTLE, pool) for number in range(1, count + 1))
    length = _native_size(description, count)
    return Payload(
        ref=ref,
        media_type=syntax(EXPLICIT_LITTLE).frame_type,
        transfer_syntax=EXPLICIT_LITTLE,
        length=length + length % 2,
        chunks=_packed(made, description, count),
        location=f"{path_of(ref)}/bulkdata/{path}",
        revision=source.located.blob_id.hex(),
        changed_at=source.located.changed_at,
    )


def transcoded(source: Source, target: str, pool: PixelPool) -> Iterator[bytes]:
    """Give the data set in another Transfer Syntax. Raises `Undecodable`, `Corrupt`."""
    count = FrameTable.decode(source.table or b"").count
    made = (frame(source, number, target, pool) for number in range(1, count + 1))
    first = next(made, b"")
    description = _told(source, target)
    yield from _head(source, description)
    pieces = chain((first,), made)
    if syntax(target).encapsulated:
        yield from _encapsulated(pieces)
    else:
        yield from _native(pieces, description, count)
    yield from _tail(source)


def _told(source: Source, target: str) -> PixelDescription:
    return registry.transcoded(source.description, source.located.transfer_syntax, target)


def _head(source: Source, description: PixelDescription) -> Iterator[bytes]:
    located = source.located
    assert located.pixel is not None  # noqa: S101 -- `targets` is empty without Pixel Data
    changes = _changes(source, description)
    if syntax(located.transfer_syntax).deflated:
        chunks = stored_chunks(source.store, located)
    else:
        chunks = source.store.chunks(
            located.blob_id, located.header, located.payload_len, 0, located.pixel[2]
        )
    return edited(chunks, located.transfer_syntax, source.limits, changes=changes)


def _tail(source: Source) -> Iterator[bytes]:
    """Give what stands behind the Pixel Data: padding and private data, mostly nothing."""
    located = source.located
    assert located.pixel is not None  # noqa: S101 -- as above
    _, _, offset, length = located.pixel
    end = offset + length + (8 if syntax(located.transfer_syntax).encapsulated else 0)
    if syntax(located.transfer_syntax).deflated:
        chunks = _from(inflate(stored_chunks(source.store, located), source.limits), end)
        return edited(chunks, EXPLICIT_LITTLE, source.limits, changes={})
    chunks = source.store.chunks(located.blob_id, located.header, located.payload_len, end)
    return edited(chunks, located.transfer_syntax, source.limits, changes={})


def _from(chunks: Iterable[bytes], start: int) -> Iterator[bytes]:
    at = 0
    for chunk in chunks:
        if at + len(chunk) > start:
            yield chunk[max(start - at, 0) :]
        at += len(chunk)


def _changes(source: Source, description: PixelDescription) -> dict[int, bytes | None]:
    """Tell which attributes are to change; the offset tables belong to the old fragments."""
    elements: dict[str, Any] = {_PHOTOMETRIC: {"vr": "CS", "Value": [description.photometric]}}
    if description.samples > 1:
        elements[_PLANAR] = {"vr": "US", "Value": [description.planar]}
    elements |= _lossy(source)
    changes: dict[int, bytes | None] = dict.fromkeys(_OFFSET_TABLES)
    for tag, element in elements.items():
        changes[int(tag, 16)] = encode_dataset({tag: element}, explicit=True)
    return changes


def _lossy(source: Source) -> dict[str, Any]:
    """Say that the pixels were once compressed lossily, where the instance itself does not."""
    held = syntax(source.located.transfer_syntax)
    told = source.members.get(_LOSSY, {}).get("Value") or [None]
    if held.lossless or told[0] == "01":
        return {}
    stored = source.located.pixel[3] if source.located.pixel else 0
    whole = _native_size(source.description, source.description.frames)
    said: dict[str, Any] = {_LOSSY: {"vr": "CS", "Value": ["01"]}}
    if stored:
        said[_RATIO] = {"vr": "DS", "Value": [round(whole / stored, 3)]}
    if method := _METHODS.get(held.frame_type):
        said[_METHOD] = {"vr": "CS", "Value": [method]}
    return said


def _encapsulated(made: Iterable[bytes]) -> Iterator[bytes]:
    """Write frames as one fragment each; the offset table stays empty, as it may (PS3.5 A.4)."""
    yield struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, _UNDEFINED)
    yield struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    for data in made:
        yield struct.pack("<HHI", 0xFFFE, 0xE000, len(data) + len(data) % 2)
        yield data
        if len(data) % 2:
            yield b"\0"
    yield struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def _native(made: Iterable[bytes], description: PixelDescription, count: int) -> Iterator[bytes]:
    """Write frames as one value (PS3.5 A.2: OW above 8 bits)."""
    length = _native_size(description, count)
    vr = b"OW" if description.bits_allocated > 8 else b"OB"
    yield struct.pack("<HH2sHI", 0x7FE0, 0x0010, vr, 0, length + length % 2)
    yield from _packed(made, description, count)


def _native_size(description: PixelDescription, count: int) -> int:
    if description.bits_allocated == 1:
        return (description.pixels * description.samples * count + 7) // 8
    return description.native_bytes * count


def _packed(made: Iterable[bytes], description: PixelDescription, count: int) -> Iterator[bytes]:
    """Put frames together, one-bit ones without a gap (PS3.5 8.1.1), padded to even length."""
    length = _native_size(description, count)
    bits = description.pixels * description.samples if description.bits_allocated == 1 else 0
    held = held_bits = 0
    for data in made:
        if bits % 8 == 0:
            yield data
            continue
        held |= (int.from_bytes(data, "little") & ((1 << bits) - 1)) << held_bits
        held_bits += bits
        whole = held_bits // 8
        yield (held & ((1 << whole * 8) - 1)).to_bytes(whole, "little")
        held >>= whole * 8
        held_bits -= whole * 8
    if held_bits:
        yield held.to_bytes(1, "little")
    if length % 2:
        yield b"\0"


def _has_compressed_icon(source: Source) -> bool:
    """Whether Pixel Data inside a sequence is compressed: it would have to change, too."""
    located = source.located
    if not syntax(located.transfer_syntax).encapsulated:
        return False
    icons = (place for place in other_places(located) if place.path.endswith(_PIXEL_DATA))
    return any(
        source.store.read_range(
            located.blob_id, located.header, located.payload_len, icon.offset - 4, 4
        )
        == b"\xff\xff\xff\xff"
        for icon in icons
    )
