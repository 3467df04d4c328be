"""Signatures of JSON Web Tokens (RFC 7515), verified with public keys in PEM.

The key decides which algorithms may be used, never the token: a token that says "none", or that
takes the PEM text for an HMAC secret, has no algorithm of its key's kind.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

from vna.errors import ConfigError, NotAuthenticated

_LEAST_RSA_BITS = 2048
_OF_RSA = tuple(f"{kind}{size}" for kind in ("RS", "PS") for size in (256, 384, 512))
_OF_CURVE = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_HEADER_BYTES = 8192  # some issuers send their certificates along
# the last two of headers joserfc reads as they come: nested deep, or `crit` that is no list of text
_NO_TOKEN = (JoseError, ValueError, TypeError, RecursionError)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key, and the algorithms (RFC 7518 3.1) it may verify by."""

    key: RSAKey | ECKey | OKPKey
    algorithms: tuple[str, ...]

    def verified(self, token: bytes) -> dict[str, Any]:
        """Return the claims of a token signed by this key's owner. Raises `NotAuthenticated`."""
        try:
            with warnings.catch_warnings():
                # RFC 9864 renames EdDSA to Ed25519; issuers will say EdDSA for long
                warnings.simplefilter("ignore", SecurityWarning)
                signed = jws.deserialize_compact(
                    token, self.key, registry=_registry(self.algorithms)
                )
        except _NO_TOKEN as exc:
            raise NotAuthenticated("The token is not signed by its issuer.") from exc
        return _object(signed.payload)


def claims_of(token: bytes) -> dict[str, Any]:
    """Read the claims of a token before anything is verified: they are nobody's word yet.

    Raises `NotAuthenticated`.
    """
    try:
        return _object(jws.extract_compact(token, registry=_registry(())).payload)
    except _NO_TOKEN as exc:
        raise NotAuthenticated("The token is not a signed JSON Web Token.") from exc


def public_key(pem: bytes) -> PublicKey:
    """Read an RSA (2048 bits or more), EC (P-256, P-384, P-521) or Ed25519 key.

    Raises `ConfigError`.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise ConfigError("A public key in PEM is expected.") from exc
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _LEAST_RSA_BITS:
        return PublicKey(RSAKey.import_key(pem), _OF_RSA)
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _OF_CURVE:
        return PublicKey(ECKey.import_key(pem), (_OF_CURVE[key.curve.name],))
    if isinstance(key, ed25519.Ed25519PublicKey):
        return PublicKey(OKPKey.import_key(pem), ("EdDSA", "Ed25519"))
    raise ConfigError("A public key must be RSA of 2048 bits, EC of a NIST curve, or Ed25519.")


def of_jwk(values: Mapping[str, Any]) -> PublicKey | None:  # JSON of an issuer
    """Read one key of a JWK Set (RFC 7517); None for one that verifies no signature here."""
    if values.get("use", "sig") != "sig" or "d" in values or "k" in values:
        return None
    try:
        match values.get("kty"):
            case "RSA":
                pem = RSAKey.import_key(_words(values)).as_pem(private=False)
            case "EC":
                pem = ECKey.import_key(_words(values)).as_pem(private=False)
            case "OKP":
                pem = OKPKey.import_key(_words(values)).as_pem(private=False)
            case _:
                return None
        return public_key(pem)
    except (JoseError, ValueError, TypeError, KeyError, ConfigError, UnsupportedAlgorithm):
        return None


def key_id_of(token: bytes) -> str | None:
    """Say which key a token claims to be signed by (RFC 7515 4.1.4). Raises `NotAuthenticated`."""
    try:
        found = jws.extract_compact(token, registry=_registry(())).headers().get("kid")
    except _NO_TOKEN as exc:
        raise NotAuthenticated("The token is not a signed JSON Web Token.") from exc
    return found if isinstance(found, str) else None


def _words(values: Mapping[str, Any]) -> dict[str, str | list[str]]:
    return {k: v for k, v in values.items() if k in ("kty", "n", "e", "crv", "x", "y") and v}


def _registry(algorithms: tuple[str, ...]) -> jws.JWSRegistry:
    registry = jws.JWSRegistry(algorithms=algorithms, strict_check_header=False)
    registry.max_header_length = _HEADER_BYTES
    return registry


def _object(payload: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(payload)  # refuses what is no text, and numbers past any number
    except ValueError as exc:
        raise NotAuthenticated("The token is not a signed JSON Web Token.") from exc
    if not isinstance(found, dict):
        raise NotAuthenticated("The token is not a signed JSON Web Token.")
    return found
