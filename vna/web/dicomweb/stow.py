"""Store transaction (PS3.18 10.5): a body is taken in as it arrives (intake.py), and answered.

The thread that stores reads the body itself where it can (inward.py). Elsewhere a small body is
read whole and stored in one hop, and a larger one goes to a thread a mebibyte at a time, while the
next mebibyte is being read: never more than two of them are in memory, and a thread that is busy
makes the client wait.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Sequence

import orjson

from vna.errors import TooLarge
from vna.ingest.outcome import Outcome
from vna.web.dicomweb import caching
from vna.web.dicomweb.accept import XML, Resource, Wanted, negotiate
from vna.web.dicomweb.intake import Intake, intake_for
from vna.web.dicomweb.store_response import respond, study_of
from vna.web.dicomweb.xml import native_model
from vna.web.exchange import Ask, Reply, warning
from vna.web.inward import Body
from vna.web.threads import PIECE


async def store(ask: Ask) -> Reply:
    """POST instances to `studies` or to one study (PS3.18 10.5.1)."""
    settings = ask.counter.engines.settings
    form = negotiate(
        Resource.STORED,
        ask.header(b"accept"),
        ask.accept_parameters(),
        strict=settings.http.strict_accept,
    ).best
    declared = _declared(ask)
    if declared is not None and declared > settings.limits.request_bytes:
        raise TooLarge(f"One request may have {settings.limits.request_bytes} bytes.")
    intake = intake_for(ask, ask.uid("study") if "study" in ask.names else None)
    root = ask.root()

    def written(outcomes: Sequence[Outcome]) -> Reply:
        return _written(ask, outcomes, root, form)

    reply = await _past_the_loop(ask, intake, written)
    if reply is not None:
        return reply
    if declared is not None and declared <= PIECE:
        body = await _whole(ask, intake)
        return await ask.hop(lambda: written(_taken(intake, body)))
    return written(await _stream(ask, intake))


async def _past_the_loop(
    ask: Ask, intake: Intake, written: Callable[[Sequence[Outcome]], Reply]
) -> Reply | None:
    """Have a thread read, store and answer; None where the body, or its rest, comes otherwise."""
    threads = ask.counter.threads
    way = ask.way_in()

    def work(body: Body) -> Reply | None:
        for piece in body:
            intake.feed(piece)
            if intake.is_over:
                break
        return written(intake.finish()) if intake.is_over or not body.left else None

    try:
        while way is not None and (done := await way.read(work, threads.intakes)) is not None:
            reply, is_prompt = done
            if reply is not None or not is_prompt:
                return reply
    except BaseException:
        await threads.streams.call(intake.abort)
        raise
    return None


async def _whole(ask: Ask, intake: Intake) -> list[bytes]:
    """Wait for a body, or the rest of one that a thread has begun. Raises `ClientGone`."""
    try:
        return [piece async for piece in ask.content()]
    except BaseException:
        await ask.counter.threads.streams.call(intake.abort)
        raise


def _taken(intake: Intake, body: Sequence[bytes]) -> list[Outcome]:
    """Take a whole body."""
    try:
        _feed(intake, body)
        return intake.finish()
    finally:
        intake.abort()


def _feed(intake: Intake, pieces: Sequence[bytes]) -> None:
    """Feed pieces as they came: putting them together would be one more copy of all."""
    for piece in pieces:
        intake.feed(piece)


async def _stream(ask: Ask, intake: Intake) -> list[Outcome]:
    """Feed a thread one piece while the next one is being read."""
    pool = ask.counter.threads.streams
    work: asyncio.Future[None] | None = None
    try:
        async for pieces in _together(ask):
            if work is not None:
                await asyncio.shield(work)
            if intake.is_over:
                break
            work = pool.start(functools.partial(_feed, intake, pieces))
        if work is not None:
            await asyncio.shield(work)
        return await pool.call(intake.finish)
    except BaseException:
        if work is not None:
            await asyncio.wait((work,))
        await pool.call(intake.abort)
        raise


async def _together(ask: Ask) -> AsyncIterator[list[bytes]]:
    """The body, a mebibyte or more at a time. Raises `ClientGone`."""
    held: list[bytes] = []
    size = 0
    async for piece in ask.content():
        held.append(piece)
        size += len(piece)
        if size >= PIECE:
            yield held
            held, size = [], 0
    if held:
        yield held


def _declared(ask: Ask) -> int | None:
    text = ask.header(b"content-length")
    return int(text) if text is not None and text.isdecimal() else None


def _written(ask: Ask, outcomes: Sequence[Outcome], root: str, form: Wanted) -> Reply:
    warn = ask.counter.engines.settings.versions.answer == "warning"
    response = respond(outcomes, root, warn_of_versions=warn)
    fields = [caching.VARY, *(warning(root, text) for text in response.warnings)]
    study = study_of(outcomes)
    if study is not None:
        url = f"{root}/studies/{study.study}".encode("latin-1")
        fields += [(b"location", url), (b"content-location", url)]
    if response.status == 503:
        fields.append((b"retry-after", b"5"))
    data = response.elements
    body = native_model(data) if form.media == XML else orjson.dumps(data)
    return Reply(status=response.status, media=form.media, headers=fields, body=(body,))
