"""An issuer of JSON Web Tokens on the network: its metadata, its keys, what it signed.

They are asked through the gate (vna/outbound.py): by https, or by http on this machine alone. What
the settings name may stand in the house; what an issuer only says of itself, must be public, or be
in `outbound.allow`. No more than a megabyte is read, nobody waits longer than five seconds, and
while one asks the others are told to come again.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from vna.access.tokens import MAX_TOKEN_BYTES
from vna.config import Outbound
from vna.crypto.signatures import PublicKey, claims_of, key_id_of, of_jwk
from vna.errors import (
    ConfigError,
    InvalidRequest,
    NotAuthenticated,
    NotPermitted,
    TooLarge,
    Unavailable,
)
from vna.outbound import Answer, Gate, Plain, Use, named, require_url, trusting

_WAIT_S = 5.0
_MOST_BYTES = 1 << 20
_KEPT_S = 3600.0
_AGAIN_S = 10.0  # between two looks for a key nobody knew, or after one that failed
_MOST_KEYS = 64
_CALLED = "The identity provider"
_AWAY = "The identity provider does not answer; try again."
_ELSEWHERE = "The identity provider names an address that may not be called: outbound.allow."

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where an identity provider is talked to (OpenID Connect Discovery 3)."""

    authorization: str
    token: str
    userinfo: str = ""


class Remote:
    """One issuer. Safe to use from many threads."""

    def __init__(self, issuer: str, outbound: Outbound, *, jwks: str = "", ca: str = "") -> None:
        """Raises `ConfigError` for an address or a file that cannot be used."""
        require_safe(issuer)
        if jwks:
            require_safe(jwks)
        self.issuer = issuer
        self._jwks = jwks
        self._gate = Gate(outbound)
        self._use = Use(
            called=_CALLED, named=named(issuer, jwks), plain=Plain.HERE, tls=_context(ca)
        )
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
        headers = {"Accept": "application/json"}
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        answer = self._called(method, url, form, headers, auth)
        if method == "POST" and 400 <= answer.status < 500:
            raise NotAuthenticated("The identity provider did not take the code; sign in again.")
        try:
            found = orjson.loads(answer.body)
        except orjson.JSONDecodeError as exc:
            raise Unavailable("The identity provider answers no JSON.") from exc
        if answer.status != 200 or not isinstance(found, dict):
            raise Unavailable("The identity provider does not answer as it should.")
        return found

    def _called(
        self,
        method: str,
        url: str,
        form: dict[str, str] | None,
        headers: dict[str, str],
        auth: tuple[str, str] | None,
    ) -> Answer:
        try:
            return self._gate.call(
                method,
                url,
                content=None if form is None else urlencode(form).encode(),
                headers=headers,
                auth=auth,
                timeout_s=_WAIT_S,
                most=_MOST_BYTES,
                use=self._use,
            )
        except TooLarge as exc:
            raise Unavailable("The identity provider says too much.") from exc
        except (InvalidRequest, NotPermitted) as exc:
            raise Unavailable(_ELSEWHERE) from exc
        except Unavailable as exc:
            raise Unavailable(_AWAY) from exc


def require_safe(url: str) -> None:
    """Make sure that an address is https, or http to this machine alone. Raises `ConfigError`."""
    try:
        require_url(url, Use(plain=Plain.HERE))
    except InvalidRequest as exc:
        raise ConfigError("An identity provider is spoken to by https.") from exc


def _context(ca: str) -> ssl.SSLContext:
    try:
        return trusting(file=ca)
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
