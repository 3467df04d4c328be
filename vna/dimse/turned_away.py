"""Connections over a limit: each is told so and closed within a second, at no worker's cost.

The rejection goes out when the request begins to arrive, or when the time is over. Then the peer
gets a moment to close first: a connection closed with unread bytes is reset, and the peer would
lose what it was told.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from vna.dimse.upper_layer import Rejected, encode_reject

_TELL_S = 0.8
_CLOSE_S = 0.8
_MOST = 256  # more at once are closed without a word


@dataclass(slots=True)
class _Guest:
    sock: socket.socket
    rejected: Rejected
    until: float
    told: bool = False


class TurnedAway:
    """Works inside the supervisor's selector: sockets are registered with `self.ready` as data."""

    def __init__(
        self, selector: selectors.BaseSelector, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._selector = selector
        self._clock = clock
        self._guests: dict[socket.socket, _Guest] = {}

    def __len__(self) -> int:
        """Count those still here."""
        return len(self._guests)

    def add(self, sock: socket.socket, rejected: Rejected) -> None:
        """Turn a connection away; it is ours from now on."""
        if len(self._guests) >= _MOST:
            sock.close()
            return
        sock.setblocking(False)
        self._guests[sock] = _Guest(sock, rejected, self._clock() + _TELL_S)
        self._selector.register(sock, selectors.EVENT_READ, self.ready)

    def ready(self, sock: socket.socket) -> None:
        """Read what came; it is not looked at."""
        guest = self._guests[sock]
        try:
            gone = not sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        if gone:
            self._leave(guest)
        elif not guest.told:
            self._tell(guest)

    def next_s(self) -> float | None:
        """Return the seconds until `tick` has something to do; None when there is nobody."""
        if not self._guests:
            return None
        return max(0.0, min(g.until for g in self._guests.values()) - self._clock())

    def tick(self) -> None:
        """Tell or close those whose time is over."""
        now = self._clock()
        for guest in [g for g in self._guests.values() if g.until <= now]:
            if guest.told:
                self._leave(guest)
            else:
                self._tell(guest)

    def close(self) -> None:
        """Close them all."""
        for guest in list(self._guests.values()):
            self._leave(guest)

    def _tell(self, guest: _Guest) -> None:
        try:
            guest.sock.send(encode_reject(guest.rejected))
            guest.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._leave(guest)
            return
        guest.told = True
        guest.until = self._clock() + _CLOSE_S

    def _leave(self, guest: _Guest) -> None:
        self._selector.unregister(guest.sock)
        del self._guests[guest.sock]
        guest.sock.close()
