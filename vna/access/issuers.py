"""An issuer of JSON Web Tokens on the network: its metadata, its keys, what it signed.

Addresses are https, or http to this machine alone; no redirect is followed, no more than a megabyte
read, nobody waits longer than five seconds, and while one asks the others are told to come again.
"""

from __future__ import annotations

import ipaddress
import logging
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from vna.access.tokens import MAX_TOKEN_BYTES
from vna.crypto.signatures import PublicKey, claims_of, key_id_of, of_jwk
from vna.errors import ConfigError, NotAuthenticated, Unavailable

_WAIT_S = 5.0
_MOST_BYTES = 1 << 20
_KEPT_S = 3600.0
_AGAIN_S = 10.0  # between two looks for a key nobody knew, or after one that failed
_MOST_KEYS = 64
_AWAY = "The identity provider does not answer; try again."

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where an identity provider is talked to (OpenID Connect Discovery 3)."""

    authorization: str
    token: str
    userinfo: str = ""


class Remote:
    """One issuer. Safe to use from many threads."""

    def __init__(self, issuer: str, *, jwks: str = "", ca: str = "") -> None:
        """Raises `ConfigError` for an address or a file that cannot be used."""
        require_safe(issuer)
        if jwks:
            require_safe(jwks)
        self.issuer = issuer
        self._jwks = jwks
        self._trusted = _context(ca)
        self._lock = threading.Lock()
        self._metadata: dict[str, Any] = {}  # JSON
        self._keys: dict[str | None, PublicKey] = {}
        self._looked = self._failed = float("-inf")

    def endpoints(self) -> Endpoints:
        """Say where people are sent, and where codes are exchanged. Raises `Unavailable`."""
        if not self._metadata:
            self._renew()
        if not self._metadata:
            raise Unavailable(_AWAY)
        try:
            found = Endpoints(
                authorization=str(self._metadata["authorization_endpoint"]),
                token=str(self._metadata["token_endpoint"]),
                userinfo=str(self._metadata.get("userinfo_endpoint", "")),
            )
            require_safe(found.authorization)
            require_safe(found.token)
        except (KeyError, ConfigError) as exc:
            raise Unavailable("The identity provider does not say where to sign in.") from exc
        return found

    def verified(self, token: bytes) -> dict[str, Any]:
        """Return the claims of a token this issuer signed.

        Raises `NotAuthenticated`, `Unavailable`. For whom it is meant, and until
        when, is not looked at here.
        """
        if len(token) > MAX_TOKEN_BYTES or claims_of(token).get("iss") != self.issuer:
            raise NotAuthenticated("The token is of no issuer known here.")
        claims = self._key(key_id_of(token)).verified(token)
        if claims.get("iss") != self.issuer:
            raise NotAuthenticated("The token is of no issuer known here.")
        return claims

    def post(self, url: str, form: dict[str, str], auth: tuple[str, str] | None) -> dict[str, Any]:
        """Send a form; read the JSON that comes back. Raises `NotAuthenticated`, `Unavailable`."""
        return self._asked("POST", url, form, auth)

    def told(self, url: str, token: str) -> dict[str, Any]:
        """Read what the provider tells of somebody to who has their access token.

        Raises `NotAuthenticated`, `Unavailable`.
        """
        return self._asked("GET", url, bearer=token)

    def _key(self, key_id: str | None) -> PublicKey:
        if self._find(key_id) is None or time.monotonic() - self._looked > _KEPT_S:
            self._renew()
        found = self._find(key_id)
        if found is None and not self._keys:
            raise Unavailable(_AWAY)
        if found is None:
            raise NotAuthenticated("The token is not signed by its issuer.")
        return found

    def _find(self, key_id: str | None) -> PublicKey | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    def _renew(self) -> None:
        """Ask anew for what the issuer says, unless that was done, or failed, just now.

        What was known stays when it cannot be asked.
        """
        with self._only_one() as is_me:
            now = time.monotonic()
            if not is_me or now - max(self._looked, self._failed) < _AGAIN_S:
                return
            try:
                metadata = {"jwks_uri": self._jwks} if self._jwks else self._discovered()
                where = str(metadata.get("jwks_uri", ""))
                keys = self._asked("GET", where).get("keys")
            except (Unavailable, ConfigError, NotAuthenticated) as exc:
                self._failed = now
                log.warning("issuer not asked", extra={"issuer": self.issuer, "why": str(exc)})
                return
            self._metadata = metadata
            self._keys = _keys(keys if isinstance(keys, list) else [])
            self._looked = now

    @contextmanager
    def _only_one(self) -> Iterator[bool]:
        """Let one thread ask; others wait for it only where nothing is known yet."""
        is_me = self._lock.acquire(timeout=-1 if not self._keys else 0)
        try:
            yield is_me
        finally:
            if is_me:
                self._lock.release()

    def _discovered(self) -> dict[str, Any]:
        where = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
        found = self._asked("GET", where)
        if found.get("issuer") != self.issuer:
            raise Unavailable("The identity provider says it is another.")
        return found

    def _asked(
        self,
        method: str,
        url: str,
        form: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        bearer: str = "",
    ) -> dict[str, Any]:
        import httpx  # large, and only where there is an identity provider

        require_safe(url)
        body = bytearray()
        headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
        client = httpx.Client(
            timeout=_WAIT_S, follow_redirects=False, verify=self._trusted, trust_env=False
        )
        try:
            with (
                client,
                client.stream(method, url, data=form, auth=auth, headers=headers) as answer,
            ):
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > _MOST_BYTES:
                        raise Unavailable("The identity provider says too much.")
        except httpx.HTTPError as exc:
            raise Unavailable(_AWAY) from exc
        if method == "POST" and 400 <= answer.status_code < 500:
            raise NotAuthenticated("The identity provider did not take the code; sign in again.")
        try:
            found = orjson.loads(bytes(body))
        except orjson.JSONDecodeError as exc:
            raise Unavailable("The identity provider answers no JSON.") from exc
        if answer.status_code != 200 or not isinstance(found, dict):
            raise Unavailable("The identity provider does not answer as it should.")
        return found


def require_safe(url: str) -> None:
    """Make sure that an address is https, or http to this machine alone. Raises `ConfigError`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" and host and not parts.username:
        return
    if parts.scheme == "http" and _is_loopback(host):
        return
    raise ConfigError("An identity provider is spoken to by https.")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _context(ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca or None)
    except OSError as exc:
        raise ConfigError(f"The file of authorities {ca} cannot be read.") from exc


def _keys(values: list[Any]) -> dict[str | None, PublicKey]:
    found: dict[str | None, PublicKey] = {}
    for value in values[:_MOST_KEYS]:
        key = of_jwk(value) if isinstance(value, dict) else None
        if key is not None:
            key_id = value.get("kid")
            found[key_id if isinstance(key_id, str) else None] = key
    return found
