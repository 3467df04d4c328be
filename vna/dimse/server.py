"""The supervisor's half of the DIMSE edge: accept, count, and pass each connection to a worker.

Limits hold for all workers together, so they are kept here; SO_REUSEPORT would spread connections
by chance. A worker that dies takes its associations with it, and its places are free again. One
that does not take what it was handed is given nothing more while there are others.
"""

from __future__ import annotations

import functools
import ipaddress
import logging
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from vna.config import Settings, address
from vna.dimse.accepting import BREATH_S, Exhausted, accepted
from vna.dimse.admission import Admission
from vna.dimse.handoff import (
    ASK,
    CONNECTION,
    ENDED,
    NO,
    SECURED,
    TAKEN,
    YES,
    FromWorker,
    send_to_worker,
)
from vna.dimse.negotiate import CONGESTED, OVER_LIMIT
from vna.dimse.standstill import Lookout, Untaken
from vna.dimse.turned_away import TurnedAway
from vna.dimse.upper_layer import Rejected
from vna.telemetry import ASSOCIATIONS_REFUSED

log = logging.getLogger(__name__)

_BACKLOG = 512
_WORKER_S = 1  # a worker that does not take a nine-byte record in this time is given up


def listen(where: str) -> socket.socket:
    """Open the listening socket of `dicom.listen` (HOST:PORT; port 0 is any free one)."""
    host, port = address(where)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


@dataclass(eq=False, slots=True)
class _Worker:
    control: socket.socket
    untaken: Untaken
    records: FromWorker = field(default_factory=FromWorker)
    numbers: set[int] = field(default_factory=set)


