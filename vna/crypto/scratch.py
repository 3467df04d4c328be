"""What must rest on a disk for a moment is sealed under a key that never leaves memory.

The key is drawn at random, written nowhere, and gone with the object: after that, or after a crash,
what was written is noise. Nonces are the numbers of the blocks: each block is sealed once.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vna.errors import Corrupt

TAG = 16


class Scratch:
    """Seals numbered blocks and opens them again, within one process."""

    def __init__(self) -> None:
        self._cipher = AESGCM(os.urandom(32))
        self._next = 0

    def seal(self, plain: bytes | memoryview) -> bytes:
        """Seal the next block: the first is number 0."""
        number, self._next = self._next, self._next + 1
        return self._cipher.encrypt(_nonce(number), plain, None)

    def open(self, number: int, sealed: bytes) -> bytes:
        """Open a block by its number. Raises `Corrupt`."""
        try:
            return self._cipher.decrypt(_nonce(number), sealed, None)
        except InvalidTag as exc:
            raise Corrupt("What was put aside does not verify.") from exc


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
