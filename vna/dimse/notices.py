"""What an asker is told after its request was answered, on the association of the request.

A notice goes out when the association has rested for a moment: an asker that wants to release does
so first, and never has to wait for what it does not expect.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import deque

from vna.dimse.exchange import FollowUp
from vna.dimse.link import Link
from vna.dimse.messages import RESPONSE, Command, Field, notice

log = logging.getLogger(__name__)

_QUIET_S = 0.5


class Notices:
    """The follow-ups of one association, one at a time. `due_s` says when to `tick`."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._numbers = itertools.cycle(range(1, 65536))
        self._waiting: deque[tuple[float, FollowUp]] = deque()
        self._sent: tuple[int, float, FollowUp] | None = None  # Message ID, deadline, whose

    def add(self, follow: FollowUp) -> None:
        """Take one more in."""
        self._waiting.append((time.monotonic() + _QUIET_S, follow))

    def due_s(self) -> float | None:
        """Say in how many seconds something is to be done; None when there is nothing."""
        if self._sent is not None:
            at = self._sent[1]
        elif self._waiting:
            at = self._waiting[0][0]
        else:
            return None
        return max(at - time.monotonic(), 0.0)

    def tick(self) -> None:
        """Send what is due, or give up waiting for an answer. Raises `ConnectionError`."""
        if self._sent is not None:
            _, deadline, follow = self._sent
            if time.monotonic() >= deadline:
                self._sent = None
                follow.dropped()
        elif self._waiting and self._waiting[0][0] <= time.monotonic():
            _, follow = self._waiting.popleft()
            self._begin(follow)

    def is_answered(self, command: Command) -> bool:
        """Take a response, if it is one to a notice of ours."""
        if self._sent is None or command.field != Field.N_EVENT_REPORT | RESPONSE:
            return False
        number, _, follow = self._sent
        if command.responded_id != number:
            return False
        self._sent = None
        follow.answered(command.status)
        return True

    def drop(self) -> None:
        """The association is over: nobody will be told anything on it."""
        if self._sent is not None:
            self._waiting.appendleft((0.0, self._sent[2]))
            self._sent = None
        while self._waiting:
            self._waiting.popleft()[1].dropped()

    def _begin(self, follow: FollowUp) -> None:
        try:
            what = follow.prepare()
        except Exception:  # a fault of ours ends no association
            log.exception("notice failed")
            follow.dropped()
            return
        if what is None:
            return
        number = next(self._numbers)
        self._sent = number, time.monotonic() + self._link.timing.response_s, follow
        command = notice(
            Field.N_EVENT_REPORT, number, what.sop_class, what.sop_instance, what.type_id
        )
        self._link.send(self._link.layer.message(what.context_id, command, what.data_set))
