"""Long bodies past the event loop: slow clients, clients that leave, and many at once."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import TestPostgres
from tests.factories import Instance, ct_of_bytes
from tests.web.conftest import Site, serving
from vna.web.threads import STREAM_THREADS

SIZE = 24 << 20  # more than all the buffers between two processes


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An archive that gives a silent client up soon, with one large instance."""
    settings = {"http": {"body_idle_s": 1.0}}
    with serving(postgres, tmp_path_factory.mktemp("archive"), **settings) as found:
        assert found.store(LARGE.part10()).status_code == 200
        yield found


LARGE: Instance = ct_of_bytes(SIZE)


def begun(site: Site, accept: str = "application/dicom", buffer: int = 0) -> socket.socket:
    """Ask for the large instance and read nothing yet."""
    sock = socket.socket()
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.settimeout(30)
    sock.connect(("127.0.0.1", site.address.port))
    path = f"/studies/{LARGE.study}/series/{LARGE.series}/instances/{LARGE.instance}"
    sock.sendall(
        f"GET /dicom-web{path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n".encode()
    )
    return sock


def rest(sock: socket.socket, step: int = 1 << 20) -> bytes:
    """Read what comes until a whole answer is there or the connection ends."""
    received = bytearray()
    need = -1
    while need < 0 or len(received) < need:
        piece = sock.recv(step)
        if not piece:
            break
        received += piece
        if need < 0 and b"\r\n\r\n" in received:
            head = bytes(received).partition(b"\r\n\r\n")[0]
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            need = len(head) + 4 + int(length)
    return bytes(received).partition(b"\r\n\r\n")[2]


def test_a_client_that_reads_in_small_bites_gets_everything(site: Site) -> None:
    with begun(site, buffer=1 << 15) as sock:
        assert rest(sock, 1 << 14) == LARGE.part10()


def test_the_connection_serves_the_next_request(site: Site) -> None:
    with begun(site) as sock:
        assert rest(sock) == LARGE.part10()
        sock.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_requests_sent_ahead_are_answered_in_turn(site: Site) -> None:
    with begun(site) as sock:
        sock.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert rest(sock).startswith(LARGE.part10())


def test_a_client_that_reads_nothing_is_cut_off(site: Site) -> None:
    with begun(site, buffer=1 << 14) as sock:
        poll = select.poll()
        poll.register(sock, select.POLLERR | select.POLLHUP)
        assert poll.poll(20_000)
        with pytest.raises(ConnectionResetError):
            rest(sock)


def test_a_client_that_leaves_frees_its_thread(site: Site) -> None:
    for _ in range(STREAM_THREADS + 4):
        with begun(site) as sock:
            assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200")
    with begun(site) as sock:
        assert rest(sock) == LARGE.part10()


def test_more_clients_than_threads_are_all_served(site: Site) -> None:
    def fetch(_: int) -> bool:
        with begun(site) as sock:
            return rest(sock) == LARGE.part10()

    with ThreadPoolExecutor(8) as clients:
        assert all(clients.map(fetch, range(16)))
