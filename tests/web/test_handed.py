"""Connections the supervisor accepted: served as others are, and their ends told."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from vna.config import Http
from vna.crypto import certificates
from vna.web import server


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


@dataclass(slots=True)
class Supervisor:
    """The other end of a server's control socket."""

    control: socket.socket

    def connect(self) -> socket.socket:
        """Make a connection and hand its far end over; give the near one."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname(), 10)
            theirs, _ = listener.accept()
        with theirs:
            socket.send_fds(self.control, [b"c"], [theirs.fileno()])
        self.hears(b"t")
        return ours

    def hears(self, *told: bytes) -> None:
        """Wait until a connection was taken, or one or more have ended; and nothing else."""
        for one in told:
            assert self.control.recv(1) == one


@contextlib.contextmanager
def serving(tls: tuple[Path, Path] | None = None) -> Iterator[Supervisor]:
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    stop = threading.Event()
    named = {"stop": stop, "tls": tls}
    thread = threading.Thread(target=server.run, args=(app, Http(), theirs), kwargs=named)
    thread.start()
    try:
        with ours:
            yield Supervisor(ours)
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with serving() as found:
        yield found


def asked(sock: socket.socket) -> bytes:
    """Ask once over a connection that stays open."""
    conn = http.client.HTTPConnection("anywhere")
    conn.sock = sock
    conn.request("GET", "/")
    answer = conn.getresponse()
    assert answer.status == 200
    return answer.read()


def test_connections_are_served_and_their_ends_told(supervisor: Supervisor) -> None:
    with contextlib.ExitStack() as closing:
        socks = [closing.enter_context(supervisor.connect()) for _ in range(3)]
        for _ in range(2):
            assert [asked(sock) for sock in socks] == [b"hello"] * 3
        supervisor.control.setblocking(False)
        with pytest.raises(BlockingIOError):
            supervisor.control.recv(1)
        supervisor.control.settimeout(10)
    supervisor.hears(b"e", b"e", b"e")


def test_under_tls_too_and_who_does_not_speak_it_is_counted_out(tmp_path: Path) -> None:
    files = tmp_path / "server.crt", tmp_path / "server.key"
    certificates.make(*files, ["127.0.0.1"])
    trusting = ssl.create_default_context(cafile=files[0])
    with serving(files) as supervisor:
        with trusting.wrap_socket(supervisor.connect(), server_hostname="127.0.0.1") as sock:
            assert asked(sock) == b"hello"
        supervisor.hears(b"e")
        with supervisor.connect() as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            supervisor.hears(b"e")
        supervisor.connect().close()
        supervisor.hears(b"e")


def test_one_that_is_not_let_in_has_ended_as_well() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    stop = threading.Event()
    limits = Http(connections_per_address=1)
    run = threading.Thread(target=server.run, args=(app, limits, theirs), kwargs={"stop": stop})
    run.start()
    try:
        supervisor = Supervisor(ours)
        with ours, supervisor.connect() as first:
            assert asked(first) == b"hello"
            with supervisor.connect() as second:
                assert second.recv(64).startswith(b"HTTP/1.1 503")
            supervisor.hears(b"e")
    finally:
        stop.set()
        run.join(30)


def test_one_that_no_descriptor_was_left_for_has_ended_as_well(supervisor: Supervisor) -> None:
    """The kernel lets go of it on the way; counted on, its worker would be given ever fewer."""
    supervisor.control.sendall(b"c")
    supervisor.hears(b"t", b"e")
    with supervisor.connect() as sock:
        assert asked(sock) == b"hello"


def test_it_ends_when_the_supervisor_has_gone(supervisor: Supervisor) -> None:
    with supervisor.connect() as sock:
        assert asked(sock) == b"hello"
        supervisor.control.close()
        assert asked(sock) == b"hello"  # what is there is served to its end


def test_nothing_told_is_lost_while_the_supervisor_is_busy(supervisor: Supervisor) -> None:
    """More than the socket between them holds, of a byte each."""
    count = 600
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(count):
            with socket.create_connection(listener.getsockname(), 10):
                theirs, _ = listener.accept()
                with theirs:
                    supervisor.control.settimeout(10)
                    socket.send_fds(supervisor.control, [b"c"], [theirs.fileno()])
    told = b""
    while len(told) < 2 * count:
        told += supervisor.control.recv(65536)
    assert (told.count(b"t"), told.count(b"e")) == (count, count)
