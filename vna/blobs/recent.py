"""A small map of what was used lately, shared by threads: bounded in number and in age.

The age bounds how long an opened key outlives its key object in this process.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The `most` entries used last, none older than `age_s`."""

    def __init__(self, most: int, age_s: float) -> None:
        self._most = most
        self._age_s = age_s
        self._lock = threading.Lock()
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def __repr__(self) -> str:
        return f"Recent({len(self._entries)} of {self._most})"

    def get(self, key: K) -> V | None:
        """Find an entry that is young enough."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            if time.monotonic() - found[0] > self._age_s:
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            return found[1]

    def put(self, key: K, value: V) -> None:
        """Keep an entry; its age begins now."""
        with self._lock:
            self._entries[key] = (time.monotonic(), value)
            self._entries.move_to_end(key)
            if len(self._entries) > self._most:
                self._entries.popitem(last=False)

    def drop(self, key: K) -> None:
        """Forget an entry."""
        with self._lock:
            self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()

    def items(self) -> list[tuple[K, V]]:
        """Copy what is held, however old."""
        with self._lock:
            return [(key, value) for key, (_, value) in self._entries.items()]
