"""A bell that PostgreSQL rings (LISTEN/NOTIFY): waiting for work without asking for it.

A connection of its own, made when needed. While there is none the wait is only shorter than it
could be: who waits looks for work at the end of every wait, rung or not.
"""

from __future__ import annotations

import select
import time

import psycopg
from psycopg import sql

from vna.db.pool import Connection, conninfo

_AGAIN_S = 5.0  # before the next try of a connection that was lost


class Bell:
    """Rung when something is notified on a channel. One thread waits."""

    def __init__(self, dsn: str, channel: str) -> None:
        self._dsn = dsn
        self._channel = channel
        self._conn: Connection | None = None

    def wait(self, seconds: float, *, stop_fd: int) -> None:
        """Return when it is rung, the time is over, or `stop_fd` can be read."""
        poll = select.poll()
        poll.register(stop_fd, select.POLLIN)
        if self._conn is None:
            if not self._is_hung():
                poll.poll(min(seconds, _AGAIN_S) * 1000)
            return  # it may have been rung before it was hung
        poll.register(self._conn.fileno(), select.POLLIN)
        deadline = time.monotonic() + seconds
        try:
            while (left := deadline - time.monotonic()) > 0:
                ready = poll.poll(left * 1000)
                if any(fd == stop_fd for fd, _ in ready):
                    return
                if ready and any(True for _ in self._conn.notifies(timeout=0)):
                    return
        except psycopg.Error:
            self.close()

    def close(self) -> None:
        """Give the connection up."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _is_hung(self) -> bool:
        try:
            self._conn = psycopg.connect(conninfo(self._dsn), autocommit=True)
            self._conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        except psycopg.Error:
            self.close()
            return False
        return True
