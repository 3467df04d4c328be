"""What a broken or hostile peer does on a real socket: abort or status, and nobody else notices."""

from __future__ import annotations

import resource
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.dimse import wire
from tests.dimse.edge import Edge, wait_for
from tests.dimse.shelf import Rows, Shelf, served
from vna.dimse.messages import Field, encode_command, request
from vna.dimse.pdu import decode_accept
from vna.dimse.scu import Requestor
from vna.dimse.sop_classes import VERIFICATION
from vna.dimse.upper_layer import UpperLayer

Serve = Callable[..., Edge]
Sent = tuple[int, bytes]

ASK = wire.associate(
    wire.context(1, wire.VERIFICATION),
    wire.context(3, wire.CT, wire.EXPLICIT),
    wire.context(5, wire.STUDY_FIND),
)
RELEASED = wire.pdu(6, bytes(4))
ECHO = encode_command({0x0002: VERIFICATION, 0x0100: 0x30, 0x0110: 7, 0x0800: 0x0101})
BY_USER: Sent = (7, bytes(4))
NOTHING: Sent = (0, b"")


def by_provider(reason: int) -> Sent:
    return 7, bytes((0, 0, 2, reason))


def said(*parts: bytes) -> bytes:
    return wire.pdu(4, b"".join(parts))


def opened(edge: Edge) -> socket.socket:
    sock = edge.connect()
    sock.sendall(ASK)
    assert wire.answer(sock)[0] == 2
    return sock


def stands(edge: Edge) -> None:
    """Another peer is served, and nothing is left of those before."""
    wait_for(lambda: len(edge.acceptor) == 0)
    with Requestor(
        "127.0.0.1",
        edge.port,
        calling="GOOD",
        called="VNA",
        contexts=[(VERIFICATION, [wire.IMPLICIT])],
    ) as remote:
        assert remote.echo() == 0


@pytest.fixture
def edge(serve: Serve) -> Edge:
    return serve(served(ingest=Shelf()), max_pdu_bytes=16384, artim_s=2.0)


PDUS: dict[str, bytes] = {
    "A-ASSOCIATE-RQ": ASK,
    "A-ASSOCIATE-AC": wire.pdu(2, ASK[6:]),
    "A-ASSOCIATE-RJ": wire.pdu(3, bytes((0, 1, 1, 1))),
    "P-DATA-TF": said(wire.pdv(1, 3, ECHO)),
    "A-RELEASE-RQ": wire.RELEASE,
    "A-RELEASE-RP": RELEASED,
    "A-ABORT": wire.ABORT,
    "unknown": wire.pdu(0x66, bytes(8)),
}
# PS3.8 Table 9-10, the rows an acceptor's peer can reach; what is answered first
STATES: dict[str, tuple[bytes, dict[str, Sent]]] = {
    "Sta2": (
        b"",
        {
            **dict.fromkeys(PDUS, BY_USER),
            "A-ASSOCIATE-RQ": (2, b""),
            "A-ABORT": NOTHING,
        },
    ),
    "Sta6": (
        ASK,
        {
            **dict.fromkeys(PDUS, by_provider(2)),
            "P-DATA-TF": (4, b""),
            "A-RELEASE-RQ": (6, bytes(4)),
            "A-ABORT": NOTHING,
            "unknown": by_provider(1),
        },
    ),
    "Sta13 after a rejection": (
        wire.associate(application="1.2"),
        {
            **dict.fromkeys(PDUS, NOTHING),
            "A-ASSOCIATE-RQ": by_provider(2),
            "unknown": by_provider(2),
        },
    ),
    "Sta13 after a release": (
        ASK + wire.RELEASE,
        {
            **dict.fromkeys(PDUS, NOTHING),
            "A-ASSOCIATE-RQ": by_provider(2),
            "unknown": by_provider(2),
        },
    ),
}


