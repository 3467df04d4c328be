"""People at a real database, with hashes that cost little."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pyotp
import pytest

from tests.archive import CHEAP
from vna.access.audit import Audit
from vna.access.people import People, people
from vna.access.principal import Principal, system
from vna.access.sessions import Browser, Visitor
from vna.config import Settings
from vna.crypto.keyring import Keyring, RootKey
from vna.db.pool import Database

PASSPHRASE = "seven green bicycles"
SHELL = system("shell")


def keyring() -> Keyring:
    """A key chain of its own."""
    found = Keyring(RootKey(os.urandom(32), "file"), os.urandom(16))
    found.add(found.new_archive_key(key_id=os.urandom(16), created_us=1))
    return found


@dataclass(slots=True)
class House:
    """The people of an archive, and what was written down of them."""

    people: People
    database: Database
    who: Principal = SHELL

    def enrolled(self, login: str, *roles: str) -> tuple[str, str]:
        """Let a person enrol; return the app's secret and one recovery code."""
        signing = self.people.signing
        self.people.accounts.add(self.who, login, roles or ("radiologist",))
        visitor = self.visitor(signing.follow_link(self.people.accounts.invite(self.who, login), B))
        signing.choose_passphrase(visitor, PASSPHRASE)
        secret = signing.offer_app(visitor).secret
        signing.confirm_app(visitor, pyotp.TOTP(secret).now())
        _, codes = signing.finish(visitor, B)
        return secret, codes[0]

    def visitor(self, cookie: str) -> Visitor:
        """Say who a cookie stands for; it must stand for somebody."""
        found = self.people.sessions.visitor(cookie, "10.0.0.1")
        assert found is not None
        return found

    def signed_in(self, login: str, *roles: str) -> tuple[str, Visitor]:
        """Enrol and sign in; return the cookie and who it stands for."""
        _, code = self.enrolled(login, *roles)
        first = self.people.signing.passphrase(login, PASSPHRASE, B)
        cookie = self.people.signing.code(self.visitor(first), code, B)
        return cookie, self.visitor(cookie)

    def audited(self, *columns: str) -> list[tuple[str, ...]]:
        """Read the trail of acts: kind, outcome, principal."""
        with self.database.reading() as conn:
            rows = conn.execute("SELECT kind, outcome, principal FROM audit ORDER BY id").fetchall()
        return [tuple(row) for row in rows]


B = Browser(address="10.0.0.1", agent="a browser")


@pytest.fixture
def house(database: Database) -> Iterator[House]:
    """An archive where nobody is known yet."""
    audit = Audit(database)
    yield House(
        people(database=database, audit=audit, keyring=keyring(), settings=Settings(), cost=CHEAP),
        database,
    )
    audit.close()
