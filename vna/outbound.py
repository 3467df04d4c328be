"""Calling other programs by HTTP where somebody outside may have named the address.

Only https, to public addresses or to what `outbound.allow` names; no redirect is followed, no proxy
of the environment used. A name is resolved once, every address of it is looked at, and the
connection goes to one of those: a name that answers differently the second time changes nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vna.config import Outbound
from vna.errors import ConfigError, InvalidRequest, NotPermitted, TooLarge, Unavailable

if TYPE_CHECKING:  # large, and not of every process: imported by the first call
    import httpx

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address stands in it
_MOST_ANSWER = 1 << 20
_MOST_URL = 2048


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
        import httpx

        from vna.transport import Transport

        return httpx.Client(
            transport=Transport(
                require=require_url, addresses=self.addresses, tls=self._tls(), total_s=total_s
            ),
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
        import httpx

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
