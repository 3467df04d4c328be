"""Connections that were accepted by the supervisor: each comes as a descriptor, over one socket.

Stands in for a server that listens itself (see `vna.cli.spread`, which is the other end).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)


class Counted(Protocol):
    """A protocol of asyncio that says when its connection has ended."""

    ended: Callable[[], None]
    transport: asyncio.Transport | None  # None until it is connected


class Handed:
    """The connections of one worker, from the supervisor's control socket."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make: Callable[[], asyncio.BaseProtocol],
        control: socket.socket,
        *,
        tls: ssl.SSLContext | None,
        handshake_s: float | None,
    ) -> None:
        """`make` makes a protocol that is `Counted`, too."""
        self._loop = loop
        self._make = make
        self._control = control
        self._tls = tls
        self._handshake_s = handshake_s
        self._untold = bytearray()
        self._begun: set[asyncio.Task[None]] = set()
        control.setblocking(False)
        loop.add_reader(control.fileno(), self._take)

    def close(self) -> None:
        """Take no more connections."""
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control.fileno())
            self._loop.remove_writer(self._control.fileno())

    async def wait_closed(self) -> None:
        """Wait for connections that are just beginning: those that have begun are counted."""
        if self._begun:
            await asyncio.wait(self._begun)

    def _take(self) -> None:
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self._control, 1, 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            if not data:
                self.close()  # the supervisor is gone, and this process goes with it
                return
            self._tell(b"t")
            if not fds:  # no descriptor was left for it: the kernel closed it
                self._tell_end()
            for fd in fds:
                task = self._loop.create_task(self._begin(socket.socket(fileno=fd)))
                self._begun.add(task)
                task.add_done_callback(self._begun.discard)

    async def _begin(self, sock: socket.socket) -> None:
        made: list[Counted] = []

        def make() -> asyncio.BaseProtocol:
            protocol = self._make()
            protocol.ended = self._tell_end  # type: ignore[attr-defined]  # see __init__
            made.append(protocol)  # type: ignore[arg-type]  # the same
            return protocol

        try:
            await self._loop.connect_accepted_socket(
                make, sock, ssl=self._tls, ssl_handshake_timeout=self._handshake_s
            )
        except Exception as exc:  # a client that does not speak TLS, mostly
            log.debug("connection not begun", extra={"why": type(exc).__name__})
            if not made or made[0].transport is None:  # else it says itself that it ended
                self._tell_end()
            sock.close()

    def _tell_end(self) -> None:
        self._tell(b"e")

    def _tell(self, what: bytes) -> None:
        """Tell now or, while the supervisor is busy, later: what is lost it would miscount."""
        self._untold += what
        if len(self._untold) == len(what):
            self._send()

    def _send(self) -> None:
        try:
            del self._untold[: self._control.send(self._untold)]
        except BlockingIOError:
            pass
        except OSError:
            self._untold.clear()  # the supervisor no longer counts
            return
        if self._untold:
            self._loop.add_writer(self._control.fileno(), self._send)
        else:
            self._loop.remove_writer(self._control.fileno())
