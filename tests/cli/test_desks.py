"""Each process that serves guests has a desk of its own, and what it does there stops no other."""

from __future__ import annotations

import contextlib
import functools
import os
import selectors
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.archive import open_archive
from vna.cli.desk_talk import Asking
from vna.cli.desks import Desks, keep
from vna.cli.guest_desk import GuestDesk
from vna.cli.supervisor import Supervisor
from vna.db.pool import Database

WAIT_S = 20.0

Serve = Callable[[Desks], threading.Event]


class Watching:
    """A selector, as the supervisor's loop has one, and who was said to have lost their desk."""

    def __init__(self) -> None:
        self.lost: list[str] = []
        self._selector = selectors.DefaultSelector()
        self.desks = Desks(watch=self._watch, unwatch=self._unwatch, lost=self.lost.append)

    def _watch(self, sock: socket.socket, ready: Callable[[socket.socket], None]) -> None:
        self._selector.register(sock, selectors.EVENT_READ, ready)

    def _unwatch(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)

    def turn(self, wait_s: float = WAIT_S) -> None:
        """Wait for somebody to say something, and hear it."""
        for key, _ in self._selector.select(wait_s):
            key.data(key.fileobj)

    def close(self) -> None:
        """Let go of all, as a child just forked does."""
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()
        self.desks.leave_behind()


@pytest.fixture
def watching() -> Iterator[Watching]:
    with contextlib.closing(Watching()) as found:
        yield found


@pytest.fixture
def kept(tmp_path: Path, database: Database) -> Iterator[Serve]:
    """Keep the desks, as the upkeep process does, until its event is set."""
    begun: list[tuple[threading.Thread, threading.Event]] = []
    with open_archive(tmp_path, database) as archive:
        desk = GuestDesk(archive.store, archive.settings, archive.sharing, dsn="dbname=x")

        def serve(desks: Desks) -> threading.Event:
            stop = threading.Event()
            does = functools.partial(keep, desks.for_upkeep(), desk.run, stop, grace_s=WAIT_S)
            thread = threading.Thread(target=does)
            thread.start()
            begun.append((thread, stop))
            return stop

        yield serve
        for thread, stop in begun:
            stop.set()
            thread.join(WAIT_S)
            assert not thread.is_alive()


def answers(end: socket.socket) -> bool:
    """Whether somebody sits at the other end."""
    return bool(Asking(end).ask("lend")[0]["dsn"] == "dbname=x")


def empty(end: socket.socket) -> None:
    end.send(b"")


def shut(end: socket.socket) -> None:
    end.shutdown(socket.SHUT_RDWR)


def half_shut(end: socket.socket) -> None:
    end.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("does", [empty, shut, half_shut, socket.socket.close])
def test_who_ends_its_desk_ends_no_other_and_the_next_has_another(
    watching: Watching, kept: Serve, does: Callable[[socket.socket], None]
) -> None:
    kept(watching.desks)
    with (
        watching.desks.for_guests("guests 1") as first,
        watching.desks.for_guests("guests 2") as second,
    ):
        assert answers(first)
        assert answers(second)
        does(first)
        watching.turn()
        assert watching.lost == ["guests 1"]  # it is of no use any more
        assert answers(second)
        with watching.desks.for_guests("guests 1") as again:
            assert answers(again)


def test_a_copy_of_the_old_end_takes_no_answer_from_who_comes_next(
    watching: Watching, kept: Serve
) -> None:
    kept(watching.desks)
    with watching.desks.for_guests("guests 1") as old:
        assert answers(old)
        with watching.desks.for_guests("guests 1") as new:  # begun anew, while the copy lives
            old.settimeout(0.0)
            assert answers(new)
            with pytest.raises(BlockingIOError):
                old.recv(100)
            empty(old)
            watching.turn()
            assert watching.lost == []  # the new one has done nothing
            assert answers(new)


def test_desks_outlive_who_keeps_them(watching: Watching, kept: Serve) -> None:
    with watching.desks.for_guests("guests 1") as end:  # begun before anybody kept desks
        kept(watching.desks).set()
        kept(watching.desks)
        assert answers(end)
        watching.turn(0.0)
        assert watching.lost == []


def test_a_desk_that_no_descriptor_was_left_for_is_over() -> None:
    """The kernel lets go of it on the way: who sat there waited for answers until a restart."""
    supervisor, upkeep = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    supervisor.settimeout(WAIT_S)
    stop = threading.Event()
    does = functools.partial(keep, upkeep, lambda *_: None, stop, grace_s=WAIT_S)
    thread = threading.Thread(target=does)
    thread.start()
    with supervisor:
        supervisor.send(struct.pack(">Q", 7))
        assert supervisor.recv(100) == struct.pack(">Q", 7)
        stop.set()
        thread.join(WAIT_S)
    assert not thread.is_alive()


def test_who_keeps_desks_and_is_stuck_holds_up_no_process_that_begins(watching: Watching) -> None:
    control = watching.desks.for_upkeep()
    with control:
        for _ in range(2000):
            watching.desks.for_guests("guests 1").close()
    watching.turn()
    watching.desks.for_guests("guests 1").close()


def test_a_child_of_no_use_is_killed_and_begun_anew_but_not_while_all_stop() -> None:
    supervisor = Supervisor()
    supervisor.add("guests 1", lambda: (signal.pause, ()))
    supervisor.tend()
    first = supervisor.running()["guests 1"]
    supervisor.end("guests 2")  # there is none
    supervisor.end("guests 1")
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    while supervisor.running().get("guests 1", first) == first:
        supervisor.tend()
    supervisor.stop(WAIT_S)
    supervisor.end("guests 1")
    assert supervisor.running() == {}
