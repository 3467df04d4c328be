"""How often may be tried: counters of tries in PostgreSQL, shared by all processes.

A try is counted before it is made, so that many at once cannot pass a limit together; one that was
right is given back. Buckets are hashes: no table holds what somebody typed.
"""

from __future__ import annotations

from dataclasses import dataclass

from vna.crypto.credentials import bucket
from vna.db import statements
from vna.db.pool import Connection, Database

_SQL = statements.load("access")

WINDOW_S = 900.0


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` tries of what the bucket stands for, in a quarter of an hour."""

    bucket: bytes
    most: int


def sign_in(login: str, address: str | None) -> tuple[Limit, ...]:
    """Limit guesses of passphrases: of an address, of a name from there, of a name from anywhere.

    The last is larger: who knows a name must not be able to lock its owner out with five tries.
    """
    where = address or ""
    return (
        Limit(bucket("address", where), 60),
        Limit(bucket("login", login, where), 5),
        Limit(bucket("anywhere", login), 30),
    )


def factor(account: int) -> tuple[Limit, ...]:
    """Limit guesses of codes: the passphrase is known by then, so nobody else is locked out."""
    return (Limit(bucket("factor", str(account)), 5),)


def address(where: str | None, what: str, most: int) -> tuple[Limit, ...]:
    """Limit what an address may begin without having signed in."""
    return (Limit(bucket(what, where or ""), most),)


class Rates:
    """Counts tries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, limits: tuple[Limit, ...]) -> int:
        """Count a try; return 0 when it may be made, else by how much a limit is passed."""

        def count(tx: Connection) -> int:
            for limit in limits:
                row = tx.execute(
                    _SQL.take_try, {"bucket": limit.bucket, "window_s": WINDOW_S}
                ).fetchone()
                if row is not None and row[0] > limit.most:
                    return int(row[0]) - limit.most
            return 0

        return self._database.changing(count)

    def give_back(self, limits: tuple[Limit, ...]) -> None:
        """The try was right: it does not count, and what was narrowest begins anew."""

        def forgive(tx: Connection) -> None:
            for limit in limits:
                tx.execute(_SQL.give_back, (limit.bucket,))
            narrowest = min(limits, key=lambda limit: limit.most)
            tx.execute(_SQL.forget_tries, (narrowest.bucket,))

        self._database.changing(forgive)
