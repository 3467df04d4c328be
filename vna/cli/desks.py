"""A desk for each process that serves guests: made by the supervisor, kept by the upkeep process.

    supervisor -> upkeep   a number, with the archive's end of a pair of sockets
    upkeep -> supervisor   the number of a desk that is over

No two processes share a pair: what one that was taken over does to its end (an empty message, a
shutdown, a copy left with somebody else) meets none after it. Who lost the desk can do nothing for
guests any more, whether it ended it or not, and is ended itself, to be begun anew with another.
"""

from __future__ import annotations

import logging
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

from vna.cli.desk_talk import pair

_NUMBER = struct.Struct(">Q")
_LOOK_S = 0.5

logger = logging.getLogger(__name__)

Ready = Callable[[socket.socket], None]


class Desks:
    """The supervisor's side. Not for threads."""

    def __init__(
        self,
        *,
        watch: Callable[[socket.socket, Ready], None],
        unwatch: Callable[[socket.socket], None],
        lost: Callable[[str], None],
    ) -> None:
        """`lost` is told which child has no desk any more."""
        self._watch, self._unwatch, self._lost = watch, unwatch, lost
        self._made = 0
        self._open: dict[str, tuple[int, socket.socket]] = {}
        self._upkeep: socket.socket | None = None

    def for_guests(self, child: str) -> socket.socket:
        """Make the desk of a child that is about to begin; returns its end, the only one."""
        ours, theirs = pair()
        self._close(child)
        self._made += 1
        self._open[child] = self._made, ours
        self._hand_over(self._made, ours)
        return theirs

    def for_upkeep(self) -> socket.socket:
        """Return the end of who keeps all desks from now on: those there are lie in it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._drop()
        self._upkeep = ours
        self._watch(ours, self._hear)
        for number, sock in self._open.values():
            self._hand_over(number, sock)
        return theirs

    def leave_behind(self) -> None:
        """Close it in a child just forked; what is watched is closed by who watches."""
        for _, sock in self._open.values():
            sock.close()

    def _hand_over(self, number: int, sock: socket.socket) -> None:
        if self._upkeep is not None:
            with suppress(OSError):  # gone, or stuck: who is not answered at the desk begins anew
                socket.send_fds(self._upkeep, [_NUMBER.pack(number)], [sock.fileno()])

    def _hear(self, control: socket.socket) -> None:
        if control is not self._upkeep:
            return  # dropped since the selector looked
        try:
            said = control.recv(_NUMBER.size)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self._drop()
            return
        (over,) = _NUMBER.unpack(said)
        for child in [child for child, (number, _) in self._open.items() if number == over]:
            self._close(child)
            self._lost(child)

    def _close(self, child: str) -> None:
        if child in self._open:
            self._open.pop(child)[1].close()

    def _drop(self) -> None:
        if self._upkeep is not None:
            self._unwatch(self._upkeep)
            self._upkeep.close()
            self._upkeep = None


def keep(
    control: socket.socket,
    answer: Callable[[socket.socket, threading.Event], None],
    stop: threading.Event,
    *,
    grace_s: float,
) -> None:
    """Have each desk that is handed over answered by a thread of its own, until told to stop."""
    control.settimeout(_LOOK_S)
    clerks: list[threading.Thread] = []
    with control:
        while not stop.is_set():
            try:
                said, handles, _, _ = socket.recv_fds(control, _NUMBER.size, 1)
            except TimeoutError:
                continue
            if not said:
                break  # the supervisor is gone
            clerks = [one for one in clerks if one.is_alive()]
            if not handles:  # no descriptor was left for it: the kernel closed it
                _tell(control, said)
            for handle in handles:
                given = (control, said, socket.socket(fileno=handle), answer, stop)
                clerk = threading.Thread(target=_attend, args=given, name="desk", daemon=True)
                clerk.start()
                clerks.append(clerk)
        for one in clerks:
            one.join(grace_s)


def _attend(
    control: socket.socket,
    number: bytes,
    sock: socket.socket,
    answer: Callable[[socket.socket, threading.Event], None],
    stop: threading.Event,
) -> None:
    try:
        with sock:
            answer(sock, stop)
    except Exception:
        logger.exception("a desk ended")
    finally:
        if not stop.is_set():  # else it is we who go, and who comes next keeps it
            _tell(control, number)


def _tell(control: socket.socket, number: bytes) -> None:
    """Say that this desk is over."""
    with suppress(OSError):  # who would be told is gone
        control.send(number)
