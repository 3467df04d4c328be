"""Rendered resources and thumbnails (PS3.18 10.4.1.1.3, 10.4.1.1.4). GET and HEAD.

Several pictures go as multipart/related whatever the client called them, since no single part can
hold them; one picture goes by itself unless only a multipart is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from vna.dicom.refs import InstanceRef, Ref, SeriesRef
from vna.errors import InvalidRequest
from vna.retrieve.kinds import Kind, kind_of
from vna.retrieve.payload import Payload, path_of
from vna.retrieve.pictures import pictures
from vna.retrieve.render import Found
from vna.web.dicomweb import answering, caching
from vna.web.dicomweb.accept import ZIP
from vna.web.dicomweb.rendering import Rendered, rendering
from vna.web.dicomweb.wado import frame_numbers
from vna.web.exchange import Ask, Reply, warning
from vna.web.media import media_list
from vna.web.multipart import closing, multipart_type, new_boundary, part_head
from vna.web.problems import Headers

_READY = 4 << 20  # up to this size a picture goes in one piece


async def rendered(ask: Ask) -> Reply:
    """GET a study, series, instance or frames to be looked at."""
    ref = ask.ref()
    numbers = frame_numbers(ask.names["frames"]) if "frames" in ask.names else None
    if numbers is None and not isinstance(ref, InstanceRef) and _wants_zip(ask):
        return await ask.counter.threads.streams.start(lambda: _zipped(ask, ref))
    asked = _asked(ask)

    def render() -> Reply:
        engine = ask.counter.engines.render
        found = engine.find(ask.principal, ref)
        _refuse_state(found, asked, numbers)
        state = _state(found, ask)
        if state is not None and caching.is_fresh(ask, state):
            return caching.not_modified(state)
        made, left_out = engine.rendered(ask.principal, found, asked.wish, numbers=numbers)
        return _reply(ask, made, asked, state, _warnings(asked, left_out, ask.root()))

    return await ask.counter.threads.streams.start(render)  # it waits for a child


async def thumbnail(ask: Ask) -> Reply:
    """GET one small picture that stands for a study, series, instance or frame."""
    ref = ask.ref()
    numbers = frame_numbers(ask.names["frames"]) if "frames" in ask.names else None
    asked = _asked(ask, is_thumbnail=True)
    root = ask.root()

    def render() -> Reply:
        engine = ask.counter.engines.render
        found = engine.find(ask.principal, ref, "thumbnail")
        state = _state(found, ask)
        if state is not None and caching.is_fresh(ask, state):
            return caching.not_modified(state)
        number = numbers[0] if numbers else None
        made = engine.thumbnail(ask.principal, found, asked.wish, number=number)
        return single(ask, made, f"{root}{_path(ref)}", state)

    return await ask.counter.threads.streams.start(render)  # it waits for a child


def _wants_zip(ask: Ask) -> bool:
    """Whether the pictures are asked for in a ZIP file, which is an extension of ours."""
    named = ask.accept_parameters() or (ask.header(b"accept") or "",)
    return any(one.name == ZIP for text in named for one in media_list(text))


def _zipped(ask: Ask, ref: Ref) -> Reply:
    """Answer with a plain JPEG of every image. It is made as it goes: no length, no ranges."""
    engine = ask.counter.engines.render
    found = engine.find(ask.principal, ref)
    made = pictures(engine, ask.principal, found)
    name = ref.series if isinstance(ref, SeriesRef) else ref.study
    fields = [
        (b"content-disposition", f'attachment; filename="{name}-pictures.zip"'.encode("ascii")),
        (b"accept-ranges", b"none"),
    ]
    return answering.streamed(ask, ZIP, made, fields)


def _asked(ask: Ask, *, is_thumbnail: bool = False) -> Rendered:
    strict = ask.counter.engines.settings.http.strict_accept
    header = ask.header(b"accept")
    return rendering(ask.query(), header, strict=strict, is_thumbnail=is_thumbnail)


def _refuse_state(found: Found, asked: Rendered, numbers: list[int] | None) -> None:
    """What a presentation state says itself must not be asked for (8.3.5.1.3, 8.3.5.1.4)."""
    if len(found) > 1 or kind_of(found[0]) is not Kind.STATE:
        return
    if numbers is not None:
        raise InvalidRequest("A presentation state has no frames to be named.")
    if asked.wish.window is not None:
        raise InvalidRequest("The parameter window does not go with a presentation state.")
    if asked.wish.viewport is not None and asked.wish.viewport.region is not None:
        raise InvalidRequest("The parameter viewport is vw,vh for a presentation state.")


def _state(found: Found, ask: Ask) -> caching.State | None:
    """None where a presentation state is shown: its images may change, and it does not."""
    if any(kind_of(located) is Kind.STATE for located in found):
        return None
    parts = [f"{located.blob_id.hex()}{located.changed_at}" for located in found]
    parts += [ask.scope["query_string"].decode("latin-1"), ask.url(), ask.header(b"accept") or ""]
    return caching.State(
        parts,
        is_strong=len(found) == 1 and kind_of(found[0]).is_as_stored,
        changed_at=caching.since(ask, (located.changed_at for located in found)),
    )


def _warnings(asked: Rendered, left_out: int, root: str) -> Headers:
    found = []
    if asked.unknown:
        values = ", ".join(asked.unknown)
        text = f"The following annotation values are not supported: {values}"
        found.append(warning(root, text))
    if left_out:
        found.append(warning(root, f"{left_out} instances cannot be rendered as was asked for"))
    return found


def _reply(
    ask: Ask,
    made: Iterator[Payload],
    asked: Rendered,
    state: caching.State | None,
    fields: Headers,
) -> Reply:
    root = ask.root()
    first = next(made, None)
    if first is None:
        raise InvalidRequest("There is nothing to be rendered.")
    second = next(made, None)
    if second is None and not asked.multipart:
        return single(ask, first, f"{root}{first.location}", state, fields)
    following = made if second is None else chain((second,), made)
    boundary = new_boundary()
    parts = _parts(chain((first,), following), boundary, root)
    told = [*caching.headers(state), *fields]
    return Reply(media=multipart_type(first.media_type, boundary), headers=told, rest=parts)


def single(
    ask: Ask,
    made: Payload,
    location: str,
    state: caching.State | None = None,
    fields: Headers | None = None,
) -> Reply:
    """One picture by itself; Content-Location names what it is a picture of.

    Of video and documents a range can be asked for: some browsers play no video without.
    """
    told = [*caching.headers(state), *(fields or ())]
    told.append((b"content-location", location.encode("latin-1")))
    told += answering.sandbox(made.media_type)
    if made.stretch is not None:
        known = state or caching.State([made.revision or location], is_strong=True)
        return answering.walked(ask, made.media_type, made.stretch, known, told)
    if made.length is None:
        return Reply(media=made.media_type, headers=told, rest=made.chunks)
    if made.length > _READY:
        return Reply(media=made.media_type, headers=told, rest=made.chunks, length=made.length)
    return Reply(media=made.media_type, headers=told, body=list(made.chunks))


def _parts(made: Iterator[Payload], boundary: str, root: str) -> Iterator[bytes]:
    for number, payload in enumerate(made):
        yield part_head(
            boundary,
            payload.media_type,
            first=number == 0,
            length=payload.length,
            location=f"{root}{payload.location}",
        )
        yield from payload.chunks
    yield closing(boundary)


def _path(ref: Ref) -> str:
    """Path of what was asked for."""
    if isinstance(ref, InstanceRef):
        return path_of(ref)
    series = f"/series/{ref.series}" if isinstance(ref, SeriesRef) else ""
    return f"/studies/{ref.study}{series}"
