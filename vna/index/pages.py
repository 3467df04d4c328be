"""Bookmarks for readers who page by offset: where the page before ended, while nothing changes.

QIDO-RS has only `offset`. A sequential reader asks for 0, 100, 200: each page then begins at the
key of the last row of the one before instead of walking past all rows again. A mark says which row
is the last of so many; what is stored meanwhile may come before it. So a mark holds only as long as
the database is the very one it was made of, which its snapshot tells, committed work by work.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from vna.db.pool import Connection
from vna.dicom.matching import Query
from vna.dicom.refs import Within
from vna.index.rows import Cursor

KEPT_S = 300.0
KEPT_MOST = 1000


class Bookmarks:
    """Remembers (query, scope, offset) -> key. One a process, shared by its threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._marks: OrderedDict[Hashable, tuple[float, str, Cursor]] = OrderedDict()

    def nearest(
        self, query: Query, within: Within | None, offset: int, snapshot: str
    ) -> tuple[Cursor | None, int]:
        """Give the row to begin behind and how many rows are then still to be passed over."""
        with self._lock:
            found = self._marks.get(_key(query, within, offset))
        if found is None or found[0] < self._clock() or found[1] != snapshot:
            return None, offset
        return found[2], 0

    def remember(
        self, query: Query, within: Within | None, offset: int, cursor: Cursor, snapshot: str
    ) -> None:
        """Note that `cursor` was the last of the first `offset` rows.

        `snapshot` was taken before they were fetched: while it is that of now, nothing was
        committed since, nor before they were.
        """
        with self._lock:
            until = self._clock() + KEPT_S
            self._marks[_key(query, within, offset)] = (until, snapshot, cursor)
            self._marks.move_to_end(_key(query, within, offset))
            while len(self._marks) > KEPT_MOST:
                self._marks.popitem(last=False)


def snapshot_of(conn: Connection) -> str:
    """Say which transactions are seen now: as long as it is the same, nothing was committed."""
    row = conn.execute("SELECT pg_current_snapshot()::text", prepare=True).fetchone()
    return "" if row is None else str(row[0])


def _key(query: Query, within: Within | None, offset: int) -> Hashable:
    return query.level, query.keys, within, offset
