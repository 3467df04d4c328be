"""HTTP connections, each to the worker that has the fewest: accepted here, served there.

    supervisor -> worker   a byte, with the accepted socket
    worker -> supervisor   t for each connection it took, e for each that ended

What a worker had not taken when it died goes to another. One that has not taken a connection for a
while is stopped, or very busy: others are given what comes, while there are any. Listening sockets
of their own (SO_REUSEPORT) would spread connections by chance: of the four of a client all are with
one worker of two in one case of eight (docs/decisions/0015).
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from vna.dimse.accepting import BREATH_S, Exhausted, accepted
from vna.dimse.standstill import Lookout, Untaken
from vna.telemetry import HTTP_REFUSED

Ready = Callable[[socket.socket], None]


@dataclass(eq=False, slots=True)
class _Worker:
    control: socket.socket
    untaken: Untaken
    connections: int = 0
    given: deque[socket.socket] = field(default_factory=deque)  # what is not taken yet


class Spread:
    """One listening socket and those who serve what comes to it. Not for threads."""

    def __init__(
        self,
        listener: socket.socket,
        *,
        watch: Callable[[socket.socket, Ready], None],
        unwatch: Callable[[socket.socket], None],
    ) -> None:
        """`watch` has a function called while a socket can be read; the listener becomes ours."""
        self._listener = listener
        self._watch = watch
        self._unwatch = unwatch
        self._workers: list[_Worker] = []
        self._waiting: list[socket.socket] = []  # accepted just as the last worker had died
        self._is_listening = False
        self._resume_at: float | None = None  # accepting pauses until then
        self._lookout = Lookout("http")
        listener.setblocking(False)

    def add_worker(self, child: str = "") -> socket.socket:
        """Take in a worker; what is returned is its end, `vna.web.handed` reads it.

        `child` is what its process is called.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        self._workers.append(_Worker(ours, Untaken(child)))
        self._watch(ours, self._hear)
        waiting, self._waiting = self._waiting, []
        for sock in waiting:
            self._place(sock)
        self._listen()
        return theirs

    def tend(self) -> float | None:
        """Accept again after a pause, and tell who stands still; say in how many seconds to come
        again, if at all.
        """
        if self._listener.fileno() < 0:
            return None  # who is asked to end takes nothing more
        late_s = self._lookout.look(worker.untaken for worker in self._workers)
        if self._resume_at is None:
            return late_s
        left = self._resume_at - time.monotonic()
        if left > 0:
            return min(left, late_s or left)
        self._resume_at = None
        self._listen()
        return late_s

    def close(self) -> None:
        """Take no more connections: who comes now is refused."""
        self._pause()
        self.leave_behind()

    def leave_behind(self) -> None:
        """Close it in a child just forked; what is watched is closed by who watches."""
        self._listener.close()
        given = [sock for worker in self._workers for sock in worker.given]
        for sock in (*self._waiting, *given):
            sock.close()
        self._waiting.clear()
        for worker in self._workers:
            worker.given.clear()

    def _listen(self) -> None:
        is_open = self._listener.fileno() >= 0 and self._resume_at is None
        if is_open and self._workers and not self._is_listening:
            self._watch(self._listener, self._accept)
            self._is_listening = True

    def _pause(self) -> None:
        if self._is_listening:
            self._unwatch(self._listener)
            self._is_listening = False

    def _accept(self, listener: socket.socket) -> None:
        if not self._is_listening:
            return  # closed or paused since the selector looked
        try:
            for sock, _ in accepted(listener):
                self._place(sock)
                if not self._workers:
                    return  # who comes now waits for who is started next
        except Exhausted:
            self._pause()
            self._resume_at = time.monotonic() + BREATH_S

    def _place(self, sock: socket.socket) -> None:
        for worker in self._in_turn():
            try:
                socket.send_fds(worker.control, [b"c"], [sock.fileno()])
            except BlockingIOError:
                continue  # it has not taken hundreds yet
            except OSError:
                self._drop(worker)
                continue
            worker.connections += 1
            worker.given.append(sock)
            worker.untaken.give()
            return
        if self._workers:
            HTTP_REFUSED.labels("no-worker").inc()
            sock.close()
        else:
            self._waiting.append(sock)

    def _in_turn(self) -> list[_Worker]:
        """Give the workers, who has the fewest first, and those that take nothing last."""
        return sorted(self._workers, key=lambda w: (w.untaken.is_late(), w.connections))

    def _hear(self, control: socket.socket) -> None:
        worker = next((w for w in self._workers if w.control is control), None)
        if worker is None:
            return  # dropped since the selector looked
        try:
            data = control.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        worker.connections -= data.count(b"e")
        for _ in range(data.count(b"t")):
            worker.untaken.take()
            if worker.given:  # none are left after `close`
                worker.given.popleft().close()
        if not data:
            self._drop(worker)

    def _drop(self, worker: _Worker) -> None:
        if worker not in self._workers:
            return  # while what another had not taken was placed
        self._workers.remove(worker)
        self._unwatch(worker.control)
        worker.control.close()
        if not self._workers:
            self._pause()
        for sock in worker.given:
            self._place(sock)
