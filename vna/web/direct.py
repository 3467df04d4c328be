"""A long body goes out past the event loop: a thread writes it to the connection's own socket.

What a thread opens in its work space is sent from there: no copy, no turn of the loop a piece. A
client that does not read holds no thread for longer than a moment; the loop waits for it then. Only
for a plain TCP connection whose earlier bytes have all left; everything else takes the usual way.
"""

from __future__ import annotations

import asyncio
import enum
import select
import socket
import struct
from collections.abc import Callable, Iterator

from vna.web.gathered import Gathered
from vna.web.threads import Buffer, Pool

EXTENSION = "vna.direct"
"""Where the protocol leaves the way out for the application, in the scope's extensions."""

_PATIENCE_MS = 20  # how long a thread waits for a client before it leaves that to the loop
_TOGETHER, _MOST = 1 << 16, 64  # bytes and pieces that are written in one call
_AT_ONCE = struct.pack("ii", 1, 0)
_TURN_BYTES = 64 << 20  # then the thread serves whoever waits for one


class ClientIdle(Exception):
    """The client read nothing for too long."""


class _State(enum.Enum):
    WRITTEN = enum.auto()
    FULL = enum.auto()
    TURN_OVER = enum.auto()


class Direct:
    """The way past the event loop on one connection, for one answer."""

    def __init__(
        self,
        transport: asyncio.Transport,
        gathered: Gathered,
        *,
        idle_s: float,
        is_gone: Callable[[], bool],
        sent: Callable[[int], None],
    ) -> None:
        self._transport = transport
        self._gathered = gathered
        self._idle_s = idle_s
        self._is_gone = is_gone
        self._sent = sent

    async def is_open(self) -> bool:
        """Whether it can be taken now: everything written before has left."""
        transport = self._transport
        if transport.get_extra_info("sslcontext") is not None:
            return False
        self._gathered.flush()
        for _ in range(3):
            if transport.is_closing():
                return False
            if not transport.get_write_buffer_size():
                return transport.get_extra_info("socket") is not None
            await asyncio.sleep(0)  # the loop writes at the end of its turn
        return False

    async def send(self, pieces: Iterator[Buffer], pool: Pool) -> None:
        """Write all pieces. Raises what their walk raises, `OSError`, and `ClientIdle`.

        A piece may be a view that is good until the next one is asked for.
        """
        out = _Out(self._transport.get_extra_info("socket"), pieces, self._is_gone)
        try:
            while (state := await _pumped(out, pool)) is not _State.WRITTEN:
                if state is _State.FULL:
                    await self._writable(out)
            self._sent(out.count)
        finally:
            out.close()

    async def _writable(self, out: _Out) -> None:
        fd = out.fileno()
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_writer(fd, _settle, ready)
        try:
            await asyncio.wait_for(ready, self._idle_s)
        except TimeoutError as exc:
            out.reset()
            self._transport.abort()
            raise ClientIdle from exc
        finally:
            loop.remove_writer(fd)


async def _pumped(out: _Out, pool: Pool) -> _State:
    """Have a thread write; it has stopped when this ends, even when the waiting is cancelled."""
    writing = pool.start(out.pump)
    try:
        return await asyncio.shield(writing)
    except asyncio.CancelledError:
        out.is_stopped = True
        await asyncio.wait((writing,))
        raise


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


class _Out:
    """The pieces and how far they have been written. A thread's, between two waits."""

    def __init__(
        self, sock: socket.socket, pieces: Iterator[Buffer], is_gone: Callable[[], bool]
    ) -> None:
        # a descriptor of its own: the transport may close its one while a thread writes
        self._socket = socket.fromfd(sock.fileno(), sock.family, sock.type)
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLOUT)
        self._pieces = pieces
        self._is_gone = is_gone
        self._rest: list[memoryview] = []
        self.count = 0
        self.is_stopped = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def pump(self) -> _State:
        """Write until all is written, the client stops reading, or others had better have a turn.

        Raises what the walk of the pieces raises, and `OSError` when the client is gone.
        """
        turn = self.count + _TURN_BYTES
        while self._rest or self._gather():
            try:
                written = self._socket.sendmsg(self._rest)
            except BlockingIOError:
                if not self._poll.poll(_PATIENCE_MS):
                    return _State.FULL
                continue
            self.count += written
            self._drop(written)
            if self.count >= turn:
                return _State.TURN_OVER
        return _State.WRITTEN

    def reset(self) -> None:
        """Let the system drop what it holds for a client that takes nothing."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)

    def close(self) -> None:
        self._rest.clear()
        self._socket.close()

    def _gather(self) -> bool:
        """Take pieces to be written together: small ones, up to the first that is a view.

        What stands between the parts of a multipart goes with them: a call of the system, and a
        turn of the client, for a hundred bytes would cost as much as for a hundred thousand.
        """
        size = 0
        for piece in self._pieces:
            if self.is_stopped or self._is_gone():
                raise ConnectionAbortedError
            if piece:
                self._rest.append(memoryview(piece))
                size += len(piece)
            if not isinstance(piece, bytes) or size >= _TOGETHER or len(self._rest) >= _MOST:
                break
        return bool(self._rest)

    def _drop(self, written: int) -> None:
        """Forget what has been written."""
        whole = 0
        for piece in self._rest:
            if written < len(piece):
                break
            written -= len(piece)
            whole += 1
        del self._rest[:whole]
        if written:
            self._rest[0] = self._rest[0][written:]
