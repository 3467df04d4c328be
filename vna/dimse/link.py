"""A connection and its Upper Layer: blocking socket, receive buffer and timers of an association.

Used by both sides. One thread works on a link; only `hang_up` may come from another.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

from vna.dimse.buffers import SMALL_BYTES, Buffers
from vna.dimse.secured import Certificate, Secured
from vna.dimse.upper_layer import Event, Fragment, Released, ReleaseRequested, State, UpperLayer

_LAST_WORDS_S = 0.1  # the peer may close the connection first; then we close our half
_ABORT_BYTES = 10
_MOST_PARTS = 1000  # of one sendmsg(): IOV_MAX is 1024
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)  # Linux only


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection ended without a word."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing came in the time allowed, or too little of what had begun."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """The process wants to end, and this link was idle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The timers. `slowest_bytes_s` is measured over `slow_window_s`, a slow sender's grace."""

    artim_s: float
    idle_s: float
    slowest_bytes_s: int
    slow_window_s: float = 30.0
    send_s: float = 60.0  # a peer that takes nothing for so long is gone
    response_s: float = 60.0  # and one that does not answer what we asked


class Pace:
    """Whether what has begun still comes fast enough.

    Only time spent waiting for the peer counts: our own slow disk is not the peer's fault.
    """

    def __init__(self, timing: Timing) -> None:
        self._window_s = timing.slow_window_s
        self._least = timing.slowest_bytes_s * timing.slow_window_s
        self._waited_s = 0.0
        self._bytes = 0

    def begin(self) -> None:
        """Start to measure anew."""
        self._waited_s, self._bytes = 0.0, 0

    def is_too_slow(self, received: int, waited_s: float) -> bool:
        """Count bytes and the wait for them; say whether the last whole window held too few."""
        self._bytes += received
        self._waited_s += waited_s
        if self._waited_s < self._window_s:
            return False
        slow = self._bytes < self._least
        self.begin()
        return slow


