"""Who is who beyond a name anyone may write: certificates of AEs, users, issuers of tokens.

A TOML file, `dicom.identities`, taken over when it changes:

    [[ae]]
    title = "CT1"
    fingerprints = ["9f86d081..."]       # SHA-256 of the certificate, hexadecimal
    subjects = ["CN=ct1,O=Hospital"]     # or its subject, as RFC 4514 writes it

    [[user]]
    name = "jdoe"
    passcode = "scrypt$..."              # from `vna passcode`; without one the name alone will do

    [[issuer]]
    name = "https://login.example.org"   # of JSON Web Tokens
    audience = "vna"
    key = "login.pem"                    # its public key, beside this file
"""

from __future__ import annotations

import threading
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vna.access.passcodes import check_form, is_passcode, nobodys
from vna.access.rates import network
from vna.access.tokens import Issuer, subject_of
from vna.access.watched import Watched
from vna.crypto.signatures import public_key
from vna.errors import ConfigError, NotAuthenticated

_MOST_FAILURES = 5  # of one name from one address
_MOST_OF_ADDRESS = 60  # of whatever names: each of them would be five guesses more
_FAILURES_S = 900.0
_REMEMBERED = 10_000
_WRONG = "The user is not known, or the passcode is another."

_KEYS = {
    "ae": {"title", "fingerprints", "subjects"},
    "user": {"name", "passcode"},
    "issuer": {"name", "audience", "key"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """The file, read. `certified` is AE title -> the fingerprints and subjects it may show."""

    certified: dict[str, frozenset[str]] = field(default_factory=dict)
    users: dict[str, str | None] = field(default_factory=dict)
    issuers: tuple[Issuer, ...] = ()

    def is_certified(self, title: str) -> bool:
        """Whether this AE title is taken only with a certificate."""
        return title in self.certified

    def proves(self, title: str, *, fingerprint: str, subject: str) -> bool:
        """Whether a certificate is one of this AE title's."""
        known = self.certified.get(title, frozenset())
        return fingerprint in known or subject in known


def read(path: Path) -> Identities:
    """Read the file. Raises `ConfigError` naming what is wrong."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ConfigError(f"The file of identities {path} cannot be read: {exc}.") from exc
    tables = {kind: _tables(values, kind) for kind in _KEYS}
    if unknown := sorted(set(values) - set(_KEYS)):
        raise ConfigError(f"A file of identities has no table {unknown[0]}.")
    return Identities(
        certified={_text(t, "title"): _certificates(t) for t in tables["ae"]},
        users={_text(t, "name"): _passcode(t) for t in tables["user"]},
        issuers=tuple(_issuer(t, path.parent) for t in tables["issuer"]),
    )


def watched(path: str) -> Watched[Identities]:
    """Read the file whenever it changes; without a path nobody is known."""
    if not path:
        return Watched(tuple, Identities)
    return Watched(lambda: (Path(path),), lambda: read(Path(path)))


class Verifier:
    """Finds out who a user is; each method returns the name or raises `NotAuthenticated`.

    After five wrong passcodes in a quarter of an hour a name is not heard again from the same
    address, nor after sixty of any names any name. A try is counted before it is made: passcodes
    guessed at once count as if one after the other.
    """

    def __init__(self, identities: Watched[Identities]) -> None:
        self._identities = identities
        self._lock = threading.Lock()
        self._tries: dict[tuple[str, str], list[float]] = {}  # by address, and name or ""

    def by_name(self, name: str) -> str:
        """Take a name alone: only of a user without a passcode."""
        users = self._identities.value().users
        if name in users and users[name] is None:
            return name
        raise NotAuthenticated(_WRONG)

    def by_passcode(self, name: str, passcode: str, *, address: str) -> str:
        """Compare the passcode."""
        where = network(address) or address
        at = self._count(where, name)
        kept = self._identities.value().users.get(name)
        is_right = is_passcode(passcode, kept or nobodys())
        if not is_right or kept is None:
            raise NotAuthenticated(_WRONG)
        with self._lock:
            for key in ((where, ""), (where, name)):
                if at in self._tries.get(key, ()):
                    self._tries[key].remove(at)
        return name

    def by_token(self, token: bytes) -> str:
        """Verify a JSON Web Token: what it says is its issuer's word."""
        return subject_of(token, self._identities.value().issuers)

    def _count(self, where: str, name: str) -> float:
        """Count a try, and say when it was made; one past a limit is not made."""
        now = time.monotonic()
        limits = {(where, ""): _MOST_OF_ADDRESS, (where, name): _MOST_FAILURES}
        with self._lock:
            if len(self._tries) >= _REMEMBERED:
                self._forget(now - _FAILURES_S)
            for key, most in limits.items():
                recent = [at for at in self._tries.get(key, ()) if at > now - _FAILURES_S]
                if len(recent) >= most:
                    raise NotAuthenticated("The passcode was wrong too often; try again later.")
                self._tries[key] = recent
            for key in limits:
                self._tries[key].append(now)
        return now

    def _forget(self, since: float) -> None:
        """Forget what counts no more, and the oldest where that is not enough."""
        self._tries = {key: of for key, of in self._tries.items() if of and of[-1] > since}
        while len(self._tries) >= _REMEMBERED:
            del self._tries[next(iter(self._tries))]


def _tables(values: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    tables = values.get(kind, [])
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise ConfigError(f"A file of identities has tables [[{kind}]].")
    for table in tables:
        if unknown := sorted(set(table) - _KEYS[kind]):
            raise ConfigError(f"There is no {unknown[0]} in a table [[{kind}]] of identities.")
    return tables


def _text(table: dict[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"A table of identities lacks {key}.")
    return value


def _certificates(table: dict[str, Any]) -> frozenset[str]:
    prints, subjects = table.get("fingerprints", []), table.get("subjects", [])
    if not all(isinstance(one, str) for one in (*prints, *subjects)) or not (prints or subjects):
        raise ConfigError("An AE of the identities needs fingerprints or subjects.")
    bare = [one.lower().removeprefix("sha256:").replace(":", "") for one in prints]
    if not all(len(one) == 64 and set(one) <= set("0123456789abcdef") for one in bare):
        raise ConfigError("A fingerprint is the SHA-256 of a certificate: 64 hexadecimal digits.")
    return frozenset((*bare, *subjects))


def _passcode(table: dict[str, Any]) -> str | None:
    if "passcode" not in table:
        return None
    kept = _text(table, "passcode")
    check_form(kept)
    return kept


def _issuer(table: dict[str, Any], folder: Path) -> Issuer:
    path = folder / _text(table, "key")
    try:
        pem = path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"The key {path} of an issuer cannot be read.") from exc
    return Issuer(name=_text(table, "name"), audience=_text(table, "audience"), key=public_key(pem))
