"""Workers that do not take what they are handed: stopped, waiting for a disk that is gone, or busy.

What was handed over and not taken for a while says so at no cost. A worker that stands still is
told in the log by the name of its process and counted in a metric, and is not killed: no time limit
tells it from one that a debugger or a paused machine holds up (docs/decisions/0015).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable

from vna.telemetry import WORKERS_LATE

LATE_S = 3.0

log = logging.getLogger(__name__)


class Untaken:
    """What one worker was handed and has not taken yet; things are taken in the order given."""

    def __init__(self, child: str) -> None:
        """`child` is what the worker's process is called."""
        self.child = child
        self.is_told = False
        self._given: deque[float] = deque()

    def __len__(self) -> int:
        """Count what is not taken."""
        return len(self._given)

    def give(self) -> None:
        """Note that something was handed over now."""
        self._given.append(time.monotonic())

    def take(self) -> None:
        """Note that the worker has taken the oldest: it does not stand still."""
        if self._given:
            self._given.popleft()
        self.is_told = False

    def late_in_s(self) -> float | None:
        """Say in how many seconds this is late, 0 when it is; None while all is taken."""
        return max(self._given[0] + LATE_S - time.monotonic(), 0.0) if self._given else None

    def is_late(self) -> bool:
        """Whether the worker has not taken for a while what it was handed."""
        return self.late_in_s() == 0.0


class Lookout:
    """Tells of the workers of one protocol that stand still."""

    def __init__(self, proto: str) -> None:
        self._proto = proto
        self._late = 0

    def look(self, workers: Iterable[Untaken]) -> float | None:
        """Tell of who is late, once each; say in how many seconds somebody may be, if at all."""
        soon = [(one, wait_s) for one in workers if (wait_s := one.late_in_s()) is not None]
        late = [one for one, wait_s in soon if not wait_s]
        for one in late:
            if not one.is_told:
                fields = {"child": one.child, "given": len(one)}
                log.error("a worker takes no connections", extra=fields)
            one.is_told = True
        if len(late) != self._late:
            self._late = len(late)
            WORKERS_LATE.labels(self._proto).set(self._late)
        return min((wait_s for _, wait_s in soon if wait_s), default=None)
