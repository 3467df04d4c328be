"""Bookmarks for readers who page by offset: where the page before ended, for five minutes.

QIDO-RS has only `offset`. A sequential reader asks for 0, 100, 200: each page then begins at the
key of the last row of the one before instead of walking past all rows again.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

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
        self._marks: OrderedDict[Hashable, tuple[float, Cursor]] = OrderedDict()

    def nearest(
        self, query: Query, within: Within | None, offset: int
    ) -> tuple[Cursor | None, int]:
        """Give the row to begin behind and how many rows are then still to be passed over."""
        if offset <= 0:
            return None, 0
        with self._lock:
            found = self._marks.get(_key(query, within, offset))
        if found is None or found[0] < self._clock():
            return None, offset
        return found[1], 0

    def remember(self, query: Query, within: Within | None, offset: int, cursor: Cursor) -> None:
        """Note that `cursor` is the last of the first `offset` rows."""
        with self._lock:
            self._marks[_key(query, within, offset)] = (self._clock() + KEPT_S, cursor)
            self._marks.move_to_end(_key(query, within, offset))
            while len(self._marks) > KEPT_MOST:
                self._marks.popitem(last=False)


def _key(query: Query, within: Within | None, offset: int) -> Hashable:
    return query.level, query.keys, within, offset
