"""Signatures of tokens (RFC 7518 3), verified with public keys in PEM.

The key decides which algorithms may be used, never the token: a token that says "none", or that
takes the PEM text for an HMAC secret, has no algorithm of its key's kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from vna.errors import ConfigError

_LEAST_RSA_BITS = 2048
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_CURVES = {"secp256r1": "256", "secp384r1": "384", "secp521r1": "512"}

_Verify = Callable[[bytes, bytes], None]


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key, as what it can verify: the name of an algorithm (RFC 7518 3.1) -> how."""

    verifiers: dict[str, _Verify]

    def verifies(self, algorithm: str, signature: bytes, data: bytes) -> bool:
        """Say whether this is a signature of the data by this key's owner."""
        verify = self.verifiers.get(algorithm)
        if verify is None:
            return False
        try:
            verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True


def public_key(pem: bytes) -> PublicKey:
    """Read an RSA (2048 bits or more), EC (P-256, P-384, P-521) or Ed25519 key.

    Raises `ConfigError`.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise ConfigError("A public key in PEM is expected.") from exc
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _LEAST_RSA_BITS:
        return PublicKey(_of_rsa(key))
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return PublicKey(_of_curve(key))
    if isinstance(key, ed25519.Ed25519PublicKey):
        return PublicKey({"EdDSA": key.verify})
    raise ConfigError("A public key must be RSA of 2048 bits, EC of a NIST curve, or Ed25519.")


def _of_rsa(key: rsa.RSAPublicKey) -> dict[str, _Verify]:
    out: dict[str, _Verify] = {}
    for size, digest in _HASHES.items():
        pss = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
        out[f"RS{size}"] = lambda s, d, h=digest: key.verify(s, d, padding.PKCS1v15(), h)  # type: ignore[misc]  # a default binds it
        out[f"PS{size}"] = lambda s, d, h=digest, p=pss: key.verify(s, d, p, h)  # type: ignore[misc]  # as above
    return out


def _of_curve(key: ec.EllipticCurvePublicKey) -> dict[str, _Verify]:
    size = _CURVES[key.curve.name]
    width = (key.curve.key_size + 7) // 8

    def verify(signature: bytes, data: bytes) -> None:
        if len(signature) != 2 * width:  # RFC 7518 3.4: both numbers, side by side
            raise InvalidSignature
        numbers = (int.from_bytes(half, "big") for half in (signature[:width], signature[width:]))
        key.verify(encode_dss_signature(*numbers), data, ec.ECDSA(_HASHES[size]))

    return {f"ES{size}": verify}
