"""An authenticator of a test: it makes a passkey and answers challenges as a browser passes it on.

WebAuthn Level 2, 6.1 (authenticator data), 6.5 (attestation), 7.2 (what is signed). It does what
it is told, wrong things too.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


@dataclass(slots=True)
class Authenticator:
    """One passkey; `count` is how often it answered."""

    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    credential_id: bytes = field(default_factory=lambda: os.urandom(32))
    handle: bytes = b""
    count: int = 0

    def public_key(self) -> bytes:
        """Write the public key as COSE does: ES256 on P-256 (RFC 9053 7.1.1)."""
        numbers = self.key.public_key().public_numbers()
        x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
        return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})

    def make(self, asked: str, origin: str, *, flags: int = PRESENT | VERIFIED) -> bytes:
        """Make the passkey that was asked for; what the browser answers."""
        options = json.loads(asked)
        self.handle = _bytes(options["user"]["id"])
        held = (
            bytes(16)
            + len(self.credential_id).to_bytes(2, "big")
            + self.credential_id
            + self.public_key()
        )
        data = self._data(options["rp"]["id"], flags | ATTESTED) + held
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        told = _client_data("webauthn.create", options["challenge"], origin)
        return self._answer({"clientDataJSON": told, "attestationObject": attestation})

    def sign(
        self, asked: str, origin: str, *, flags: int = PRESENT | VERIFIED, name: str | None = None
    ) -> bytes:
        """Answer a challenge; `name` is the site it believes it is at."""
        options = json.loads(asked)
        self.count += 1
        data = self._data(name or options["rpId"], flags)
        told = _client_data("webauthn.get", options["challenge"], origin)
        signed = data + hashlib.sha256(told).digest()
        signature = self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        return self._answer(
            {
                "clientDataJSON": told,
                "authenticatorData": data,
                "signature": signature,
                "userHandle": self.handle,
            }
        )

    def _data(self, name: str, flags: int) -> bytes:
        return (
            hashlib.sha256(name.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")
        )

    def _answer(self, response: dict[str, bytes]) -> bytes:
        said: dict[str, Any] = {
            "id": _text(self.credential_id),
            "rawId": _text(self.credential_id),
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {name: _text(value) for name, value in response.items()},
        }
        return json.dumps(said).encode()


def _client_data(kind: str, challenge: str, origin: str) -> bytes:
    said = {"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": False}
    return json.dumps(said).encode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
