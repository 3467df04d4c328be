"""Long bodies past the event loop: whole, in pieces, with pauses, left, and what follows them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from tests.conftest import TestPostgres
from tests.dimse.edge import wait_for
from tests.factories import ct, ct_of_bytes
from tests.web.conftest import Address, Site, body_of, running, serving
from tests.web.test_protocol import get, read, refused, statuses
from vna.config import Http
from vna.crypto import certificates
from vna.web import inward
from vna.web.inward import EXTENSION, WORTH_BYTES, Body, Inward
from vna.web.multipart import multipart_type
from vna.web.threads import Pool

WINDOW = 1 << 18  # what the loop reads at once
QUICK = dataclasses.replace(Http(), body_idle_s=0.3, slowest_bytes_s=2)
POOL = Pool(4, "test")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell the digest of the body, how many bytes of it a thread read, and in how many turns.

    /first takes but one piece of it, /fail raises behind the first.
    """
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    digest, count = hashlib.sha256(), 0

    def work(body: Body) -> int:
        nonlocal count
        for piece in body:
            digest.update(piece)
            count += len(piece)
            if scope["path"] == "/first":
                break
            if scope["path"] == "/fail":
                raise ValueError
        return body.left

    way: Inward | None = scope["extensions"].get(EXTENSION)
    left, is_prompt = -1, True
    status, turns = 200, 0
    try:
        while left and is_prompt and way and (done := await way.read(work, POOL)) is not None:
            left, is_prompt = done
            turns += 1
            if scope["path"] == "/first":
                left = 0
    except ValueError:
        left, status = 0, 400
    while left:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        digest.update(message.get("body", b""))
        if not message.get("more_body", False):
            break
    content = f"{digest.hexdigest()} {count} {turns}".encode()
    fields = [(b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": content})


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    with running(app) as where:
        yield where


@pytest.fixture(scope="module")
def quick() -> Iterator[Address]:
    with running(app, QUICK) as where:
        yield where


def head(size: int, path: str = "/", extra: str = "") -> bytes:
    text = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n{extra}\r\n"
    return text.encode()


def content(size: int) -> bytes:
    return hashlib.shake_128(b"%d" % size).digest(size)


def require_whole(answer: tuple[int, dict[str, str], bytes], body: bytes) -> int:
    """The answer names the digest of the body; give what a thread read of it."""
    return told(answer, body)[0]


def told(answer: tuple[int, dict[str, str], bytes], body: bytes) -> tuple[int, int]:
    """Give what a thread read of the body, and in how many turns."""
    status, _, content = answer
    digest, count, turns = content.decode().split()
    assert (status, digest) == (200, hashlib.sha256(body).hexdigest())
    return int(count), int(turns)


@pytest.mark.parametrize(
    "size", [1, WORTH_BYTES - 1, WORTH_BYTES, WINDOW, WINDOW + WORTH_BYTES - 1, 3 << 20]
)
def test_a_body_of_any_size_arrives_whole_and_so_does_what_follows(
    address: Address, size: int
) -> None:
    body = content(size)
    with address.connect() as sock:
        for _ in range(2):
            sock.sendall(head(size) + body)
            require_whole(read(sock), body)
        sock.sendall(get())
        require_whole(read(sock), b"")


def test_a_thread_reads_what_the_loop_has_not(address: Address) -> None:
    body = content(3 << 20)
    with address.connect() as sock:
        sock.sendall(head(len(body)))
        sock.sendall(body)
        assert require_whole(read(sock), body) == len(body)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 700_000), max_size=5), behind=st.integers(0, 3))
