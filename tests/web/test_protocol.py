"""The HTTP limits, over raw sockets: each at the limit and one past it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import re
import resource
import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from tests.web.conftest import Address, running
from vna.config import Http

LIMITS = Http()
QUICK = dataclasses.replace(
    LIMITS, header_s=0.3, body_idle_s=0.3, slowest_bytes_s=2, connections_per_address=8
)


POURED = threading.Event()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell how long the body was; /early answers without reading it, /pour sends a lot."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    size = 0
    while scope["path"] != "/early":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        if not message["more_body"]:
            break
    content = str(size).encode()
    start = {"type": "http.response.start", "status": 200, "headers": []}
    if scope["path"] == "/pour":
        await send(start)
        for _ in range(200):
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
        POURED.set()
        return
    await send({**start, "headers": [(b"content-length", str(len(content)).encode())]})
    await send({"type": "http.response.body", "body": content})


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    with running(app) as where:
        yield where


@pytest.fixture(scope="module")
def quick() -> Iterator[Address]:
    with running(app, QUICK) as where:
        yield where


def read(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer with Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        assert piece, "closed before an answer"
        data += piece
    head, _, content = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
    while len(content) < int(headers["content-length"]):
        content += sock.recv(65536)
    return int(lines[0].split()[1]), headers, content


def statuses(sock: socket.socket) -> list[int]:
    """Read all answers to the end of the connection; give their status codes in order."""
    data = b"".join(iter(lambda: sock.recv(65536), b""))
    return [int(one) for one in re.findall(rb"HTTP/1\.1 (\d+) ", data)]


def refused(sock: socket.socket, status: int) -> dict[str, object]:
    """Read a refusal: JSON that says why, then the end of the connection."""
    got, headers, content = read(sock)
    assert got == status
    assert headers["connection"] == "close"
    assert headers["content-type"] == "application/json"
    assert sock.recv(1) == b""
    said = json.loads(content)
    assert said["status"] == status
    assert isinstance(said["message"], str)
    assert said["message"].endswith((".", "again."))
    return dict(said)


def get(path: str = "/", extra: bytes = b"") -> bytes:
    return b"GET " + path.encode() + b" HTTP/1.1\r\nHost: a\r\n" + extra + b"\r\n"


def head_of(size: int) -> bytes:
    begin, end = b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"\r\n\r\n"
    return begin + b"x" * (size - len(begin) - len(end)) + end


@pytest.mark.parametrize("step", [1 << 20, 5000])
def test_header_fields_of_the_limit_are_taken_and_one_byte_more_is_431(
    address: Address, step: int
) -> None:
    with address.connect() as sock:
        for _ in range(2):  # the count begins anew with each request
            whole = head_of(LIMITS.header_bytes)
            for at in range(0, len(whole), step):
                sock.sendall(whole[at : at + step])
            assert read(sock)[0] == 200
        sock.sendall(head_of(LIMITS.header_bytes + 1))
        refused(sock, 431)


def test_many_small_header_fields_count_too(address: Address) -> None:
    with address.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 12_000)
        refused(sock, 431)


def test_the_request_line_of_the_limit_is_taken_and_one_byte_more_is_414(address: Address) -> None:
    room = LIMITS.request_line_bytes - len(b"GET  HTTP/1.1\r\n")
    with address.connect() as sock:
        sock.sendall(get("/" + "a" * (room - 1)))
        assert read(sock)[0] == 200
        sock.sendall(get("/" + "a" * room))
        refused(sock, 414)


def test_an_endless_request_line_is_refused_early(address: Address) -> None:
    with address.connect() as sock:
        sock.sendall(b"GET /" + b"a" * LIMITS.request_line_bytes)
        refused(sock, 414)


def test_a_hundred_mebibytes_of_header_fields_take_no_memory(address: Address) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with address.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nX: ")
        block = b"x" * (1 << 20)
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                sock.sendall(block)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10
    with address.connect() as sock:
        sock.sendall(get())
        assert read(sock)[0] == 200


def test_half_a_header_is_408_after_the_deadline(quick: Address) -> None:
    with quick.connect() as sock:
        begun = time.monotonic()
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        assert "header" in str(refused(sock, 408)["message"])
        assert QUICK.header_s / 2 <= time.monotonic() - begun < 5


def test_a_connection_that_says_nothing_is_408(quick: Address) -> None:
    with quick.connect() as sock:
        refused(sock, 408)


def test_drops_of_a_header_do_not_put_the_deadline_off(quick: Address) -> None:
    with quick.connect(0.05) as sock:
        begun = time.monotonic()
        sock.sendall(b"GET / HTTP/1.1\r\nX: ")
        while time.monotonic() - begun < 5:
            with contextlib.suppress(TimeoutError):
                if sock.recv(1):
                    break
            with contextlib.suppress(ConnectionError):
                sock.sendall(b"x")
        assert QUICK.header_s / 2 <= time.monotonic() - begun < 3


def test_half_a_second_header_on_a_kept_connection_is_408(quick: Address) -> None:
    with quick.connect() as sock:
        sock.sendall(get())
        assert read(sock)[0] == 200
        sock.sendall(b"GET / HT")
        refused(sock, 408)


def test_half_a_header_behind_a_sound_request_does_not_spoil_its_answer(quick: Address) -> None:
    with quick.connect() as sock:
        sock.sendall(get("/slow") + b"GET / HT")
        assert read(sock)[0] == 200
        assert sock.recv(1) == b""


@pytest.mark.parametrize("before", [1, 3])
def test_a_damaged_body_behind_sound_requests_is_refused_behind_their_answers(
    address: Address, before: int
) -> None:
    """Answers go out in the order of the requests (RFC 9112 9.3.2)."""
    damaged = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n"
    with address.connect() as sock:
        sock.sendall(get("/slow") + get() * (before - 1) + damaged)
        assert statuses(sock) == [200] * before + [400]


def test_silence_in_a_body_is_408(quick: Address) -> None:
    with quick.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        assert "seconds" in str(refused(sock, 408)["message"])


def test_a_slow_body_that_keeps_coming_is_taken(quick: Address) -> None:
    with quick.connect(0.1) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        for _ in range(5):
            with pytest.raises(TimeoutError):
                sock.recv(1)
            sock.sendall(b"x")
        sock.settimeout(5)
        assert read(sock)[2] == b"5"


def test_silence_while_the_server_is_not_reading_is_not_held_against_the_client(
    quick: Address,
) -> None:
    size = 1 << 20
    with quick.connect() as sock:
        sock.sendall(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        sock.sendall(bytes(size))
        assert read(sock)[2] == b"%d" % size


def test_a_client_that_reads_nothing_is_dropped(quick: Address) -> None:
    with quick.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(get("/pour"))
        assert POURED.wait(10)


@pytest.mark.parametrize(
    "tail", [b"0\r\nX: " + b"x" * 140_000, b"5;ext=" + b"x" * 140_000], ids=["trailer", "extension"]
)
def test_trailers_and_chunk_extensions_count_as_header_fields(
    address: Address, tail: bytes
) -> None:
    with address.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + tail)
        refused(sock, 431)


def test_a_large_chunked_body_is_taken(address: Address) -> None:
    with address.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            sock.sendall(b"%x\r\n" % 100_000 + bytes(100_000) + b"\r\n")
        sock.sendall(b"0\r\n\r\n")
        assert read(sock)[2] == b"2000000"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\nHost a\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_not_http_is_400(address: Address, request_bytes: bytes) -> None:
    with address.connect() as sock:
        sock.sendall(request_bytes)
        refused(sock, 400)


@pytest.mark.parametrize(
    ("codings", "status"),
    [(b"chunked", 200), (b"Chunked", 200), (b"gzip, chunked", 501), (b"gzip", 501)],
)
def test_a_transfer_coding_that_is_not_understood_is_501(
    address: Address, codings: bytes, status: int
) -> None:
    """RFC 9112 6.1: else what is compressed would be taken for what was sent."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: " + codings + b"\r\n\r\n"
    with address.connect() as sock:
        sock.sendall(head + b"3\r\nabc\r\n0\r\n\r\n")
        if status == 200:
            assert read(sock)[0] == 200
        else:
            refused(sock, status)


