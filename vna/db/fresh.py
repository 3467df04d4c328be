"""A short list as a process knows it: asked for again when it is old."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from vna.db.pool import Connection, Database

T = TypeVar("T")


class Fresh(Generic[T]):
    """Keeps what `read` gives for `fresh_s` seconds. Shared by threads; one of them asks."""

    def __init__(
        self,
        database: Database,
        read: Callable[[Connection], tuple[T, ...]],
        *,
        fresh_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._read = read
        self._fresh_s = fresh_s
        self._clock = clock
        self._lock = threading.Lock()
        self._good_until = float("-inf")
        self._known: tuple[T, ...] = ()

    def now(self) -> tuple[T, ...]:
        """Give the list; nearly always without a question to the database. Raises `Unavailable`."""
        if self._clock() < self._good_until:
            return self._known
        with self._lock:
            if self._clock() >= self._good_until:
                asked_at = self._clock()
                # a connection for changes, which a process that takes objects in has anyhow
                with self._database.transaction() as tx:
                    self._known = self._read(tx)
                self._good_until = asked_at + self._fresh_s
            return self._known

    def forget(self) -> None:
        """Ask at the next call: this process has changed the list."""
        with self._lock:
            self._good_until = float("-inf")