def test_pieces_and_pauses_lose_nothing(address: Address, cuts: list[int], behind: int) -> None:
    """A client pauses wherever it likes: a thread waits for a moment, then the loop does."""
    body = content(700_000)
    last = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    whole = head(len(body)) + body + get() * behind + last
    edges = [0, *sorted(cuts), len(whole)]
    with address.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for begin, end in pairwise(edges):
            sock.sendall(whole[begin:end])
            sock.settimeout(inward._PATIENCE_MS / 500)
            with contextlib.suppress(TimeoutError):
                assert end == len(whole) or not sock.recv(1, socket.MSG_PEEK)
            sock.settimeout(20)
        answers = b"".join(iter(lambda: sock.recv(65536), b""))
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answers) == [b"200"] * (behind + 2)
    found = [one.decode() for one in re.findall(rb"\r\n\r\n([0-9a-f]{64}) ", answers)]
    assert found == [hashlib.sha256(one).hexdigest() for one in (body, *[b""] * (behind + 1))]


def test_requests_behind_a_long_body_are_answered_in_turn(address: Address) -> None:
    body = content(1 << 20)
    with address.connect() as sock:
        sock.sendall((head(len(body)) + body) * 3)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert statuses(sock) == [200] * 4


def test_a_turn_ends_and_another_follows(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inward, "_TURN_BYTES", 1 << 19)
    body = content(5 << 20)
    with address.connect() as sock:
        sock.sendall(head(len(body)) + body)
        count, turns = told(read(sock), body)
        assert turns >= count >> 20 > 0


def test_a_small_request_behind_a_long_one_is_not_kept_waiting(quick: Address) -> None:
    """The socket wakes whoever reads at every byte again."""
    body = content(1 << 20)
    with quick.connect() as sock:
        sock.sendall(head(len(body)) + body)
        require_whole(read(sock), body)
        for _ in range(3):
            sock.sendall(get())
            require_whole(read(sock), b"")


@pytest.mark.parametrize("path", ["/first", "/fail"])
def test_the_rest_of_a_short_body_is_dropped_and_the_connection_kept(
    address: Address, path: str
) -> None:
    body = content(1 << 20)
    with address.connect() as sock:
        for _ in range(2):
            sock.sendall(head(len(body), path) + body)
            status, headers, _ = read(sock)
            assert status == (400 if path == "/fail" else 200)
            assert "connection" not in headers
        sock.sendall(get())
        require_whole(read(sock), b"")


def test_the_rest_of_a_long_body_ends_the_connection(address: Address) -> None:
    with address.connect() as sock:
        sock.sendall(head(9 << 20, "/first"))
        with contextlib.suppress(ConnectionError):
            for _ in range(8):
                sock.sendall(bytes(1 << 20))
        status, headers, _ = read(sock)
        assert (status, headers["connection"]) == (200, "close")
        assert sock.recv(1) == b""


def test_silence_in_a_body_that_a_thread_reads_is_408(quick: Address) -> None:
    with quick.connect() as sock:
        sock.sendall(head(4 << 20))
        sock.sendall(content(1 << 20))
        assert "seconds" in str(refused(sock, 408)["message"])


def test_a_trickle_behind_a_long_beginning_is_given_up() -> None:
    slow = dataclasses.replace(Http(), body_idle_s=0.5, slowest_bytes_s=10_000)
    with running(app, slow) as where, where.connect(0.05) as sock:
        sock.sendall(head(4 << 20) + content(1 << 20))
        answer = b""
        while not answer:
            sock.sendall(b"x")
            with contextlib.suppress(TimeoutError):  # nothing yet: the next byte
                answer = sock.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [0, 1, WORTH_BYTES, 1 << 20])
def test_a_client_that_leaves_harms_nobody(address: Address, sent: int) -> None:
    for _ in range(8):  # more than there are threads
        with address.connect() as sock:
            sock.sendall(head(4 << 20) + content(4 << 20)[:sent])
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    body = content(1 << 20)
    with address.connect() as sock:
        sock.sendall(head(len(body)) + body)
        require_whole(read(sock), body)


def test_whoever_waits_to_be_told_is_told_to_continue(address: Address) -> None:
    body = content(1 << 20)
    with address.connect() as sock:
        sock.sendall(head(len(body), extra="Expect: 100-continue\r\n"))
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert require_whole(read(sock), body) == len(body)


