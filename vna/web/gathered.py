"""What an answer writes within one turn of the event loop leaves by one call of the system.

Head, parts and closing of an answer are written one after the other; each by itself would be a
call of the system, and a turn of the client, for a few hundred bytes.
"""

from __future__ import annotations

import asyncio

_MOST = 1 << 18  # what waits for the end of the turn; more goes out at once


class Gathered:
    """A transport as an answer sees it. What was written leaves with the turn, or by `flush`."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.is_closing = transport.is_closing
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._bytes = 0

    def write(self, data: bytes) -> None:
        """Take bytes; they are not changed before they have left."""
        if not data:
            return
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)
        self._bytes += len(data)
        if self._bytes > _MOST:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        held = self._held
        if held:
            self._held, self._bytes = [], 0
            self._transport.writelines(held)

    def close(self) -> None:
        """Write what is held, and close."""
        self.flush()
        self._transport.close()
