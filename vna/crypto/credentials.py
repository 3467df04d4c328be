"""Secrets of people and programs: made, hashed, compared, sealed. Nothing here knows an account.

What has 32 random bytes (sessions, links, tokens) is kept as its SHA-256: it cannot be guessed.
What people choose is argon2id (RFC 9106), and what they type off paper a keyed hash; both under a
pepper drawn from the archive key, so that a copy of the database alone is of no use for guessing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import unicodedata
from dataclasses import dataclass

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from vna.crypto.keyring import Keyring
from vna.crypto.records import open_record, seal_record
from vna.errors import Corrupt

TOKEN_PREFIX = "vna_"  # tells a leaked one apart, for people and for scanners  # noqa: S105
MOST_PASSPHRASE = 256

_SECRET_BYTES = 32
_LABEL, _ADDRESS = b"VNA access 1", b"VNA address 1"
_PAPER = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford: no letters that look like digits
_PAPER_LETTERS = 12  # 60 bits
_READ_AS = str.maketrans("OIL", "011")

# a stored hash may ask for no more than this, whoever wrote it
_MOST_MEMORY_KIB, _MOST_PASSES, _MOST_LANES = 1 << 18, 10, 4


def new_secret() -> str:
    """Make 32 random bytes, as base64url without padding."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def digest(secret: str) -> bytes:
    """Hash a random secret for keeping and finding: the look-up needs no comparison of ours."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def bucket(*parts: str) -> bytes:
    """Hash the name of something counted, so that no table holds what somebody typed."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).digest()


def form_token(secret: str) -> str:
    """Draw what a form must carry to have come from the browser that holds this secret."""
    mac = hmac.digest(secret.encode("utf-8", "replace"), b"vna form", "sha256")
    return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def is_form_token(secret: str, shown: str) -> bool:
    """Compare a form's token, in constant time."""
    return hmac.compare_digest(form_token(secret).encode(), shown.encode("utf-8", "replace"))


def seal_for(secret: str, text: str) -> str:
    """Seal a text so that who holds this secret can read it, and nobody else; as base64url."""
    sealed = seal_record(secret.encode("utf-8", "replace"), _ADDRESS, text.encode(), b"")
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def open_for(secret: str, shown: str) -> str:
    """Open it again. Raises `Corrupt`."""
    try:
        sealed = base64.b64decode(shown + "=" * (-len(shown) % 4), altchars=b"-_", validate=True)
    except ValueError as exc:  # binascii.Error is one
        raise Corrupt("What was sealed is cut off or changed.") from exc
    return open_record(secret.encode("utf-8", "replace"), _ADDRESS, sealed, b"").decode()


def new_paper_code() -> str:
    """Make a code that people write down: 60 random bits, in groups of four."""
    letters = "".join(secrets.choice(_PAPER) for _ in range(_PAPER_LETTERS))
    return "-".join(letters[at : at + 4] for at in range(0, _PAPER_LETTERS, 4))


def latin(typed: str) -> str:
    """Give digits and letters of any keyboard as the ones we print: Arabic, full-width (UAX 15)."""
    wide = unicodedata.normalize("NFKC", typed)
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in wide)


def random_bytes() -> bytes:
    """Make 32 random bytes: a challenge, or a handle."""
    return secrets.token_bytes(_SECRET_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one guess of a passphrase costs (RFC 9106 4, second recommended option)."""

    memory_kib: int = 1 << 16
    passes: int = 3


class Vault:
    """Hashes and seals under the archive's keys. Safe to use from many threads."""

    def __init__(self, keyring: Keyring, cost: Cost | None = None) -> None:
        cost = cost or Cost()
        self._keyring = keyring
        self._argon = PasswordHasher(
            time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=1, type=Type.ID
        )
        self._nobodys = (
            f"{keyring.current_id.hex()}:$argon2id$v=19$m={cost.memory_kib},t={cost.passes},p=1"
            f"${_argon_text(16)}${_argon_text(32)}"
        )

    def hash_passphrase(self, passphrase: str) -> str:
        """Hash a passphrase: id of the archive key, then argon2id with a salt of its own."""
        key_id = self._keyring.current_id
        return f"{key_id.hex()}:{self._argon.hash(self._peppered(passphrase, key_id))}"

    def is_passphrase(self, passphrase: str, kept: str | None) -> bool:
        """Compare a passphrase; without one kept the same work is done, and the answer is no."""
        key_id, _, hashed = (kept or self._nobodys).partition(":")
        try:
            _check_bounds(hashed)
            is_right = self._argon.verify(hashed, self._peppered(passphrase, bytes.fromhex(key_id)))
        except VerificationError:
            return False
        except InvalidHashError as exc:
            raise Corrupt("The hash of a passphrase is not one.") from exc
        return is_right and kept is not None

    def hash_paper_code(self, account: int, code: str) -> bytes:
        """Hash what somebody typed off paper; case, spaces, dashes and look-alikes do not count."""
        plain = "".join(c for c in latin(code).upper() if c.isalnum()).translate(_READ_AS)
        # the first archive key, which never goes: rotation must not void what people keep on paper
        mac = hmac.new(self._keyring.access_key(self._keyring.first_id), digestmod="sha256")
        mac.update(b"paper %d " % account + plain.encode("utf-8", "replace"))
        return mac.digest()

    def hidden(self, typed: str) -> str:
        """Hash what somebody typed so that it can be counted, and guessed by no copy of the count.

        People type their passphrase where their name belongs.
        """
        key = self._keyring.access_key(self._keyring.first_id)
        return hmac.digest(key, b"typed " + typed.encode("utf-8", "replace"), "sha256").hex()

    def seal(self, account: int, secret: bytes) -> bytes:
        """Seal a secret of an account: id of the archive key, nonce, ciphertext and tag."""
        key_id = self._keyring.current_id
        key = self._keyring.access_key(key_id)
        return key_id + seal_record(key, _LABEL, secret, key_id + account.to_bytes(8, "big"))

    def open(self, account: int, sealed: bytes) -> bytes:
        """Open a sealed secret. Raises `Corrupt`, for another account's too."""
        key_id = sealed[:16]
        key = self._keyring.access_key(key_id)
        return open_record(key, _LABEL, sealed[16:], key_id + account.to_bytes(8, "big"))

    def _peppered(self, passphrase: str, key_id: bytes) -> bytes:
        # one form of each character, or another keyboard could not type it (RFC 8265 4.2)
        plain = unicodedata.normalize("NFC", passphrase).encode("utf-8", "replace")
        return hmac.digest(self._keyring.access_key(key_id), b"passphrase " + plain, "sha256")


def _argon_text(size: int) -> str:
    """Write random bytes as argon2's encoding does."""
    return base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")


def _check_bounds(hashed: str) -> None:
    """Refuse a hash that asks for more than we would ever spend: it is not ours."""
    asked = extract_parameters(hashed)
    if (
        asked.type is not Type.ID
        or asked.memory_cost > _MOST_MEMORY_KIB
        or asked.time_cost > _MOST_PASSES
        or asked.parallelism > _MOST_LANES
    ):
        raise InvalidHashError
