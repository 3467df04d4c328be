"""One request as the DICOMweb endpoints see it, and the reply they give back. Plain values."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote_to_bytes

from starlette.types import Receive, Scope

from vna.access.principal import Principal
from vna.dicom.refs import UID, InstanceRef, Ref, SeriesRef, StudyRef, uid
from vna.errors import InvalidRequest
from vna.web.identity import Identity
from vna.web.inward import EXTENSION, Inward
from vna.web.problems import KEPT, PROTECTED, Headers
from vna.web.standing import Standing
from vna.web.threads import Buffer, Threads

if TYPE_CHECKING:
    from vna.engines import Engines

T = TypeVar("T")

ROOT, URI_ROOT = "/dicom-web", "/wado"
"""Where the services stand: RESTful, and WADO-URI."""

_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """What every request of a process shares: the engines and the way to them."""

    engines: Engines
    threads: Threads
    identity: Identity
    standing: Standing


class Ask:
    """One request: who, what, and how the answer is to look. Read as it is needed."""

    __slots__ = ("counter", "names", "principal", "receive", "scope")

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        *,
        counter: Counter,
        principal: Principal,
        names: dict[str, str],
    ) -> None:
        self.scope = scope
        self.receive = receive
        self.counter = counter
        self.principal = principal
        self.names = names

    @property
    def is_head(self) -> bool:
        """Whether only the header fields of the answer are wanted."""
        return bool(self.scope["method"] == "HEAD")

    def header(self, name: bytes) -> str | None:
        """Return a header field, several of a name joined by commas; None when there is none."""
        found = [value for key, value in self.scope["headers"] if key == name]
        return b", ".join(found).decode("latin-1") if found else None

    async def content(self) -> AsyncIterator[bytes]:
        """Give the body in the pieces it comes in. Raises `ClientGone`."""
        more = True
        while more:
            message = await self.receive()
            if message["type"] != "http.request":
                raise ClientGone
            more = message.get("more_body", False)
            yield message.get("body", b"")

    def way_in(self) -> Inward | None:
        """Give the way past the event loop for a long body, where the server has one."""
        way: Inward | None = (self.scope.get("extensions") or {}).get(EXTENSION)
        return way

    def query(self) -> list[tuple[str, str]]:
        """Return the query parameters in order; `+` is a plus. Raises `InvalidRequest`."""
        return pairs(self.scope["query_string"])

    def accept_parameters(self) -> tuple[str, ...]:
        """Return the values of the `accept` query parameter (PS3.18 8.3.3.1)."""
        if b"accept=" not in self.scope["query_string"]:
            return ()
        return tuple(value for name, value in self.query() if name == "accept")

    def root(self) -> str:
        """Return the absolute URL of the service as it was called. Raises `InvalidRequest`."""
        host = self.header(b"host")
        if host is None:
            server = self.scope.get("server") or ("localhost", None)
            host = f"{server[0]}:{server[1]}" if server[1] else str(server[0])
        if not _HOST.fullmatch(host):
            raise InvalidRequest("The Host header is not a host.")
        # dicomweb-client leaves its port out: whoever names our own address means our own port
        server = self.scope.get("server") or ("", None)
        if host in (server[0], "localhost") and server[1] not in (None, 80, 443):
            host = f"{host}:{server[1]}"
        return f"{self.scope['scheme']}://{host}{self.scope.get('root_path', '')}"

    def restful(self) -> str:
        """Return the absolute URL of the RESTful service, whichever was called."""
        return self.root().removesuffix(URI_ROOT).removesuffix(ROOT) + ROOT

    def url(self) -> str:
        """Return the absolute URL of what is asked for, without its query."""
        return f"{self.root()}{below(self.scope)}"

    async def hop(self, work: Callable[[], T]) -> T:
        """Run `work`, which may use the engines, in a thread."""
        return await self.counter.threads.hops.start(work)

    def ref(self) -> Ref:
        """Return what the path names: study, series or instance. Raises `InvalidUID`."""
        if "instance" in self.names:
            return self.instance()
        if "series" in self.names:
            return SeriesRef(self.uid("study"), self.uid("series"))
        return StudyRef(self.uid("study"))

    def instance(self) -> InstanceRef:
        """Return the instance the path names. Raises `InvalidUID`."""
        return InstanceRef(self.uid("study"), self.uid("series"), self.uid("instance"))

    def uid(self, name: str) -> UID:
        """Return one UID of the path. Raises `InvalidUID`."""
        return uid(self.names[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer: complete in `body`, or `body` followed by `rest`, which is pulled by threads.

    `length` is that of everything, where it is known; without `rest` it need not be given. What
    `rest` gives may be views that are good until the next one is asked for.
    """

    status: int = 200
    media: str = ""
    headers: Headers = field(default_factory=list)
    body: Sequence[bytes] = ()
    rest: Iterator[Buffer] | None = None
    length: int | None = None

    def all_headers(self) -> Headers:
        """Return every header field of the answer."""
        fields = [*self.headers, *PROTECTED]
        if all(name != KEPT[0] for name, _ in self.headers):
            fields.append(KEPT)
        if self.media:
            fields.append((b"content-type", self.media.encode("latin-1")))
        length = self.length
        if length is None and self.rest is None:
            length = sum(len(piece) for piece in self.body)
        if length is not None and self.status not in (204, 304):
            fields.append((b"content-length", b"%d" % length))
        return fields


def below(scope: Scope) -> str:
    """Return the path below the service, still percent-encoded."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.decode("latin-1").removeprefix(scope.get("root_path", ""))


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


def warning(service: str, text: str) -> tuple[bytes, bytes]:
    """Write a Warning header field as PS3.18 8.3.4.4.1 prints it: `299 <service>: text`."""
    plain = "".join(char if " " <= char <= "~" else "?" for char in text)
    return (b"warning", f"299 {service}: {plain}".encode("latin-1"))


def pairs(query_string: bytes) -> list[tuple[str, str]]:
    """Split a query component and undo its percent-encoding. Raises `InvalidRequest`."""
    if not query_string:
        return []
    found = []
    for part in query_string.split(b"&"):
        name, _, value = part.partition(b"=")
        found.append((_text(name), _text(value)))
    return found


def _text(raw: bytes) -> str:
    try:
        decoded = (unquote_to_bytes(raw) if b"%" in raw else raw).decode("utf-8")
    except UnicodeDecodeError as exc:
        raise InvalidRequest("The query must be UTF-8, percent-encoded.") from exc
    if "\0" in decoded:
        raise InvalidRequest("The query must not hold a NUL character.")
    return decoded
