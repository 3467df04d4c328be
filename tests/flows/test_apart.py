"""Guests served by a process of their own: no key in its memory, no page of staff, a life apart."""

from __future__ import annotations

import base64
import ctypes
import datetime as dt
import io
import json
import os
import re
import socket
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

import vna
from tests import prepared
from tests.dimse import wire
from tests.factories import ct
from tests.flows.serving import READY_S, Serving, free_port, select_nothing
from vna.access.principal import developer
from vna.app import at_work
from vna.db import account
from vna.dicom.refs import UID, StudyRef
from vna.loading import load
from vna.sharing.values import (
    Confirmed,
    Offer,
    Offered,
    Person,
    Protection,
    Purpose,
    Recipient,
)

IMAGE = ct(rows=32, columns=32)
_FORM = re.compile(r'name="form" value="([^"]+)"')
_PIDFD_GETFD = 438
_BASE = re.compile(r'data-base="([^"]+)"')


@pytest.fixture
def serving(reachable_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Serving, int]]:
    """`vna serve` with its root key in the environment, and an address for guests."""
    port = free_port()
    data = reachable_tmp / "apart"
    prepared.lay(data)
    made = data / "keys" / "root.key"
    key = made.read_text().strip() if made.exists() else base64.b64encode(os.urandom(32)).decode()
    found = Serving(
        data,
        {
            "VNA_ROOT_KEY": key,
            "VNA_KEYS_ROOT": "env",
            "VNA_SHARING_LISTEN": f"127.0.0.1:{port}",
        },
    )
    monkeypatch.setenv("VNA_ROOT_KEY", key)
    found.start()
    try:
        yield found, port
    finally:
        found.stop()


def offered(serving: Serving) -> Offered:
    """Share the image with somebody who is told a passcode."""
    flags = {"data": str(serving.data), "dev": True, "keys.root": "env"}
    with at_work(load(environ={}, flags=flags), "share") as archive:
        return archive.engines.sharing.offer(
            developer("clerk"),
            Offer(
                studies=frozenset({StudyRef(UID(IMAGE.study))}),
                person=Person(
                    name="Somebody", confirmed=frozenset({Confirmed.NAME, Confirmed.PATIENT_ID})
                ),
                recipient=Recipient(name="Dr. Gray"),
                purpose=Purpose.TREATMENT,
                to=None,
                proof=frozenset({Protection.PASSCODE}),
                until=dt.datetime.now(dt.UTC) + dt.timedelta(days=20),
                legal_basis="treatment",
            ),
        )


def child(serving: Serving, name: str) -> psutil.Process:
    """Find a process of the server by its name."""
    told = json.loads((serving.data / "run" / "serve.json").read_text(encoding="utf-8"))
    return psutil.Process(told["children"][name])


def holds(process: psutil.Process, secret: bytes) -> bool:
    """Whether some bytes stand in the memory a process has written to."""
    with (
        open(f"/proc/{process.pid}/maps", encoding="ascii") as maps,
        open(f"/proc/{process.pid}/mem", "rb", buffering=0) as memory,
    ):
        for line in maps:
            span, rights, *_ = line.split()
            if rights.startswith("rw") and "[v" not in line:
                start, end = (int(one, 16) for one in span.split("-"))
                try:
                    memory.seek(start)
                    if secret in memory.read(end - start):
                        return True
                except OSError:
                    continue
    return False


def taken(process: psutil.Process) -> socket.socket:
    """Take hold of the end of the desk that a process has, as who took the process over has it."""
    libc = ctypes.CDLL(None, use_errno=True)
    of_process = os.pidfd_open(process.pid)
    try:
        for number in sorted(map(int, os.listdir(f"/proc/{process.pid}/fd"))):
            handle = libc.syscall(_PIDFD_GETFD, of_process, number, 0)
            if handle >= 0 and stat.S_ISSOCK(os.fstat(handle).st_mode):
                found = socket.socket(fileno=handle)
                if found.family == socket.AF_UNIX and found.type == socket.SOCK_SEQPACKET:
                    return found
                found.close()
            elif handle >= 0:
                os.close(handle)
    finally:
        os.close(of_process)
    raise AssertionError(process)


def until(does: Callable[[], httpx.Response], *statuses: int) -> httpx.Response:
    """Ask again until a process that was killed is back."""
    deadline = time.monotonic() + READY_S
    while True:
        try:
            answer = does()
            if answer.status_code in statuses:
                return answer
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline
        select_nothing(0.05)  # another process begins: there is nothing to wait on but its answer


