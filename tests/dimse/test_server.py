"""Limits, rejections, timers, workers that come and go: over real sockets."""

from __future__ import annotations

import resource
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from tests.dimse import wire
from tests.dimse.edge import ECHO_ONLY, Edge, WorkerProcess, wait_for
from vna.config import Dicom, Settings
from vna.dimse import standstill
from vna.dimse.admission import Admission
from vna.dimse.buffers import Buffers
from vna.dimse.handoff import control_pair
from vna.dimse.link import Link, Pace, Timing
from vna.dimse.pdu import AnsweredContext, AssociateAccept, UserInformation
from vna.dimse.scu import Requestor
from vna.dimse.sop_classes import VERIFICATION
from vna.dimse.upper_layer import Rejected, UpperLayer
from vna.errors import Unavailable
from vna.telemetry import WORKERS_LATE

Serve = Callable[..., Edge]

REJECT_LIMIT = (3, bytes((0, 2, 3, 2)))
ACCEPT, REJECT, ABORT = 2, 3, 7


def ask(edge: Edge, request: bytes, source: str = "127.0.0.1") -> tuple[socket.socket, int, bytes]:
    sock = edge.connect(source)
    sock.sendall(request)
    kind, body = wire.answer(sock)
    return sock, kind, body


def echoes(edge: Edge, calling: str = "PEER") -> int:
    contexts = [(VERIFICATION, [wire.IMPLICIT])]
    with Requestor(
        "127.0.0.1", edge.port, calling=calling, called="VNA", contexts=contexts
    ) as remote:
        return remote.echo()


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (wire.associate(calling="A", called="VNA"), ACCEPT),
        (wire.associate(calling="B", called="OTHER"), bytes((0, 1, 1, 7))),
        (wire.associate(calling="", called="VNA"), bytes((0, 1, 1, 3))),
        (wire.associate(calling="A", called="VNA", version=2), bytes((0, 1, 2, 2))),
        (wire.associate(calling="A", called="VNA", application="1.2"), bytes((0, 1, 1, 2))),
    ],
)
def test_the_association_matrix(serve: Serve, request_: bytes, answer: int | bytes) -> None:
    sock, kind, body = ask(serve(called_ae_any=False), request_)
    with sock:
        assert (kind if isinstance(answer, int) else body) == answer


def test_nobody_is_known_outside_dev(serve: Serve) -> None:
    sock, kind, body = ask(serve(dev=False), wire.associate())
    with sock:
        assert (kind, body) == (REJECT, bytes((0, 1, 1, 3)))


def test_an_association_past_the_limit_is_rejected_within_a_second(serve: Serve) -> None:
    edge = serve(associations=10, workers=2)
    with ExitStack() as stack:
        for number in range(10):
            sock, kind, _ = ask(edge, wire.associate(calling=f"AE{number}"))
            stack.enter_context(sock)
            assert kind == ACCEPT
        asked = time.monotonic()
        sock, kind, body = ask(edge, wire.associate())
        with sock:
            assert (kind, body) == REJECT_LIMIT
            assert wire.is_closed(sock)
        assert time.monotonic() - asked < 1


def test_a_silent_connection_over_the_limit_is_told_within_a_second(serve: Serve) -> None:
    edge = serve(associations=0)
    asked = time.monotonic()
    with edge.connect() as sock:
        assert wire.answer(sock) == REJECT_LIMIT
    assert time.monotonic() - asked < 1


def test_one_address_has_its_share(serve: Serve) -> None:
    edge = serve(associations_per_address=3, workers=2)
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(ask(edge, wire.associate())[0])
        sock, kind, body = ask(edge, wire.associate())
        stack.enter_context(sock)
        assert (kind, body) == REJECT_LIMIT
        other, kind, _ = ask(edge, wire.associate(), source="127.0.0.2")
        stack.enter_context(other)
        assert kind == ACCEPT


