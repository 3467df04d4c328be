"""Files that browsers send: one a PUT, as a script of ours does, or all in a form without scripts.

The bytes go to the threads a mebibyte at a time as they arrive; nothing is held whole.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from vna.access.principal import Principal
from vna.config import Limits
from vna.errors import InvalidRequest, NotAuthenticated, NotFound, TooLarge, VNAError
from vna.imports.taking import Taking
from vna.imports.values import Result, Taken
from vna.texts import marked
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.media import media_type
from vna.web.multipart import MultipartParser, PartBegins, PartData, PartEnds
from vna.web.portal.guard import Visit
from vna.web.standing import Stands

_PIECE = 1 << 20
_MOST_FIELD = 1024
_MOST_DRAINED = 64 << 20
_MARK = re.compile(r"[0-9a-f]{32}", re.ASCII)
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):", re.ASCII)
_NAMED = re.compile(r'(?:^|;)\s*(name|filename)="((?:[^"\\]|\\.)*)"', re.ASCII | re.IGNORECASE)
_MOST_MARKS = 8 << 20

Begin = Callable[[str, str | None, bytes | None], Taking]
"""Begins to take a file: its name, its mark, its SHA-256 as far as they are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """Which import is being filled, by whom; files are taken as long as `stands` says so."""

    counter: Counter
    who: Principal
    number: int
    stands: Stands

    def begin(self, name: str, mark: str | None, digest: bytes | None) -> Taking:
        """Begin to take a file."""
        intake = self.counter.engines.imports.intake
        return intake.take(self.who, self.number, name=name, mark=mark, digest=digest)

    @contextmanager
    def watched(self, request: Request) -> Iterator[Request]:
        """Give the request with a body that ends when its sender may not go on."""
        with self.counter.standing.taking(self.stands, self.who, request.receive) as receive:
            yield Request(request.scope, receive)


async def take_one(request: Request, into: Import) -> Response:
    """Take the file of a PUT, and answer in JSON what became of it.

    A file that is there already is not taken again, so that a sender may repeat what was cut off.
    """
    with into.watched(request) as watched:
        try:
            taken = await _one(watched, into)
        except ClientDisconnect:
            return Response(status_code=400)
        except VNAError as exc:
            await _drain(watched)
            status, fields, content = problems.answer(exc, "import-file")
            headers = {name.decode(): value.decode() for name, value in fields}
            return Response(content, status, headers, "application/json")
    said = {"result": taken.result.value, "reason": taken.reason, "files": taken.files}
    return json(said)


async def _one(request: Request, into: Import) -> Taken:
    mark = request.path_params["mark"]
    if not _MARK.fullmatch(mark):
        raise NotFound
    hops, streams = into.counter.threads.hops, into.counter.threads.streams
    known = await hops.call(lambda: into.counter.engines.imports.intake.known(into.number, mark))
    if known is not None:
        await _drain(request)
        return known
    name, digest = _name(request), _digest(request)
    taking = await hops.call(lambda: into.begin(name, mark, digest))
    try:
        async for piece in _gathered(request.stream()):
            await streams.call(lambda data=piece: taking.feed(data))  # type: ignore[misc]  # now
        return await streams.call(taking.finish)
    finally:
        await hops.call(taking.abort)


async def take_form(
    request: Request, into: Import, limits: Limits, require_own: Callable[[str], None]
) -> dict[str, str]:
    """Take the files of a multipart/form-data form; return its other fields.

    `require_own` is given the form's token, which stands before the first file. Raises
    `InvalidRequest` for what is no such form, and what taking a file raises.
    """
    form = _Form(into, _parser(request, limits), require_own)
    streams = into.counter.threads.streams
    try:
        with into.watched(request) as watched:
            async for piece in _gathered(watched.stream()):
                await streams.call(lambda data=piece: form.feed(data))  # type: ignore[misc]  # now
        return form.finish()
    except ClientDisconnect as exc:
        raise InvalidRequest("The request ended before its time.") from exc
    finally:
        await streams.call(form.abort)


def json(content: object) -> Response:
    """Answer a script of ours."""
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(orjson.dumps(content), 200, headers, "application/json")


