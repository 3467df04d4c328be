"""The keys of shares: what a link's secret and a passcode open, and what they leave for a session.

    link secret S ── HKDF "loc" ── SHA-256 ─────── finds the grant, opens nothing
                  └─ HKDF "kek" ─┐
    passcode ── argon2id ────────┼─ HKDF ── wraps the share key ── wraps the data key of each item
    pepper (archive key) ────────┘

Nothing that is kept opens a share: neither the rows, nor the rows with the archive's keys, without
what its holder has; the archive itself keeps the share key once more under its own key, to make
further grants. One-time codes are gates, not keys. Layout: docs/crypto.md 9.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_wrap,
)

from vna.crypto.credentials import Cost, latin
from vna.crypto.envelope import KEY_SIZE
from vna.crypto.records import derive
from vna.errors import Corrupt, WrongKey

WRAPPED_SIZE = 40
SALT_SIZE = 16
CODE_DIGITS = 8

_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford: no letters that look like digits
_READ_AS = str.maketrans("OIL", "011")
_LOOKUP, _PRINTED, _PASSCODE, _NUMBER = 4, 16, 10, 8
_MOST_TYPED = 128
_NONCE = 12


def new_key() -> bytes:
    """Draw a share key."""
    return os.urandom(KEY_SIZE)


def new_salt() -> bytes:
    """Draw a salt."""
    return os.urandom(SALT_SIZE)


def link_root(secret: str) -> bytes:
    """Draw from a link's secret what its share key hangs on."""
    return derive(_bytes(secret), b"VNA share kek 1")


def locator(secret: str) -> bytes:
    """Draw from a link's secret what its grant is found by."""
    return hashlib.sha256(derive(_bytes(secret), b"VNA share loc 1")).digest()


def kek(root: bytes, stretched: bytes, pepper: bytes) -> bytes:
    """Put together the key that wraps a share key; `stretched` is empty without a passcode."""
    return derive(root + stretched + pepper, b"VNA share wrap 1")


def wrap(key: bytes, secret: bytes) -> bytes:
    """Wrap a key (RFC 3394): 40 bytes for 32."""
    return aes_key_wrap(key, secret)


def unwrap(key: bytes, wrapped: bytes) -> bytes:
    """Open a wrapped key. Raises `WrongKey`."""
    try:
        return aes_key_unwrap(key, wrapped)
    except InvalidUnwrap as exc:
        raise WrongKey from exc


def stretch(typed: str, salt: bytes, cost: Cost) -> bytes:
    """Make a key of what people type (RFC 9106): a guess costs as much as a look."""
    return hash_secret_raw(
        plain(typed).encode("utf-8", "replace"),
        salt,
        time_cost=cost.passes,
        memory_cost=cost.memory_kib,
        parallelism=1,
        hash_len=KEY_SIZE,
        type=Type.ID,
    )


def seal_half(secret: str, data: bytes, label: bytes) -> bytes:
    """Seal what a session holds under the secret of its cookie."""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(derive(_bytes(secret), b"VNA share half 1")).encrypt(nonce, data, label)


def open_half(secret: str, sealed: bytes, label: bytes) -> bytes:
    """Open it again. Raises `Corrupt`."""
    try:
        cipher = AESGCM(derive(_bytes(secret), b"VNA share half 1"))
        return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], label)
    except InvalidTag as exc:
        raise Corrupt("What the session holds does not open with its cookie.") from exc


def new_number() -> str:
    """Draw what people call a share: `XXXX-XXXX`."""
    return _grouped(_NUMBER)


def new_passcode() -> str:
    """Draw a passcode: `XXXX-XXXX-XX`, 50 random bits."""
    return _grouped(_PASSCODE)


def new_printed() -> str:
    """Draw a code for paper: `XXXX-XXXX-XXXX-XXXX`; the first four letters only find it."""
    return _grouped(_PRINTED)


def new_code() -> str:
    """Draw a one-time code: eight digits."""
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"


def plain(typed: str) -> str:
    """Read what was typed: case, spaces, dashes, look-alikes and the keyboard do not count."""
    read = latin(typed[:_MOST_TYPED]).upper()
    return "".join(c for c in read if c.isalnum()).translate(_READ_AS)


def printed_parts(typed: str) -> tuple[str, str]:
    """Take a printed code apart: what finds it, what opens it."""
    read = plain(typed)
    return read[:_LOOKUP], read[_LOOKUP:]


def code_mac(key: bytes, grant_id: int, code: str) -> bytes:
    """Hash a one-time code for keeping; of a code only the digits count."""
    digits = "".join(c for c in latin(code[:_MOST_TYPED]) if c.isdecimal())
    return mac(key, f"code {grant_id} {digits}")


def mac(key: bytes, text: str) -> bytes:
    """Hash a text under a key."""
    return hmac.digest(key, text.encode("utf-8", "replace"), "sha256")


def is_same(one: bytes, other: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one, other)


def _grouped(count: int) -> str:
    letters = "".join(secrets.choice(_LETTERS) for _ in range(count))
    return "-".join(letters[at : at + 4] for at in range(0, count, 4))


def _bytes(secret: str) -> bytes:
    """Read a secret; what is none of ours costs the same and finds nothing."""
    text = secret.strip()[:_MOST_TYPED].encode("utf-8", "replace")
    try:
        found = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        found = b""
    return found if len(found) == KEY_SIZE else hashlib.sha256(b"VNA no secret " + text).digest()
