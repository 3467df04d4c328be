"""Connections go to who has the fewest, and none is lost with who has died."""

from __future__ import annotations

import contextlib
import errno
import resource
import selectors
import socket
from collections.abc import Iterator

import pytest

from vna.cli.spread import Ready, Spread
from vna.dimse import standstill


class Watching:
    """A selector with a turn of its own, as the supervisor's loop has one."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()

    def watch(self, sock: socket.socket, ready: Ready) -> None:
        self.selector.register(sock, selectors.EVENT_READ, ready)

    def unwatch(self, sock: socket.socket) -> None:
        self.selector.unregister(sock)

    def turn(self, timeout_s: float = 10.0) -> None:
        for key, _ in self.selector.select(timeout_s):
            key.data(key.fileobj)


class House:
    """A listener, its spread, and clients."""

    def __init__(self, closing: contextlib.ExitStack) -> None:
        self.closing = closing
        self.watching = Watching()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.place = self.listener.getsockname()
        self.spread = Spread(
            self.listener, watch=self.watching.watch, unwatch=self.watching.unwatch
        )
        closing.callback(self.watching.selector.close)
        closing.callback(self._close)

    def worker(self, child: str = "") -> socket.socket:
        control = self.closing.enter_context(self.spread.add_worker(child))
        control.settimeout(10)
        return control

    def client(self) -> socket.socket:
        return self.closing.enter_context(socket.create_connection(self.place, 10))

    def connected(self, count: int) -> list[socket.socket]:
        """So many clients, each accepted."""
        made = []
        for _ in range(count):
            made.append(self.client())
            self.watching.turn()
        return made

    def _close(self) -> None:
        self.spread.close()
        for key in list(self.watching.selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()


@pytest.fixture
def house() -> Iterator[House]:
    with contextlib.ExitStack() as closing:
        yield House(closing)


def handed(control: socket.socket) -> list[socket.socket]:
    """Take everything a worker was handed."""
    found = []
    control.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while fds := socket.recv_fds(control, 1, 1)[1]:
            found += [socket.socket(fileno=fd) for fd in fds]
    control.sendall(b"t" * len(found))
    return found


def close(socks: list[socket.socket]) -> None:
    for sock in socks:
        sock.close()


def test_each_goes_to_who_has_the_fewest(house: House) -> None:
    first, second, third = house.worker(), house.worker(), house.worker()
    clients = house.connected(7)
    found = [handed(one) for one in (first, second, third)]
    assert sorted(map(len, found)) == [2, 2, 3]
    ends = {sock.getpeername() for socks in found for sock in socks}
    assert ends == {client.getsockname() for client in clients}
    for socks in found:
        close(socks)
    second.sendall(b"ee" if len(found[1]) == 2 else b"eee")  # all of its have ended
    house.watching.turn()
    house.connected(2)
    more = [handed(one) for one in (first, second, third)]
    assert [len(socks) for socks in more] == [0, 2, 0]
    for socks in more:
        close(socks)


def test_what_comes_after_a_worker_has_died_goes_to_the_others(house: House) -> None:
    first, second = house.worker(), house.worker()
    first.close()  # the supervisor has not heard of it yet
    house.connected(3)
    found = handed(second)
    assert len(found) == 3
    close(found)


def test_what_a_worker_had_not_taken_goes_to_another(house: House) -> None:
    first, second = house.worker(), house.worker()
    clients = house.connected(4)
    taken = socket.recv_fds(first, 1, 1)[1]
    first.sendall(b"t")
    first.close()
    house.watching.turn()
    house.watching.turn()
    found = handed(second)
    assert len(found) == 3  # two of its own, and the one that was on its way
    close([*found, *(socket.socket(fileno=fd) for fd in taken)])
    assert len(clients) == 4


def test_who_takes_nothing_is_given_nothing_while_there_are_others(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that was stopped, or waits for a disk, kept every second connection waiting."""
    first, second = house.worker("http 1"), house.worker("http 2")
    house.connected(2)
    close(handed(second))
    house.watching.turn()
    assert 0 < (house.spread.tend() or 0) <= standstill.LATE_S  # told though nobody comes
    monkeypatch.setattr(standstill, "LATE_S", -1.0)
    house.spread.tend()
    for _ in range(4):  # more than the other has
        house.connected(1)
        close(handed(second))
        house.watching.turn()
    (late,) = handed(first)  # goes on: it was never given up
    house.watching.turn()
    house.connected(1)
    close([late, *handed(first)])
    house.watching.turn()
    assert house.spread.tend() is None
    (told,) = caplog.records
    assert told.getMessage() == "a worker takes no connections"
    assert (vars(told)["child"], vars(told)["given"]) == ("http 1", 1)


def test_without_others_who_takes_nothing_is_given_all(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be busy, and no worse than nobody."""
    monkeypatch.setattr(standstill, "LATE_S", -1.0)
    only = house.worker()
    house.connected(3)
    found = handed(only)
    assert len(found) == 3
    close(found)


def test_without_a_worker_connections_wait_for_the_next(house: House) -> None:
    house.worker().close()
    clients = house.connected(1)  # accepted, and then there was nobody
    clients += [house.client(), house.client()]  # these wait to be accepted
    house.watching.turn(0)
    late = house.worker()
    house.watching.turn()
    found = handed(late)
    assert {s.getpeername() for s in found} == {client.getsockname() for client in clients}
    close(found)


def test_who_comes_after_the_end_is_refused(house: House) -> None:
    house.worker()
    house.spread.close()
    with pytest.raises(ConnectionRefusedError):
        house.client()


def test_out_of_descriptors_it_takes_a_breath(house: House) -> None:
    control = house.worker()
    client = house.client()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
    try:
        with pytest.raises(OSError) as full:  # noqa: PT011 -- the number is looked at below
            socket.socket()
        assert full.value.errno == errno.EMFILE
        house.watching.turn()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert handed(control) == []
    left = house.spread.tend()
    assert left is not None
    while house.spread.tend() is not None:
        house.watching.turn(0.01)
    house.watching.turn()
    found = handed(control)
    assert len(found) == 1
    close(found)


def test_several_that_died_at_once_lose_nothing(house: House) -> None:
    dead = [house.worker() for _ in range(3)]
    clients = house.connected(6)
    for control in dead:
        control.close()
    alive = house.worker()
    clients += house.connected(1)
    for _ in dead:
        house.watching.turn(0.1)
    found = handed(alive)
    assert {s.getpeername() for s in found} == {client.getsockname() for client in clients}
    close(found)


def test_after_its_end_it_listens_to_nobody(house: House) -> None:
    control, other = house.worker(), house.worker()
    house.connected(2)
    house.spread.close()
    close(handed(control))
    house.watching.turn()
    other.close()
    house.watching.turn()
    assert house.spread.tend() is None