class Acceptor:
    """Run it in a thread of the supervisor or as its main loop. It owns the sockets it is given."""

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        workers: Iterable[socket.socket] = (),
        *,
        plain: Iterable[socket.socket] = (),
        secured: Iterable[socket.socket] = (),
    ) -> None:
        """`plain` are further listeners, `secured` those whose connections speak TLS."""
        self._admission = Admission(settings.dicom)
        self._listeners = [(one, CONNECTION) for one in (listener, *plain)]
        self._listeners += [(one, SECURED) for one in secured]
        self._selector = selectors.DefaultSelector()
        self._turned_away = TurnedAway(self._selector)
        self._workers: list[_Worker] = []
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._new = [(control, "") for control in workers]
        self._lookout = Lookout("dimse")
        self._resume_at: float | None = None  # accepting pauses until then
        self._stop_at: float | None = None
        self._selector.register(self._wake_out, selectors.EVENT_READ, self._woken)
        self._listen()

    def __len__(self) -> int:
        """Count the open connections of all workers."""
        return len(self._admission)

    @property
    def wakeup_fd(self) -> int:
        """What `signal.set_wakeup_fd` wants, so that a signal ends the waiting in `run`."""
        return self._wake_in.fileno()

    def add_worker(self, control: socket.socket, child: str = "") -> None:
        """Take in a worker by the supervisor's end of `control_pair`; from any thread.

        `child` is what its process is called.
        """
        self._new.append((control, child))
        self._wake()

    def watch(self, sock: socket.socket, ready: Callable[[socket.socket], None]) -> None:
        """Have `ready` called while `run` finds something to read at a socket of somebody else."""
        self._selector.register(sock, selectors.EVENT_READ, ready)

    def unwatch(self, sock: socket.socket) -> None:
        """Look at it no more."""
        self._selector.unregister(sock)

    def leave_behind(self) -> None:
        """Close all of it in a child just forked: it stays the parent's.

        Nothing is unregistered, because the kernel's side of the selector is shared.
        """
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        for sock in (*(control for control, _ in self._new), self._wake_in):
            sock.close()
        self._selector.close()

    def stop(self, grace_s: float) -> None:
        """Stop accepting; end `run` when all workers have gone or after `grace_s`. Any thread."""
        self._stop_at = time.monotonic() + grace_s
        self._wake()

    def run(self, tend: Callable[[], float | None] = lambda: None) -> None:
        """Accept and hand over until stopped.

        `tend` is called in between, as the supervisor's own turn; it says in how many seconds it
        wants the next one at the latest.
        """
        late_s = None
        try:
            while not self._is_over():
                turn_s = tend()
                self._take_in()
                until = [s for s in (self._wait_s(), turn_s, late_s) if s is not None]
                for key, _ in self._selector.select(min(until, default=None)):
                    key.data(key.fileobj)
                self._turned_away.tick()
                self._breathe()
                # after what workers said, which may have waited while the supervisor was busy
                late_s = self._late_s()
        finally:
            self._close()

    def _late_s(self) -> float | None:
        if self._stop_at is not None:
            return None  # who is asked to end takes nothing more
        return self._lookout.look(worker.untaken for worker in self._workers)

    def _is_over(self) -> bool:
        if self._stop_at is None:
            return False
        return not self._workers or time.monotonic() >= self._stop_at

    def _wait_s(self) -> float | None:
        now = time.monotonic()
        until = [at - now for at in (self._resume_at, self._stop_at) if at is not None]
        if (next_s := self._turned_away.next_s()) is not None:
            until.append(next_s)
        return max(0.0, min(until)) if until else None

    def _wake(self) -> None:
        try:
            self._wake_in.send(b"w")
        except OSError:
            log.debug("acceptor has ended")

    def _woken(self, sock: socket.socket) -> None:
        sock.recv(4096)
        self._take_in()
        if self._stop_at is not None:
            self._pause()
            for listener, _ in self._listeners:
                listener.close()

    def _take_in(self) -> None:
        while self._new:
            control, child = self._new.pop()
            control.setblocking(True)
            option = struct.pack("@ll", _WORKER_S, 0)
            control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, option)
            self._workers.append(_Worker(control, Untaken(child)))
            self._selector.register(control, selectors.EVENT_READ, self._hear)

    def _listen(self) -> None:
        for listener, kind in self._listeners:
            listener.setblocking(False)
            accept = functools.partial(self._accept, kind)
            self._selector.register(listener, selectors.EVENT_READ, accept)

    def _pause(self) -> None:
        for listener, _ in self._listeners:
            # closed ones have no place to be looked for: a stopping supervisor is woken again, too
            if listener.fileno() >= 0 and listener in self._selector.get_map():
                self._selector.unregister(listener)

    def _breathe(self) -> None:
        if self._resume_at is None or time.monotonic() < self._resume_at:
            return
        self._resume_at = None
        if self._stop_at is None:
            self._listen()

    def _accept(self, kind: bytes, listener: socket.socket) -> None:
        if listener.fileno() < 0 or self._resume_at is not None:
            return  # closed or paused since the selector looked
        try:
            for sock, peer in accepted(listener):
                self._place(kind, sock, _plain(peer))
        except Exhausted:
            self._pause()
            self._resume_at = time.monotonic() + BREATH_S

    def _place(self, kind: bytes, sock: socket.socket, peer: str) -> None:
        number = self._admission.enter(peer)
        if number is None:
            ASSOCIATIONS_REFUSED.labels("limit").inc()
            self._turn_away(kind, sock, OVER_LIMIT)
        elif self._is_handed_over(kind, sock, number):
            sock.close()
        else:
            self._admission.leave(number)
            ASSOCIATIONS_REFUSED.labels("no-worker").inc()
            self._turn_away(kind, sock, CONGESTED)

    def _turn_away(self, kind: bytes, sock: socket.socket, why: Rejected) -> None:
        if kind == CONNECTION:
            self._turned_away.add(sock, why)
        else:  # the rejection would need a handshake, which is no work for the supervisor
            sock.close()

    def _is_handed_over(self, kind: bytes, sock: socket.socket, number: int) -> bool:
        for worker in sorted(self._workers, key=lambda w: (w.untaken.is_late(), len(w.numbers))):
            if self._is_told(worker, kind, number, sock):
                worker.numbers.add(number)
                worker.untaken.give()
                return True
        return False

    def _is_told(
        self, worker: _Worker, kind: bytes, number: int, sock: socket.socket | None = None
    ) -> bool:
        try:
            send_to_worker(worker.control, kind, number, sock)
        except OSError:
            self._drop(worker)
            return False
        return True

    def _hear(self, control: socket.socket) -> None:
        worker = next((w for w in self._workers if w.control is control), None)
        if worker is None:
            return  # dropped since the selector looked
        try:
            data = control.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._drop(worker)
            return
        for kind, number, title, most in worker.records.receive(data):
            if kind == TAKEN:
                worker.untaken.take()
            elif kind == ASK:
                may = self._admission.name(number, title, most)
                self._is_told(worker, YES if may else NO, number)
            elif kind == ENDED:
                worker.numbers.discard(number)
                self._admission.leave(number)

    def _drop(self, worker: _Worker) -> None:
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        self._selector.unregister(worker.control)
        worker.control.close()
        for number in worker.numbers:
            self._admission.leave(number)
        log.info("worker gone", extra={"associations": len(worker.numbers)})

    def _close(self) -> None:
        self._turned_away.close()
        for worker in list(self._workers):
            self._drop(worker)
        self._selector.close()
        for sock in (*(one for one, _ in self._listeners), self._wake_in, self._wake_out):
            sock.close()


def _plain(peer: str) -> str:
    # one peer is one address, also when it comes to an IPv6 listener over IPv4
    try:
        ip = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    return str(getattr(ip, "ipv4_mapped", None) or ip)
