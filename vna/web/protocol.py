"""The limits of HTTP, held where the bytes arrive: a subclass of uvicorn's protocol for httptools.

What is limited is settled before the application hears of a request, and before memory is taken:
- connections of one address and of the process (503);
- the request line (414), the header fields with it, and trailers after a chunked body (431);
- the time until the header fields are complete (408);
- silence or a trickle inside a body while we are reading (408), and a reader who takes nothing.

A refusal is a JSON body. After it, and after an answer that did not wait for a long body, what the
client still sends is read and dropped for a moment: closing at once would reset the connection and
take the answer away with it. The rest of a short body is dropped and the connection kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from vna import telemetry
from vna.config import Http
from vna.web import inward, problems
from vna.web.direct import EXTENSION, Direct
from vna.web.door import Door
from vna.web.gathered import Gathered
from vna.web.tempo import Flow, Tempo

if TYPE_CHECKING:
    from uvicorn._types import (
        ASGI3Application,
        ASGIReceiveCallable,
        ASGISendCallable,
        ASGISendEvent,
        HTTPScope,
    )
    from uvicorn.config import Config
    from uvicorn.server import ServerState

_WAKE_BYTES = 1 << 18
_DRAIN_BYTES = 1 << 20
_LINGER_S = 2.0
_LINGER_BYTES = 64 << 20
_LINGERING_MOST = 100
_LINE_REST = len(b"  HTTP/1.1\r\n")


class _Lingering:
    """The transport as the answer to a request with a body sees it: closing leaves time to read."""

    def __init__(self, protocol: LimitedProtocol, transport: Gathered) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = protocol.close_gently


def _nobody_counts() -> None:
    """Say nothing when a connection ends."""


class _PastLimitError(Exception):
    """Stops the parser; the refusal stands in the protocol."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection. `limits` and `door` are shared by all connections of a listener."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],  # uvicorn's own type
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Http,
        door: Door,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.ended: Callable[[], None] = _nobody_counts
        self._limits = limits
        self._door = door
        self._address = ""
        self._is_inside = False
        self._is_refused = False
        self._refusal: tuple[int, str, str] | None = None
        self._put_off: tuple[int, str] | None = None  # of a request that waits for those before it
        self._tempo = Tempo(limits)
        self._in_head = False
        self._is_plain_body = False
        self._body_bytes: int | None = 0  # of the request under way; None: nobody knows
        self._parsed = 0  # of them, by the parser
        self._owed = 0  # of them, and still to come past the parser
        self._framing = 0  # bytes since a head began, or since the last content of a chunked body
        self._lingered = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None

    # ---- asyncio's callbacks -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Let the connection in, or say that there is no room."""
        super().connection_made(transport)
        self._gathered = Gathered(transport, self.loop)
        self.flow = Flow(transport, self.loop)
        self._address = self.client[0] if self.client else ""
        self._is_inside = self._door.enter(self._address)
        if self._is_inside:
            self._head_timer = self.loop.call_later(self._limits.header_s, self._head_is_late)
        elif len(self.connections) > self._limits.connections + _LINGERING_MOST:
            transport.abort()
        else:
            self._refuse(503, "connections", "There are too many open connections; try again.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection out."""
        super().connection_lost(exc)
        self.ended()
        if self._is_inside:
            self._door.leave(self._address)
        for timer in (self._head_timer, self._body_timer, self._write_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Feed the parser no more than the limit leaves until something is complete."""
        if self._is_refused:
            self._drop(data)
            return
        most = self._limits.header_bytes
        rest: bytes | memoryview = self._past_parser(data) if self._owed else data
        while rest and not self._is_refused and not self.transport.is_closing():
            room = len(rest)
            if not self._is_plain_body:
                if self._framing >= most:
                    self._refuse(431, "header-bytes", f"Header fields may have {most} bytes.")
                    return
                room = min(room, most - self._framing)
                self._framing += room
            if room == len(rest):
                piece, rest = rest, b""
            else:
                whole = memoryview(rest)
                piece, rest = whole[:room], whole[room:]
            super().data_received(piece)  # type: ignore[arg-type]  # the parser takes views, too
            if self._is_plain_body and self._leave_parser():
                rest = self._past_parser(rest)
        self._set_timers()

    def pause_writing(self) -> None:
        """The client reads slower than we write: watch that it reads at all."""
        super().pause_writing()
        self._watch_reader(self.transport.get_write_buffer_size() + 1)

    def resume_writing(self) -> None:
        """The client caught up."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    # ---- the parser's callbacks ----------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Start counting a head."""
        super().on_message_begin()
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        super().on_url(url)
        line = len(self.parser.get_method()) + len(self.url) + _LINE_REST
        if line > self._limits.request_line_bytes:
            most = self._limits.request_line_bytes
            self._refusal = (414, "request-line", f"The request line may have {most} bytes.")
            raise _PastLimitError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field; trailers mean nothing here and are not kept."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete: the application begins."""
        self._in_head = False
        self._framing = self._parsed = 0
        self._body_bytes = 0
        hosts = 0
        for name, value in self.headers:
            if name == b"content-length":
                self._body_bytes = None if self._body_bytes is None else int(value)
            elif name == b"transfer-encoding":
                self._body_bytes = None
                self._require_known(value)
            elif name == b"host":
                hosts += 1
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            self._refusal = (400, "host", "A request names its host, once (RFC 9112 3.2).")
            raise _PastLimitError
        self._is_plain_body = self._body_bytes is not None
        super().on_headers_complete()

    def _require_known(self, coding: bytes) -> None:
        """Refuse a transfer coding the application would take for content (RFC 9112 6.1)."""
        if coding.strip().lower() != b"chunked":
            self._refusal = (501, "transfer-coding", "The only transfer coding taken is chunked.")
            raise _PastLimitError

    def on_body(self, body: bytes) -> None:
        """Take content, and wake the application when there is enough of it to be worth it."""
        self._framing = 0
        self._parsed += len(body)
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        self._tempo.add(len(body))
        if len(cycle.body) >= _WAKE_BYTES:
            self.flow.pause_reading()
            cycle.message_event.set()

    def on_response_complete(self) -> None:
        """The answer is complete: it leaves before anything else is done."""
        self._gathered.flush()
        if self._put_off is None or len(self.pipeline) > 1 or self.transport.is_closing():
            super().on_response_complete()
            return
        self.pipeline.clear()
        self._write_problem(*self._put_off)
        self._linger()

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._framing = 0
        self._is_plain_body = False
        super().on_message_complete()
        self.cycle.more_body = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Start the application; an answer that comes before a long body ends the connection."""
        ways: dict[str, object] = {EXTENSION: self._direct(cycle)}
        if (self._body_bytes or 0) >= inward.WORTH_BYTES:
            ways[inward.EXTENSION] = inward.Inward(
                lambda: self._lend_body(cycle), lambda left: self._take_body_back(cycle, left)
            )
        cycle.scope["extensions"] = ways  # type: ignore[typeddict-item]  # our own
        length = self._body_bytes
        if length == 0:
            cycle.transport = self._gathered  # type: ignore[assignment]  # what a cycle uses of one
        else:  # also where the client wants the connection closed: it may not have read the answer
            cycle.transport = _Lingering(self, self._gathered)  # type: ignore[assignment]  # the same
        if length is not None and length <= _DRAIN_BYTES:
            super()._start_asgi_task(cycle, app)
            return

        async def announcing(
            scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
        ) -> None:
            async def send_on(message: ASGISendEvent) -> None:
                if message["type"] == "http.response.start" and cycle.more_body:
                    message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
                await send(message)

            await app(scope, receive, send_on)

        super()._start_asgi_task(cycle, announcing)  # type: ignore[arg-type]  # HTTP alone comes here

    def _direct(self, cycle: RequestResponseCycle) -> Direct:
        def sent(count: int) -> None:
            cycle.expected_content_length -= count

        return Direct(
            self.transport,
            self._gathered,
            idle_s=self._limits.body_idle_s,
            is_gone=lambda: cycle.disconnected,
            sent=sent,
        )

    def close_gently(self) -> None:
        """Close, but let the client read its answer first if it is still sending."""
        self._gathered.flush()
        if self.cycle.more_body and not self._is_refused:
            self._linger()
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 -- uvicorn's signature
        """Answer what the parser refused, and what stopped it from here."""
        refusal = self._refusal or (400, "syntax", "This is not a well-formed HTTP/1.1 request.")
        self._refuse(*refusal)

    # ---- a body past the parser ----------------------------------------------------------------

    def _leave_parser(self) -> bool:
        """Let the rest of a long body go past the parser, which would copy every byte of it."""
        left = (self._body_bytes or 0) - self._parsed
        if left < inward.WORTH_BYTES or self.parser is None or self.parser.should_upgrade():
            return False
        self.parser = httptools.HttpRequestParser(self)  # for the request that follows
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        self._owed = left
        self._is_plain_body = False
        if self.scheme == "http":
            self.flow.pause_reading()  # the application says which way it is to come
        return True

    def _past_parser(self, data: bytes | memoryview) -> bytes | memoryview:
        """Take what is of the body; return what comes after it."""
        self._unset_keepalive_if_required()
        body, rest = data[: self._owed], data[self._owed :]
        self._owed -= len(body)
        if body:
            self.on_body(body)  # type: ignore[arg-type]  # added to a bytearray
        if not self._owed:
            self.on_message_complete()
        return rest

    def _lend_body(self, cycle: RequestResponseCycle) -> inward.Body | None:
        """Read no more of a body that a thread can read, until it is given back."""
        transport = self.transport
        sock = transport.get_extra_info("socket")
        is_plain = transport.get_extra_info("sslcontext") is None and sock is not None
        is_coming = cycle is self.cycle and self._owed >= inward.WORTH_BYTES
        if not (is_plain and is_coming) or self._is_refused or transport.is_closing():
            return None
        if cycle.waiting_for_100_continue:
            cycle.waiting_for_100_continue = False
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.flow.pause_reading()
        begun, cycle.body = bytes(cycle.body), bytearray()
        cycle.message_event.clear()
        return inward.Body(sock, begun, self._owed, lambda: cycle.disconnected)

    def _take_body_back(self, cycle: RequestResponseCycle, left: int) -> None:
        """Read on where a thread ended."""
        if self.parser is None or self._is_refused:  # the connection is over
            return
        self._owed = left
        self._tempo.hear(self.loop.time())
        if not left:
            self.on_message_complete()
            self._set_timers()
        if not cycle.response_complete:
            self.flow.resume_reading()

    # ---- time ----------------------------------------------------------------------------------

    def _set_timers(self) -> None:
        if self._in_head:
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(self._limits.header_s, self._head_is_late)
        elif self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        cycle = self.cycle
        if cycle is not None and cycle.more_body:
            self._tempo.hear(self.loop.time())
            if self._body_timer is None:
                self._tempo.begin()
                self._body_timer = self.loop.call_later(self._limits.body_idle_s, self._is_idle)
            return
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None
        if cycle is not None and cycle.response_complete and not self._in_head:
            self._unset_keepalive_if_required()  # the rest of a body came after its answer
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _head_is_late(self) -> None:
        self._head_timer = None
        seconds = self._limits.header_s
        self._refuse(408, "header-time", f"The header fields must arrive in {seconds:g} seconds.")

    def _is_idle(self) -> None:
        """Look at the silence in a body: of the peer, not ours."""
        self._body_timer = None
        cycle = self.cycle
        if cycle is None or not cycle.more_body:
            return
        now = self.loop.time()
        left, is_slow = self._tempo.left(self.flow, now), self._tempo.is_slow(self.flow, now)
        if left > 0.001 and not is_slow:
            self._body_timer = self.loop.call_later(left, self._is_idle)
            return
        if cycle.response_complete:
            self.transport.close()
            return
        if is_slow:
            slowest = self._limits.slowest_bytes_s
            self._refuse(408, "body-slow", f"A body must arrive with {slowest} bytes a second.")
            return
        seconds = self._limits.body_idle_s
        self._refuse(408, "body-idle", f"Nothing arrived for {seconds:g} seconds.")

    def _watch_reader(self, before: int) -> None:
        """Give a client up that took nothing since the last look."""
        left = self.transport.get_write_buffer_size()
        if left >= before:
            telemetry.HTTP_REFUSED.labels("reader-idle").inc()
            self.transport.abort()
            return
        self._write_timer = self.loop.call_later(self._limits.body_idle_s, self._watch_reader, left)

    # ---- refusing ------------------------------------------------------------------------------

    def _refuse(self, status: int, cause: str, message: str) -> None:
        """Answer in the application's place where it is not answering yet, and close."""
        if self._is_refused or self.transport.is_closing():
            return
        telemetry.HTTP_REFUSED.labels(cause).inc()
        cycle = self.cycle
        is_answering = cycle is not None and not cycle.response_complete
        if is_answering and cycle.more_body and self.pipeline:
            # Those before it are sound, and answers go out in order (RFC 9112 9.3.2).
            self._put_off = status, message
            self._is_refused = True
            return
        if is_answering and (cycle.response_started or not cycle.more_body):
            # A sound request is being answered; what came after it was not one.
            cycle.keep_alive = False
            self._is_refused = True
            return
        if is_answering:
            cycle.disconnected = True
            cycle.message_event.set()
        self._write_problem(status, message)
        self._linger()

    def _write_problem(self, status: int, message: str) -> None:
        self._gathered.flush()
        phrase = HTTPStatus(status).phrase
        content = problems.body(status, "".join(w.title() for w in phrase.split()), message)
        lines = [f"HTTP/1.1 {status} {phrase}\r\n".encode()]
        ours = (*self.server_state.default_headers, *problems.headers(status, content))
        for name, value in ours:
            lines += [name, b": ", value, b"\r\n"]
        is_head = self.parser is not None and self.parser.get_method() == b"HEAD"
        lines += [b"connection: close\r\n\r\n", b"" if is_head else content]
        self.transport.write(b"".join(lines))

    def _linger(self) -> None:
        """Say that we are done, and drop what still comes until the client is done, too."""
        self._is_refused = True
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._linger_timer = self.loop.call_later(_LINGER_S, self.transport.close)

    def _drop(self, data: bytes) -> None:
        self._lingered += len(data)
        if self._lingered > _LINGER_BYTES:
            self.transport.abort()
