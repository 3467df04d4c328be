"""The change feed as an engine: what happened since, for those who keep a copy or an index."""

from __future__ import annotations

import time
from dataclasses import dataclass

from vna.access.audit import Audit
from vna.access.policy import permits, require
from vna.access.principal import Action, Principal
from vna.db.pool import Database
from vna.dicom.refs import StudyRef
from vna.errors import Gone
from vna.index import feed
from vna.index.feed import Change

__all__ = ["MOST", "Change", "ChangeFeed", "Page"]

MOST = 1000
"""Changes of one page."""

_ORDERED = 5000  # changes put in order at once
_ORDER_S = 1.0  # before an answer
_KEEP_UP_S = 60.0  # by the upkeep


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Changes behind `after`, as far as the asker may see them.

    `following` is the place to ask from next, `last` that of the newest change there is, unless
    others are still to be put in order (`is_behind`).
    """

    feed: str
    changes: tuple[Change, ...]
    after: int
    following: int
    last: int
    is_behind: bool

    @property
    def has_more(self) -> bool:
        """Whether there are changes behind this page."""
        return self.is_behind or self.following < self.last


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
        is_behind = not self.order(_ORDER_S)
        with self._database.reading() as conn:
            current, last = feed.state(conn)
            found = feed.after(conn, after, most=limit) if limit else []
        if (feed_id is not None and feed_id != current) or after > last:
            raise Gone(f"This feed was begun anew: list what there is, then follow feed {current}.")
        seen = tuple(change for change in found if _may_see(principal, change))
        if seen:
            self._audit.asked(principal, "CHANGES", [], len(seen))
        following = found[-1].sequence if found else after
        return Page(
            feed=current,
            changes=seen,
            after=after,
            following=following,
            last=max(last, following),
            is_behind=is_behind,
        )

    def order(self, most_s: float) -> bool:
        """Put in order what waits for that, for so many seconds at most; False when some is left.

        The first to ask of a large archive finds a long trail.
        """
        with self._database.reading() as conn:
            if not feed.is_behind(conn):
                return True
        until = time.monotonic() + most_s
        while True:
            count = self._database.changing(lambda tx: feed.order(tx, most=_ORDERED))
            if count < _ORDERED:
                return True
            if time.monotonic() >= until:
                return False

    def keep_up(self) -> None:
        """Put in order what waits for that, where the feed is in use at all."""
        with self._database.reading() as conn:
            _, last = feed.state(conn)
        if last:
            self.order(_KEEP_UP_S)


def _may_see(principal: Principal, change: Change) -> bool:
    """Whether somebody is told of a change: of shares, who may share all that they show."""
    if change.shared is not None:
        studies = change.shared.studies
        return bool(studies) and all(
            permits(principal, Action.SHARE, StudyRef(study)) for study in studies
        )
    return change.ref is not None and principal.scope.touches(change.ref)
