"""What a sealed ZIP file takes: its passphrase, a salt for each file, and WinZip's AES (AE-2).

    purpose key ─┬─ HKDF (holder, number) ── passphrase: 100 random bits, as people type them
                 └─ HKDF (holder, number, file) ── salt of a file
    passphrase, salt ── PBKDF2-HMAC-SHA1, 1000 rounds ── AES-256 key, HMAC key, two bytes to check

The format stretches a passphrase a thousand times only, so that ours must not be guessable at all:
people are given one, and choose none. All is drawn from the secret of who takes the package and a
random number of the package: nothing is kept, and a part asked for again is the same octets. Two
files never have one salt, for the counter begins anew in each. Layout: docs/crypto.md 10.

Source: WinZip, "AES Encryption Information: Encryption Specification AE-1 and AE-2", version 1.04.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import os

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from vna.crypto.records import derive

LABEL = b"VNA sealed package 1"
"""What the key of this purpose is drawn for."""

NUMBER_SIZE, SALT_SIZE, CHECK_SIZE, CODE_SIZE = 16, 16, 2, 10
MARGIN = SALT_SIZE + CHECK_SIZE + CODE_SIZE
"""How much longer a sealed file is than what is in it."""

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford: no letters that look like digits
_GROUPS, _GROUP = 4, 5
_ROUNDS, _KEY = 1000, 32
_BLOCK = 16
_LOW = 1 << 16  # blocks whose numbers differ in their first two octets only
_STEP = 1 << 16  # octets that are worked on at a time: they stay in the cache


class PackageSeal:
    """One sealed package: of a holder, who has a secret, under a number that is none."""

    __slots__ = ("_key", "number")

    def __init__(self, key: bytes, holder: str, number: bytes) -> None:
        """`key` is the one drawn for `LABEL`."""
        self.number = number
        of = hashlib.sha256(holder.encode("utf-8", "replace")).digest()
        self._key = derive(key, b"VNA sealed zip 1|" + of + number)

    @classmethod
    def fresh(cls, key: bytes, holder: str) -> PackageSeal:
        """Begin another package."""
        return cls(key, holder, os.urandom(NUMBER_SIZE))

    @property
    def passphrase(self) -> str:
        """Write the passphrase: `xxxxx-xxxxx-xxxxx-xxxxx`, five bits a letter."""
        bits = int.from_bytes(derive(self._key, b"passphrase"), "big")
        letters = [_LETTERS[bits >> 5 * at & 31] for at in range(_GROUPS * _GROUP)]
        return "-".join("".join(letters[at : at + _GROUP]) for at in range(0, len(letters), _GROUP))

    @property
    def name(self) -> str:
        """Tell the octets of this package from those of others; it opens nothing."""
        return derive(self._key, b"name").hex()

    def salt(self, file: bytes) -> bytes:
        """Draw the salt of a file; `file` names it and its contents, and those of no other."""
        return derive(self._key, b"salt|" + hashlib.sha256(file).digest())[:SALT_SIZE]


class FileSeal:
    """The keys of one file: made of a passphrase and a salt, which costs a millisecond."""

    __slots__ = ("_cipher", "_mac_key", "head")

    def __init__(self, passphrase: str, salt: bytes) -> None:
        size = 2 * _KEY + CHECK_SIZE
        drawn = hashlib.pbkdf2_hmac("sha1", passphrase.encode(), salt, _ROUNDS, size)
        # the format counts little endian, which no counter mode of a library does: blocks of
        # numbers are encrypted one by one, which is what a counter mode is
        self._cipher = Cipher(AES(drawn[:_KEY]), ECB()).encryptor()  # noqa: S305
        self._mac_key = drawn[_KEY : 2 * _KEY]
        self.head = salt + drawn[2 * _KEY :]

    def sealed(self, data: bytes | bytearray | memoryview, at: int) -> bytes:
        """Encrypt what stands at `at` in the file."""
        view = memoryview(data)
        return b"".join(
            self._step(view[start : start + _STEP], at + start)
            for start in range(0, len(view), _STEP)
        )

    def coder(self) -> hmac.HMAC:
        """Begin the authentication code of a file: it is shown all that is sealed of it."""
        return hmac.new(self._mac_key, digestmod="sha1")

    def _step(self, data: memoryview, at: int) -> bytes:
        skipped = at % _BLOCK
        size = skipped + len(data)
        stream = self._cipher.update(_numbers(at // _BLOCK + 1, -(-size // _BLOCK)))
        mixed = int.from_bytes(data, "little") ^ int.from_bytes(stream[skipped:size], "little")
        return mixed.to_bytes(len(data), "little")


def code_of(coder: hmac.HMAC) -> bytes:
    """Write the authentication code of a file that was shown whole."""
    return coder.digest()[:CODE_SIZE]


def _numbers(first: int, count: int) -> bytes:
    """Write so many numbers, each a block, little endian."""
    parts = []
    while count:
        high, low = divmod(first, _LOW)
        here = min(count, _LOW - low)
        blocks = bytearray(_low_numbers()[low * _BLOCK : (low + here) * _BLOCK])
        for place, octet in enumerate(high.to_bytes(_BLOCK - 2, "little").rstrip(b"\0"), 2):
            blocks[place::_BLOCK] = bytes([octet]) * here
        parts.append(blocks)
        first, count = first + here, count - here
    return b"".join(parts)


@functools.cache
def _low_numbers() -> bytes:
    """Write the numbers of two octets, each a block."""
    rest = bytes(_BLOCK - 2)
    return b"".join(number.to_bytes(2, "little") + rest for number in range(_LOW))
