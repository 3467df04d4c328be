"""Passkeys (WebAuthn Level 2): both factors in one, bound to the site they were made for.

The authenticator must verify its user (PIN, finger, face), and a challenge is answered once. What
comes from the browser is verified in `ceremonies`, imported when it is needed; nothing else of it
is believed.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import orjson

from vna.crypto.credentials import digest, random_bytes
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.errors import Conflict, InvalidRequest, NotAuthenticated
from vna.texts import filled, marked

_SQL = statements.load("access")

_ANSWER_S = 300.0
_MOST = 10  # passkeys of one account


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Under which name the browser knows us. Passkeys of one name are of no use to another."""

    name: str  # the host alone: the relying party's id (WebAuthn 5.1.2)
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkey:
    """One passkey as its owner sees it."""

    passkey_id: int
    site: str
    created_at: dt.datetime
    used_at: dt.datetime | None


class Passkeys:
    """Registers and recognises passkeys."""

    def __init__(self, *, database: Database, issuer: str) -> None:
        self._database = database
        self._issuer = issuer

    def all(self, account_id: int) -> list[Passkey]:
        """List the passkeys of an account."""
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.list_passkeys, (account_id,)).fetchall()
        return [Passkey(passkey_id=r[0], site=r[2], created_at=r[3], used_at=r[4]) for r in rows]

    def offer(self, browser_secret: str, account_id: int, site: Site) -> str:
        """Begin registering one: what the browser is to do, as JSON. Raises `Conflict`."""
        challenge = random_bytes()
        with self._database.transaction() as tx:
            row = tx.execute(_SQL.find_handle, (account_id,)).fetchone()
            known = tx.execute(_SQL.list_passkeys, (account_id,)).fetchall()
            self._keep(tx, browser_secret, "register", challenge)
        if row is None or len(known) >= _MOST:
            raise Conflict(filled("An account has up to %(most)s passkeys.", most=_MOST))
        from vna.access import ceremonies

        return ceremonies.registration(
            name=site.name,
            issuer=self._issuer,
            user=(row[0], row[1]),
            challenge=challenge,
            known=[k[1] for k in known],
        )

    def register(
        self, tx: Connection, browser_secret: str, account_id: int, site: Site, answer: bytes
    ) -> None:
        """Take the passkey a browser made. Raises `NotAuthenticated`, `InvalidRequest`."""
        from vna.access import ceremonies

        challenge = self._take(tx, browser_secret, "register")
        made = ceremonies.made(
            _parsed(answer),
            ceremonies.Asked(challenge=challenge, name=site.name, origin=site.origin),
        )
        added = tx.execute(
            _SQL.add_passkey,
            (account_id, made.credential_id, made.public_key, made.count, site.name),
        ).fetchone()
        if added is None:
            raise NotAuthenticated(marked("This passkey is known already."))

    def challenge(self, browser_secret: str, site: Site) -> str:
        """Begin signing in: what the browser is to do, as JSON. It says nothing of any account."""
        challenge = random_bytes()
        with self._database.transaction() as tx:
            self._keep(tx, browser_secret, "sign-in", challenge)
        from vna.access import ceremonies

        return ceremonies.authentication(name=site.name, challenge=challenge)

    def recognise(self, browser_secret: str, site: Site, answer: bytes) -> int:
        """Say whose passkey answered the challenge: the account. Raises `NotAuthenticated`."""
        from vna.access import ceremonies

        credential = _parsed(answer)
        with self._database.transaction() as tx:  # the challenge is gone, whatever comes of it
            challenge = self._take(tx, browser_secret, "sign-in")
        with self._database.transaction() as tx:
            row = tx.execute(_SQL.find_passkey, (ceremonies.identifier(credential),)).fetchone()
            if row is None or row[4] != site.name:
                raise NotAuthenticated(_NOT_KNOWN)
            passkey_id, account_id, public_key, count, _, handle = row
            new_count = ceremonies.verified(
                credential,
                ceremonies.Asked(challenge=challenge, name=site.name, origin=site.origin),
                public_key=public_key,
                count=count,
                handle=handle,
            )
            used = tx.execute(_SQL.use_passkey, (new_count, passkey_id, count)).fetchone()
            if used is None:
                raise NotAuthenticated(_NOT_KNOWN)
        return int(account_id)

    def _keep(self, tx: Connection, secret: str, purpose: str, challenge: bytes) -> None:
        tx.execute(_SQL.keep_challenge, (digest(secret), purpose, challenge, _ANSWER_S))

    def _take(self, tx: Connection, secret: str, purpose: str) -> bytes:
        row = tx.execute(_SQL.take_challenge, (digest(secret), purpose)).fetchone()
        if row is None or not row[1]:
            raise NotAuthenticated(marked("That took too long; try again."))
        return bytes(row[0])


_NOT_KNOWN = "This passkey is not known here."


def _parsed(answer: bytes) -> dict[str, Any]:  # JSON of a browser
    try:
        found = orjson.loads(answer)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest("The answer of a passkey is JSON.") from exc
    if not isinstance(found, dict):
        raise InvalidRequest("The answer of a passkey is a JSON object.")
    return found