async def marks(visit: Visit) -> list[str]:
    """Read the list of what is to come. Raises `InvalidRequest`, `NotPermitted`, `TooLarge`."""
    if visit.request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise InvalidRequest("The list of files comes as application/json.")
    try:
        found = orjson.loads(await visit.json(most_bytes=_MOST_MARKS))
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest("The list of files is not JSON.") from exc
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise InvalidRequest("The list of files is a list of marks.")
    return found


class _Form:
    """The parts of a form, as they come."""

    def __init__(
        self, into: Import, parser: MultipartParser, require_own: Callable[[str], None]
    ) -> None:
        self._into = into
        self._parser = parser
        self._require_own = require_own
        self._is_own = False
        self._fields: dict[str, str] = {}
        self._name = ""
        self._value = bytearray()
        self._taking: Taking | None = None

    def feed(self, data: bytes) -> None:
        for event in self._parser.feed(data):
            if isinstance(event, PartBegins):
                self._begin(event.headers)
            elif isinstance(event, PartData):
                self._data(bytes(event.data))
            elif isinstance(event, PartEnds):
                self._end()

    def finish(self) -> dict[str, str]:
        self._parser.finish()
        self._check()
        return self._fields

    def abort(self) -> None:
        if self._taking is not None:
            self._taking.abort()
            self._taking = None

    def _begin(self, headers: dict[str, str]) -> None:
        said = {k.lower(): v for k, v in _NAMED.findall(headers.get("content-disposition", ""))}
        self._name = said.get("name", "")
        if said.get("filename"):
            self._check()
            self._taking = self._into.begin(said["filename"], None, None)

    def _data(self, data: bytes) -> None:
        if self._taking is not None:
            self._taking.feed(data)
            return
        self._value += data
        if len(self._value) > _MOST_FIELD:
            raise TooLarge("A field of this form is shorter than that.")

    def _end(self) -> None:
        if self._taking is not None:
            self._taking.finish()
            self.abort()
        elif self._name:
            self._fields[self._name] = self._value.decode("utf-8", "replace")
        self._value = bytearray()

    def _check(self) -> None:
        if not self._is_own:
            self._require_own(self._fields.get("form", ""))
            self._is_own = True


async def _gathered(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    held = bytearray()
    async for piece in pieces:
        held += piece
        if len(held) >= _PIECE:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


async def _drain(request: Request) -> None:
    """Read what is still to come, so that the answer is read: a little, and then no more."""
    left = _MOST_DRAINED
    try:
        async for piece in request.stream():
            left -= len(piece)
            if left < 0:
                return
    except (ClientDisconnect, NotAuthenticated, RuntimeError):
        return  # gone, not heard any more, or read already


def _parser(request: Request, limits: Limits) -> MultipartParser:
    found = media_type(request.headers.get("content-type", ""))
    boundary = found.parameter("boundary") or ""
    if found.name != "multipart/form-data" or not 1 <= len(boundary) <= 70:
        raise InvalidRequest("Files come as multipart/form-data.")
    return MultipartParser(boundary.encode("latin-1"), limits)


def _name(request: Request) -> str:
    return unquote(request.headers.get("x-vna-name", ""))[:1000]


def _digest(request: Request) -> bytes | None:
    """Read the Content-Digest of the body (RFC 9530 2). Raises `InvalidRequest`."""
    text = request.headers.get("content-digest")
    if text is None:
        return None
    found = _DIGEST.fullmatch(text.strip())
    if found is None:
        raise InvalidRequest("Content-Digest is written sha-256=:base64:.")
    try:
        return base64.b64decode(found[1], validate=True)
    except binascii.Error as exc:
        raise InvalidRequest("Content-Digest is not base64.") from exc


def told(taken: Result) -> str:
    """Say in a word what became of a file."""
    return _WORDS[taken]


_WORDS = {
    Result.KEPT: marked("taken"),
    Result.FILED: marked("filed"),
    Result.REMOVED: marked("removed"),
    Result.TWICE: marked("there already"),
    Result.OPENED: marked("opened"),
    Result.OTHER: marked("no DICOM"),
    Result.DOCUMENT: marked("document"),
    Result.BAD: marked("not readable"),
}
