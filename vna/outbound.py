"""Calling other programs by HTTP where somebody outside may have named the address.

Only https, to public addresses or to what `outbound.allow` names; no redirect is followed, no proxy
of the environment used. A name is resolved once, every address of it is looked at, and the
connection goes to one of those: a name that answers differently the second time changes nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from vna.config import Outbound
from vna.errors import ConfigError, InvalidRequest, NotPermitted, TooLarge, Unavailable

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_SocketOptions = Iterable[
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
]

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address stands in it
_MOST_ANSWER = 1 << 20
_MOST_URL = 2048
_CONNECTIONS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the other side answered; a body longer than asked for is an error, never cut."""

    status: int
    headers: httpx.Headers
    body: bytes = field(repr=False)


class Gate:
    """Decides who may be called, and calls them. Safe to use from many threads."""

    def __init__(self, settings: Outbound) -> None:
        """Read the settings. Raises `ConfigError`."""
        self._names, self._networks = _allowed(settings.allow)
        self._ca = settings.ca
        self._made: ssl.SSLContext | None = None
        if settings.ca:
            self._tls()  # said at the start; those of the system are read when they are needed

    def client(self, *, timeout_s: float, total_s: float | None = None) -> httpx.Client:
        """Make a client that calls nobody else. The caller closes it, and limits what it reads.

        `timeout_s` is for each step, `total_s` the whole life of a connection.
        """
        return httpx.Client(
            transport=_Transport(self, self._tls(), total_s),
            timeout=timeout_s,
            follow_redirects=False,
            trust_env=False,
        )

    def call(
        self,
        method: str,
        url: str,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout_s: float,
        most: int = _MOST_ANSWER,
    ) -> Answer:
        """Make one request and read its answer of at most `most` bytes.

        Raises `InvalidRequest` and `NotPermitted` before anybody is called, `Unavailable` when it
        does not come about, `TooLarge` when the answer is longer.
        """
        require_url(url)
        try:
            with (
                self.client(timeout_s=timeout_s, total_s=timeout_s) as client,
                client.stream(
                    method, url, content=content, headers=headers, auth=auth or httpx.Auth()
                ) as found,
            ):
                return Answer(
                    status=found.status_code, headers=found.headers, body=_body(found, most)
                )
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as exc:
            raise Unavailable("The other program cannot be reached.") from exc

    def addresses(self, host: str, port: int) -> list[str]:
        """Resolve a name to addresses that may be called. Raises `NotPermitted`, `Unavailable`.

        One address that may not be called rules the name out: which one is used is chance.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise Unavailable("The name of the other program cannot be resolved.") from exc
        addresses = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
        if host.lower().rstrip(".") not in self._names:
            for address in addresses:
                self._require(ipaddress.ip_address(address))
        return addresses

    def _tls(self) -> ssl.SSLContext:
        if self._made is None:
            try:
                made = ssl.create_default_context(cafile=self._ca or None)
            except (OSError, ValueError) as exc:
                raise ConfigError("outbound.ca is not a file of certificates.") from exc
            made.minimum_version = ssl.TLSVersion.TLSv1_2
            self._made = made
        return self._made

    def _require(self, address: _Ip) -> None:
        if any(address in network for network in self._networks):
            return
        if not all(one.is_global and not one.is_multicast for one in _meant(address)):
            raise NotPermitted(
                "The archive does not call addresses inside a house: outbound.allow."
            )


def require_url(url: str) -> None:
    """Make sure that an address is one of https and carries no secret. Raises `InvalidRequest`."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
        is_bare = parts.username is None and parts.password is None and not parts.fragment
    except ValueError:
        is_one = is_bare = False
    is_plain = len(url) <= _MOST_URL and url.isascii() and url.isprintable() and " " not in url
    if not (is_one and is_bare and is_plain):
        raise InvalidRequest("An address is written https://host/path, without a name or password.")


def _meant(address: _Ip) -> Iterator[_Ip]:
    """Give an address, and the IPv4 address that stands in it: that is who would be reached."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        yield from (one for one in inner if one is not None)


def _allowed(text: str) -> tuple[frozenset[str], tuple[_Network, ...]]:
    names: set[str] = set()
    networks: list[_Network] = []
    for one in (part.strip() for part in text.split(",")):
        if not one:
            continue
        try:
            networks.append(ipaddress.ip_network(one))
        except ValueError as exc:
            if "/" in one:
                raise ConfigError(f"outbound.allow: {one} is no network.") from exc
            names.add(one.lower().rstrip("."))
    return frozenset(names), tuple(networks)


def _body(found: httpx.Response, most: int) -> bytes:
    body = bytearray()
    for piece in found.iter_raw():  # as sent: nothing is inflated
        body += piece
        if len(body) > most:
            raise TooLarge("The answer of the other program is too long.")
    return bytes(body)


class _Backend(httpcore.NetworkBackend):
    """Connects to an address the gate has seen; the name stays what the certificate must hold."""

    def __init__(self, gate: Gate, total_s: float | None) -> None:
        self._gate = gate
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
        for address in self._gate.addresses(host, port):
            try:
                stream = self._plain.connect_tcp(
                    address, port, _left(timeout, until), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                last = exc
            else:
                return stream if until is None else _Timed(stream, until)
        raise last


class _Timed(httpcore.NetworkStream):
    """A connection with an end: one that trickles keeps nobody waiting for ever."""

    def __init__(self, stream: httpcore.NetworkStream, until: float) -> None:
        self._stream = stream
        self._until = until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read some bytes."""
        return self._stream.read(max_bytes, _left(timeout, self._until))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write them all."""
        self._stream.write(buffer, _left(timeout, self._until))

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


class _Transport(httpx.BaseTransport):
    """httpx over connections of ours."""

    def __init__(self, gate: Gate, tls: ssl.SSLContext, total_s: float | None) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls,
            max_connections=_CONNECTIONS,
            network_backend=_Backend(gate, total_s),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Make one request."""
        require_url(str(request.url))
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
