"""How often may be tried: counters of tries in PostgreSQL, shared by all processes.

A try is counted before it is made, so that many at once cannot pass a limit together; one that was
right is given back. Buckets are hashes: no table holds what somebody typed. An IPv6 address counts
with its network: who has one of them has them all.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from dataclasses import dataclass

from vna.crypto.credentials import bucket
from vna.db import statements
from vna.db.pool import Connection, Database

_SQL = statements.load("access")

WINDOW_S = 900.0
MINUTE_S = 60.0
DAY_S = 86400.0

_BUCKETS = 1 << 16  # of addresses with unknown credentials: so many rows there can be, and no more
_QUIET_S = 5.0  # an address that is past its limit is not counted again for so long
_NETWORK_BITS = 64  # of an IPv6 address: who has one has all of its network (RFC 6177)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` tries of what the bucket stands for, in a quarter of an hour or `window_s`."""

    bucket: bytes
    most: int
    window_s: float = WINDOW_S


def sign_in(login: str, address: str | None) -> tuple[Limit, ...]:
    """Limit guesses of passphrases: of an address, of a name from there, of a name from anywhere.

    The last is larger: who knows a name must not be able to lock its owner out with five tries.
    `login` is hidden (`Vault.hidden`): a bucket alone is a hash anybody can guess at.
    """
    where = network(address)
    return (
        Limit(bucket("address", where), 60),
        Limit(bucket("login", login, where), 5),
        Limit(bucket("anywhere", login), 30),
    )


def factor(account: int) -> tuple[Limit, ...]:
    """Limit guesses of codes: the passphrase is known by then, so nobody else is locked out.

    The second is of a day: five tries each quarter of an hour would find a code of six digits
    within the year, as likely as not.
    """
    return (
        Limit(bucket("factor", str(account)), 5),
        Limit(bucket("factor of a day", str(account)), 20, DAY_S),
    )


def address(where: str | None, what: str, most: int) -> tuple[Limit, ...]:
    """Limit what an address, or an account by its number or name, may begin."""
    return (Limit(bucket(what, network(where) or where or ""), most),)


def network(address: str | None) -> str:
    """Say where an address counts: one of IPv6 with its network; nothing for what is none."""
    try:
        where = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return ""
    if isinstance(where, ipaddress.IPv4Address):
        return str(where)
    if where.ipv4_mapped is not None:  # a listener for both sees those of IPv4 so
        return str(where.ipv4_mapped)
    return str(ipaddress.ip_network((int(where), _NETWORK_BITS), strict=False))


class Rates:
    """Counts tries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, limits: tuple[Limit, ...]) -> int:
        """Count a try; return 0 when it may be made, else by how much a limit is passed."""

        def count(tx: Connection) -> int:
            for limit in limits:
                row = tx.execute(
                    _SQL.take_try, {"bucket": limit.bucket, "window_s": limit.window_s}
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


class Strangers:
    """Counts credentials that are nobody's by where they come from, for all processes together.

    It only says that an address goes too fast: a credential that is somebody's is never asked
    about here. An attack writes little: addresses share a fixed number of buckets, an IPv6 address
    counts with its network, and one that is past its limit is not counted for some seconds.
    """

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._lock = threading.Lock()
        self._quiet: dict[bytes, float] = {}  # by bucket, until when; so at most as many as those

    def is_quiet(self, address: str | None) -> bool:
        """Whether an address is past its limit as far as is known here, without asking."""
        with self._lock:
            return self._quiet.get(_place(address), 0.0) > time.monotonic()

    def count(self, address: str | None, most: int) -> bool:
        """Count one; say whether the address had more than `most` in a minute.

        Raises `Unavailable`.
        """
        place = _place(address)
        if not self._rates.take((Limit(place, most, MINUTE_S),)):
            return False
        with self._lock:
            self._quiet[place] = time.monotonic() + _QUIET_S
        return True


def _place(address: str | None) -> bytes:
    """Give the bucket of an address. Two that share one only slow each other's guesses down."""
    number = int.from_bytes(bucket("network", network(address))[:8], "big") % _BUCKETS
    return bucket("stranger", str(number))
