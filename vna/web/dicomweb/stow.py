"""Store transaction (PS3.18 10.5): a body of DICOM files, taken in as it arrives.

A small body is read whole and stored in one hop. A larger one goes to a thread a mebibyte at a
time, while the next mebibyte is being read: never more than two of them are in memory, and a thread
that is busy makes the client wait.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

import orjson

from vna.dicom.refs import UID
from vna.errors import InvalidRequest, MalformedMultipart, TooLarge, UnsupportedMedia
from vna.ingest.outcome import Cause, Expected, Outcome, Refused, Source
from vna.web.dicomweb import caching
from vna.web.dicomweb.accept import DICOM, JSON, XML, Resource, Wanted, negotiate
from vna.web.dicomweb.store_response import respond, study_of
from vna.web.dicomweb.xml import native_model
from vna.web.exchange import Ask, ClientGone, Reply, warning
from vna.web.identity import address_of
from vna.web.media import media_type
from vna.web.multipart import MultipartParser, PartBegins, PartData, boundary_of
from vna.web.threads import PIECE

if TYPE_CHECKING:
    from vna.ingest.receiving import Receiving

_ENDING_MOST = 4  # parts of one request that are being finished beside the one coming in


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
    intake = Intake(ask, ask.uid("study") if "study" in ask.names else None)
    root = ask.root()
    if declared is not None and declared <= PIECE:
        body = b"".join([piece async for piece in _pieces(ask)])
        return await ask.hop(lambda: _written(ask, intake.take(body), root, form))
    return _written(ask, await _stream(ask, intake), root, form)


class Intake:
    """The bytes of one request becoming outcomes. Used by one thread at a time.

    A part is made durable and visible by another thread while the next part comes in: storing waits
    for disks, and what waits together is committed together.
    """

    def __init__(self, ask: Ask, study: UID | None) -> None:
        """Read what kind of body it is. Raises `UnsupportedMedia` and `MalformedMultipart`."""
        self._ask = ask
        self._parser = _parser(ask)
        self._expected = Expected(study=study)
        self._source = Source(proto="stow", address=address_of(ask.scope))
        self._outcomes: list[Outcome] = []
        self._receiving: Receiving | None = None
        self._ending: deque[Callable[[], Outcome]] = deque()
        self._most = ask.counter.engines.settings.limits.request_bytes
        self._count = 0
        self._is_broken = False
        self._is_other = False  # the part is no DICOM file
        self._is_ended = False  # the part is complete, and waits for the next to begin

    @property
    def is_over(self) -> bool:
        """Whether nothing that may still come could change the answer."""
        if self._is_broken:
            return True
        receiving = self._receiving
        return self._parser is None and receiving is not None and receiving.refused is not None

    def take(self, body: bytes) -> list[Outcome]:
        """Take a whole body."""
        try:
            self.feed(body)
            return self.finish()
        finally:
            self.abort()

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body.

        Raises what is wrong with the body as a whole when nothing of it was stored; otherwise that
        is one more outcome, and the rest of the body is dropped.
        """
        self._count += len(data)
        if self._is_broken:
            return
        try:
            self._take(data)
        except (MalformedMultipart, TooLarge) as exc:
            self._break(exc)

    def finish(self) -> list[Outcome]:
        """The body is over: return one outcome a part. Raises as `feed` does."""
        if self._is_broken:
            return self._outcomes
        if self._parser is None:
            self._begin()
            self._is_ended = True
        else:
            try:
                self._parser.finish()
            except MalformedMultipart as exc:
                self._break(exc)
                return self._outcomes
        self._complete()
        if not self._outcomes:
            raise InvalidRequest("There is no part in this body.")
        return self._outcomes

    def abort(self) -> None:
        """Let go of what is under way; what was stored stays."""
        if self._receiving is not None:
            self._receiving.abort()
            self._receiving = None
        self._collect(0)

    def _take(self, data: bytes) -> None:
        if self._count > self._most:
            raise TooLarge(f"One request may have {self._most} bytes.")
        if self._parser is None:
            self._begin()
            self._content(data)
            return
        for event in self._parser.feed(data):
            if isinstance(event, PartData):
                self._content(event.data)
            elif isinstance(event, PartBegins):
                self._hand_over()
                self._is_other = not _is_dicom(event.headers.get("content-type", DICOM))
                self._begin()
            else:
                self._is_ended = True

    def _begin(self) -> None:
        if self._receiving is None and not self._is_other:
            self._receiving = self._ask.counter.engines.ingest.receive(
                self._ask.principal, self._source, expected=self._expected
            )

    def _content(self, data: bytes | memoryview) -> None:
        if self._receiving is not None:
            self._receiving.feed(data)

    def _hand_over(self) -> None:
        """Let another thread finish the part that ended; a few of them at most are under way."""
        if not self._is_ended:
            return
        self._collect(_ENDING_MOST - 1)
        receiving, self._receiving, self._is_ended = self._receiving, None, False
        if receiving is None:
            self._ending.append(_not_dicom)
        else:
            finishers = self._ask.counter.threads.finishers
            self._ending.append(finishers.submit(receiving.finish).result)

    def _complete(self) -> None:
        """Finish the last part here, and wait for those before it."""
        if not self._is_ended:
            self._collect(0)
            return
        receiving, self._receiving, self._is_ended = self._receiving, None, False
        last = _not_dicom() if receiving is None else receiving.finish()
        self._collect(0)
        self._outcomes.append(last)

    def _collect(self, most: int) -> None:
        """Wait, in order, until no more than `most` parts are being finished."""
        while len(self._ending) > most:
            self._outcomes.append(self._ending.popleft()())

    def _break(self, exc: MalformedMultipart | TooLarge) -> None:
        """Drop the part that is incomplete, keep those that are whole, and say so."""
        self._is_broken = True
        if self._is_ended:
            self._complete()
        self.abort()
        if all(isinstance(outcome, Refused) for outcome in self._outcomes):
            raise exc
        cause = Cause.TOO_LARGE if isinstance(exc, TooLarge) else Cause.CANNOT_UNDERSTAND
        self._outcomes.append(Refused(cause=cause, message=str(exc)))


