"""The secrets of shares as this archive keeps them: peppered and sealed under its own keys."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field

from vna.crypto import shares
from vna.crypto.credentials import Cost
from vna.crypto.keyring import Keyring
from vna.crypto.records import derive, open_drawn, seal_drawn
from vna.errors import Corrupt, WrongKey

SEALED = b"VNA share 1"
PEPPER = b"VNA share pepper 1"
MAC = b"VNA share mac 1"
"""What keys are drawn for: names and addresses at rest, pepper of grants, hashes of codes."""

_UNDER = b"VNA share under 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Fresh secrets of a grant, and what is kept of them."""

    secret: str = field(repr=False)
    passcode: str | None = field(repr=False)
    printed_code: str | None = field(repr=False)
    locator: bytes
    link_wrap: bytes = field(repr=False)
    passcode_salt: bytes | None
    printed: str | None
    printed_salt: bytes | None
    printed_wrap: bytes | None = field(repr=False)
    pepper: bytes
    stretch: str


class ShareKeys:
    """Makes, seals and opens. Safe to use from many threads."""

    def __init__(self, keyring: Keyring, cost: Cost | None = None) -> None:
        self._keyring = keyring
        self._cost = cost or Cost()
        self._hashing = threading.BoundedSemaphore(max(os.cpu_count() or 1, 1))

    # ---- grants --------------------------------------------------------------------------------

    def make(
        self, share_key: bytes, secret: str, *, passcode: str | None, printed_code: str | None
    ) -> Made:
        """Wrap a share key for a grant: a hash for a passcode, one for a print-out."""
        key_id = self._keyring.current_id
        pepper = self._pepper(key_id)
        salt = shares.new_salt() if passcode is not None else None
        stretched = b"" if passcode is None or salt is None else self._stretch(passcode, salt)
        lookup = printed_salt = printed_wrap = None
        if printed_code is not None:
            lookup, rest = shares.printed_parts(printed_code)
            printed_salt = shares.new_salt()
            root = self._stretch(rest, printed_salt)
            printed_wrap = shares.wrap(shares.kek(root, b"", pepper), shares.link_root(secret))
        return Made(
            secret=secret,
            passcode=passcode,
            printed_code=printed_code,
            locator=shares.locator(secret),
            link_wrap=shares.wrap(
                shares.kek(shares.link_root(secret), stretched, pepper), share_key
            ),
            passcode_salt=salt,
            printed=lookup,
            printed_salt=printed_salt,
            printed_wrap=printed_wrap,
            pepper=key_id,
            stretch=f"{self._cost.memory_kib},{self._cost.passes}",
        )

    def open(
        self, root: bytes, wrapped: bytes, pepper: bytes, *, stretched: bytes = b""
    ) -> bytes | None:
        """Open what was wrapped for a grant; None when what was shown is not right."""
        try:
            return shares.unwrap(shares.kek(root, stretched, self._pepper(pepper)), wrapped)
        except WrongKey:
            return None

    def stretch(self, typed: str, salt: bytes, said: str) -> bytes:
        """Stretch what was typed, at the cost it was made with."""
        return self._stretch(typed, salt, _cost(said))

    def nobodys(self) -> tuple[bytes, bytes, str]:
        """Give what is tried for an unknown printed code: pepper, salt and cost of nobody's."""
        cost = f"{self._cost.memory_kib},{self._cost.passes}"
        return self._keyring.current_id, bytes(shares.SALT_SIZE), cost

    # ---- what rests ----------------------------------------------------------------------------

    def seal(self, purpose: bytes, number: int, data: bytes, *, under: bytes = b"") -> bytes:
        """Seal under the archive's key and what else is given, bound to a purpose and a row."""
        key_id = self._keyring.current_id
        key = self._sealing(key_id, under)
        return key_id + seal_drawn(key, data, _bound(purpose, key_id, number))

    def unseal(self, purpose: bytes, number: int, sealed: bytes, *, under: bytes = b"") -> bytes:
        """Open it again. Raises `Corrupt`, for another row's too."""
        key_id = bytes(sealed[:16])
        key = self._sealing(key_id, under)
        return open_drawn(key, sealed[16:], _bound(purpose, key_id, number))

    def channel_mac(self, kind: str, value: str) -> bytes:
        """Hash an address so that the same one is found again."""
        # the first archive key, which never goes: rotation must not make a known address a new one
        key = self._keyring.drawn_key(self._keyring.first_id, MAC)
        return shares.mac(key, f"channel {kind} {value}")

    def code_mac(self, grant_id: int, code: str) -> bytes:
        """Hash a one-time code."""
        key = self._keyring.drawn_key(self._keyring.first_id, MAC)
        return shares.code_mac(key, grant_id, code)

    def _sealing(self, key_id: bytes, under: bytes) -> bytes:
        if not under:
            return self._keyring.drawn_key(key_id, SEALED)
        return derive(derive(self._keyring.access_key(key_id) + under, _UNDER), SEALED)

    def _pepper(self, key_id: bytes) -> bytes:
        return self._keyring.drawn_key(bytes(key_id), PEPPER)

    def _stretch(self, typed: str, salt: bytes, cost: Cost | None = None) -> bytes:
        with self._hashing:  # many guesses at once must take neither all memory nor all cores
            return shares.stretch(typed, salt, cost or self._cost)


def _bound(purpose: bytes, key_id: bytes, number: int) -> bytes:
    return key_id + purpose + b"|" + number.to_bytes(8, "big")


def _cost(said: str) -> Cost:
    """Read what a guess costs; a row that asks for more than we ever spend is not ours."""
    memory, _, passes = said.partition(",")
    try:
        cost = Cost(memory_kib=int(memory), passes=int(passes))
    except ValueError as exc:
        raise Corrupt("What a guess of a passcode costs is not readable.") from exc
    if not (8 <= cost.memory_kib <= 1 << 18 and 1 <= cost.passes <= 10):
        raise Corrupt("A passcode asks for more than one ever costs.")
    return cost
