"""Objects whose metadata and bulk data come in parts: put aside, put together, taken in.

Nothing is stored before the whole request is here, so that a request that breaks off leaves
nothing. Parts go to a sealed spool; then one object after the other is written as a data set in
Explicit VR Little Endian, or in the Transfer Syntax of its Pixel Data, and goes the way of every
object (engine.receive). In memory there is the metadata of one instance at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from vna.blobs.spool import Spool
from vna.config import Limits
from vna.dicom import layout, nativexml, video
from vna.dicom.codestreams import Described
from vna.dicom.compose import PIXEL_DATA, Extent, Piece, compose, normalized
from vna.dicom.jsonarray import ObjectCutter
from vna.dicom.uids import EXPLICIT_LITTLE
from vna.errors import (
    Conflict,
    MalformedInstance,
    MalformedMultipart,
    TooLarge,
    Unavailable,
    Undecodable,
    VNAError,
)
from vna.ingest.conform import valid
from vna.ingest.outcome import Cause, Expected, Refused
from vna.ingest.parts import OCTETS, Part, PartHead, Parts
from vna.ingest.pixeldata import Pixels, Unpacked, refuse_media, settle
from vna.ingest.receiving import Buffer, Receiving, cause_of
from vna.pixels.sandbox import PixelPool

JSON = "application/dicom+json"
XML = "application/dicom+xml"
METADATA = frozenset((JSON, "application/json", XML))
"""Media types of metadata parts."""

_DOCUMENT, _DOCUMENT_TYPE, _DOCUMENT_LENGTH = "00420011", "00420012", "00420015"

Elements = dict[str, Any]  # the DICOM JSON Model is untyped
Receive = Callable[[str, Expected], Receiving]


class Assembly:
    """The parts of one request becoming objects. Used by one thread at a time."""

    def __init__(
        self,
        *,
        receive: Receive,
        spool: Spool,
        expected: Expected,
        base: str,
        limits: Limits,
        has_space: Callable[[], bool],
        pixels: PixelPool,
    ) -> None:
        self._receive = receive
        self._spool = spool
        self._expected = expected
        self._limits = limits
        self._has_space = has_space
        self._pixels = pixels
        self._parts = Parts(base)
        self._metadata: list[tuple[int, int, bool]] = []  # offset, length, whether XML
        self._part: Part | None = None
        self._cutter: ObjectCutter | None = None
        self._first: bytes | None = None  # of a video, until its container is known

    def begin(self, head: PartHead) -> None:
        """A part begins.

        Raises what is wrong with it, as `feed` and `end` do: then nothing of the request is kept.
        """
        if not self._has_space():
            raise Unavailable("The archive is out of disk space.")
        part = self._part = Part(head, self._spool.size)
        self._cutter = None
        self._first = b"" if head.media.startswith("video/") else None
        if head.media not in METADATA:
            refuse_media(head.media)
            self._parts.add(part)
        elif head.media != XML:
            self._cutter = ObjectCutter()

    def feed(self, data: Buffer) -> None:
        """Some content of the part."""
        part = self._here()
        is_metadata = part.head.media in METADATA
        part.length += len(data)
        if part.length > self._limits.object_bytes:
            raise TooLarge("A part is larger than the archive takes.")
        if self._cutter is not None:
            self._note(part, self._cutter.feed(bytes(data)))
        elif is_metadata:
            self._check_size(part.length)
        elif self._first is not None:
            self._look_at(data)
        self._spool.append(data)

    def end(self) -> None:
        """The part is complete."""
        part = self._here()
        if part.head.length not in (None, part.length):
            raise MalformedMultipart("A part is not as long as its Content-Length says.")
        if self._cutter is not None:
            self._cutter.finish()
        elif part.head.media == XML:
            self._keep(part.offset, part.length, is_xml=True)
        self._part = self._cutter = None

    def objects(self) -> Iterator[Receiving | Refused]:
        """Put the objects together, one after the other, each ready to be finished.

        What could not be made one, and bulk data nobody asked for, is `Refused`. Raises
        `MalformedMultipart` when there is no metadata.
        """
        if not self._metadata:
            raise MalformedMultipart("There is no metadata in this body.")
        for offset, length, is_xml in self._metadata:
            yield self._object(offset, length, is_xml)
        for _ in range(self._parts.unwanted()):
            yield Refused(
                cause=Cause.CANNOT_UNDERSTAND,
                message="No metadata refers to a bulk data part by its Content-Location.",
            )

    def close(self) -> None:
        """Forget what was put aside."""
        self._spool.close()

    def _here(self) -> Part:
        if self._part is None:
            raise MalformedMultipart("There is content outside of all parts.")
        return self._part

    def _look_at(self, data: Buffer) -> None:
        """Refuse a container that is no DICOM encoding before the rest of it is taken."""
        self._first = (self._first or b"") + bytes(data[: video.SIGNS])
        if len(self._first) >= video.SIGNS:
            video.refuse_foreign(self._first)
            self._first = None

    def _note(self, part: Part, places: list[tuple[int, int]]) -> None:
        for offset, length in places:
            self._keep(part.offset + offset, length, is_xml=False)
        if self._cutter is not None:
            self._check_size(self._cutter.pending)

    def _keep(self, offset: int, length: int, *, is_xml: bool) -> None:
        self._check_size(length)
        if len(self._metadata) >= self._limits.parts:
            raise TooLarge(f"A request may hold the metadata of {self._limits.parts} instances.")
        self._metadata.append((offset, length, is_xml))

    def _check_size(self, length: int) -> None:
        if length > self._limits.posted_metadata_bytes:
            most = self._limits.posted_metadata_bytes
            raise TooLarge(f"The metadata of an instance may have {most} bytes.")

    def _object(self, offset: int, length: int, is_xml: bool) -> Receiving | Refused:
        expected = self._expected
        try:
            elements = self._elements(self._spool.read(offset, length), is_xml)
            expected = _named(elements, expected)
            syntax, pieces = self._written(elements)
            return self._fed(self._receive(syntax, expected), pieces)
        except VNAError as exc:
            return Refused(
                cause=cause_of(exc),
                message=str(exc),
                sop_class=expected.sop_class,
                sop_instance=expected.sop_instance,
            )

    def _elements(self, text: bytes, is_xml: bool) -> Elements:
        nesting, most = self._limits.nesting, self._limits.elements
        if is_xml:
            found: object = nativexml.read(text, nesting=nesting, most=most)
        else:
            # every comma and bracket may become a value: counted before memory is taken
            if text.count(b",") + text.count(b"{") + text.count(b"[") > 2 * most:
                raise TooLarge("The metadata of an instance has too many elements.")
            try:
                found = orjson.loads(text)
            except orjson.JSONDecodeError as exc:
                raise MalformedInstance("The metadata is no well-formed JSON.") from exc
        _want_all(found, self._parts, nesting)
        return normalized(found, nesting=nesting, most=most)

    def _written(self, elements: Elements) -> tuple[str, list[Piece]]:
        """Turn metadata into the pieces of a data set, and name its Transfer Syntax."""
        pixels = Pixels(transfer_syntax=EXPLICIT_LITTLE, elements=self._described(elements))
        pixel = elements.get(PIXEL_DATA)
        if pixel is not None and len(pixel) > 1:
            uri = pixel.get("BulkDataURI")
            parts = self._parts.frames(uri) if uri is not None else []
            if uri is not None and not parts:
                raise _missing(PIXEL_DATA)
            pixels = settle(pixels.elements, parts, self._spool.read, self._unpacked)
        return pixels.transfer_syntax, compose(pixels.elements, self._extent, pixels.value)

    def _described(self, elements: Elements) -> Elements:
        """Complete an encapsulated document by what its part says of it (PS3.18 10.5.2)."""
        uri = elements.get(_DOCUMENT, {}).get("BulkDataURI")
        part = self._parts.one(uri) if uri is not None else None
        if part is None:
            return elements
        said = layout.first(elements, _DOCUMENT_TYPE)
        media = part.head.media
        if media != OCTETS and said is not None and str(said).lower() != media:
            raise Conflict("The Encapsulated Document is of another media type than its part.")
        elements = {**elements}
        if said is None:
            elements[_DOCUMENT_TYPE] = {"vr": "LO", "Value": [media]}
        elements.setdefault(_DOCUMENT_LENGTH, {"vr": "UL", "Value": [part.length]})
        return dict(sorted(elements.items()))

    def _extent(self, tag: str, uri: str) -> Extent:
        part = self._parts.one(uri)
        if part is None:
            raise _missing(tag)
        is_picture = part.head.media.startswith(("image/", "video/"))
        if is_picture and tag != _DOCUMENT:
            raise MalformedInstance(f"The bulk data of {_shown(tag)} must be {OCTETS}.")
        return Extent(part.offset, part.length)

    def _unpacked(self, part: Part) -> Unpacked:
        """Have a picture made native in the sandbox, and put that aside, too."""
        data = self._spool.read(part.offset, part.length)
        try:
            description, native = self._pixels.unpack(part.head.media, data)
        except Undecodable as exc:
            raise MalformedInstance("The picture in a part cannot be decoded.") from exc
        extent = Extent(self._spool.size, len(native))
        self._spool.append(native)
        described = Described(
            transfer_syntax=EXPLICIT_LITTLE,
            rows=description.rows,
            columns=description.columns,
            samples=description.samples,
            bits=description.bits_stored,
            photometric=description.photometric,
            offset=0,
            length=len(native),
            frames=len(native) // description.native_bytes,
        )
        return Unpacked(described=described, extent=extent)

    def _fed(self, receiving: Receiving, pieces: list[Piece]) -> Receiving:
        try:
            for piece in pieces:
                if isinstance(piece, bytes):
                    receiving.feed(piece)
                    continue
                for chunk in self._spool.chunks(piece.offset, piece.length):
                    receiving.feed(chunk)
        except BaseException:
            receiving.abort()
            raise
        return receiving


def _named(elements: Elements, expected: Expected) -> Expected:
    """What a refusal can call the object by."""
    return Expected(
        sop_class=valid(_text(elements, "00080016")),
        sop_instance=valid(_text(elements, "00080018")),
        study=expected.study,
    )


def _text(elements: Elements, tag: str) -> str | None:
    value = layout.first(elements, tag)
    return value.strip(" \0") if isinstance(value, str) else None


def _want_all(value: object, parts: Parts, levels: int) -> None:
    """Mark every part the metadata refers to, be it well formed or not."""
    if not isinstance(value, dict) or levels < 0:
        return
    for element in value.values():
        if not isinstance(element, dict):
            continue
        if isinstance(uri := element.get("BulkDataURI"), str):
            parts.frames(uri)
        if isinstance(items := element.get("Value"), list):
            for item in items:
                _want_all(item, parts, levels - 1)


def _missing(tag: str) -> MalformedInstance:
    return MalformedInstance(f"No part has the Content-Location of the bulk data of {_shown(tag)}.")


def _shown(tag: str) -> str:
    return f"({tag[:4]},{tag[4:]})"
