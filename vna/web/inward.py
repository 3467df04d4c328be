"""A long body comes in past the event loop: a thread reads it from the connection's own socket.

What the loop reads is copied several times on its way to the thread that stores it, and the two
wait for each other. Here the thread that stores takes the bytes from the system itself, while the
client still sends. A client that pauses holds no thread for longer than a moment: the rest of its
body comes the usual way, where silence and a trickle have their limits. Only for plain TCP, and for
a body whose length was said.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable, Iterator
from typing import TypeVar

from vna.web.threads import Pool

T = TypeVar("T")

EXTENSION = "vna.inward"
"""Where the protocol leaves the way in for the application, in the scope's extensions."""

WORTH_BYTES = 1 << 16
"""What must be still to come for a body to be worth it."""

_PATIENCE_MS = 20  # how long a thread waits for a client before it leaves that to the loop
_LEAST = 1 << 17  # what a client must bring in that time
_PIECE = 1 << 18
_TURN_BYTES = 64 << 20  # then the thread serves whoever waits for one


class Body:
    """What comes of one body, to be walked by a thread; it ends early when the client pauses."""

    def __init__(
        self, sock: socket.socket, begun: bytes, left: int, is_gone: Callable[[], bool]
    ) -> None:
        """`begun` is what the loop has read of it already, `left` how many bytes follow that."""
        # a descriptor of its own: the transport may close its one while a thread reads
        self._socket = socket.fromfd(sock.fileno(), sock.family, sock.type)
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._begun = begun
        self._is_gone = is_gone
        self._wakes_at = 1
        self.left = left
        self.is_prompt = True
        self.is_stopped = False

    def __iter__(self) -> Iterator[bytes]:
        """Give the pieces as they come until all are here, the client pauses, or a turn ends."""
        if self._begun:
            yield self._begun
        turn = self.left - _TURN_BYTES
        while self.left > max(turn, 0) and not (self.is_stopped or self._is_gone()):
            piece = self._piece()
            if not piece:
                self.is_prompt = False
                return
            self.left -= len(piece)
            yield piece

    def close(self) -> None:
        """Leave the socket to the loop as it was."""
        self._wake_at(1)
        self._socket.close()

    def _piece(self) -> bytes:
        """Wait a moment for the next bytes; none when they do not come, now or ever."""
        self._wake_at(min(self.left, _LEAST))
        try:
            if not self._poll.poll(_PATIENCE_MS):
                return b""
            return self._socket.recv(min(self.left, _PIECE))
        except OSError:  # the loop will find the same, and knows what to do then
            return b""

    def _wake_at(self, count: int) -> None:
        """Have the system say that there is something when there are so many bytes of it."""
        if count == self._wakes_at:
            return
        self._wakes_at = count
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)


class Inward:
    """The way past the event loop for the body of one request."""

    def __init__(self, lend: Callable[[], Body | None], give_back: Callable[[int], None]) -> None:
        """`lend` stops the loop's reading, if it can; `give_back` tells what is still to come."""
        self._lend = lend
        self._give_back = give_back
        self._body: Body | None = None
        self._is_closed = False

    def close(self) -> None:
        """Let no more of the body come this way; a thread that reads stops at its next piece."""
        self._is_closed = True
        if self._body is not None:
            self._body.is_stopped = True

    async def read(self, work: Callable[[Body], T], pool: Pool) -> tuple[T, bool] | None:
        """Have a thread do `work` on the body; None where only the usual way is open.

        The flag says that the client kept pace: where the body is not over, another turn may
        follow. Raises what `work` raises.
        """
        body = self._body = None if self._is_closed else self._lend()
        if body is None:
            return None
        doing = pool.start(lambda: work(body))
        try:
            return await asyncio.shield(doing), body.is_prompt
        except asyncio.CancelledError:
            body.is_stopped = True
            await asyncio.wait((doing,))
            raise
        finally:
            self._body = None
            body.close()
            self._give_back(body.left)
