"""The change feed as an engine: what happened since, for those who keep a copy or an index."""

from __future__ import annotations

from dataclasses import dataclass

from vna.access.audit import Audit
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.db.pool import Database
from vna.errors import Gone
from vna.index import feed
from vna.index.feed import Change

__all__ = ["MOST", "Change", "ChangeFeed", "Page"]

MOST = 1000
"""Changes of one page."""

_ORDERED = 5000  # changes put in order at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Changes behind `after`, as far as the asker may see them.

    `following` is the place to ask from next, `last` that of the newest change there is.
    """

    feed: str
    changes: tuple[Change, ...]
    after: int
    following: int
    last: int

    @property
    def has_more(self) -> bool:
        """Whether there are changes behind this page."""
        return self.following < self.last


class ChangeFeed:
    """Reads the feed. One a process, shared by its threads."""

    def __init__(self, *, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    def read(self, principal: Principal, *, after: int, limit: int, feed_id: str | None) -> Page:
        """Give at most `limit` changes behind `after`.

        Raises `NotPermitted`, and `Gone` when the place is not one of this feed: an index that was
        lost or rebuilt has a new feed, and who follows it must look at everything again.
        """
        require(principal, Action.QUERY)
        self._audit.require_writable()
        limit = min(limit, MOST)
        with self._database.reading() as conn:
            is_behind = feed.is_behind(conn)
        if is_behind:
            self._database.changing(lambda tx: feed.order(tx, most=_ORDERED))
        with self._database.reading() as conn:
            current, last = feed.state(conn)
            found = feed.after(conn, after, most=limit) if limit else []
        if (feed_id is not None and feed_id != current) or after > last:
            raise Gone(f"This feed was begun anew: list what there is, then follow feed {current}.")
        seen = tuple(change for change in found if principal.scope.touches(change.ref))
        if seen:
            self._audit.asked(principal, "CHANGES", [], len(seen))
        following = found[-1].sequence if found else after
        return Page(
            feed=current, changes=seen, after=after, following=following, last=max(last, following)
        )