@pytest.mark.parametrize("pdu", PDUS)
@pytest.mark.parametrize("state", STATES)
def test_every_pdu_in_every_state(edge: Edge, state: str, pdu: str) -> None:
    before, wanted = STATES[state]
    with edge.connect() as sock:
        sock.sendall(before)
        for _ in range(before.count(b"1.2.840.10008.3.1.1.1") + before.count(wire.RELEASE)):
            assert wire.answer(sock)[0] in (2, 6)
        if "rejection" in state:
            assert wire.answer(sock)[0] == 3
        sock.sendall(PDUS[pdu])
        kind, body = wire.answer(sock)
        assert kind == wanted[pdu][0]
        if kind not in (2, 4):
            assert body == wanted[pdu][1]
            assert wire.is_closed(sock)
    stands(edge)


COMMAND = {0x0002: wire.CT, 0x0100: 0x0001, 0x0110: 1, 0x0700: 0, 0x0800: 0, 0x1000: "1.2.3"}


def without(*elements: int) -> bytes:
    return encode_command({tag: v for tag, v in COMMAND.items() if tag not in elements})


BROKEN: dict[str, tuple[bytes, Sent]] = {
    "no PDV": (said(), by_provider(6)),
    "five bytes of a PDV": (wire.pdu(4, bytes(5)), by_provider(6)),
    "a PDV longer than its PDU": (said(struct.pack(">IBB", 100, 1, 3)), by_provider(6)),
    "a PDV of one byte": (said(struct.pack(">IB", 1, 1), b"\0"), by_provider(6)),
    "a PDV of 4 GiB": (said(struct.pack(">IBB", 0xFFFFFFFF, 1, 3)), by_provider(6)),
    "bytes behind a PDV": (said(wire.pdv(1, 1, b"ab"), b"\0\0\0"), by_provider(6)),
    "a PDU longer than agreed": (struct.pack(">BxI", 4, 16385), by_provider(6)),
    "a release of no bytes": (wire.pdu(5, b""), by_provider(6)),
    "a release of 5 bytes": (wire.pdu(5, bytes(5)), by_provider(6)),
    "a context not proposed": (said(wire.pdv(9, 3, ECHO)), by_provider(6)),
    "an even context": (said(wire.pdv(2, 3, ECHO)), by_provider(6)),
    "a data set without a command": (said(wire.pdv(3, 2, b"ab")), by_provider(5)),
    "a command for a data set": (
        said(wire.pdv(3, 3, without()), wire.pdv(3, 3, without())),
        by_provider(5),
    ),
    "the data set in another context": (
        said(wire.pdv(3, 3, without()), wire.pdv(1, 2, b"ab")),
        by_provider(5),
    ),
    "a command in two contexts": (
        said(wire.pdv(1, 1, ECHO[:8]), wire.pdv(3, 3, ECHO[8:])),
        by_provider(5),
    ),
    "a data set after an echo": (
        said(wire.pdv(1, 1, ECHO), wire.pdv(1, 2, b"ab")),
        by_provider(5),
    ),
    "an empty command": (said(wire.pdv(1, 3, b"")), by_provider(5)),
    "no command field": (said(wire.pdv(3, 3, without(0x0100))), by_provider(5)),
    "no message ID": (said(wire.pdv(3, 3, without(0x0110))), by_provider(5)),
    "no data set type": (said(wire.pdv(3, 3, without(0x0800))), by_provider(5)),
    "half an element": (said(wire.pdv(1, 3, ECHO[:-5])), by_provider(5)),
    "an element of another group": (
        said(wire.pdv(1, 3, struct.pack("<HHI", 8, 0x16, 2) + b"1\0")),
        by_provider(5),
    ),
    "a number of four bytes": (
        said(wire.pdv(1, 3, struct.pack("<HHII", 0, 0x0100, 4, 1))),
        by_provider(5),
    ),
    "a response to nothing": (
        said(wire.pdv(1, 3, encode_command({0x0100: 0x8030, 0x0120: 1, 0x0800: 0x0101}))),
        by_provider(5),
    ),
    "a command beyond all size": (
        said(wire.pdv(1, 1, bytes(16000))) * 5,
        by_provider(5),
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_data_is_aborted(edge: Edge, what: str) -> None:
    data, wanted = BROKEN[what]
    with opened(edge) as sock:
        sock.sendall(data)
        assert wire.answer(sock) == wanted
        assert wire.is_closed(sock)
    stands(edge)


STATUSES: dict[str, tuple[dict[int, int | str | tuple[int, ...]], int]] = {
    "no SOP Class": ({0x0002: ""}, 0x0122),
    "no SOP Instance": ({0x1000: ""}, 0xA900),
    "a SOP Instance that is a path": ({0x1000: "../../etc/passwd"}, 0xA900),
    "a SOP Instance of 65 digits": ({0x1000: "1" * 65}, 0xA900),
    "no data set": ({0x0800: 0x0101}, 0xC000),
    "an unknown operation": ({0x0100: 0x0666, 0x0800: 0x0101}, 0x0211),
    "an operation of another class": ({0x0100: 0x0020}, 0x0122),
}


@pytest.mark.parametrize("what", STATUSES)
def test_what_is_well_formed_and_wrong_has_a_status(edge: Edge, what: str) -> None:
    """PS3.7 Annex C; the association goes on."""
    changes, wanted = STATUSES[what]
    command = {**COMMAND, **changes}
    data = b"" if command[0x0800] == 0x0101 else said(wire.pdv(3, 2, b"\x08\0\x18\0UI\2\0001\0"))
    with opened(edge) as sock:
        for _ in range(2):
            sock.sendall(said(wire.pdv(3, 3, encode_command(command))) + data)
            kind, body = wire.answer(sock)
            assert kind == 4
            assert struct.pack("<HHIH", 0, 0x0900, 2, wanted) in body


OPENINGS: dict[str, tuple[bytes, Sent]] = {
    "129 contexts": (
        wire.associate(*(wire.context(n % 256 | 1, wire.CT) for n in range(1, 259, 2))),
        BY_USER,
    ),
    "the same context twice": (wire.associate(*[wire.context(1, wire.CT)] * 2), BY_USER),
    "context 0": (wire.associate(wire.context(0, wire.CT)), BY_USER),
    "no context": (wire.associate(wire.item(0x60, b"")), BY_USER),
    "a context without a syntax": (
        wire.associate(wire.item(0x20, bytes((1, 0, 0, 0)) + wire.item(0x30, b"1.2"))),
        BY_USER,
    ),
    "an item longer than the PDU": (wire.associate(items=b"\x70\0\xff\xff"), BY_USER),
    "two application contexts": (
        wire.associate(items=wire.item(0x10, b"1.2.840.10008.3.1.1.1")),
        BY_USER,
    ),
    "67 bytes": (wire.pdu(1, bytes(67)), BY_USER),
    "an AE title of blanks": (wire.associate(calling=" " * 16), (3, bytes((0, 1, 1, 3)))),
    "an AE title of zeros": (wire.associate(calling="\0" * 16), (3, bytes((0, 1, 1, 3)))),
    "an AE title with an escape": (wire.associate(calling="A\x1b[2J"), (3, bytes((0, 1, 1, 3)))),
    "an AE title beyond 16": (wire.associate(calling="A" * 400), BY_USER),
    "a largest PDU of 1 byte": (wire.associate(max_pdu_bytes=1), BY_USER),
}


@pytest.mark.parametrize("what", OPENINGS)
def test_a_broken_opening_is_aborted_or_rejected(edge: Edge, what: str) -> None:
    data, wanted = OPENINGS[what]
    with edge.connect() as sock:
        sock.sendall(data)
        assert wire.answer(sock) == wanted
        assert wire.is_closed(sock)
    stands(edge)


def test_items_nobody_knows_are_skipped(edge: Edge) -> None:
    """PS3.8 9.3.1: items of types not defined are ignored."""
    odd = b"".join(wire.item(kind, b"?" * kind) for kind in (0x00, 0x11, 0x60, 0x7F, 0xFF))
    with edge.connect() as sock:
        sock.sendall(wire.associate(items=odd, user=odd))
        assert wire.answer(sock)[0] == 2


def test_128_contexts_are_all_answered(edge: Edge) -> None:
    asked = [wire.context(n, wire.CT, wire.EXPLICIT) for n in range(1, 256, 2)]
    with edge.connect() as sock:
        sock.sendall(wire.associate(*asked))
        kind, body = wire.answer(sock)
        assert kind == 2
        assert [answer.result for answer in decode_accept(body).contexts] == [0] * 128


def test_half_open_connections_end_with_artim_and_hinder_nobody(edge: Edge) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(edge.connect()) for _ in range(100)]
        for number, sock in enumerate(silent):
            sock.sendall(ASK[: number % 80])
        with Requestor(
            "127.0.0.1",
            edge.port,
            calling="GOOD",
            called="VNA",
            contexts=[(VERIFICATION, [wire.IMPLICIT])],
        ) as remote:
            assert remote.echo() == 0
        assert all(wire.is_closed(sock) for sock in silent)
    stands(edge)


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_a_reset_anywhere_in_a_store_keeps_nothing(serve: Serve) -> None:
    shelf = Shelf()
    edge = serve(served(ingest=shelf))
    layer = UpperLayer(max_pdu_bytes=0, max_associate_bytes=0, acceptor=False)
    layer.peer_max_bytes = 4096
    command = request(Field.C_STORE, 1, wire.CT, sop_instance="1.2.3")
    whole = layer.message(3, command, bytes(40_000))
    for number in range(20):
        sock = opened(edge)
        sock.sendall(whole[: len(whole) * number // 20])
        reset(sock)
    stands(edge)
    assert {taken.ended for taken in shelf.taken} <= {"aborted"}
    with opened(edge) as sock:
        sock.sendall(whole)
        assert wire.answer(sock)[0] == 4
    assert shelf.taken[-1].ended == "finished"


def endless() -> Iterator[dict[str, Any]]:
    row = {"00100020": {"vr": "LO", "Value": ["x" * 60]}}
    while True:
        yield row


def test_who_stops_reading_answers_is_given_up(serve: Serve) -> None:
    rows = Rows(endless)
    edge = serve(served(query=rows), response_s=0.5)
    identifier = b"\x08\x00\x52\x00\x06\x00\x00\x00STUDY \x10\x00\x20\x00\x00\x00\x00\x00"
    layer = UpperLayer(max_pdu_bytes=0, max_associate_bytes=0, acceptor=False)
    layer.peer_max_bytes = 4096
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with opened(edge) as sock:
        sock.sendall(layer.message(5, request(Field.C_FIND, 1, wire.STUDY_FIND), identifier))
        assert rows.closed.wait(20)
        wait_for(lambda: len(edge.acceptor) == 0)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10
        sock.settimeout(10)
        assert wire.is_closed(sock)
    stands(edge)


def test_a_thousand_bad_peers_leave_nothing_behind(edge: Edge) -> None:
    bad = [ASK + data for data, _ in BROKEN.values()] + [data for data, _ in OPENINGS.values()]
    for data in bad:
        _bother(edge, data)
    wait_for(lambda: len(edge.acceptor) == 0)
    threads, before = threading.active_count(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(1000):
        _bother(edge, bad[number % len(bad)])
    wait_for(lambda: threading.active_count() <= threads)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 << 10
    stands(edge)


def _bother(edge: Edge, data: bytes) -> None:
    with edge.connect() as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        assert wire.is_closed(sock)