def test_one_calling_ae_has_its_share_over_all_workers(serve: Serve) -> None:
    edge = serve(associations_per_ae=3, workers=2)
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(ask(edge, wire.associate(calling="MANY"))[0])
        sock, kind, body = ask(edge, wire.associate(calling="MANY"))
        stack.enter_context(sock)
        assert (kind, body) == REJECT_LIMIT
        other, kind, _ = ask(edge, wire.associate(calling="ONE"))
        stack.enter_context(other)
        assert kind == ACCEPT


def test_a_place_is_free_again_when_its_association_ends(serve: Serve) -> None:
    edge = serve(associations=1, associations_per_ae=1)
    for _ in range(20):
        assert echoes(edge) == 0
        wait_for(lambda: len(edge.acceptor) == 0)


def test_connections_are_spread_over_the_workers(serve: Serve) -> None:
    edge = serve(workers=2)
    with ExitStack() as stack:
        for number in range(8):
            stack.enter_context(ask(edge, wire.associate(calling=f"AE{number}"))[0])
        assert [len(worker) for worker in edge.workers] == [4, 4]


def test_an_oversized_pdu_is_aborted(serve: Serve) -> None:
    edge = serve()
    with edge.connect() as sock:
        sock.sendall(struct.pack(">BxI", 1, 65537))
        assert wire.answer(sock) == (ABORT, bytes(4))
    sock, _, _ = ask(edge, wire.associate())
    with sock:
        sock.sendall(struct.pack(">BxI", 4, 131073))
        assert wire.answer(sock) == (ABORT, bytes((0, 0, 2, 6)))
    assert echoes(edge) == 0


