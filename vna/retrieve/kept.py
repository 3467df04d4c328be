"""What was made lately and may be asked for again, in memory only: pictures are never on a disk."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Lately(Generic[V]):
    """The most recently used values, bounded by what they weigh. Shared by threads.

    A value is made by whoever needs it first; two who need it at once may both make it.
    """

    def __init__(self, most: int, weigh: Callable[[V], int]) -> None:
        self._most = most
        self._weigh = weigh
        self._size = 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """Return what is kept under `key`, else make it and keep it."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        value = make()
        self._keep(key, value)
        return value

    def _keep(self, key: Hashable, value: V) -> None:
        weight = self._weigh(value)
        if weight > self._most // 4:  # one large thing is not worth all the small ones
            return
        with self._lock:
            if key in self._entries:
                return
            self._entries[key] = value
            self._size += weight
            while self._size > self._most:
                _, gone = self._entries.popitem(last=False)
                self._size -= self._weigh(gone)
