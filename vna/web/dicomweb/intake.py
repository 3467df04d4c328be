"""The bytes of a store request becoming outcomes: DICOM files, or metadata and bulk data apart.

A body of files is stored as it arrives. One of metadata and bulk data is put aside first, and
nothing of it is stored before its end. Both are finished alike: a part is made durable and visible
by another thread while the next one is at work, since storing waits for disks, and what waits
together is committed together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from vna.dicom.refs import UID
from vna.errors import (
    InvalidRequest,
    MalformedMultipart,
    TooLarge,
    UnsupportedMedia,
)
from vna.ingest.assembly import JSON, METADATA, XML
from vna.ingest.outcome import Cause, Expected, Outcome, Refused, Source
from vna.ingest.parts import PartHead
from vna.web.dicomweb.accept import ALIASES, DICOM
from vna.web.exchange import Ask
from vna.web.identity import address_of
from vna.web.media import media_type
from vna.web.multipart import MultipartParser, PartBegins, PartData, boundary_of

if TYPE_CHECKING:
    from vna.ingest.assembly import Assembly
    from vna.ingest.receiving import Receiving

_ENDING_MOST = 4  # objects of one request that are being finished beside the one at work


class Intake(Protocol):
    """Takes the bytes of one request. Used by one thread at a time."""

    @property
    def is_over(self) -> bool:
        """Whether nothing that may still come could change the answer."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body.

        Raises what is wrong with the body as a whole when nothing of it was stored; otherwise that
        is one more outcome, and the rest of the body is dropped.
        """

    def finish(self) -> list[Outcome]:
        """The body is over: return one outcome a part or object. Raises as `feed` does."""

    def abort(self) -> None:
        """Let go of what is under way; what was stored stays."""


def intake_for(ask: Ask, study: UID | None) -> Intake:
    """Choose by the Content-Type. Raises `UnsupportedMedia` and `MalformedMultipart`."""
    text = ask.header(b"content-type")
    if text is None:
        raise UnsupportedMedia("The Content-Type of the body is missing.")
    name = media_type(text).name
    if name == DICOM:
        return FilesIntake(ask, study, None)
    if name != "multipart/related":
        raise UnsupportedMedia(f'Send multipart/related; type="{DICOM}", or one {DICOM}.')
    root, boundary = boundary_of(text)
    parser = MultipartParser(boundary, ask.counter.engines.settings.limits)
    if root == DICOM:
        return FilesIntake(ask, study, parser)
    if root in METADATA:
        return PartsIntake(ask, study, parser)
    raise UnsupportedMedia(f"The type of the parts must be {DICOM}, {JSON} or {XML}.")


class _Endings:
    """Objects that are complete and on their way to be durable, in the order they came."""

    def __init__(self, ask: Ask) -> None:
        self._finishers = ask.counter.threads.finishers
        self._ending: deque[Callable[[], Outcome]] = deque()
        self.outcomes: list[Outcome] = []

    def add(self, found: Receiving | Refused) -> None:
        """Let another thread finish an object; a few of them at most are under way."""
        self.collect(_ENDING_MOST - 1)
        if isinstance(found, Refused):
            self._ending.append(lambda: found)
        else:
            self._ending.append(self._finishers.submit(found.finish).result)

    def collect(self, most: int = 0) -> None:
        """Wait, in order, until no more than `most` objects are being finished."""
        while len(self._ending) > most:
            self.outcomes.append(self._ending.popleft()())


class FilesIntake:
    """DICOM files, one a part, or one alone: stored as they arrive."""

    def __init__(self, ask: Ask, study: UID | None, parser: MultipartParser | None) -> None:
        """`parser` is None for a single file without a multipart."""
        self._ask = ask
        self._parser = parser
        self._expected = Expected(study=study)
        self._source = Source(proto="stow", address=address_of(ask.scope))
        self._endings = _Endings(ask)
        self._receiving: Receiving | None = None
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

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        self._count += len(data)
        if self._is_broken:
            return
        try:
            self._take(data)
        except (MalformedMultipart, TooLarge) as exc:
            self._break(exc)

    def finish(self) -> list[Outcome]:
        """The body is over: return one outcome a part."""
        outcomes = self._endings.outcomes
        if self._is_broken:
            return outcomes
        if self._parser is None:
            self._begin()
            self._is_ended = True
        else:
            try:
                self._parser.finish()
            except MalformedMultipart as exc:
                self._break(exc)
                return outcomes
        self._complete()
        if not outcomes:
            raise InvalidRequest("There is no part in this body.")
        return outcomes

    def abort(self) -> None:
        """Let go of what is under way; what was stored stays."""
        if self._receiving is not None:
            self._receiving.abort()
            self._receiving = None
        self._endings.collect()

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
        if self._is_ended:
            receiving, self._receiving, self._is_ended = self._receiving, None, False
            self._endings.add(receiving or _NOT_DICOM)

    def _complete(self) -> None:
        """Finish the last part here, and wait for those before it."""
        if not self._is_ended:
            self._endings.collect()
            return
        receiving, self._receiving, self._is_ended = self._receiving, None, False
        last = _NOT_DICOM if receiving is None else receiving.finish()
        self._endings.collect()
        self._endings.outcomes.append(last)

    def _break(self, exc: MalformedMultipart | TooLarge) -> None:
        """Drop the part that is incomplete, keep those that are whole, and say so."""
        self._is_broken = True
        if self._is_ended:
            self._complete()
        self.abort()
        outcomes = self._endings.outcomes
        if all(isinstance(outcome, Refused) for outcome in outcomes):
            raise exc
        cause = Cause.TOO_LARGE if isinstance(exc, TooLarge) else Cause.CANNOT_UNDERSTAND
        outcomes.append(Refused(cause=cause, message=str(exc)))


class PartsIntake:
    """Metadata and bulk data in parts of their own: nothing is stored before all of it is here."""

    def __init__(self, ask: Ask, study: UID | None, parser: MultipartParser) -> None:
        self._endings = _Endings(ask)
        self._parser = parser
        self._most = ask.counter.engines.settings.limits.request_bytes
        self._count = 0
        self._ask = ask
        self._base = ask.url()
        self._study = study
        self._begun: Assembly | None = None

    @property
    def is_over(self) -> bool:
        """Never: every part may matter, and what is wrong with one is raised at once."""
        return False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body; whatever is wrong with them refuses all of it."""
        self._count += len(data)
        if self._count > self._most:
            raise TooLarge(f"One request may have {self._most} bytes.")
        assembly = self._assembly()
        for event in self._parser.feed(data):
            if isinstance(event, PartData):
                assembly.feed(event.data)
            elif isinstance(event, PartBegins):
                assembly.begin(_part_head(event.headers))
            else:
                assembly.end()

    def finish(self) -> list[Outcome]:
        """The body is over: put the objects together and store them, one outcome each."""
        try:
            self._parser.finish()
            for found in self._assembly().objects():
                self._endings.add(found)
            self._endings.collect()
        finally:
            self.abort()
        return self._endings.outcomes

    def abort(self) -> None:
        """Forget what was put aside; what is being stored is finished."""
        self._endings.collect()
        if self._begun is not None:
            self._begun.close()

    def _assembly(self) -> Assembly:
        """Begin in a thread, not in the event loop: the disk is asked for its room."""
        if self._begun is None:
            self._begun = self._ask.counter.engines.ingest.assemble(
                self._ask.principal,
                Source(proto="stow", address=address_of(self._ask.scope)),
                base=self._base,
                expected=Expected(study=self._study),
            )
        return self._begun


_NOT_DICOM = Refused(
    cause=Cause.CANNOT_UNDERSTAND,
    message="A part is not application/dicom, which is what the type of the body says.",
)


def _is_dicom(content_type: str) -> bool:
    try:
        return media_type(content_type).name == DICOM
    except InvalidRequest:
        return False


def _part_head(headers: dict[str, str]) -> PartHead:
    """Read the header fields of a part. Raises `InvalidRequest`, `MalformedMultipart`."""
    media = media_type(headers.get("content-type", "application/octet-stream"))
    length = headers.get("content-length")
    if length is not None and not (length.isascii() and length.isdecimal() and len(length) < 20):
        raise MalformedMultipart("The Content-Length of a part is no number.")
    return PartHead(
        media=ALIASES.get(media.name, media.name),
        transfer_syntax=media.parameter("transfer-syntax"),
        location=headers.get("content-location"),
        length=None if length is None else int(length),
    )
