"""JSON Web Tokens (RFC 7519) of issuers the archive knows, in the compact form of RFC 7515."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vna.crypto.signatures import PublicKey, claims_of
from vna.errors import NotAuthenticated

MAX_TOKEN_BYTES = 16384
_LEEWAY_S = 60  # clocks differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Who may say who somebody is. `name` is the claim `iss`, `audience` must be in `aud`."""

    name: str
    audience: str
    key: PublicKey


def subject_of(token: bytes, issuers: Iterable[Issuer], now: float | None = None) -> str:
    """Return whom a token speaks of (`sub`). Raises `NotAuthenticated`.

    It must be signed by an issuer's key, name that issuer and our audience, and be valid now; one
    without an end (`exp`) is not taken.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise NotAuthenticated("The token is not a signed JSON Web Token.")
    said = claims_of(token)
    issuer = next((one for one in issuers if one.name == said.get("iss")), None)
    if issuer is None:
        raise NotAuthenticated("The token is of no issuer known here.")
    moment = time.time() if now is None else now
    return valid_subject(issuer.key.verified(token), issuer.audience, moment)


def valid_subject(claims: dict[str, Any], audience: str, now: float) -> str:
    """Return whom verified claims speak of, if they are for us and now. Raises as `subject_of`."""
    meant = claims.get("aud")
    if audience not in (meant if isinstance(meant, list) else [meant]):
        raise NotAuthenticated("The token is meant for somebody else.")
    end, begin = _time(claims.get("exp")), _time(claims.get("nbf")) or 0.0
    if end is None or not begin - _LEEWAY_S <= now < end + _LEEWAY_S:
        raise NotAuthenticated("The token is not valid now.")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise NotAuthenticated("The token names nobody.")
    return subject


def _time(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise NotAuthenticated("A time of the token is not a number.")
    return float(value)
