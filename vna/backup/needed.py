"""What a store must not have lost: objects the index names, the journal, the archive's keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vna.blobs.backends import Backend
from vna.blobs.layout import ARCHIVE_KEYS, BLOBS, KEYS, id_of
from vna.db.pool import Connection, Database
from vna.index.needed import needed_blobs, needed_keys


def needed_in(database: Database, backend: Backend) -> Callable[[Sequence[str]], set[str]]:
    """Make the question for one archive's index and store.

    An archive key the store holds under the present root key may go under the one before it.
    """

    def ask(names: Sequence[str]) -> set[str]:
        blobs = {name for name in names if name.startswith(BLOBS)}
        keys = {n for n in names if n.startswith(KEYS) and not n.startswith(ARCHIVE_KEYS)}
        there = {id_of(name) for name in backend.list(ARCHIVE_KEYS)}
        held = {n for n in names if n.startswith(ARCHIVE_KEYS) and id_of(n) in there}
        with database.reading() as conn:
            found = _ask(conn, blobs, needed_blobs) | _ask(conn, keys, needed_keys)
        return found | (set(names) - blobs - keys - held)

    return ask


def _ask(
    conn: Connection,
    names: set[str],
    ask: Callable[[Connection, Sequence[bytes]], set[bytes]],
) -> set[str]:
    by_id = {blob_id: name for name in names if (blob_id := id_of(name)) is not None}
    return {by_id[found] for found in ask(conn, list(by_id))} if by_id else set()
