"""The shares whose holders are here: which blobs this process can open now, and for how long.

A holder's cookie, or the path of their viewer, opens the share's key; the share's key opens the
data key of each of its items. Nothing else does in a process that holds no key of the archive: what
nobody is looking at stays closed to it, whoever has taken it over.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from vna.blobs.recent import Recent
from vna.crypto import shares
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.errors import NotFound, WrongKey
from vna.index.arrays import Longs

_SQL = statements.load("sharing")

HELD_S = 30.0
_MOST, _KNOWN, _AT_ONCE = 4096, 8192, 256

AskLater = Callable[[int, bytes], bytes | None]
"""Asks the archive for the key of what a share shows although it came later; None: it does not."""


class Writes(Protocol):
    """Where acts are written down that must outlive the database."""

    def append(self, op: str, target: dict[str, Any], args: dict[str, Any], actor: str) -> bytes:
        """Write an act down; durable on return. Gives the entry's id. Raises `Unavailable`."""


@dataclass(slots=True)
class _Open:
    key: bytes = field(repr=False)
    until: float


class OpenShares:
    """Keys of shares, each for half a minute after its holder was last heard of. For threads."""

    def __init__(
        self, database: Database, ask_later: AskLater = lambda _share, _blob: None
    ) -> None:
        self._database = database
        self._ask_later = ask_later
        self._lock = threading.Lock()
        self._open: OrderedDict[int, _Open] = OrderedDict()
        self._known: Recent[bytes, tuple[int, bytes]] = Recent(_KNOWN, HELD_S)

    def __repr__(self) -> str:
        return f"OpenShares({len(self._open)})"

    def hold(self, share_id: int, key: bytes) -> None:
        """Keep the key of a share whose holder is here."""
        with self._lock:
            self._open[share_id] = _Open(key, time.monotonic() + HELD_S)
            self._open.move_to_end(share_id)
            while len(self._open) > _MOST:
                self._open.popitem(last=False)

    def data_key(self, blob_id: bytes) -> bytes:
        """Open the data key of a blob. Raises `NotFound` when no holder of it is here."""
        keys = self._keys()
        known = self._known.get(blob_id)
        if known is not None and known[0] in keys:
            return known[1]
        asked = {"blob_id": blob_id, "shares": Longs(sorted(keys))}
        with self._database.reading() as conn:
            row = conn.execute(_SQL.keys_of_blob, asked).fetchone()
            beside = [] if row is None else self._beside(conn, row[0], blob_id)
        if row is None:
            found = self._later(keys, blob_id)
        else:
            share_id, wrapped = row
            found = _unwrapped(keys[share_id], bytes(wrapped))
            for blob, other in beside:
                opened = _unwrapped(keys[share_id], bytes(other))
                if opened is not None:
                    self._known.put(bytes(blob), (share_id, opened))
        if found is None:
            raise NotFound("This is not part of what was shared.")
        return found

    def _beside(self, conn: Connection, share_id: int, blob_id: bytes) -> list[tuple[Any, ...]]:
        """Find the keys that will be asked for next: a series is read from one end to the other."""
        asked = {"share_id": share_id, "blob_id": blob_id, "most": _AT_ONCE}
        return conn.execute(_SQL.keys_beside, asked).fetchall()

    def _keys(self) -> dict[int, bytes]:
        now = time.monotonic()
        with self._lock:
            for share_id in [one for one, held in self._open.items() if held.until < now]:
                del self._open[share_id]
            return {share_id: held.key for share_id, held in self._open.items()}

    def _later(self, keys: dict[int, bytes], blob_id: bytes) -> bytes | None:
        for share_id, key in keys.items():
            wrapped = self._ask_later(share_id, blob_id)
            if wrapped is not None:
                return _unwrapped(key, wrapped)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """What sharing stands on in a process that holds no key of the archive."""

    shares: OpenShares
    journal: Writes


def _unwrapped(key: bytes, wrapped: bytes) -> bytes | None:
    try:
        return shares.unwrap(key, wrapped)
    except WrongKey:
        return None  # nobody's key of this share: as if it were not part of it