def _not_dicom() -> Outcome:
    message = "A part is not application/dicom, which is what this archive takes."
    return Refused(cause=Cause.CANNOT_UNDERSTAND, message=message)


async def _stream(ask: Ask, intake: Intake) -> list[Outcome]:
    """Feed a thread one piece while the next one is being read."""
    pool = ask.counter.threads.streams
    work: asyncio.Future[None] | None = None
    try:
        async for piece in _pieces(ask):
            if work is not None:
                await asyncio.shield(work)
            if intake.is_over:
                break
            work = pool.start(functools.partial(intake.feed, piece))
        if work is not None:
            await asyncio.shield(work)
        return await pool.call(intake.finish)
    except BaseException:
        if work is not None:
            await asyncio.wait((work,))
        await pool.call(intake.abort)
        raise


async def _pieces(ask: Ask) -> AsyncIterator[bytes]:
    """The body, a mebibyte or more at a time. Raises `ClientGone`."""
    held: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await ask.receive()
        if message["type"] != "http.request":
            raise ClientGone
        more = message.get("more_body", False)
        held.append(message.get("body", b""))
        size += len(held[-1])
        if size >= PIECE or not more:
            yield b"".join(held)
            held, size = [], 0


def _declared(ask: Ask) -> int | None:
    text = ask.header(b"content-length")
    return int(text) if text is not None and text.isdecimal() else None


def _parser(ask: Ask) -> MultipartParser | None:
    """The parser for this body; None for a single DICOM file."""
    text = ask.header(b"content-type")
    if text is None:
        raise UnsupportedMedia("The Content-Type of the body is missing.")
    name = media_type(text).name
    if name == DICOM:
        return None
    if name != "multipart/related":
        raise UnsupportedMedia(f'Send multipart/related; type="{DICOM}", or one {DICOM}.')
    root, boundary = boundary_of(text)
    if root in (JSON, XML):
        raise UnsupportedMedia(
            f"Metadata and bulk data in parts are not taken yet: send {DICOM} parts."
        )
    if root != DICOM:
        raise UnsupportedMedia(f"The parts must be {DICOM}.")
    return MultipartParser(boundary, ask.counter.engines.settings.limits)


def _is_dicom(content_type: str) -> bool:
    try:
        return media_type(content_type).name == DICOM
    except InvalidRequest:
        return False


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
