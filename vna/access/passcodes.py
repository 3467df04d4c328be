"""Passcodes are kept as scrypt hashes (RFC 7914): `scrypt$N$r$p$salt$hash`, the last two base64."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import os
import threading

from vna.errors import ConfigError

_COST, _BLOCK, _PARALLEL = 1 << 14, 8, 1  # 16 MiB and some 50 ms: what one guess costs
_SALT_BYTES, _HASH_BYTES = 16, 32
_MOST_MEMORY = 64 << 20
_one_at_a_time = threading.Lock()  # many guesses at once must not take all memory


def hash_passcode(passcode: str) -> str:
    """Hash a passcode with a salt of its own, to be kept."""
    salt = os.urandom(_SALT_BYTES)
    made = _scrypt(passcode, salt, (_COST, _BLOCK, _PARALLEL))
    numbers = f"{_COST}${_BLOCK}${_PARALLEL}"
    return f"scrypt${numbers}${base64.b64encode(salt).decode()}${base64.b64encode(made).decode()}"


def check_form(kept: str) -> None:
    """Return if this is a hash `is_passcode` can compare with. Raises `ConfigError`."""
    _parts(kept)


def is_passcode(passcode: str, kept: str) -> bool:
    """Say whether it is the passcode of a hash, in a time that does not tell how near it is."""
    numbers, salt, wanted = _parts(kept)
    return hmac.compare_digest(_scrypt(passcode, salt, numbers), wanted)


@functools.cache
def nobodys() -> str:
    """Return what is compared with for unknown names, which take as long as known ones."""
    return hash_passcode("")


def _scrypt(passcode: str, salt: bytes, numbers: tuple[int, int, int]) -> bytes:
    cost, block, parallel = numbers
    with _one_at_a_time:
        return hashlib.scrypt(
            passcode.encode(),
            salt=salt,
            n=cost,
            r=block,
            p=parallel,
            maxmem=_MOST_MEMORY,
            dklen=_HASH_BYTES,
        )


def _parts(kept: str) -> tuple[tuple[int, int, int], bytes, bytes]:
    try:
        kind, cost, block, parallel, salt, made = kept.split("$")
        numbers = int(cost), int(block), int(parallel)
        parts = base64.b64decode(salt, validate=True), base64.b64decode(made, validate=True)
    except (ValueError, binascii.Error) as exc:
        raise ConfigError("A passcode hash is not one that `vna passcode` writes.") from exc
    memory = 128 * numbers[0] * numbers[1]
    if kind != "scrypt" or not 0 < memory <= _MOST_MEMORY // 2 or len(parts[1]) != _HASH_BYTES:
        raise ConfigError("A passcode hash is not one that `vna passcode` writes.")
    return numbers, *parts
