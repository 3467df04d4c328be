"""What the index speaks of and the store has no more: nobody deleted it, so it is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from vna.blobs.layout import blob_name, key_name
from vna.blobs.store import BlobStore
from vna.crypto.envelope import JOURNAL
from vna.db.pool import Database
from vna.index.needed import needed_blobs, needed_keys, walk_journal, walk_needed

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Loss:
    """An object of the store that is not there, by its name; `why` says what goes with it."""

    name: str
    why: str


def losses(database: Database, store: BlobStore) -> Iterator[Loss]:
    """Walk what is lost: blobs, then the keys others are sealed under, then the journal.

    What comes in or is deleted meanwhile is none. Raises `Unavailable` when the store is not there.
    """
    there = set(store.keys.ids())
    without: Counter[bytes] = Counter()
    for batch in _needed(database):
        absent = [blob for blob, _ in batch if not store.holds(blob)]
        if absent:
            with database.reading() as conn:
                still = needed_blobs(conn, absent)
            for blob in sorted(still):
                yield Loss(blob_name(blob), "not in the store")
        without.update(key for _, key in batch if key not in there)
    lost = [key for key in without if not store.keys.holds(key)]
    if lost:
        with database.reading() as conn:
            still = needed_keys(conn, lost)
        for key in sorted(still):
            yield Loss(key_name(key), f"not in the store; {without[key]} objects need it")
    for entry in lost_entries(database, store):
        yield Loss(blob_name(entry, JOURNAL), "not in the store: what was deleted may come back")


def lost_entries(database: Database, store: BlobStore) -> Iterator[bytes]:
    """Walk the journal entries that took effect and are lost: a rebuild would do without them."""
    after = b""
    while True:
        with database.reading() as conn:
            batch = walk_journal(conn, after, most=_AT_ONCE)
        if not batch:
            return
        yield from (entry for entry in batch if not store.holds(entry, kind=JOURNAL))
        after = batch[-1]


def _needed(database: Database) -> Iterator[list[tuple[bytes, bytes]]]:
    after = b""
    while True:
        with database.reading() as conn:
            batch = walk_needed(conn, after, most=_AT_ONCE)
        if not batch:
            return
        yield batch
        after = batch[-1][0]
