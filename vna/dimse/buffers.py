"""Receive buffers: a large one is lent while a data set arrives, so that idle peers cost little."""

from __future__ import annotations

import threading

SMALL_BYTES = 16 << 10
LARGE_BYTES = 1 << 20


class Buffers:
    """Large buffers of one process. Those given back are kept, up to `keep` of them."""

    def __init__(self, *, keep: int = 16) -> None:
        self._keep = keep
        self._free: list[memoryview] = []
        self._lock = threading.Lock()

    def lend(self) -> memoryview:
        """Hand out a large buffer; what it holds is left from before."""
        with self._lock:
            if self._free:
                return self._free.pop()
        return memoryview(bytearray(LARGE_BYTES))

    def give_back(self, buffer: memoryview) -> None:
        """Take a buffer back that nobody looks at any more."""
        with self._lock:
            if len(self._free) < self._keep:
                self._free.append(buffer)
