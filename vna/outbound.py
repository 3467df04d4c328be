"""Calling other programs by HTTP: the one gate every call goes through.

Only https, to public addresses or to what `outbound.allow` names; no redirect is followed, no proxy
of the environment used. A name is resolved once, every address of it is looked at, and the
connection goes to one of those: a name that answers differently the second time changes nothing.
Some uses may do more, each by its `Use`: an archive an administrator named may stand in the house.
"""

from __future__ import annotations

import enum
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vna.config import Outbound
from vna.errors import ConfigError, InvalidRequest, NotPermitted, TooLarge, Unavailable
from vna.reachable import Ip, is_here, is_of_a_house, is_public

if TYPE_CHECKING:  # large, and not of every process: imported by the first call
    import httpx

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MOST_ANSWER = 1 << 20
_MOST_URL = 2048


class Plain(enum.Enum):
    """Whether a use takes http beside https."""

    NEVER = "never"
    HERE = "here"  # to this machine, by its loopback address
    ANYWHERE = "anywhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What one use of the gate may do beyond the usual, and how who is called is called in words.

    `named` are hosts an administrator named for it: they may stand inside the house, though not
    where only machines talk to themselves about themselves (link-local addresses and the like).
    `tls` says whom it trusts; None is who `outbound.ca` says.
    """

    called: str = "The other program"
    named: frozenset[str] = frozenset()
    plain: Plain = Plain.NEVER
    tls: ssl.SSLContext | None = None


USUAL = Use()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the other side answered; a body longer than asked for is an error, never cut."""

    status: int
    headers: httpx.Headers
    body: bytes = field(repr=False)


class Caller:
    """Makes calls over connections that are kept between them. Not shared by threads."""

    def __init__(self, client: httpx.Client, use: Use) -> None:
        self._client = client
        self._use = use

    def __enter__(self) -> Caller:
        """Begin to call."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close what is open."""
        self.close()

    def close(self) -> None:
        """Close what is open."""
        self._client.close()

    def ask(
        self,
        method: str,
        url: str,
        *,
        content: bytes | Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        most: int = _MOST_ANSWER,
    ) -> Answer:
        """Make one request and read its answer of at most `most` bytes.

        Raises `InvalidRequest` and `NotPermitted` before anybody is called, `Unavailable` when it
        does not come about, `TooLarge` when the answer is longer, and what the content raises.
        """
        import httpx

        require_url(url, self._use)
        try:
            with self._client.stream(
                method, url, content=content, headers=headers, auth=auth or httpx.Auth()
            ) as found:
                body = self._body(found, most)
                return Answer(status=found.status_code, headers=found.headers, body=body)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ssl.SSLError) as exc:
            told = f"{self._use.called} cannot be reached ({type(exc).__name__})."
            raise Unavailable(told) from exc

    def _body(self, found: httpx.Response, most: int) -> bytes:
        body = bytearray()
        for piece in found.iter_raw():  # as sent: nothing is inflated
            body += piece
            if len(body) > most:
                raise TooLarge(f"The answer of {_lower(self._use.called)} is too long.")
        return bytes(body)


class Gate:
    """Decides who may be called, and calls them. Safe to use from many threads."""

    def __init__(self, settings: Outbound) -> None:
        """Read the settings. Raises `ConfigError`."""
        self._names, self._networks = _allowed(settings.allow)
        self._ca = settings.ca
        self._made: ssl.SSLContext | None = None
        if settings.ca:
            self._tls(USUAL)  # said at the start; those of the system are read when needed

    def caller(self, *, timeout_s: float, total_s: float | None = None, use: Use = USUAL) -> Caller:
        """Give what calls this use's programs and nobody else; who asked for it closes it.

        `timeout_s` is for each step, an answer being one; `total_s` the whole life of a connection.
        """
        import httpx

        from vna.transport import Transport

        transport = Transport(
            require=lambda url: require_url(url, use),
            addresses=lambda host, port: self.addresses(host, port, use),
            tls=self._tls(use),
            total_s=total_s,
        )
        client = httpx.Client(
            transport=transport,
            timeout=timeout_s,
            follow_redirects=False,
            trust_env=False,
            # what is inflated may be much larger than what was counted
            headers={"Accept-Encoding": "identity", "User-Agent": "vna"},
        )
        return Caller(client, use)

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
        use: Use = USUAL,
    ) -> Answer:
        """Make one request over a connection of its own, in `timeout_s` all in all.

        Raises what `Caller.ask` raises.
        """
        require_url(url, use)
        with self.caller(timeout_s=timeout_s, total_s=timeout_s, use=use) as caller:
            return caller.ask(method, url, content=content, headers=headers, auth=auth, most=most)

    def addresses(self, host: str, port: int, use: Use = USUAL) -> list[str]:
        """Resolve a name to addresses that may be called. Raises `NotPermitted`, `Unavailable`.

        One address that may not be called rules the name out: which one is used is chance.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise Unavailable(f"The name of {_lower(use.called)} cannot be resolved.") from exc
        addresses = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
        name = _plain_name(host)
        if name not in self._names:
            for address in addresses:
                self._require(ipaddress.ip_address(address), is_named=name in use.named)
        return addresses

    def _tls(self, use: Use) -> ssl.SSLContext:
        if use.tls is not None:
            return use.tls
        if self._made is None:
            try:
                self._made = trusting(file=self._ca)
            except (OSError, ValueError) as exc:
                raise ConfigError("outbound.ca is not a file of certificates.") from exc
        return self._made

    def _require(self, address: Ip, *, is_named: bool) -> None:
        if any(address in network for network in self._networks):
            return
        if not (is_of_a_house(address) if is_named else is_public(address)):
            raise NotPermitted(
                "The archive does not call addresses inside a house: outbound.allow."
            )


def trusting(*, file: str = "", pem: str | None = None) -> ssl.SSLContext:
    """Trust who signed these certificates; without any, whom the system trusts.

    Raises `OSError` and `ValueError` for what are none.
    """
    made = ssl.create_default_context(cafile=file or None, cadata=pem)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made


def named(*urls: str) -> frozenset[str]:
    """Name the hosts of URLs an administrator wrote, for a `Use`; an empty one names nobody."""
    return frozenset(_plain_name(urlsplit(url).hostname or "") for url in urls if url)


def require_url(url: str, use: Use = USUAL) -> None:
    """Make sure that a URL is one this use may call and carries no secret.

    Raises `InvalidRequest`.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        is_one = bool(host) and parts.port != 0 and _is_taken(parts.scheme, host, use)
        is_bare = parts.username is None and parts.password is None and not parts.fragment
    except ValueError:
        is_one = is_bare = False
    is_plain = len(url) <= _MOST_URL and url.isascii() and url.isprintable() and " " not in url
    if not (is_one and is_bare and is_plain):
        raise InvalidRequest("An address is written https://host/path, without a name or password.")


def _is_taken(scheme: str, host: str, use: Use) -> bool:
    if scheme != "http":
        return scheme == "https"
    return use.plain is Plain.ANYWHERE or (use.plain is Plain.HERE and is_here(host))


def _plain_name(host: str) -> str:
    return host.lower().rstrip(".")


def _lower(called: str) -> str:
    return called[:1].lower() + called[1:]


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
            names.add(_plain_name(one))
    return frozenset(names), tuple(networks)
