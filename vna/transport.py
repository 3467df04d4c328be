"""httpx over connections to addresses that were looked at before anybody was called.

The name stays what the certificate must hold, whatever address of it is used.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

_CONNECTIONS = 20

_SocketOptions = Iterable[
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
]
Addresses = Callable[[str, int], list[str]]
"""Resolves a name and a port to addresses that may be called, or raises."""


class _Backend(httpcore.NetworkBackend):
    """Connects to an address the gate has seen."""

    def __init__(self, addresses: Addresses, total_s: float | None) -> None:
        self._addresses = addresses
        self._plain = httpcore.SyncBackend()
        self._total_s = total_s

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _SocketOptions | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers."""
        last: Exception = httpcore.ConnectError("no address")
        until = None if self._total_s is None else time.monotonic() + self._total_s
        for address in self._addresses(host, port):
            try:
                stream = self._plain.connect_tcp(
                    address, port, _left(timeout, until), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                last = exc
            else:
                return _Timed(stream, until)
        raise last


class _Timed(httpcore.NetworkStream):
    """A connection with an end: one that trickles keeps nobody waiting for ever.

    One without an end has one for each answer: it is here in the time of a step from our last word.
    """

    def __init__(self, stream: httpcore.NetworkStream, until: float | None) -> None:
        self._stream = stream
        self._until = until
        self._said_at = time.monotonic()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read some bytes."""
        until = self._until
        if until is None and timeout is not None:
            until = self._said_at + timeout
        return self._stream.read(max_bytes, _left(timeout, until))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write them all."""
        self._stream.write(buffer, _left(timeout, self._until))
        self._said_at = time.monotonic()

    def close(self) -> None:
        """Close it."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Go on under TLS, to the same end."""
        left_s = _left(timeout, self._until)
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, left_s), self._until)

    def get_extra_info(self, info: str) -> Any:  # as httpcore declares it
        """Tell about the connection."""
        return self._stream.get_extra_info(info)


def _left(timeout: float | None, until: float | None) -> float | None:
    if until is None:
        return timeout
    left_s = until - time.monotonic()
    if left_s <= 0:
        raise httpcore.ReadTimeout("it took too long")
    return left_s if timeout is None else min(timeout, left_s)


class _Stream(httpx.SyncByteStream):
    def __init__(self, found: httpcore.Response) -> None:
        self._found = found

    def __iter__(self) -> Iterator[bytes]:
        with _translating():
            yield from self._found.iter_stream()

    def close(self) -> None:
        self._found.close()


class Transport(httpx.BaseTransport):
    """httpx over connections of ours."""

    def __init__(
        self,
        *,
        require: Callable[[str], None],
        addresses: Addresses,
        tls: ssl.SSLContext,
        total_s: float | None,
    ) -> None:
        """`require` refuses addresses (URLs); `total_s` ends a connection, None its answers."""
        self._require = require
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls,
            max_connections=_CONNECTIONS,
            network_backend=_Backend(addresses, total_s),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Make one request."""
        self._require(str(request.url))
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _translating():
            found = self._pool.handle_request(asked)
        return httpx.Response(
            status_code=found.status,
            headers=found.headers,
            stream=_Stream(found),
            extensions=found.extensions,
        )

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()


@contextmanager
def _translating() -> Iterator[None]:
    """Let the errors of httpcore out as httpx's."""
    try:
        yield
    except httpcore.TimeoutException as exc:
        raise httpx.TimeoutException(str(exc)) from exc
    except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as exc:
        raise httpx.TransportError(str(exc)) from exc