def test_guests_have_a_process_that_never_had_a_key(serving: tuple[Serving, int]) -> None:
    server, port = serving
    staff, site = f"http://127.0.0.1:{server.http}", f"http://127.0.0.1:{port}"
    with httpx.Client(timeout=30) as gray:
        stored = gray.post(
            f"{staff}/dicom-web/studies",
            content=b"--b\r\nContent-Type: application/dicom\r\n\r\n"
            + IMAGE.part10()
            + b"\r\n--b--",
            headers={"content-type": 'multipart/related; type="application/dicom"; boundary=b'},
        )
        assert stored.status_code == 200
        share = offered(server)
        until(lambda: gray.get(f"{site}/readyz"), 200)

        command = [sys.executable, "-m", "vna", "status", "--data", str(server.data)]
        around = {**os.environ, **server.environment}
        told = subprocess.run(command, env=around, capture_output=True, text=True, check=True)
        assert f"guests {site}/s" in told.stdout

        # staff's address leads on to the guests', with nothing of a share behind it
        led = gray.get(f"{staff}/s")
        assert (led.status_code, led.headers["location"]) == (307, f"{site}/s")
        assert gray.get(f"{staff}/s/c/{'A' * 43}/dicom-web/studies").status_code == 404
        # and at the guests' there is nothing of staff
        for path in ("/dicom-web/studies", "/login", "/metrics", "/kiosk", "/wado", "/viewer/x.js"):
            assert gray.get(site + path).status_code == 404, path
        assert gray.post(f"{site}/dicom-web/studies", content=b"").status_code in (404, 405)

        def send(path: str, page: str, **fields: str) -> httpx.Response:
            shown = gray.get(site + page)
            form = _FORM.search(shown.text)
            if form is None:  # it says what is wrong just now
                return shown
            return gray.post(site + path, data={"form": form[1], **fields})

        assert send("/s/open", "/s", link=str(share.secret)).headers["location"] == "/s/prove"
        proven = send("/s/prove", "/s/prove", way="passcode", text=str(share.passcode))
        assert proven.headers["location"] == "/s/home"
        assert share.number in gray.get(f"{site}/s/home").text
        base = _BASE.search(gray.get(f"{site}/s/view/{IMAGE.study}").text)
        assert base is not None

        def packed() -> httpx.Response:
            url = f"{site}{base[1]}/studies/{IMAGE.study}"
            return gray.get(url, headers={"accept": "application/zip"})

        with zipfile.ZipFile(io.BytesIO(packed().content)) as files:
            held = [files.read(name) for name in files.namelist()]
        assert IMAGE.part10() in held

        # the key that opens everything: in who serves staff, nowhere in who serves guests
        guests = child(server, "guests 1")
        assert "VNA_ROOT_KEY" in child(server, "http 1").environ()
        assert not [name for name in guests.environ() if name.startswith(("VNA_", "PG"))]
        key = os.environ["VNA_ROOT_KEY"].encode()
        assert holds(child(server, "http 1"), base64.b64decode(key))
        assert not holds(guests, base64.b64decode(key))
        assert not holds(guests, key)
        served_as = account.for_guests(Path(vna.__file__).parent, Path(os.__file__).parent)
        assert guests.uids() == (served_as.uid,) * 3

        # killed, it comes back, and who was in stays in; so does what it is helped by
        guests.kill()
        until(packed, 200)
        child(server, "upkeep").kill()
        until(lambda: send("/s/not-me", "/s/home"), 200, 401)  # 401: done, but told too late
        assert gray.get(f"{site}/s/home").status_code == 401
    assert server.stop() == 0, server.log()


def test_who_ends_its_desk_is_ended_and_guests_are_served_by_who_comes_next(
    serving: tuple[Serving, int],
) -> None:
    """A process that was taken over can end its own service, and that of nobody after it."""
    server, port = serving
    ready = f"http://127.0.0.1:{port}/readyz"
    ends: tuple[Callable[[socket.socket], object], ...] = (
        lambda end: end.send(b""),
        lambda end: end.shutdown(socket.SHUT_RDWR),
    )
    for does in ends:
        until(lambda: httpx.get(ready), 200)
        before = child(server, "guests 1")
        with taken(before) as end:  # held on, as by a child that outlives it
            does(end)
            psutil.wait_procs([before], timeout=READY_S)
            assert not before.is_running() or before.status() == psutil.STATUS_ZOMBIE
            until(lambda: httpx.get(ready), 200)
    assert server.stop() == 0, server.log()


def test_it_stops_in_order_while_an_object_is_on_its_way(serving: tuple[Serving, int]) -> None:
    """Its children leave one after the other, and guests' sockets are closed before the first."""
    server, _ = serving
    state = server.data / "run" / "serve.json"
    assert server.process is not None
    with socket.create_connection(("127.0.0.1", server.dicom), timeout=READY_S) as sender:
        sender.sendall(wire.associate())
        assert wire.answer(sender)[0] == 2  # A-ASSOCIATE-AC
        sender.sendall(wire.pdu(4, wire.pdv(1, 1, b"\0\0")))  # a message begins
        server.process.terminate()
        deadline = time.monotonic() + READY_S
        while "upkeep" in state.read_text():
            assert time.monotonic() < deadline
            select_nothing(0.05)
    assert server.stop() == 0, server.log()