def test_hostile_connections_cost_nothing_that_stays(serve: Serve) -> None:
    edge = serve()
    hostile = [
        struct.pack(">BxI", 1, 0xFFFFFFFF) + bytes(4096),
        struct.pack(">BxI", 4, 0x7FFFFFFF) + bytes(4096),
        wire.associate(*[wire.context(1, wire.CT)] * 200),
        wire.associate() + struct.pack(">BxI", 4, 0xFFFFFFFF) + bytes(4096),
        wire.associate() + wire.pdu(4, struct.pack(">IBB", 0xFFFFFFF0, 1, 3)),
    ]
    threads, before = threading.active_count(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def attack(number: int) -> None:
        with edge.connect() as sock:
            sock.sendall(hostile[number % 5])
            assert wire.is_closed(sock)

    with ThreadPoolExecutor(10) as crowd:
        assert len(list(crowd.map(attack, range(200)))) == 200
    wait_for(lambda: threading.active_count() == threads)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 << 10
    assert echoes(edge) == 0


def test_mixed_messages_are_aborted(serve: Serve) -> None:
    sock, _, _ = ask(serve(), wire.associate())
    with sock:
        sock.sendall(wire.pdu(4, wire.pdv(1, 2, b"data")))
        assert wire.answer(sock) == (ABORT, bytes((0, 0, 2, 5)))


def test_a_connection_that_asks_nothing_is_closed_by_artim(serve: Serve) -> None:
    with serve(artim_s=0.2).connect() as sock:
        sock.sendall(wire.associate()[:30])
        assert wire.is_closed(sock)


def test_drops_of_a_request_do_not_prolong_artim(serve: Serve) -> None:
    edge = serve(artim_s=0.5)
    begun = time.monotonic()
    with edge.connect() as sock:
        sock.settimeout(0.05)
        for byte in wire.associate():
            try:
                sock.send(bytes([byte]))
                if sock.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    assert 0.4 < time.monotonic() - begun < 3


def test_an_idle_association_is_aborted(serve: Serve) -> None:
    sock, kind, _ = ask(serve(idle_s=0.2), wire.associate())
    with sock:
        assert kind == ACCEPT
        assert wire.answer(sock) == (ABORT, bytes(4))
        assert wire.is_closed(sock)


def test_a_sender_at_the_least_pace_is_taken_and_a_slower_one_is_not() -> None:
    timing = Timing(artim_s=1, idle_s=1, slowest_bytes_s=1024, slow_window_s=30)
    pace = Pace(timing)
    assert not pace.is_too_slow(1024 * 15, 15.0)
    assert not pace.is_too_slow(1024 * 15, 15.0)  # the window ends: just enough
    assert not pace.is_too_slow(1024 * 30 - 1, 29.9)
    assert pace.is_too_slow(0, 0.1)  # one byte too few


def test_a_message_that_stops_halfway_is_given_up(serve: Serve) -> None:
    edge = serve(slow_window_s=0.3)
    sock, _, _ = ask(edge, wire.associate())
    with sock:
        sock.sendall(wire.pdu(4, wire.pdv(1, 1, b"\0\0")))
        assert wire.answer(sock) == (ABORT, bytes(4))


def test_a_message_that_only_dribbles_in_is_given_up(serve: Serve) -> None:
    edge = serve(slow_window_s=0.3)
    sock, _, _ = ask(edge, wire.associate())
    with sock:
        for byte in wire.pdu(4, wire.pdv(1, 1, bytes(2000))):
            sock.sendall(bytes((byte,)))
            if select.select([sock], [], [], 0.01)[0]:
                break
        else:
            pytest.fail("it was waited for to the end")
        assert wire.answer(sock) == (ABORT, bytes(4))


def test_a_peer_that_vanishes_leaves_nothing_behind(serve: Serve) -> None:
    edge = serve()
    for _ in range(20):
        sock, _, _ = ask(edge, wire.associate())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()  # a reset
    wait_for(lambda: len(edge.acceptor) == 0)
    assert echoes(edge) == 0


def test_release_is_answered_and_closed(serve: Serve) -> None:
    sock, _, _ = ask(serve(), wire.associate())
    with sock:
        sock.sendall(wire.RELEASE)
        assert wire.answer(sock) == (6, bytes(4))
        sock.shutdown(socket.SHUT_WR)
        assert wire.is_closed(sock)


def test_two_hundred_associations_at_once(serve: Serve) -> None:
    edge = serve(workers=2, associations_per_ae=500)
    with ExitStack() as stack:
        socks = [edge.connect() for _ in range(200)]
        for sock in socks:
            stack.enter_context(sock)
            sock.sendall(wire.associate())
        assert [wire.answer(sock)[0] for sock in socks] == [ACCEPT] * 200
        assert echoes(edge) == 0


def test_stopping_releases_the_idle(serve: Serve) -> None:
    edge = serve()
    sock, _, _ = ask(edge, wire.associate())
    with sock:
        ending = threading.Thread(target=edge.close)
        ending.start()
        assert wire.answer(sock)[0] == 5
        sock.sendall(wire.pdu(6, bytes(4)))
        assert wire.is_closed(sock)
        ending.join()
    with pytest.raises(OSError, match="refused"):
        edge.connect()


def test_who_is_told_twice_to_stop_still_ends_in_order(serve: Serve) -> None:
    edge = serve()
    sock, _, _ = ask(edge, wire.associate())
    with sock:
        ending = threading.Thread(target=edge.close)
        ending.start()
        assert wire.answer(sock)[0] == 5
        edge.acceptor.stop(5.0)  # as a second signal does, or a child that ends meanwhile
        sock.sendall(wire.pdu(6, bytes(4)))
        assert wire.is_closed(sock)
        ending.join()


def test_stopping_does_not_wait_for_who_does_not_answer(serve: Serve) -> None:
    edge = serve(artim_s=0.2)
    sock, _, _ = ask(edge, wire.associate())
    with sock:
        edge.close()
        assert wire.answer(sock)[0] == 5
        assert wire.answer(sock)[0] == ABORT


def test_a_worker_whose_supervisor_is_gone_ends() -> None:
    ours, theirs = control_pair()
    with WorkerProcess(theirs) as process:
        ours.close()
        assert process.wait() == 0


def test_a_killed_worker_frees_its_places_and_another_takes_over(serve: Serve) -> None:
    edge = serve(workers=0, associations=1, associations_per_ae=1)
    ours, theirs = control_pair()
    with WorkerProcess(theirs) as process:
        edge.acceptor.add_worker(ours)
        sock, kind, _ = ask(edge, wire.associate())
        with sock:
            assert kind == ACCEPT
            assert len(edge.acceptor) == 1
            process.kill()
            assert wire.is_closed(sock)
    wait_for(lambda: len(edge.acceptor) == 0)
    sock, kind, body = ask(edge, wire.associate())
    with sock:
        assert (kind, body) == (REJECT, bytes((0, 2, 3, 1)))  # nobody is there: congestion
    edge.add_worker(ECHO_ONLY)
    assert echoes(edge) == 0


def test_a_connection_a_worker_has_no_descriptor_for_gives_its_place_back(serve: Serve) -> None:
    """The kernel lets go of it on the way: its place was taken until the worker ended."""
    edge = serve(workers=0, associations=1)
    ours, theirs = control_pair()
    with WorkerProcess(theirs) as process:
        edge.acceptor.add_worker(ours)
        assert echoes(edge) == 0
        wait_for(lambda: len(edge.acceptor) == 0)
        allowed = process.limit_files(3)
        with edge.connect() as sock:
            assert wire.is_closed(sock)
        wait_for(lambda: len(edge.acceptor) == 0)
        process.limit_files(allowed)
        assert echoes(edge) == 0


def test_a_connection_a_worker_has_no_thread_for_ends_no_other(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """At a container's limit of processes it ended the worker, and all its associations."""
    edge = serve(associations=2)
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name.startswith("association"):
            raise RuntimeError("can't start new thread")
        start(thread)

    contexts = [(VERIFICATION, [wire.IMPLICIT])]
    with Requestor(
        "127.0.0.1", edge.port, calling="PEER", called="VNA", contexts=contexts
    ) as remote:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refused)
            with edge.connect() as sock:
                assert wire.is_closed(sock)
        assert remote.echo() == 0
        wait_for(lambda: len(edge.acceptor) == 1)  # its place is free again
        assert echoes(edge) == 0
    told = [vars(one)["why"] for one in caplog.records if "why" in vars(one)]
    assert told == ["No thread can be started."]


def test_new_associations_go_past_a_worker_that_stands_still(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Having the fewest it was handed one after the other, and each waited for its own time-out."""
    monkeypatch.setattr(standstill, "LATE_S", 0.2)
    edge = serve(workers=0)
    ours, theirs = control_pair()
    with WorkerProcess(theirs) as process, ExitStack() as held:
        edge.acceptor.add_worker(ours, "dicom 1")
        assert echoes(edge) == 0
        wait_for(lambda: len(edge.acceptor) == 0)
        wait_for(lambda: late("dimse") == 0)  # it had to start first
        process.stand_still()
        caplog.clear()
        waiting = held.enter_context(edge.connect())
        waiting.sendall(wire.associate(calling="WAITS"))
        wait_for(lambda: late("dimse") == 1)
        edge.add_worker(ECHO_ONLY)
        for number in range(4):  # more than the other has
            sock, kind, _ = ask(edge, wire.associate(calling=f"AE{number}"))
            held.enter_context(sock)
            assert kind == ACCEPT
        assert len(edge.workers[0]) == 4
        process.go_on()
        assert wire.answer(waiting)[0] == ACCEPT  # it was never given up
        wait_for(lambda: late("dimse") == 0)
        assert ask_and_close(edge) == ACCEPT
        wait_for(lambda: len(edge.acceptor) == 5)
        assert len(edge.workers[0]) == 4  # the other has its share again
    told = [one for one in caplog.records if one.getMessage() == "a worker takes no connections"]
    assert [(vars(one)["child"], vars(one)["given"]) for one in told] == [("dicom 1", 1)]


def late(proto: str) -> float:
    return WORKERS_LATE.labels(proto)._value.get()  # what /metrics shows


def ask_and_close(edge: Edge) -> int:
    sock, kind, _ = ask(edge, wire.associate(calling="ONE"))
    sock.close()
    return kind


def test_our_requestor_says_why_it_was_rejected(serve: Serve) -> None:
    edge = serve(dev=False)
    with pytest.raises(Unavailable, match="1/1/3"):
        echoes(edge)


def test_counts_come_back_to_nothing() -> None:
    admission = Admission(Dicom(associations=2, associations_per_address=2, associations_per_ae=1))
    one, two = admission.enter("a"), admission.enter("b")
    assert one is not None
    assert two is not None
    assert admission.enter("c") is None
    assert admission.name(one, "AE")
    assert not admission.name(two, "AE")
    assert not admission.name(one, "OTHER")  # named once
    assert not admission.name(99, "AE")
    for number in (one, one, two, 99):
        admission.leave(number)
    assert len(admission) == 0
    three = admission.enter("a")
    assert three is not None
    assert admission.name(three, "AE")


def test_the_defaults_are_those_of_the_documentation() -> None:
    limits = Settings().dicom
    assert (limits.associations, limits.associations_per_ae) == (500, 50)
    assert (limits.associations_per_address, limits.artim_s, limits.idle_s) == (20, 15.0, 60.0)


class _Endless(socket.socket):
    """A connection on which there is always more to read; what is read again is the same."""

    until = 0.0

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        assert time.monotonic() < self.until, "it was read on and on"
        return len(buffer)


@pytest.fixture
def endless() -> Iterator[tuple[socket.socket, _Endless]]:
    """Return a peer's end, and ours, which never runs dry."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    with theirs, _Endless(fileno=ours.detach()) as sock:
        sock.until = time.monotonic() + 20
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)  # the peer reads nothing, too
        theirs.sendall(b"there is something")
        yield theirs, sock


def _linked(sock: socket.socket) -> Link:
    layer = UpperLayer(max_pdu_bytes=131072, max_associate_bytes=65536, acceptor=True)
    timing = Timing(artim_s=1, idle_s=1, slowest_bytes_s=0, slow_window_s=1)
    link = Link(sock, layer, timing, buffers=Buffers())
    for _ in layer.receive(memoryview(wire.associate())):
        pass
    return link


def test_who_sends_without_end_after_a_rejection_is_closed_by_artim(
    endless: tuple[socket.socket, _Endless],
) -> None:
    """The ARTIM timer closes the connection whatever comes in Sta13 (PS3.8 9.1.5, AA-2)."""
    link = _linked(endless[1])
    link.layer.reject(Rejected(result=1, source=1, reason=3))
    begun = time.monotonic()
    link.close(linger_s=0.3)
    assert time.monotonic() - begun < 10


def test_who_sends_without_end_after_our_release_is_waited_for_no_longer_than_said(
    endless: tuple[socket.socket, _Endless],
) -> None:
    link = _linked(endless[1])
    accept = AssociateAccept(
        called="VNA",
        calling="PEER",
        contexts=(AnsweredContext(context_id=1, result=0, transfer_syntax=wire.IMPLICIT),),
        user=UserInformation(max_pdu_bytes=16384),
    )
    link.layer.accept(accept, peer_max_bytes=16384)
    # from now on each buffer that is read is one PDU of a data set, whole
    link._small[:] = wire.pdu(4, wire.pdv(1, 0, bytes(len(link._small) - 12)))
    begun = time.monotonic()
    link.release(within_s=0.3)
    assert time.monotonic() - begun < 10