def test_a_head_that_is_refused_has_no_content(address: Address) -> None:
    """RFC 9110 9.3.2: the fields a GET would have had, and nothing behind them."""
    line = b" /" + b"a" * LIMITS.request_line_bytes + b" HTTP/1.1\r\n\r\n"
    with address.connect() as sock:
        sock.sendall(b"GET" + line)
        _, asked, _ = read(sock)
    with address.connect() as sock:
        sock.sendall(b"HEAD" + line)
        head, _, content = b"".join(iter(lambda: sock.recv(65536), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 414 ")
    assert f"content-length: {asked['content-length']}".encode() in head.lower()
    assert content == b""


def test_connections_of_one_address_are_limited_and_room_comes_back(quick: Address) -> None:
    with contextlib.ExitStack() as stack:
        inside = [stack.enter_context(quick.connect()) for _ in range(8)]
        for sock in inside:
            sock.sendall(get())
            assert read(sock)[0] == 200
        one_more = stack.enter_context(quick.connect())
        assert "connections" in str(refused(one_more, 503)["message"])
    deadline = time.monotonic() + 10
    while True:
        with quick.connect() as sock:
            sock.sendall(get())
            if read(sock)[0] == 200:
                return
        assert time.monotonic() < deadline


def test_connections_of_the_process_are_limited() -> None:
    limits = dataclasses.replace(LIMITS, connections=2)
    with running(app, limits) as where, contextlib.ExitStack() as stack:
        for _ in range(2):
            sock = stack.enter_context(where.connect())
            sock.sendall(get())
            assert read(sock)[0] == 200
        refused(stack.enter_context(where.connect()), 503)


def test_an_answer_before_the_body_was_read_arrives_and_the_rest_is_dropped(
    address: Address,
) -> None:
    with address.connect() as sock:
        sock.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(8):
                sock.sendall(bytes(1_000_000))
        status, headers, _ = read(sock)
        assert status == 200
        assert headers["connection"] == "close"
        assert sock.recv(1) == b""


@pytest.mark.parametrize(
    "line",
    [b"POST /early HTTP/1.0\r\n", b"POST /early HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"],
    ids=["HTTP/1.0", "Connection: close"],
)
def test_an_answer_before_a_short_body_arrives_where_the_connection_is_not_kept(
    address: Address, line: bytes
) -> None:
    """RFC 9112 9.6: a proxy that speaks HTTP/1.0 sends all of it before it reads the refusal."""
    with address.connect() as sock:
        sock.sendall(line + b"Content-Length: 300000\r\n\r\n" + bytes(100000))
        assert select.select([sock], [], [], 10)[0]
        for _ in range(20):
            sock.sendall(bytes(10000))
            time.sleep(0.005)
        assert read(sock)[0] == 200
        assert sock.recv(1) == b""


def test_an_answer_before_a_short_body_keeps_the_connection(address: Address) -> None:
    with address.connect() as sock:
        for _ in range(2):
            sock.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
            status, headers, _ = read(sock)
            assert status == 200
            assert "connection" not in headers
            sock.sendall(b"0123456789")
        sock.sendall(get())
        assert read(sock)[0] == 200


def test_a_short_body_that_never_comes_after_its_answer_ends_the_connection(
    quick: Address,
) -> None:
    with quick.connect() as sock:
        sock.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01")
        assert read(sock)[0] == 200
        assert sock.recv(1) == b""


def test_a_kept_connection_is_closed_when_it_idles() -> None:
    with running(app, dataclasses.replace(LIMITS, keep_alive_s=0.2)) as where:
        for request in (get(), b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"):
            with where.connect() as sock:
                sock.sendall(request)
                assert read(sock)[0] == 200
                if request.startswith(b"POST"):
                    sock.sendall(b"x")
                assert sock.recv(1) == b""


def test_expect_100_continue_is_answered_only_when_the_body_is_wanted(address: Address) -> None:
    with address.connect() as sock:
        sock.sendall(
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"ab")
        assert read(sock)[2] == b"2"


def test_a_stop_lets_a_running_request_finish() -> None:
    with running(app) as where:
        sock = where.connect()
        sock.sendall(get("/slow"))
        other = where.connect()
        other.sendall(get())
        assert read(other)[0] == 200
        other.close()
    with sock:
        assert read(sock)[0] == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 200),
    ],
)
def test_a_request_names_its_host_once(address: Address, head: bytes, status: int) -> None:
    """RFC 9112 3.2: two of them would be read as one by us, and as the other by a proxy."""
    with address.connect() as sock:
        sock.sendall(head)
        if status == 400:
            assert "host" in str(refused(sock, 400)["message"])
        else:
            assert read(sock)[0] == 200