class Link:
    """Events from the peer, and bytes to it."""

    def __init__(
        self,
        sock: socket.socket,
        layer: UpperLayer,
        timing: Timing,
        *,
        buffers: Buffers,
        stop_fd: int | None = None,
    ) -> None:
        self.layer = layer
        self.timing = timing
        self._sock: socket.socket | Secured = sock
        self._is_given_up = False
        self._buffers = buffers
        self._small = memoryview(bytearray(SMALL_BYTES))
        self._large: memoryview | None = None
        self._pending: Iterator[Event] = iter(())
        self._pace = Pace(timing)
        self._outward = Pace(timing)
        self._is_given_up = False
        self._measured = False
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._stop_fd = stop_fd
        if stop_fd is not None:
            self._poll.register(stop_fd, select.POLLIN)
        _prepare(sock, timing)

    def secure(self, context: ssl.SSLContext, *, within_s: float, host: str | None = None) -> bool:
        """Speak TLS from now on, as its client when `host` is given; say whether it came about.

        A connection that is cut or that stops meanwhile is as good as one that failed.
        """
        deadline = time.monotonic() + within_s
        if not isinstance(self._sock, socket.socket):
            return False
        try:
            self._sock = Secured(
                self._sock,
                context,
                host=host,
                receive_s=self.timing.slow_window_s,
                send_s=self.timing.send_s,
            )
            while (wanted := self._sock.shake_hands()) is not None:
                self._poll.modify(self._sock, wanted)
                ready = self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
                if not ready or ready[0][0] == self._stop_fd:
                    return False
        except OSError:  # among them ssl.SSLError: no common version or suite, no good certificate
            return False
        self._poll.modify(self._sock, select.POLLIN)
        return True

    @property
    def certificate(self) -> Certificate | None:
        """The peer's certificate, when the connection is TLS and the peer showed one."""
        return self._sock.certificate() if isinstance(self._sock, Secured) else None

    @property
    def is_secured(self) -> bool:
        """Whether the connection is TLS."""
        return isinstance(self._sock, Secured)

    def event(self, *, within_s: float) -> Event | Disconnected | Silence | Stopping:
        """Wait for the next event while nothing is under way."""
        deadline = time.monotonic() + within_s
        while True:
            if (event := next(self._pending, None)) is not None:
                return event
            if (ended := self._await_bytes(deadline)) is not None:
                return ended
            if (gone := self._receive(self._small)) is not None:
                return gone

    def flowing(self, *, large: bool) -> Event | Disconnected | Silence:
        """Wait for the next event of a message that has begun: it must come at a decent pace."""
        while True:
            if (event := next(self._pending, None)) is not None:
                return event
            if not self._measured:
                self._pace.begin()
                self._measured = True
            if (gone := self._receive(self._buffer(large=large))) is not None:
                return gone

    def answer(self, *, within_s: float) -> Event | Disconnected | Silence:
        """Wait for the peer's next word while it works on what we asked; it may take its time."""
        deadline = time.monotonic() + within_s
        self._measured = False
        while True:
            if (event := next(self._pending, None)) is not None:
                return event
            gone = self._receive(self._buffer(large=False))
            if isinstance(gone, Disconnected) or (gone and time.monotonic() >= deadline):
                return gone

    def glance(self) -> Event | Disconnected | None:
        """Return an event that is there already; do not wait."""
        while True:
            if (event := next(self._pending, None)) is not None:
                return event
            got = self._receive(self._small, socket.MSG_DONTWAIT)
            if isinstance(got, Disconnected):
                return got
            if got is not None:
                return None

    def at_rest(self) -> None:
        """Say that no message is under way: the pace is measured anew with the next one."""
        self._measured = False

    def ignore_stop(self) -> None:
        """Wait for the peer alone from now on."""
        if self._stop_fd is not None:
            self._poll.unregister(self._stop_fd)
            self._stop_fd = None

    def release(self, *, within_s: float) -> None:
        """End an open association and wait for the peer's answer; data on its way is dropped."""
        deadline = time.monotonic() + within_s
        self.layer.release()
        while True:
            event = self.event(within_s=deadline - time.monotonic())
            if isinstance(event, (ReleaseRequested, Released)):
                if self.layer.state in (State.COLLIDED_ASKED, State.COLLIDED_AGREED):
                    self.layer.agree_to_release()
                if self.layer.state in (State.CLOSING, State.CLOSED):
                    return
            elif not isinstance(event, Fragment) or time.monotonic() >= deadline:
                return

    def send(self, data: bytes) -> None:
        """Send all of it. Raises `ConnectionError` when the peer is gone or takes nothing."""
        self.send_parts([data])

    def _give_up(self) -> None:
        # a PDU was cut off: nothing that follows could be read, nor should the system keep the rest
        self.layer.data_to_send()
        self._is_given_up = True
        with contextlib.suppress(OSError):  # it is gone for good
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def send_parts(self, parts: list[bytes | memoryview]) -> None:
        """Send several pieces without joining them. Raises `ConnectionError`."""
        for at in range(0, len(parts), _MOST_PARTS):
            left = parts[at : at + _MOST_PARTS]
            while left := self._sent_of(left):
                pass

    def _sent_of(self, parts: list[bytes | memoryview]) -> list[bytes | memoryview]:
        """Send once; return what is left."""
        asked = time.monotonic()
        try:
            sent = self._sock.sendmsg(parts)
        except OSError as exc:  # SO_SNDTIMEO as well: nothing was taken for a long time
            self._give_up()
            raise ConnectionAbortedError("The peer is gone.") from exc
        if self._outward.is_too_slow(sent, time.monotonic() - asked):
            self._give_up()
            raise ConnectionAbortedError("The peer takes too little at a time.")
        for number, part in enumerate(parts):
            if sent < len(part):
                return [memoryview(part)[sent:], *parts[number + 1 :]]
            sent -= len(part)
        return []

    def flush(self) -> None:
        """Send what the Upper Layer wants sent. Raises `ConnectionError`."""
        if data := self.layer.data_to_send():
            self.send(data)

    def close(self, *, linger_s: float = 0.0) -> None:
        """End the connection; the peer may close it first, so that it reads our last word."""
        with contextlib.suppress(OSError):  # the peer was faster: closed is what we want
            if not self._is_given_up:
                self.flush()
                if linger_s > 0 and self.layer.artim_runs:
                    self._linger(linger_s)
        self._sock.close()
        self._buffer(large=False)

    def _linger(self, linger_s: float) -> None:
        deadline = time.monotonic() + linger_s
        if not self.layer.is_lost:
            self._drain(min(deadline, time.monotonic() + _LAST_WORDS_S))
        if self.layer.artim_runs:
            self._sock.shutdown(socket.SHUT_WR)
            self._drain(deadline)
            self.layer.expired()

    def _drain(self, until: float) -> None:
        """Read until the peer aborts or closes the connection (PS3.8 Sta13), or time is over."""
        while self.layer.artim_runs and time.monotonic() < until:
            self._say_again()
            if self._await_bytes(until) is not None:
                return
            count = self._sock.recv_into(self._small)
            if not count:
                self.layer.disconnected()
            for _ in self.layer.receive(self._small[:count]):
                pass  # an association that is over has no events

    def _say_again(self) -> None:
        """Abort whoever speaks still (AA-7), unless that meant waiting: many read nothing now."""
        data = self.layer.data_to_send()
        if not data:
            return
        outward = select.poll()
        outward.register(self._sock, select.POLLOUT)
        if outward.poll(0):
            self.send(data[:_ABORT_BYTES])

    def hang_up(self) -> None:
        """Cut the connection from another thread: the link's own thread sees `Disconnected`."""
        with contextlib.suppress(OSError):  # it ended by itself meanwhile
            self._sock.shutdown(socket.SHUT_RDWR)

    def _await_bytes(self, deadline: float) -> Disconnected | Silence | Stopping | None:
        try:
            self.flush()
        except ConnectionError:
            return Disconnected()
        if isinstance(self._sock, Secured) and self._sock.pending():
            return None
        left = max(0.0, deadline - time.monotonic())
        ready = self._poll.poll(left * 1000)
        if not ready:
            return Silence()
        if len(ready) == 1 and ready[0][0] == self._stop_fd:
            return Stopping()
        return None

    def _buffer(self, *, large: bool) -> memoryview:
        if large:
            self._large = self._large or self._buffers.lend()
            return self._large
        if self._large is not None:
            self._buffers.give_back(self._large)
            self._large = None
        return self._small

    def _receive(self, buffer: memoryview, flags: int = 0) -> Disconnected | Silence | None:
        asked = time.monotonic()
        try:
            count = self._sock.recv_into(buffer, 0, flags)
        except BlockingIOError:
            return Silence()  # SO_RCVTIMEO, or nothing there
        except OSError:
            count = 0
        if not count:
            self.layer.disconnected()
            return Disconnected()
        if _QUICKACK is not None:
            # else DCMTK's Nagle and our delayed ACK wait for each other; the kernel forgets it
            self._sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        if self._measured and self._pace.is_too_slow(count, time.monotonic() - asked):
            return Silence()
        self._pending = self.layer.receive(buffer[:count])
        return None


def _prepare(sock: socket.socket, timing: Timing) -> None:
    sock.setblocking(True)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # kernel timers instead of socket.settimeout: no poll() before each recv() of a data set
    for option, seconds in (
        (socket.SO_RCVTIMEO, timing.slow_window_s),
        (socket.SO_SNDTIMEO, timing.send_s),
    ):
        whole = int(seconds)
        value = struct.pack("@ll", whole, max(1, int((seconds - whole) * 1e6)))
        sock.setsockopt(socket.SOL_SOCKET, option, value)
