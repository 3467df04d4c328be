"""Retrieve transaction (PS3.18 10.4): instances, metadata, frames, bulk data. GET and HEAD.

An endpoint reads the request, makes one hop into a thread, and replies with complete bytes where
they are few; what is large follows in pieces. Everything that can be refused is refused before the
first byte; what fails later breaks the connection and never looks like a short answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import orjson

from vna.dicom.uids import EXPLICIT_LITTLE, transfer_syntax
from vna.errors import InvalidRequest, NotAcceptable
from vna.retrieve.metadata import Description
from vna.retrieve.payload import Payload, path_of
from vna.web.dicomweb import caching, ranges
from vna.web.dicomweb.accept import DICOM, OCTETS, XML, Acceptable, Resource, Wanted, negotiate
from vna.web.dicomweb.xml import native_model
from vna.web.exchange import Ask, Reply
from vna.web.multipart import closing, multipart_type, new_boundary, part_head
from vna.web.threads import gather

READY = 4 << 20  # up to this size an answer is made in one hop
METADATA_READY = 12 << 20  # metadata is many small pieces: one hop for a thousand instances
_NUMBERS = re.compile(r"[1-9]\d{0,8}(,[1-9]\d{0,8})*", re.ASCII)


async def instances(ask: Ask) -> Reply:
    """GET a study, series or instance as DICOM files (PS3.18 10.4.1.1.1)."""
    ref = ask.ref()
    resource = Resource.INSTANCE if "instance" in ask.names else Resource.INSTANCES
    acceptable = accepted(ask, resource)
    root = ask.root()

    def retrieve() -> Reply:
        engine = ask.counter.engines.retrieve
        found = engine.instances(ask.principal, ref)
        chosen = [(item, engine.choose(item, acceptable.syntaxes)) for item in found]
        syntaxes = {syntax for _, syntax in chosen}
        form = acceptable.form(DICOM, chosen[0][1])
        state = caching.State(
            [item.blob_id.hex() for item in found] + sorted(syntaxes),
            is_strong=not form.multipart,
            changed_at=max(item.changed_at for item in found),
        )
        if caching.is_fresh(ask, state):
            return caching.not_modified(state)
        payloads = (engine.part10(item, syntax) for item, syntax in chosen)
        if form.multipart:
            media, chunks = _multipart(DICOM, payloads, root, next(iter(syntaxes), None))
            return _reply(ask, media, chunks, caching.headers(state))
        return _single(ask, next(payloads), root, state)

    return await ask.hop(retrieve)


async def metadata(ask: Ask) -> Reply:
    """GET the attributes of a study, series or instance without their bulk data (10.4.1.1.2)."""
    ref = ask.ref()
    form = accepted(ask, Resource.METADATA).best
    root = ask.root()
    is_zipped = caching.takes_gzip(ask)

    def retrieve() -> Reply:
        engine = ask.counter.engines.retrieve
        state = caching.State([engine.revision(ask.principal, ref), form.media])
        if caching.is_fresh(ask, state):
            return caching.not_modified(state)
        found = engine.metadata(ask.principal, ref)
        media, chunks = form.media, _json_array(found, root)
        if form.multipart:
            media, chunks = _xml_parts(one.json(f"{root}{path_of(one.ref)}/") for one in found)
        fields = [*caching.headers(state), (b"content-location", ask.url().encode("latin-1"))]
        if is_zipped:
            chunks = caching.gzipped(chunks)
            fields.append((b"content-encoding", b"gzip"))
        return _reply(ask, media, chunks, fields, ready=METADATA_READY)

    return await ask.hop(retrieve)


async def frames(ask: Ask) -> Reply:
    """GET frames of an instance, in the order asked for (10.4.1.1.6)."""
    ref = ask.instance()
    numbers = frame_numbers(ask.names["frames"])
    acceptable = accepted(ask, Resource.FRAME if len(numbers) == 1 else Resource.FRAMES)
    root = ask.root()

    def retrieve() -> Reply:
        engine = ask.counter.engines.retrieve
        payloads = engine.frames(ask.principal, ref, numbers, acceptable.syntaxes)
        return _parts_reply(ask, payloads, acceptable, root)

    return await ask.hop(retrieve)


async def bulkdata(ask: Ask) -> Reply:
    """GET the value behind a BulkDataURI, or a range of it (10.4.1.1.5, 8.6.1)."""
    ref = ask.instance()
    acceptable = accepted(ask, Resource.BULK)
    root = ask.root()

    def retrieve() -> Reply:
        engine = ask.counter.engines.retrieve
        payloads = engine.bulkdata(ask.principal, ref, ask.names["path"])
        return _parts_reply(ask, payloads, acceptable, root)

    return await ask.hop(retrieve)


def frame_numbers(text: str) -> list[int]:
    """Read a frame list: numbers from 1, separated by commas. Raises `InvalidRequest`."""
    if not _NUMBERS.fullmatch(text):
        raise InvalidRequest("Frames are numbers from 1, separated by commas.")
    return [int(number) for number in text.split(",")]


def accepted(ask: Ask, resource: Resource) -> Acceptable:
    """Read what the client takes. Raises `NotAcceptable` and `InvalidRequest`."""
    strict = ask.counter.engines.settings.http.strict_accept
    return negotiate(resource, ask.header(b"accept"), ask.accept_parameters(), strict=strict)


def content_type(payload: Payload) -> str:
    """Write the Content-Type of a payload; Explicit VR Little Endian is not said (8.7.3)."""
    syntax = payload.transfer_syntax
    known = transfer_syntax(syntax) if syntax else None
    if syntax in (None, EXPLICIT_LITTLE) or (
        payload.media_type == OCTETS and not (known and known.encapsulated)
    ):
        return payload.media_type  # native frames are little endian, whatever they came in
    return f"{payload.media_type}; transfer-syntax={syntax}"


def _parts_reply(ask: Ask, payloads: list[Payload], acceptable: Acceptable, root: str) -> Reply:
    """Frames and bulk data: one part each, or the only one by itself."""
    first = payloads[0]
    form = acceptable.form(first.media_type, first.transfer_syntax)
    state = caching.State(
        [first.revision or "", first.location or "", str(len(payloads))],
        is_strong=not _is_multipart(form, payloads),
    )
    if first.revision and caching.is_fresh(ask, state):
        return caching.not_modified(state)
    fields = caching.headers(state if first.revision else None)
    if not _is_multipart(form, payloads):
        return _single(ask, first, root, state)
    media, chunks = _multipart(first.media_type, payloads, root, None)
    length = sum(payload.length or 0 for payload in payloads)
    if length > READY or any(payload.length is None for payload in payloads) or ask.is_head:
        return _reply(ask, media, chunks, fields)
    return Reply(media=media, headers=fields, body=list(chunks))


def _is_multipart(form: Wanted, payloads: list[Payload]) -> bool:
    """One part goes by itself where the client takes that. Raises `NotAcceptable` where it must."""
    if len(payloads) > 1 and not form.multipart and form.media != OCTETS:
        raise NotAcceptable("This has several parts: ask for multipart/related.")
    return form.multipart or len(payloads) > 1


def _single(ask: Ask, payload: Payload, root: str, state: caching.State) -> Reply:
    """One payload by itself, whole or a range."""
    media = content_type(payload)
    fields = caching.headers(state)
    if payload.location:
        fields.append((b"content-location", f"{root}{payload.location}".encode("latin-1")))
    if payload.length is None or payload.read is None:
        return _reply(ask, media, payload.chunks, fields, payload.length)
    fields.append((b"accept-ranges", b"bytes"))
    most = ask.counter.engines.settings.limits.ranges
    wanted = ranges.wanted(ask, payload.length, state.etag, most)
    if wanted is None:
        return _reply(ask, media, payload.chunks, fields, payload.length)
    fields.append((b"content-range", wanted.content_range))
    if wanted.is_outside:
        return Reply(status=416, headers=fields)
    chunks = ranges.chunks(payload.read, wanted)
    return _reply(ask, media, chunks, fields, wanted.length, status=206)


def _multipart(
    media: str, payloads: Iterable[Payload], root: str, syntax: str | None
) -> tuple[str, Iterator[bytes]]:
    boundary = new_boundary()

    def parts() -> Iterator[bytes]:
        for number, payload in enumerate(payloads):
            yield part_head(
                boundary,
                content_type(payload),
                first=number == 0,
                length=payload.length,
                location=f"{root}{payload.location}" if payload.location else None,
            )
            yield from payload.chunks
        yield closing(boundary)

    named = None if syntax == EXPLICIT_LITTLE else syntax
    return multipart_type(media, boundary, named), parts()


def _json_array(found: Iterable[Description], root: str) -> Iterator[bytes]:
    before = b"["
    for one in found:
        yield before
        yield from one.chunks(f"{root}{path_of(one.ref)}/")
        before = b","
    yield b"]"


def _xml_parts(objects: Iterable[bytes]) -> tuple[str, Iterator[bytes]]:
    boundary = new_boundary()

    def parts() -> Iterator[bytes]:
        for number, data in enumerate(objects):
            document = native_model(orjson.loads(data))
            yield part_head(boundary, XML, first=number == 0, length=len(document))
            yield document
        yield closing(boundary)

    return multipart_type(XML, boundary), parts()


def _reply(
    ask: Ask,
    media: str,
    chunks: Iterator[bytes],
    fields: list[tuple[bytes, bytes]],
    length: int | None = None,
    *,
    status: int = 200,
    ready: int = READY,
) -> Reply:
    """Make the reply complete where it is small; for HEAD nothing is read at all."""
    if ask.is_head:
        return Reply(status=status, media=media, headers=fields, rest=chunks, length=length)
    data, is_last = gather(chunks, ready)
    rest = None if is_last else chunks
    return Reply(status=status, media=media, headers=fields, body=(data,), rest=rest, length=length)
