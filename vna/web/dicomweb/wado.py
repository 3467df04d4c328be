"""Retrieve transaction (PS3.18 10.4): instances, metadata, frames, bulk data. GET and HEAD.

An endpoint reads the request, makes one hop into a thread, and replies with complete bytes where
they are few; what is large follows in pieces (answering.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import orjson

from vna.dicom.parameters import read_parameters
from vna.dicom.refs import InstanceRef, Ref
from vna.errors import InvalidRequest, NotAcceptable
from vna.retrieve.metadata import Description, selected
from vna.retrieve.payload import Payload, path_of
from vna.web.dicomweb import answering, caching
from vna.web.dicomweb.accept import (
    DICOM,
    OCTETS,
    XML,
    ZIP,
    Acceptable,
    Resource,
    Wanted,
    negotiate,
)
from vna.web.dicomweb.archives import zipped
from vna.web.dicomweb.xml import native_model
from vna.web.exchange import Ask, Reply, warning
from vna.web.multipart import closing, multipart_type, new_boundary, part_head

_WARNINGS_MOST = 8
METADATA_READY = 12 << 20  # metadata is many small pieces: one hop for a thousand instances
FRAMES_MOST = 10_000
_VERSION = re.compile(r"[0-9a-f]{32}", re.ASCII | re.IGNORECASE)
_NUMBERS = re.compile(r"[1-9]\d{0,8}(,[1-9]\d{0,8})*", re.ASCII)


async def instances(ask: Ask) -> Reply:
    """GET a study, series or instance as DICOM files, in a ZIP file, or as bulk data (10.4.1.1.1).

    The last is what octets asked of these resources have meant in all editions (Table 10.4.4-1).
    """
    ref = ask.ref()
    resource = Resource.INSTANCE if "instance" in ask.names else Resource.INSTANCES
    acceptable = accepted(ask, resource)
    root = ask.root()
    version = _version(ask)
    return await ask.hop(lambda: _first_given(ask, acceptable, root, ref=ref, version=version))


def _version(ask: Ask) -> bytes | None:
    """Read which version of an instance is wanted: an extension; None means what is shown now."""
    named = [value for name, value in ask.query() if name == "version"]
    if not named or "instance" not in ask.names:
        return None
    if len(named) > 1 or not _VERSION.fullmatch(named[0]):
        raise InvalidRequest("The parameter version is one identifier of 32 hexadecimal digits.")
    return bytes.fromhex(named[0])


def _first_given(
    ask: Ask, acceptable: Acceptable, root: str, *, ref: Ref, version: bytes | None
) -> Reply:
    """Answer with the best kind of representation that can be given."""
    refusal: NotAcceptable | None = None
    for part in acceptable.kinds():
        try:
            if version is not None and (part.best.media == ZIP or part.best.is_bulk):
                raise NotAcceptable(f"One version of an instance is given as {DICOM}.")
            if part.best.media == ZIP:
                return zipped(ask, ref, part.best)
            if part.best.is_bulk:
                return _bulk(ask, ref, part, root, pixels_only=False)
            return _files(ask, ref, part, root, version=version)
        except NotAcceptable as exc:
            refusal = refusal or exc
    raise refusal or NotAcceptable


def _files(
    ask: Ask, ref: Ref, acceptable: Acceptable, root: str, *, version: bytes | None
) -> Reply:
    engine = ask.counter.engines.retrieve
    if version is not None and isinstance(ref, InstanceRef):
        found = [engine.version(ask.principal, ref, version)]
    else:
        found = engine.instances(ask.principal, ref)
    chosen, refused = engine.forms.given(found, acceptable.wishes)
    form = acceptable.form(DICOM, chosen[0][1])
    payloads = [engine.forms.part10(item, syntax) for item, syntax in chosen]
    if not form.multipart:
        return answering.single(ask, payloads[0], root)
    if any(payload.length is None for payload in payloads):
        told = [f"{payload.revision}{payload.transfer_syntax}" for payload in payloads]
        since = caching.since(ask, (item.changed_at for item, _ in chosen))
        state = caching.State([root, *told], changed_at=since)
        return answering.converted(ask, payloads, root, state, refused=refused)
    status, fields = answering.told(root, refused)
    return answering.multipart(ask, payloads, root, status=status, fields=fields)


async def metadata(ask: Ask) -> Reply:
    """GET the attributes of a study, series or instance without their bulk data (10.4.1.1.2).

    `includefield` names the attributes wanted, as a search does; the UIDs come with them.
    """
    ref = ask.ref()
    form = accepted(ask, Resource.METADATA).best
    root = ask.root()
    is_zipped = caching.takes_gzip(ask)
    asked = read_parameters(pair for pair in ask.query() if pair[0] == "includefield")
    includes = None if asked.everything or not asked.includes else asked.includes
    fields = [warning(root, text) for text in asked.deviations[:_WARNINGS_MOST]]

    def retrieve() -> Reply:
        engine = ask.counter.engines.retrieve
        revision, changed_at = engine.state(ask.principal, ref)
        state = caching.State(
            [revision, form.media, root, repr(sorted(includes or ()))],
            changed_at=changed_at,
        )
        if caching.is_fresh(ask, state):
            return caching.not_modified(state)
        found = engine.metadata(ask.principal, ref)
        if includes is not None:
            found = (selected(one, includes) for one in found)
        media, chunks = form.media, _json_array(found, root)
        if form.multipart:
            media, chunks = _xml_parts(one.json(f"{root}{path_of(one.ref)}/") for one in found)
        fields.extend(caching.headers(state))
        fields.append((b"content-location", ask.url().encode("latin-1")))
        if is_zipped:
            chunks = caching.gzipped(chunks)
            fields.append((b"content-encoding", b"gzip"))
        return answering.streamed(ask, media, chunks, fields, most=METADATA_READY)

    return await ask.hop(retrieve)


async def frames(ask: Ask) -> Reply:
    """GET frames of an instance, in the order asked for (10.4.1.1.6)."""
    ref = ask.instance()
    numbers = frame_numbers(ask.names["frames"])
    acceptable = accepted(ask, Resource.FRAME if len(numbers) == 1 else Resource.FRAMES)
    root = ask.root()

    def retrieve() -> Reply:
        engine = ask.counter.engines.retrieve
        payloads = engine.pieces.frames(ask.principal, ref, numbers, acceptable.wishes)
        return _parts(ask, payloads, acceptable, root)

    return await ask.hop(retrieve)


async def one_value(ask: Ask) -> Reply:
    """GET the value behind a BulkDataURI, or a range of it (10.4.1.1.5, 8.6.1)."""
    ref = ask.instance()
    acceptable = accepted(ask, Resource.BULK)
    root = ask.root()

    def retrieve() -> Reply:
        engine = ask.counter.engines.retrieve
        path = ask.names["path"]
        return _parts(
            ask,
            engine.pieces.bulkdata(ask.principal, ref, path, acceptable.wishes),
            acceptable,
            root,
        )

    return await ask.hop(retrieve)


async def bulkdata(ask: Ask) -> Reply:
    """GET every bulk value of a study, series or instance (10.4.1.1.5)."""
    return await _all_values(ask, pixels_only=False)


async def pixeldata(ask: Ask) -> Reply:
    """GET the Pixel Data of a study, series or instance (10.4.1.1.5, 10.4.3.3.3)."""
    return await _all_values(ask, pixels_only=True)


async def _all_values(ask: Ask, *, pixels_only: bool) -> Reply:
    ref = ask.ref()
    acceptable = accepted(ask, Resource.BULKS)
    root = ask.root()
    return await ask.hop(lambda: _bulk(ask, ref, acceptable, root, pixels_only=pixels_only))


def _bulk(ask: Ask, ref: Ref, acceptable: Acceptable, root: str, *, pixels_only: bool) -> Reply:
    engine = ask.counter.engines.retrieve
    found = engine.pieces.bulk(ask.principal, ref, acceptable.wishes, pixels_only=pixels_only)
    if isinstance(found.payloads, list):
        status, fields = answering.told(root, found.refused)
        return answering.multipart(ask, found.payloads, root, status=status, fields=fields)
    state = caching.State(
        [root, str(pixels_only), repr(acceptable.wishes), *found.revisions],
        changed_at=caching.since(ask, (found.changed_at,)),
    )
    return answering.converted(ask, found.payloads, root, state, refused=found.refused)


def frame_numbers(text: str) -> list[int]:
    """Read a frame list: numbers from 1, separated by commas. Raises `InvalidRequest`."""
    if not _NUMBERS.fullmatch(text):
        raise InvalidRequest("The frames of the path are numbers from 1, separated by commas.")
    numbers = [int(number) for number in text.split(",")]
    if len(numbers) > FRAMES_MOST:
        raise InvalidRequest(f"The path may name {FRAMES_MOST} frames.")
    return numbers


def accepted(ask: Ask, resource: Resource) -> Acceptable:
    """Read what the client takes. Raises `NotAcceptable` and `InvalidRequest`."""
    strict = ask.counter.engines.settings.http.strict_accept
    return negotiate(resource, ask.header(b"accept"), ask.accept_parameters(), strict=strict)


def _parts(ask: Ask, payloads: list[Payload], acceptable: Acceptable, root: str) -> Reply:
    """Frames and bulk data: one part each, or the only one by itself."""
    form = acceptable.form(payloads[0].media_type, payloads[0].transfer_syntax)
    if _is_multipart(form, payloads):
        return answering.multipart(ask, payloads, root)
    return answering.single(ask, payloads[0], root)


def _is_multipart(form: Wanted, payloads: list[Payload]) -> bool:
    """One part goes by itself where the client takes that. Raises `NotAcceptable` where it must."""
    if len(payloads) > 1 and not form.multipart and form.media != OCTETS:
        raise NotAcceptable("This has several parts: ask for multipart/related.")
    return form.multipart or len(payloads) > 1


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
