"""Servers of the web room on free ports, and a raw socket to speak to them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from starlette.types import ASGIApp

from vna.config import Http
from vna.web import server


@dataclass(frozen=True, slots=True)
class Address:
    """Where a test's server listens."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, timeout_s: float = 20.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)


@contextlib.contextmanager
def running(app: ASGIApp, limits: Http | None = None) -> Iterator[Address]:
    """Serve an application while the test runs."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    address = Address(sock.getsockname()[1])
    stop = threading.Event()
    thread = threading.Thread(
        target=server.run, args=(app, limits or Http(), sock), kwargs={"stop": stop}
    )
    thread.start()
    try:
        yield address
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
