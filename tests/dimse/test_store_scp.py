"""C-STORE: what reaches ingest, what comes back, and what happens when the sender goes away."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom.data
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pynetdicom import AE, build_context

from tests.dimse import wire
from tests.dimse.edge import Edge, wait_for
from tests.dimse.shelf import STORED, Shelf, refused, served
from vna.config import Dicom, Settings, Versions
from vna.dimse.messages import Field, Status, cancel, decode_command, request
from vna.dimse.scu import Requestor
from vna.dimse.sop_classes import VERIFICATION
from vna.dimse.stores import pieces
from vna.dimse.upper_layer import UpperLayer
from vna.errors import NotAcceptable, NotPermitted, Unavailable, VNAError
from vna.ingest.outcome import AlreadyStored, Cause, Caution, Outcome, Stored

Serve = Callable[..., Edge]
CONTEXTS = [(wire.CT, [wire.EXPLICIT]), (VERIFICATION, [wire.IMPLICIT])]


@contextmanager
def associated(
    edge: Edge, contexts: list[tuple[str, list[str]]] | None = None
) -> Iterator[Requestor]:
    with Requestor(
        "127.0.0.1", edge.port, calling="SENDER", called="VNA", contexts=contexts or CONTEXTS
    ) as remote:
        yield remote


def store(
    remote: Requestor, data: bytes, sop_class: str = wire.CT, instance: str = "1.2.3"
) -> Status:
    return remote.store(sop_class, instance, wire.EXPLICIT, [data])


def test_the_bytes_and_what_was_said_reach_ingest(serve: Serve) -> None:
    shelf, data = Shelf(), random.Random(1).randbytes(1_000_000)
    with associated(serve(served(ingest=shelf))) as remote:
        assert store(remote, data).code == 0
    (taken,) = shelf.taken
    assert taken.data == data
    assert taken.transfer_syntax == wire.EXPLICIT
    assert (taken.expected.sop_class, taken.expected.sop_instance) == (wire.CT, "1.2.3")
    assert (taken.source.proto, taken.source.calling_ae, taken.source.called_ae) == (
        "dimse",
        "SENDER",
        "VNA",
    )
    assert taken.source.address == "127.0.0.1"
    assert taken.principal.name == "SENDER"


def test_many_objects_and_echoes_on_one_association(serve: Serve) -> None:
    shelf = Shelf()
    with associated(serve(served(ingest=shelf))) as remote:
        for number in range(50):
            assert store(remote, bytes([number]) * number * 2).code == 0
            assert remote.echo() == 0
    assert [len(taken.data) for taken in shelf.taken] == [2 * n for n in range(50)]


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (STORED, 0x0000),
        (AlreadyStored(ref=STORED.ref, sop_class="1.2"), 0x0000),
        (refused(Cause.OUT_OF_RESOURCES), 0xA700),
        (refused(Cause.MISMATCH), 0xA900),
        (refused(Cause.CANNOT_UNDERSTAND), 0xC000),
        (refused(Cause.DUPLICATE), 0x0111),
    ],
)
def test_the_outcome_is_the_status(serve: Serve, outcome: Outcome, code: int) -> None:
    with associated(serve(served(ingest=Shelf(lambda: outcome)))) as remote:
        status = store(remote, b"data")
    assert status.code == code
    assert status.comment == getattr(outcome, "message", "")


@pytest.mark.parametrize(("answer", "code"), [("warning", 0xB000), ("success", 0x0000)])
def test_other_content_is_answered_by_the_setting(serve: Serve, answer: str, code: int) -> None:
    differs = Stored(ref=STORED.ref, sop_class="1.2", caution=Caution.DIFFERS, message="Both kept.")
    config = Settings(dev=True, versions=Versions(answer=answer))
    edge = serve(served(ingest=Shelf(lambda: differs), settings=config))
    with associated(edge) as remote:
        assert store(remote, b"data").code == code


def test_the_rest_of_a_refused_object_is_swallowed(serve: Serve) -> None:
    shelf = Shelf()

    def refuse(*_: object, **__: object) -> None:
        raise NotPermitted

    shelf.receive = refuse  # type: ignore[method-assign]
    with associated(serve(served(ingest=shelf))) as remote:
        assert store(remote, bytes(3_000_000)).code == 0x0124
        assert remote.echo() == 0


def test_a_fault_of_ours_is_0110_and_the_association_goes_on(serve: Serve) -> None:
    def broken() -> Outcome:
        raise RuntimeError

    with associated(serve(served(ingest=Shelf(broken)))) as remote:
        assert store(remote, b"data").code == 0x0110
        assert remote.echo() == 0


def test_a_fault_while_bytes_arrive_lets_go_of_the_object(serve: Serve) -> None:
    shelf = Shelf()
    begin = shelf.receive

    def break_on_feed(*args: object, **kwargs: object) -> object:
        taken = begin(*args, **kwargs)  # type: ignore[arg-type]
        taken.feed = lambda _: 1 // 0  # type: ignore[assignment, method-assign, return-value]
        return taken

    shelf.receive = break_on_feed  # type: ignore[assignment, method-assign]
    with associated(serve(served(ingest=shelf))) as remote:
        assert store(remote, bytes(500_000)).code == 0x0110
    assert shelf.taken[0].ended == "aborted"


def raw(
    edge: Edge, *contexts: bytes, max_pdu_bytes: int = 16384
) -> tuple[socket.socket, UpperLayer]:
    """A connection with an association, and a layer to write messages with."""
    sock = edge.connect()
    offered = contexts or (wire.context(1, wire.CT, wire.EXPLICIT),)
    sock.sendall(wire.associate(*offered, max_pdu_bytes=max_pdu_bytes))
    assert wire.answer(sock)[0] == 2
    layer = UpperLayer(max_pdu_bytes=0, max_associate_bytes=0, acceptor=False)
    layer.peer_max_bytes = 16384
    return sock, layer


def status_of(sock: socket.socket) -> int:
    kind, body = wire.answer(sock)
    assert kind == 4
    return decode_command(1, body[6:]).status


STORE = request(Field.C_STORE, 1, wire.CT, sop_instance="1.2.3")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (request(Field.C_STORE, 1, wire.CT, sop_instance="1.2.3", has_data_set=False), 0xC000),
        (request(Field.C_FIND, 1, wire.STUDY_FIND, has_data_set=False), 0x0122),
        (request(Field.C_ECHO, 1, wire.VERIFICATION, has_data_set=False), 0x0122),
        (request(Field.C_MOVE, 1, wire.CT, has_data_set=False), 0x0122),
        (request(Field.C_GET, 1, wire.CT, has_data_set=False), 0x0122),
        (request(Field.N_CREATE, 1, wire.CT, has_data_set=False), 0x0211),
        (request(Field.N_ACTION, 1, wire.CT, has_data_set=False), 0x0122),
    ],
    ids=["store", "find", "echo", "move", "get", "create", "action"],
)
def test_a_request_without_data_set_is_answered(serve: Serve, command: bytes, code: int) -> None:
    sock, layer = raw(serve(served(ingest=Shelf())))
    with sock:
        sock.sendall(layer.message(1, command))
        assert status_of(sock) == code


@pytest.mark.parametrize("instance", ["", "../../etc/passwd", "1.2.3\n", "1" * 65, "1.2.a"])
def test_what_is_no_uid_is_refused(serve: Serve, instance: str) -> None:
    shelf = Shelf()
    sock, layer = raw(serve(served(ingest=shelf)))
    with sock:
        command = request(Field.C_STORE, 1, wire.CT, sop_instance=instance)
        sock.sendall(layer.message(1, command, b"data" * 10000))
        assert status_of(sock) == 0xA900
    assert not shelf.taken


def test_a_class_that_is_no_storage_is_refused_on_any_context(serve: Serve) -> None:
    sock, layer = raw(serve(served(ingest=Shelf())))
    with sock:
        command = request(Field.C_STORE, 1, wire.STUDY_FIND, sop_instance="1.2.3")
        sock.sendall(layer.message(1, command, b"data"))
        assert status_of(sock) == 0x0122


def test_an_unknown_class_is_stored_by_the_setting(serve: Serve) -> None:
    unknown, shelf = "1.2.826.0.1.3680043.10.1", Shelf()
    with associated(serve(served(ingest=shelf)), [(unknown, [wire.EXPLICIT])]) as remote:
        assert store(remote, b"data", sop_class=unknown).code == 0
    closed = Settings(dev=True, dicom=Dicom(unknown_storage=False))
    edge = serve(served(ingest=shelf, settings=closed), unknown_storage=False)
    with associated(edge, [(unknown, [wire.EXPLICIT])]) as remote, pytest.raises(NotAcceptable):
        store(remote, b"data", sop_class=unknown)
    sock, layer = raw(edge)
    with sock:
        sock.sendall(
            layer.message(1, request(Field.C_STORE, 1, unknown, sop_instance="1.2"), b"data")
        )
        assert status_of(sock) == 0x0122


def test_a_cancel_with_nothing_to_cancel_is_passed_over(serve: Serve) -> None:
    sock, layer = raw(serve(served(ingest=Shelf())))
    with sock:
        sock.sendall(layer.message(1, cancel(1)) + layer.message(1, STORE, b"data"))
        assert status_of(sock) == 0


@pytest.mark.parametrize("ending", ["close", "reset", "abort", "half a PDU"])
def test_a_sender_that_vanishes_halfway_stores_nothing(serve: Serve, ending: str) -> None:
    shelf = Shelf()
    sock, layer = raw(serve(served(ingest=shelf)))
    with sock:
        sock.sendall(layer.message(1, STORE) + wire.pdu(4, wire.pdv(1, 0, bytes(16000))))
        wait_for(lambda: bool(shelf.taken) and len(shelf.taken[0].data) == 16000)
        if ending == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif ending == "abort":
            sock.sendall(wire.ABORT)
        elif ending == "half a PDU":
            sock.sendall(wire.pdu(4, wire.pdv(1, 2, bytes(16000)))[:9000])
    wait_for(lambda: shelf.taken[0].ended == "aborted")


def test_messages_sent_ahead_are_answered_in_order(serve: Serve) -> None:
    shelf = Shelf()
    sock, layer = raw(serve(served(ingest=shelf)))
    with sock:
        sock.sendall(b"".join(layer.message(1, STORE, bytes([n]) * 50_000) for n in range(5)))
        assert [status_of(sock) for _ in range(5)] == [0] * 5
    assert [bytes(taken.data[:1]) for taken in shelf.taken] == [bytes([n]) for n in range(5)]


def test_an_object_in_one_pdu_of_many_fragments(serve: Serve) -> None:
    shelf = Shelf()
    sock, _ = raw(serve(served(ingest=shelf)))
    parts = [wire.pdv(1, 1, STORE[:10]), wire.pdv(1, 3, STORE[10:])]
    parts += [wire.pdv(1, 0, struct.pack("<H", n)) for n in range(1000)] + [wire.pdv(1, 2, b"")]
    with sock:
        sock.sendall(wire.pdu(4, b"".join(parts)))
        assert status_of(sock) == 0
    assert shelf.taken[0].data == b"".join(struct.pack("<H", n) for n in range(1000))


def test_eight_senders_over_two_workers(serve: Serve) -> None:
    shelf = Shelf()
    edge = serve(served(ingest=shelf), workers=2)
    codes: list[int] = []

    def send(number: int) -> None:
        with associated(edge) as remote:
            for _ in range(10):
                codes.append(store(remote, bytes([number]) * 300_000).code)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0] * 80
    assert all(set(taken.data) == {taken.data[0]} for taken in shelf.taken)
    assert sum(len(taken.data) for taken in shelf.taken) == 80 * 300_000


def test_stopping_finishes_the_object_in_hand(serve: Serve) -> None:
    finishing, go_on = threading.Event(), threading.Event()

    def slow() -> Outcome:
        finishing.set()
        assert go_on.wait(10)
        return STORED

    edge = serve(served(ingest=Shelf(slow)))
    sock, layer = raw(edge)
    with sock:
        sock.sendall(layer.message(1, STORE, b"data"))
        assert finishing.wait(10)
        ending = threading.Thread(target=edge.close)
        ending.start()
        go_on.set()
        assert status_of(sock) == 0
        assert wire.answer(sock)[0] == 5  # and then it is released
        sock.close()
        ending.join()


def test_what_is_not_done_in_time_is_cut(serve: Serve) -> None:
    shelf = Shelf()
    edge = serve(served(ingest=shelf))
    sock, layer = raw(edge)
    with sock:
        sock.sendall(layer.message(1, STORE, bytes(100_000))[:60_000])
        wait_for(lambda: bool(shelf.taken) and len(shelf.taken[0].data) > 40_000)
        edge.close(grace_s=0.2)
        assert wire.is_closed(sock)
    assert shelf.taken[0].ended == "aborted"


@wire.examples(100)
@given(st.lists(st.binary(max_size=40), max_size=10), st.integers(1, 10).map(lambda n: 2 * n))
def test_a_stream_is_cut_into_even_pieces(chunks: list[bytes], size: int) -> None:
    cut = list(pieces(chunks, size))
    assert b"".join(bytes(piece) for piece, _ in cut) == b"".join(chunks)
    assert [last for _, last in cut] == [False] * (len(cut) - 1) + [True]
    assert all(len(piece) <= size for piece, _ in cut)
    assert all(len(piece) % 2 == 0 for piece, last in cut if not last)


def test_an_error_of_the_sender_aborts_the_association(serve: Serve) -> None:
    shelf = Shelf()

    def breaks_off() -> Iterator[bytes]:
        yield bytes(3_000_000)
        raise VNAError("The source ends.")

    edge = serve(served(ingest=shelf))
    with pytest.raises(VNAError, match="source"), associated(edge) as remote:
        remote.store(wire.CT, "1.2.3", wire.EXPLICIT, breaks_off())
    wait_for(lambda: [taken.ended for taken in shelf.taken] == ["aborted"])


def test_a_peer_that_is_not_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    remote = Requestor("127.0.0.1", port, calling="A", called="B", contexts=CONTEXTS)
    with pytest.raises(Unavailable), remote:
        pass


SAMPLES = Path(pydicom.data.__file__).parent / "test_files"
FILES = [SAMPLES / name for name in ("CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "rtplan.dcm")]


def test_pynetdicom_stores_and_the_bytes_are_those_of_the_file(serve: Serve) -> None:
    shelf = Shelf()
    edge = serve(served(ingest=shelf))
    for path in FILES:
        ae, ds = AE(ae_title="PYNETDICOM"), dcmread(path)
        ae.requested_contexts = [build_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)]
        assoc = ae.associate("127.0.0.1", edge.port)
        assert assoc.is_established
        assert assoc.send_c_store(path).Status == 0
        assoc.release()
    for path, taken in zip(FILES, shelf.taken, strict=True):
        assert path.read_bytes().endswith(bytes(taken.data))
        assert len(taken.data) > 1000
