"""The query engine: authorise, narrow to the scope, search page by page, shape, leave evidence."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from vna.access import policy
from vna.access.audit import Audit
from vna.access.principal import Action, Principal
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.db.pool import Connection, Database
from vna.dicom.matching import Query
from vna.dicom.matchkeys import name_of
from vna.dicom.refs import UID, Within
from vna.dicom.searchable import Searchable
from vna.index import search
from vna.index.pages import Bookmarks, snapshot_of
from vna.index.search import Cursor, Row
from vna.index.searchable import Searchables
from vna.query.answers import Answer, shaper
from vna.query.details import Describe, describer
from vna.telemetry import SEARCH_SECONDS, SEARCHES

PAGE = 200
REMAINING_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Remaining:
    """How many matches were not answered; `more` when there are more than `count`."""

    count: int
    more: bool = False

    def __str__(self) -> str:
        """Write it as in "There are <remaining> additional results" (PS3.18 8.3.4.4.1)."""
        return f"more than {self.count}" if self.more else str(self.count)


@dataclass(slots=True)
class Answers:
    """The answers to one query, in the order of the archive.

    The first page is there already; the others are fetched as `rows` is walked, and no connection
    is held between two of them.
    """

    rows: Generator[Answer, None, None]
    _remaining: Callable[[], Remaining]

    def remaining(self) -> Remaining:
        """Count the matches past the last row, once `rows` has been walked: exact to 10,000."""
        return self._remaining()

    def close(self) -> None:
        """End the search where it is."""
        self.rows.close()


class QueryEngine:
    """Answers C-FIND and QIDO-RS alike."""

    def __init__(
        self, *, store: BlobStore, database: Database, audit: Audit, settings: Settings
    ) -> None:
        self._store = store
        self._database = database
        self._audit = audit
        self._searchables = Searchables(database)
        self._statement_s = settings.limits.search_s
        self._bookmarks = Bookmarks()

    def searchable(self) -> tuple[Searchable, ...]:
        """Return the attributes an administrator made searchable; it may be a second old."""
        return self._searchables.now()

    def find(self, principal: Principal, query: Query) -> Answers:
        """Search for what the principal may see.

        Raises `NotPermitted`, and `Unavailable` when the index or the audit trail is away.
        """
        policy.require(principal, Action.QUERY)
        self._audit.require_writable()

        def tell(rows: int) -> None:
            names = [name_of(key.tag) for key in query.keys]
            self._audit.asked(principal, query.level.value, names, rows)

        within = principal.scope.within()
        reading = (
            self._database.pointing
            if search.names_one(query, within)
            else partial(self._database.reading, statement_s=self._statement_s)
        )
        describe = describer(self._store, query, within)
        search_ = _Search(
            reading,
            query,
            within=within,
            bookmarks=self._bookmarks,
            tell=tell,
            describe=describe,
        )
        return Answers(search_.walk(search_.first_page()), search_.remaining)


class _Search:
    """One search on its way through its pages."""

    def __init__(
        self,
        reading: Callable[[], AbstractContextManager[Connection]],
        query: Query,
        *,
        within: Within | None,
        bookmarks: Bookmarks,
        tell: Callable[[int], None],
        describe: Describe | None,
    ) -> None:
        self._describe = describe
        self._reading = reading
        self._query = query
        self._within = within
        self._bookmarks = bookmarks
        self._snapshot: str | None = None  # taken before the first page was fetched
        self._tell = tell
        self._shape = shaper(query)
        self._fetched = 0
        self._answered = 0
        self._seconds = 0.0
        self._is_told = False

    def first_page(self) -> list[Row]:
        page = self._page(None)
        if self._is_last(page):  # the evidence is written before the first answer leaves
            self._finish(len(page))
        return page

    def walk(self, page: list[Row]) -> Generator[Answer, None, None]:
        try:
            while page:
                for row in page:
                    self._answered += 1
                    yield self._answer(row)
                page = [] if self._is_last(page) else self._page(page[-1].cursor)
        finally:
            if not self._is_told:
                self._finish(self._answered)

    def remaining(self) -> Remaining:
        if self._query.limit is None or self._answered < self._query.limit:
            return Remaining(0)
        seen = self._query.offset + self._answered
        most = seen + REMAINING_MOST
        with self._reading() as conn:
            total = search.count(conn, self._query, within=self._within, most=most)
        rest = max(total - seen, 0)
        return Remaining(min(rest, REMAINING_MOST), rest > REMAINING_MOST)

    def _page(self, after: Cursor | None) -> list[Row]:
        begun = time.perf_counter()
        page = self._fetch(after)
        if self._describe is not None:
            page = self._describe(self._reading, page)
        self._seconds += time.perf_counter() - begun
        self._fetched += len(page)
        if page and self._query.limit is not None:  # the next request may ask for what follows
            at = self._query.offset + self._fetched
            if self._snapshot is not None:
                cursor = page[-1].cursor
                self._bookmarks.remember(self._query, self._within, at, cursor, self._snapshot)
        return page

    def _fetch(self, after: Cursor | None) -> list[Row]:
        if not self._size():
            return []
        with self._reading() as conn:
            offset = 0 if after else self._query.offset
            if offset:  # who reads on: the first page is found as fast without a mark
                self._snapshot = snapshot_of(conn)
                after, offset = self._bookmarks.nearest(
                    self._query, self._within, offset, self._snapshot
                )
            return search.search(
                conn,
                self._query,
                within=self._within,
                limit=self._size(),
                after=after,
                offset=offset,
            )

    def _size(self) -> int:
        limit = self._query.limit
        return PAGE if limit is None else min(PAGE, limit - self._fetched)

    def _is_last(self, page: list[Row]) -> bool:
        return len(page) < PAGE or self._fetched == self._query.limit

    def _answer(self, row: Row) -> Answer:
        return Answer(
            study=None if row.study is None else UID(row.study),
            series=None if row.series is None else UID(row.series),
            instance=None if row.instance is None else UID(row.instance),
            attributes=self._shape(row.attributes),
        )

    def _finish(self, rows: int) -> None:
        self._is_told = True
        SEARCH_SECONDS.observe(self._seconds)
        SEARCHES.labels(self._query.level.value, "some" if rows else "none").inc()
        self._tell(rows)
