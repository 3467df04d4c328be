"""What a reverse proxy says of its clients: only one that is named in the settings is believed.

Of everybody else such fields are nothing but text: who writes `X-Forwarded-For` is not elsewhere
for it, and who writes a certificate into a header field has not proven that the key is theirs.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from vna.config import Http, addresses
from vna.errors import ConfigError

CERTIFICATE = "vna.certificate"
"""Where the scope of a request holds the client certificate its proxy was shown, in PEM."""

_FOR = b"x-forwarded-for"


class Proxies:
    """The proxies that are believed. Raises `ConfigError` where the settings do not fit."""

    def __init__(self, http: Http) -> None:
        self._known = known(http)
        self._certificate = http.client_certificate.lower().encode("latin-1", "replace")
        if self._certificate and not self._known:
            raise ConfigError("http.client_certificate needs http.proxies: who may say that.")

    def seen(self, scope: Scope) -> Scope:
        """Give a request as its proxy saw it: from where, and with which certificate."""
        client = scope.get("client")
        if not self._known or client is None or client[0] not in self._known:
            return scope
        told = dict(scope)
        told["client"] = (self._first_of_others(scope) or client[0], 0)
        shown = _fields(scope, self._certificate) if self._certificate else []
        if len(shown) == 1 and shown[0]:
            told[CERTIFICATE] = unquote_to_bytes(shown[0])
        return told

    def _first_of_others(self, scope: Scope) -> str | None:
        """Find the last address that is no proxy of ours: what stands before it anybody wrote."""
        listed = b",".join(_fields(scope, _FOR)).decode("latin-1").split(",")
        for one in reversed(listed):
            address = _address(one.strip())
            if address is None:
                return None
            if address not in self._known:
                return address
        return None


def known(http: Http) -> frozenset[str]:
    """Read the addresses of the proxies. Raises `ConfigError`."""
    found = set()
    for one in addresses(http.proxies):
        address = _address(one)
        if address is None:
            raise ConfigError(f"http.proxies names addresses, as 192.0.2.7; {one} is none.")
        found.add(address)
    return frozenset(found)


def _fields(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _address(text: str) -> str | None:
    """Read an address, with or without a port behind it."""
    bare = text[1:].partition("]")[0] if text.startswith("[") else text
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return None