def test_more_clients_than_threads_are_all_served(address: Address) -> None:
    body = content(2 << 20)

    def send(_: int) -> None:
        with address.connect() as sock:
            sock.sendall(head(len(body)) + body)
            require_whole(read(sock), body)

    with ThreadPoolExecutor(12) as clients:
        assert len(list(clients.map(send, range(24)))) == 24


def test_a_chunked_body_comes_the_usual_way(address: Address) -> None:
    body = content(1 << 20)
    with address.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        sock.sendall(b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
        assert require_whole(read(sock), body) == 0


def test_under_tls_the_loop_reads(tmp_path: Path) -> None:
    files = tmp_path / "server.crt", tmp_path / "server.key"
    certificates.make(*files, ["127.0.0.1"])
    trusted = ssl.create_default_context(cafile=str(files[0]))
    body = content(2 << 20)
    with (
        running(app, tls=files) as where,
        where.connect() as plain,
        trusted.wrap_socket(plain, server_hostname="127.0.0.1") as sock,
    ):
        for _ in range(2):
            sock.sendall(head(len(body)) + body)
            assert require_whole(read(sock), body) == 0


# ---- stored through it ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("archive")) as found:
        yield found


def stow(study: int, size: int = 1 << 19) -> tuple[bytes, bytes]:
    """The head and the body of a request that stores four instances."""
    files = [ct_of_bytes(size, study=study, instance=number).part10() for number in range(1, 5)]
    body = body_of(*files)
    text = (
        "POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nAccept: application/dicom+json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Content-Type: {multipart_type('application/dicom', 'b')}\r\n\r\n"
    )
    return text.encode(), body


def stored(site: Site, study: int) -> int:
    answer = site.get(f"/instances?StudyInstanceUID={ct(study).study}", "application/dicom+json")
    return len(answer.json())


@pytest.mark.parametrize("pause_at", [None, 10, 1 << 19, -10])
def test_instances_are_stored_whenever_the_client_pauses(site: Site, pause_at: int | None) -> None:
    study = 300 + [None, 10, 1 << 19, -10].index(pause_at)
    start, body = stow(study)
    with site.address.connect() as sock:
        sock.sendall(start + body[:pause_at])
        if pause_at is not None:
            sock.settimeout(inward._PATIENCE_MS / 500)
            with pytest.raises(TimeoutError):
                sock.recv(1)
            sock.settimeout(20)
            sock.sendall(body[pause_at:])
        assert read(sock)[0] == 200
    assert stored(site, study) == 4


def test_what_was_whole_stays_when_the_client_leaves(site: Site) -> None:
    """Of four instances the fourth breaks off: it is not stored, and the archive goes on."""
    start, body = stow(310)
    with site.address.connect() as sock:
        sock.sendall(start + body[:-1000])
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    assert stored(site, 310) <= 3
    assert site.store(ct(311).part10()).status_code == 200


def test_a_body_that_is_refused_early_is_answered_and_the_next_is_stored(site: Site) -> None:
    start, body = stow(312, 1 << 17)
    before, _, behind = body.rpartition(b"\r\n--b\r\n")
    broken = before + b"\r\n--b??\r\n" + behind
    with site.address.connect() as sock:
        sock.sendall(start.replace(b"%d" % len(body), b"%d" % len(broken)) + broken)
        assert read(sock)[0] == 202  # those before it were whole
        sock.sendall(start + body)
        assert read(sock)[0] == 200
    assert stored(site, 312) == 4


def test_nothing_is_left_of_a_short_body_whose_client_pauses_and_leaves(site: Site) -> None:
    """A thread has read the beginning; the rest, which never comes, is waited for by the loop."""
    start, body = stow(313, 200_000)
    data = site.archive.settings.data
    with site.address.connect() as sock:
        sock.sendall(start + body[:-100_000])
        wait_for(lambda: any(data.rglob("*.part")))
        sock.settimeout(inward._PATIENCE_MS / 200)
        with pytest.raises(TimeoutError):
            sock.recv(1)
    wait_for(lambda: not any(data.rglob("*.part")))
