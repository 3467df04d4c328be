"""Small sealed records under a study key: a random nonce each, the record's name in the aad.

The record key is drawn from the study key (HKDF), so that counter nonces of blobs and random nonces
of records never meet under one key. Layout: docs/crypto.md 5.
"""

from __future__ import annotations

import functools
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vna.errors import Corrupt

_NONCE_SIZE = 12
_TAG = 16


def derive(key: bytes, label: bytes) -> bytes:
    """Draw a key for one purpose from another key (HKDF-SHA256, RFC 5869)."""
    return HKDF(hashes.SHA256(), 32, salt=None, info=label).derive(key)


def seal_record(key: bytes, label: bytes, data: bytes, aad: bytes) -> bytes:
    """Seal a record under the key drawn for `label`."""
    nonce = os.urandom(_NONCE_SIZE)
    return nonce + _cipher(key, label).encrypt(nonce, data, aad)


def open_record(key: bytes, label: bytes, sealed: bytes | memoryview, aad: bytes) -> bytes:
    """Open a record. Raises `Corrupt`."""
    return _opened(_cipher(key, label), sealed, aad)


def seal_drawn(drawn: bytes, data: bytes, aad: bytes) -> bytes:
    """Seal a record under a key that was drawn for its label already."""
    nonce = os.urandom(_NONCE_SIZE)
    return nonce + AESGCM(drawn).encrypt(nonce, data, aad)


def open_drawn(drawn: bytes, sealed: bytes | memoryview, aad: bytes) -> bytes:
    """Open a record of `seal_record` with the key drawn for its label. Raises `Corrupt`."""
    return _opened(AESGCM(drawn), sealed, aad)


def _opened(cipher: AESGCM, sealed: bytes | memoryview, aad: bytes) -> bytes:
    view = memoryview(sealed)
    if len(view) < _NONCE_SIZE + _TAG:
        raise Corrupt("The sealed record is cut off.")
    try:
        return cipher.decrypt(view[:_NONCE_SIZE], view[_NONCE_SIZE:], aad)
    except InvalidTag as exc:
        raise Corrupt("The sealed record does not verify.") from exc


@functools.lru_cache(maxsize=4096)
def _cipher(key: bytes, label: bytes) -> AESGCM:
    return AESGCM(derive(key, label))
