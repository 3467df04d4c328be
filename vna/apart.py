"""The composition root of the process that serves guests: no key of the archive, no list of blobs.

It has what it is lent (vna/crypto/lent.py), a database role that may do what guests do, and a desk
at which a process with the archive's keys does for it what it cannot (vna/desk.py). The engines are
the same; what they may not do here they are refused, by keys and by the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

from vna.access.audit import Audit
from vna.app import connected
from vna.archive import Archive, assembled
from vna.blobs.archive import Archive as Described
from vna.blobs.backends import Backend
from vna.blobs.lent import LentStore
from vna.config import Settings
from vna.crypto.keyring import Keyring
from vna.crypto.lent import Lent, LentKeyring
from vna.crypto.sealed_zip import LABEL as PACKAGES
from vna.delivery.sealing import LABEL
from vna.pixels.sandbox import PixelPool
from vna.sharing.keys import MAC, PEPPER, SEALED
from vna.sharing.open_shares import Apart, OpenShares, Writes


class Desk(Writes, Protocol):
    """Where a process with the archive's keys does what this one cannot."""

    def later_key(self, share_id: int, blob_id: bytes) -> bytes | None:
        """Wrap the data key of what a share shows although it came later."""


def lent_of(keyring: Keyring) -> Lent:
    """Draw what guests need: names, addresses, peppers, hashes of codes, messages, packages."""
    return Lent.of(keyring, (SEALED, PEPPER, MAC, LABEL, PACKAGES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the process is given by one that holds the keys: some of them, a desk, the blobs."""

    lent: Lent
    desk: Desk
    backend: Backend
    described: Described


@contextmanager
def guests_opened(settings: Settings, dsn: str, given: Given) -> Iterator[Archive]:
    """Open what guests are served from, without any key of the archive."""
    with ExitStack() as opening:
        database = connected(settings, dsn)
        opening.callback(database.close)
        shares = OpenShares(database, given.desk.later_key)
        keyring = LentKeyring(given.lent)
        store = LentStore(given.backend, given.described, keyring, shares.data_key)
        opening.callback(store.close)
        audit = Audit(database)
        opening.callback(audit.close)
        pixels = PixelPool(settings.pixels)
        opening.callback(pixels.close)
        apart = Apart(shares=shares, journal=given.desk)
        yield assembled(settings, store, database, audit, pixels, apart=apart)
