"""How fast a body comes: silence and a trickle are faults of the peer while we read, not else."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl

from vna.config import Http


class Flow(FlowControl):
    """Remembers since when we read: silence while we do not is no fault of the peer."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(transport)
        self._loop = loop
        self.reading_since = loop.time()

    def resume_reading(self) -> None:
        """Read again, from now on."""
        if self.read_paused:
            self.reading_since = self._loop.time()
        super().resume_reading()


class Tempo:
    """How a body came in so far. Times are those of the event loop."""

    def __init__(self, limits: Http) -> None:
        self._limits = limits
        self._window = (0.0, 0)  # since when the speed is looked at, bytes since then
        self._heard = 0.0

    def begin(self) -> None:
        """Look at the speed from when the peer was last heard."""
        self._window = (self._heard, 0)

    def hear(self, now: float) -> None:
        """Note that the peer said something."""
        self._heard = now

    def add(self, count: int) -> None:
        """Count bytes of content."""
        self._window = (self._window[0], self._window[1] + count)

    def left(self, flow: FlowControl, now: float) -> float:
        """Say how long the peer may be silent yet."""
        since = max(self._heard, flow.reading_since if isinstance(flow, Flow) else 0.0)
        return self._limits.body_idle_s - (0.0 if flow.read_paused else now - since)

    def is_slow(self, flow: FlowControl, now: float) -> bool:
        """Whether a body only trickles in while we read: it would hold its connection for ever."""
        begun, count = self._window
        if isinstance(flow, Flow):
            begun = max(begun, flow.reading_since)
        if flow.read_paused or now - begun < 0.9 * self._limits.body_idle_s:
            return False
        self._window = (now, 0)
        return 0 < count < self._limits.slowest_bytes_s * (now - begun)
