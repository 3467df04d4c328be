"""The live list of associations, and stopping without breaking what is under way."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.dimse import wire
from tests.dimse.edge import Edge, wait_for
from tests.dimse.shelf import STORED, Shelf, served
from vna.dimse import roster
from vna.dimse.messages import Field, Messages, request
from vna.dimse.roster import Live, Roster
from vna.dimse.scu import Requestor
from vna.dimse.upper_layer import Fragment, UpperLayer
from vna.ingest.outcome import Outcome

Serve = Callable[..., Edge]


def only(folder: Path) -> Live:
    (found,) = roster.read(folder)
    return found


def test_a_row_tells_who_and_what(tmp_path: Path) -> None:
    kept = roster.own(tmp_path, 4)
    folder = roster.place(tmp_path)
    with kept.entered("10.0.0.1", secured=True) as row:
        assert (only(folder).state, only(folder).calling) == ("opening", "")
        row.opened("CT1", "A" * 16)
        row.begins(Field.C_STORE)
        found = only(folder)
        assert (found.calling, found.called, found.address) == ("CT1", "A" * 16, "10.0.0.1")
        assert (found.state, found.command, found.requests) == ("busy", Field.C_STORE, 1)
        assert (found.secured, found.pid) == (True, os.getpid())
        row.rests()
        assert only(folder).state == "idle"
        row.ends()
        assert only(folder).state == "ending"
    assert roster.read(folder) == []
    kept.close()
    assert list(folder.iterdir()) == []


def test_who_has_no_row_is_served_all_the_same(tmp_path: Path) -> None:
    kept = roster.own(tmp_path, 2)
    with ExitStack() as stack:
        rows = [stack.enter_context(kept.entered(f"10.0.0.{n}")) for n in range(4)]
        for row in rows:
            row.opened("A", "B")
        assert len(roster.read(roster.place(tmp_path))) == 2
    with kept.entered("10.0.0.9"):
        assert only(roster.place(tmp_path)).address == "10.0.0.9"
    with Roster().entered("nowhere") as row:
        row.begins(1)


def test_lists_of_the_dead_and_other_files_are_passed_over(tmp_path: Path) -> None:
    folder = roster.place(tmp_path)
    folder.mkdir(parents=True)
    (folder / "999999999.list").write_bytes(b"VNAR" + bytes(4096))
    (folder / "short.list").write_bytes(b"V")
    (folder / "empty.list").touch()
    assert roster.read(folder) == []
    (folder / "short.list").unlink()
    (folder / "empty.list").unlink()
    kept = roster.own(tmp_path, 1)
    assert [path.stem for path in folder.iterdir()] == [str(os.getpid())]
    kept.close()


def test_no_list_is_no_reason_not_to_serve(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")
    with roster.own(tmp_path, 4).entered("10.0.0.1") as row:
        row.opened("A", "B")


def test_names_of_any_length_fit(tmp_path: Path) -> None:
    kept = roster.own(tmp_path, 2)
    with kept.entered("f" * 200) as row:
        row.opened("x" * 40, "\xff")
        found = only(roster.place(tmp_path))
        assert (len(found.address), len(found.calling), found.called) == (64, 16, "\xff")


class Slow:
    """Takes an object in, and is not done before it is told."""

    def __init__(self) -> None:
        self.has_begun, self.may_end = threading.Event(), threading.Event()

    def __call__(self) -> Outcome:
        self.has_begun.set()
        assert self.may_end.wait(20)
        return STORED


def speaker(edge: Edge) -> tuple[socket.socket, UpperLayer]:
    sock = edge.connect()
    sock.sendall(wire.associate(wire.context(1, wire.CT)))
    assert wire.answer(sock)[0] == 2
    layer = UpperLayer(max_pdu_bytes=0, max_associate_bytes=0, acceptor=False)
    layer.peer_max_bytes = 16384
    return sock, layer


def stored(layer: UpperLayer, number: int) -> bytes:
    command = request(Field.C_STORE, number, wire.CT, sop_instance=f"1.2.{number}")
    return layer.message(1, command, b"data")


def status(body: bytes) -> int:
    fragment = Fragment(context_id=1, is_command=True, is_last=True, data=memoryview(body[6:]))
    answer = Messages().receive(fragment)
    assert answer is not None
    return int(answer.status)  # type: ignore[union-attr]


def test_stopping_finishes_the_object_in_hand_and_refuses_the_next(serve: Serve) -> None:
    slow = Slow()
    edge = serve(served(ingest=Shelf(slow)))
    sock, layer = speaker(edge)
    with sock:
        sock.sendall(stored(layer, 1))
        assert slow.has_begun.wait(10)
        ending = threading.Thread(target=edge.close)
        ending.start()
        wait_for(lambda: edge.workers[0].is_stopping)
        sock.sendall(stored(layer, 2))  # comes while the first is still being stored
        slow.may_end.set()
        assert status(wire.answer(sock)[1]) == 0
        assert status(wire.answer(sock)[1]) == 0xA700
        assert wire.answer(sock)[0] == 5  # then we release
        sock.sendall(wire.pdu(6, bytes(4)))
        assert wire.is_closed(sock)
        ending.join()


def test_stopping_waits_no_longer_than_its_grace(serve: Serve) -> None:
    slow = Slow()
    edge = serve(served(ingest=Shelf(slow)))
    sock, layer = speaker(edge)
    with sock:
        sock.sendall(stored(layer, 1))
        assert slow.has_begun.wait(10)
        ending = threading.Thread(target=edge.close, args=(0.3,))
        ending.start()
        assert wire.is_closed(sock)
        slow.may_end.set()
        ending.join()


def test_a_slow_archive_holds_the_sender_back(serve: Serve) -> None:
    """Back pressure: what is not taken stays with the sender, not in our memory."""
    slow = Slow()
    shelf = Shelf(slow)
    edge = serve(served(ingest=shelf))
    sock, layer = speaker(edge)
    with sock:
        sock.sendall(stored(layer, 1))
        assert slow.has_begun.wait(10)
        sock.settimeout(0.3)
        sent = 0
        data = stored(layer, 2)[:-4] + bytes(1 << 20)
        try:
            while sent < 256 << 20:
                sent += sock.send(data)
        except TimeoutError:
            pass
        assert sent < 64 << 20  # buffers of the kernel on both sides
        assert sum(len(taken.data) for taken in shelf.taken) == 4
        slow.may_end.set()


def test_an_association_under_way_is_listed(serve: Serve, tmp_path: Path) -> None:
    slow = Slow()
    kept = roster.own(tmp_path, 10)
    edge = serve(served(ingest=Shelf(slow)), roster=kept)
    with Requestor(
        "127.0.0.1", edge.port, calling="CT1", called="VNA", contexts=[(wire.CT, [wire.EXPLICIT])]
    ) as remote:
        assert only(roster.place(tmp_path)).state in ("opening", "idle")
        sending = threading.Thread(
            target=lambda: remote.store(wire.CT, "1.2.3", wire.EXPLICIT, [b"data"])
        )
        sending.start()
        assert slow.has_begun.wait(10)
        found = only(roster.place(tmp_path))
        assert (found.calling, found.state, found.command) == ("CT1", "busy", Field.C_STORE)
        slow.may_end.set()
        sending.join()
        wait_for(lambda: only(roster.place(tmp_path)).state == "idle")
    wait_for(lambda: roster.read(roster.place(tmp_path)) == [])
