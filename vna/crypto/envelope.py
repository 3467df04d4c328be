"""The header of a sealed blob: its identity, the wrapped data key, the subkeys and the commitment.

A data key (DEK) encrypts exactly one blob, once: that is what makes counter nonces safe. The whole
core stands in the wrap's associated data and in every subkey, so no field of it can be altered and
nothing sealed for one blob opens as part of another. Layout: docs/crypto.md 2.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vna.errors import Corrupt, WrongKey

MAGIC = b"\x89VNB\r\n\x1a\n"
VERSION = 1
SUITE = 1
SEGMENT_LOG2 = 16
HEADER_SIZE = 256
CORE_SIZE = 128
WRAP_SIZE = 60
USED_SIZE = 220  # core, wrap and commitment; the rest of the header is zero
KEY_SIZE = 32

DATA_SET, JOURNAL, KEY_OBJECT, DERIVED = 1, 2, 3, 4

_CORE = struct.Struct(">8sBBBBHH16s16s16sIQ16s36s")
_ZERO = bytes(36)


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What a blob says of itself; authenticated, not secret."""

    blob_id: bytes
    archive_id: bytes
    key_id: bytes
    key_version: int
    created_us: int
    store_id: bytes
    kind: int = DATA_SET

    def pack(self) -> bytes:
        """Write the 128 bytes of docs/crypto.md 2.1."""
        for part in (self.blob_id, self.archive_id, self.key_id, self.store_id):
            if len(part) != 16:
                raise ValueError("an id of a blob is 16 bytes")
        return _CORE.pack(
            MAGIC, VERSION, SUITE, SEGMENT_LOG2, self.kind, HEADER_SIZE, 0, self.blob_id,
            self.archive_id, self.key_id, self.key_version, self.created_us, self.store_id, _ZERO,
        )  # fmt: skip

    @classmethod
    def unpack(cls, header: bytes) -> Core:
        """Read a core. Raises `Corrupt`, for an unknown version, suite, type or flag too."""
        if len(header) < CORE_SIZE:
            raise Corrupt("The blob's header is cut off.")
        (
            magic, version, suite, segment, kind, size, flags, blob_id,
            archive_id, key_id, key_version, created_us, store_id, zero,
        ) = _CORE.unpack_from(header)  # fmt: skip
        if magic != MAGIC:
            raise Corrupt("The blob does not begin as one.")
        if (version, suite, segment, size) != (VERSION, SUITE, SEGMENT_LOG2, HEADER_SIZE):
            raise Corrupt("The blob's format version or suite is not known.")
        if flags or zero != _ZERO or kind not in (DATA_SET, JOURNAL, KEY_OBJECT, DERIVED):
            raise Corrupt("The blob's header has a type or flag that is not known.")
        return cls(
            blob_id=blob_id, archive_id=archive_id, key_id=key_id, key_version=key_version,
            created_us=created_us, store_id=store_id, kind=kind,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Subkeys:
    """The keys of one blob, drawn from its data key."""

    payload: bytes = field(repr=False)
    meta: bytes = field(repr=False)
    commitment: bytes = field(repr=False)


def wrap(kek: bytes, secret: bytes, aad: bytes, nonce: bytes) -> bytes:
    """Seal a 32-byte key under another: nonce, then ciphertext and tag."""
    return nonce + AESGCM(kek).encrypt(nonce, secret, aad)


def unwrap(kek: bytes, wrapped: bytes, aad: bytes) -> bytes:
    """Open a wrapped key. Raises `WrongKey`."""
    if len(wrapped) != WRAP_SIZE:
        raise Corrupt("A wrapped key has the wrong length.")
    try:
        return AESGCM(kek).decrypt(wrapped[:12], wrapped[12:], aad)
    except InvalidTag as exc:
        raise WrongKey from exc


def subkeys(dek: bytes, core: bytes) -> Subkeys:
    """Draw a blob's keys from its data key; the core is bound by the HKDF info (RFC 5869)."""
    info = b"VNB1 subkeys" + hashlib.sha256(core).digest()
    okm = HKDF(hashes.SHA256(), 96, salt=b"VNB1", info=info).derive(dek)
    return Subkeys(okm[:32], okm[32:64], okm[64:])


def seal_header(core: Core, kek: bytes) -> tuple[bytes, Subkeys]:
    """Draw a fresh data key for one blob; give its header and its keys."""
    return header_for(core, kek, dek=os.urandom(KEY_SIZE), nonce=os.urandom(12))


def header_for(core: Core, kek: bytes, *, dek: bytes, nonce: bytes) -> tuple[bytes, Subkeys]:
    """Build the header for a given data key; only test vectors may name the key and nonce."""
    packed = core.pack()
    keys = subkeys(dek, packed)
    wrapped = wrap(kek, dek, b"VNB1 wrap" + packed, nonce)
    return packed + wrapped + keys.commitment + _ZERO, keys


def open_header(header: bytes, kek: bytes) -> Subkeys:
    """Unwrap the data key of a header of 220 or 256 bytes. Raises `WrongKey`, `Corrupt`."""
    return open_header_with(header, data_key(header, kek))


def data_key(header: bytes, kek: bytes) -> bytes:
    """Unwrap a blob's data key, to be wrapped under another. Raises `WrongKey`, `Corrupt`."""
    if len(header) < USED_SIZE or any(header[USED_SIZE:]):
        raise Corrupt("The blob's header is damaged.")
    packed = header[:CORE_SIZE]
    return unwrap(kek, header[CORE_SIZE : CORE_SIZE + WRAP_SIZE], b"VNB1 wrap" + packed)


def open_header_with(header: bytes, dek: bytes) -> Subkeys:
    """Draw a blob's keys from its data key. Raises `Corrupt` when it is another blob's."""
    packed = header[:CORE_SIZE]
    keys = subkeys(dek, packed)
    # AES-GCM alone does not commit to its key: a crafted wrap could open under two study keys
    if not hmac.compare_digest(keys.commitment, header[CORE_SIZE + WRAP_SIZE : USED_SIZE]):
        raise Corrupt("The blob's key commitment does not verify.")
    return keys
