"""What is told of blobs that cannot be read: each by its name at first, then how many.

A folder that is lost is a million blobs. As many rows would bury what else stands in the trail and
in the log, and tell no more than their number does; `vna status` and the metric count them all.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from vna.access.audit import Event

MENDED: Final = "mended"
NAMED: Final = 100  # of one sort, in one walk
EVERY_S: Final = 3600.0  # how long a number may wait for more

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class News:
    """What became known of one blob: `MENDED`, or why it cannot be read."""

    what: str
    blob_id: bytes
    study: str
    series: str
    instance: str


class Alerts:
    """Says what of the news is told by its name, and counts the others. For one thread."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._named: Counter[str] = Counter()
        self._others: Counter[str] = Counter()
        self._since = 0.0  # when the first of the others was counted

    def begin(self) -> None:
        """Name again: another walk began."""
        self._named.clear()

    def named(self, news: Sequence[News]) -> list[Event]:
        """Give what is told by its name, for the transaction the news are written in."""
        return [_event(one) for one in self._split(news)[0]]

    def took(self, news: Sequence[News]) -> None:
        """Count what stands in the database now; the log names what the trail does."""
        named, others = self._split(news)
        for one in named:
            _log(one.what, {"blob": one.blob_id.hex(), "instance": one.instance})
        self._named.update(one.what for one in named)
        if others and not self._others:
            self._since = self._clock()
        self._others.update(one.what for one in others)

    def others(self, *, now: bool = False) -> dict[str, int]:
        """Say how many were not named, by sort, when it is time to tell, or `now`."""
        is_due = now or self._clock() - self._since >= EVERY_S
        return dict(self._others) if is_due else {}

    def told(self, others: dict[str, int]) -> None:
        """Count those no more that stand in the trail now."""
        for what, count in others.items():
            _log(what, {"more": count})
        self._others.clear()

    def _split(self, news: Sequence[News]) -> tuple[list[News], list[News]]:
        room = Counter({what: NAMED - self._named[what] for what in {one.what for one in news}})
        split: tuple[list[News], list[News]] = ([], [])
        for one in news:
            split[room[one.what] <= 0].append(one)
            room[one.what] -= 1
        return split


def of_many(others: dict[str, int]) -> list[Event]:
    """Give one row a sort."""
    return [
        Event(kind=f"blob.{what}", outcome=_outcome(what), detail={"more": count})
        for what, count in others.items()
    ]


def _event(one: News) -> Event:
    return Event(
        kind=f"blob.{one.what}",
        outcome=_outcome(one.what),
        study=one.study,
        series=one.series,
        instance=one.instance,
        detail={"blob": one.blob_id.hex()},
    )


def _outcome(what: str) -> str:
    return "done" if what == MENDED else "failed"


def _log(what: str, about: dict[str, str | int]) -> None:
    is_one = "blob" in about
    if what == MENDED:
        log.info("a blob is whole again" if is_one else "blobs are whole again", extra=about)
    else:
        event = "a blob cannot be read" if is_one else "blobs cannot be read"
        log.error(event, extra={**about, "why": what})
