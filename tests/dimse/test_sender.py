"""What a sender writes and proposes, without a network."""

from __future__ import annotations

import itertools
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dimse import wire
from tests.dimse.wire import examples
from tests.factories import CT, EXPLICIT, IMPLICIT, JPEG_2000
from vna.dicom.refs import UID, InstanceRef
from vna.dimse.buffers import Buffers
from vna.dimse.link import Link, Timing
from vna.dimse.messages import Field, Messages, Status, decode_command, request
from vna.dimse.pdu import AnsweredContext, AssociateAccept, UserInformation
from vna.dimse.sender import proposals
from vna.dimse.stores import Backlog, Result, Stores, StoreTemplate, result_of, write
from vna.dimse.upper_layer import Fragment, UpperLayer
from vna.errors import Corrupt
from vna.retrieve.outgoing import Body, Forms, Outgoing
from vna.retrieve.representation import forms

UIDS = st.text("0123456789.", min_size=1, max_size=64)


def opened(peer_max_bytes: int = 16384) -> UpperLayer:
    """An Upper Layer with context 1 accepted."""
    layer = UpperLayer(max_pdu_bytes=1 << 20, max_associate_bytes=65536, acceptor=True)
    assert len(wire.feed(layer, wire.associate(wire.context(1, CT, EXPLICIT)))) == 1
    context = AnsweredContext(context_id=1, result=0, transfer_syntax=EXPLICIT)
    accept = AssociateAccept(
        called="A", calling="B", contexts=(context,), user=UserInformation(max_pdu_bytes=0)
    )
    layer.accept(accept, peer_max_bytes=peer_max_bytes)
    layer.data_to_send()
    return layer


def fragments(data: bytes) -> list[Fragment]:
    layer = opened()
    return [event for event in wire.feed(layer, data) if isinstance(event, Fragment)]


@given(instance=UIDS, number=st.integers(1, 65535), priority=st.sampled_from((0, 1, 2)))
@examples(100)
def test_a_template_writes_what_a_request_is(instance: str, number: int, priority: int) -> None:
    template = StoreTemplate(1, CT, priority=priority, originator=None)
    (fragment,) = fragments(template.pdus(opened(), number, instance))
    assert (fragment.is_command, fragment.is_last) == (True, True)
    wanted = request(Field.C_STORE, number, CT, sop_instance=instance, priority=priority)
    assert bytes(fragment.data) == wanted


@given(title=st.text("ABC_1 ", min_size=1, max_size=16), number=st.integers(1, 65535))
@examples(50)
def test_a_template_names_its_originator(title: str, number: int) -> None:
    """PS3.7 9.3.1.1: (0000,1030) and (0000,1031)."""
    template = StoreTemplate(1, CT, priority=0, originator=(title, number))
    (fragment,) = fragments(template.pdus(opened(), 1, "1.2.3"))
    data = bytes(fragment.data)
    assert int.from_bytes(data[8:12], "little") == len(data) - 12
    even = title.encode() + b" " * (len(title) % 2)
    originator = b"\0\0\x30\x10" + len(even).to_bytes(4, "little") + even
    assert data.endswith(originator + b"\0\0\x31\x10\x02\0\0\0" + number.to_bytes(2, "little"))
    assert decode_command(1, data).sop_instance == "1.2.3"


def test_a_peer_of_the_smallest_pdus_gets_the_command_in_pieces() -> None:
    layer = opened(peer_max_bytes=64)
    template = StoreTemplate(1, CT, priority=0, originator=None)
    pieces = fragments(template.pdus(layer, 5, "1.2.3"))
    assert len(pieces) > 1
    assert all(len(piece.data) <= 58 for piece in pieces)
    command = decode_command(1, b"".join(bytes(piece.data) for piece in pieces))
    assert (command.message_id, command.sop_instance) == (5, "1.2.3")


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=300).map(lambda b: b + b), max_size=6),
    odd=st.booleans(),
    size=st.sampled_from((64, 65, 100, 1000, 4096)),
    is_sized=st.booleans(),
)
@examples(150)
def test_a_data_set_arrives_whole_however_it_is_cut(
    chunks: list[bytes], odd: bool, size: int, is_sized: bool
) -> None:
    """PS3.8 E.1, E.2: even fragments but the last, which alone is marked."""
    chunks = [*chunks, b"x"] if odd else chunks
    whole = b"".join(chunks)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        timing = Timing(artim_s=5, idle_s=5, slowest_bytes_s=1)
        link = Link(ours, opened(size), timing, buffers=Buffers())
        length = len(whole) if is_sized else None
        left = iter(chunks)
        first = next(left, b"") if is_sized else b""
        write(link, 1, b"", first, Body(length=length, chunks=left))
        ours.shutdown(socket.SHUT_WR)
        data = wire.exactly(theirs, 1 << 20)
    found = fragments(data)
    assert b"".join(bytes(one.data) for one in found) == whole
    assert [one.is_last for one in found] == [False] * (len(found) - 1) + [True]
    assert all(len(one.data) % 2 == 0 for one in found[:-1])
    assert all(len(one.data) + 6 <= size for one in found)


@pytest.mark.parametrize("length", [9, 13], ids=["longer", "shorter"])
def test_an_object_that_is_not_as_long_as_it_should_be_is_not_ended(length: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        timing = Timing(artim_s=5, idle_s=5, slowest_bytes_s=1)
        link = Link(ours, opened(), timing, buffers=Buffers())
        body = Body(length=length, chunks=iter((b"123456",)))
        with pytest.raises(Corrupt):
            write(link, 1, b"", b"123456", body)
        ours.shutdown(socket.SHUT_WR)
        assert not any(one.is_last for one in fragments(wire.exactly(theirs, 1 << 20)))


@pytest.mark.parametrize(
    ("code", "result"),
    [
        (0x0000, Result.COMPLETED),
        (0xB000, Result.WARNING),
        (0xB006, Result.WARNING),
        (0xB007, Result.WARNING),
        (0x0001, Result.WARNING),
        (0x0116, Result.WARNING),
        (0xA700, Result.FAILED),
        (0xA900, Result.FAILED),
        (0xC123, Result.FAILED),
        (0x0122, Result.FAILED),
        (0x0124, Result.FAILED),
        (0xFE00, Result.FAILED),
    ],
)
def test_a_status_of_c_store_is_success_warning_or_failure(code: int, result: Result) -> None:
    """PS3.4 Table B.2-1, PS3.7 Annex C."""
    assert result_of(Status(code=code)) is result


def test_each_syntax_is_proposed_in_a_context_of_its_own() -> None:
    kinds = [(CT, forms(EXPLICIT)), (CT, forms(JPEG_2000))]
    (contexts,) = proposals(kinds)
    assert sorted(contexts) == sorted([(CT, [EXPLICIT]), (CT, [IMPLICIT]), (CT, [JPEG_2000])])


def test_what_a_codec_makes_is_proposed_where_it_is_wanted() -> None:
    wanted = "1.2.840.10008.1.2.4.80"
    (contexts,) = proposals([(CT, forms(EXPLICIT))], [wanted, "1.2.3"])
    assert (CT, [wanted]) in contexts
    assert len(contexts) == 3


def test_many_classes_share_contexts_and_then_associations() -> None:
    """128 Presentation Contexts at most (PS3.8 9.3.2.2)."""
    classes = [f"1.2.{number}" for number in range(120)]
    one = proposals([(name, forms(EXPLICIT)) for name in classes])
    assert [len(contexts) for contexts in one] == [120]
    assert all(syntaxes == [EXPLICIT, IMPLICIT] for _, syntaxes in one[0])
    both = [(n, f) for n in classes for f in (forms(EXPLICIT), forms(JPEG_2000))]
    several = proposals(both)
    assert all(len(contexts) <= 128 for contexts in several)
    homes = [{name for name, _ in contexts} for contexts in several]
    assert all(sum(name in home for home in homes) == 1 for name in classes)


def outgoing(number: int) -> Outgoing:
    return Outgoing(
        ref=InstanceRef(UID("1"), UID("1"), UID(f"1.{number}")),
        sop_class=CT,
        transfer_syntax=EXPLICIT,
        forms=Forms((EXPLICIT,), ()),
        load=lambda form: Body(length=2, chunks=iter((b"ab",))),
    )


def test_a_backlog_gives_each_once_to_whoever_takes() -> None:
    backlog = Backlog(outgoing(number) for number in range(2000))
    taken: list[list[str]] = [[], [], []]

    def take(into: list[str]) -> None:
        while (one := backlog.take()) is not None:
            into.append(one.ref.instance)

    threads = [threading.Thread(target=take, args=(into,)) for into in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(itertools.chain(*taken)) == sorted(f"1.{n}" for n in range(2000))


def test_what_is_given_back_is_taken_next_and_nothing_after_a_stop() -> None:
    backlog = Backlog(outgoing(number) for number in range(3))
    first = backlog.take()
    assert first is not None
    backlog.give_back(first)
    assert backlog.take() is first
    assert backlog.has_more()
    backlog.stop()
    assert backlog.take() is None
    assert not backlog.has_more()


def test_a_walk_that_is_left_gives_back_what_was_made_ready() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        timing = Timing(artim_s=5, idle_s=5, slowest_bytes_s=1)
        link = Link(ours, opened(), timing, buffers=Buffers())
        backlog = Backlog(outgoing(number) for number in range(3))
        stores = Stores(link, {(CT, EXPLICIT): 1}, lambda number: Status(code=0))
        walk = stores.run(backlog)
        assert next(walk).outgoing.ref.instance == "1.0"
        walk.close()
        assert [one.ref.instance for one in iter(backlog.take, None)] == ["1.1", "1.2"]


def test_a_class_that_was_not_accepted_fails_without_a_word_to_the_peer() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        timing = Timing(artim_s=5, idle_s=5, slowest_bytes_s=1)
        link = Link(ours, opened(), timing, buffers=Buffers())
        stores = Stores(link, {(CT, IMPLICIT): 1}, lambda number: Status(code=0))
        (sent,) = stores.run(Backlog([outgoing(1)]))
        assert (sent.result, sent.status.code, sent.is_answered) == (Result.FAILED, 0x0122, False)
        ours.shutdown(socket.SHUT_WR)
        assert theirs.recv(1) == b""


def test_a_stream_of_messages_is_read_back() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        timing = Timing(artim_s=5, idle_s=5, slowest_bytes_s=1)
        link = Link(ours, opened(), timing, buffers=Buffers())
        stores = Stores(link, {(CT, EXPLICIT): 1}, lambda number: Status(code=0))
        results = list(stores.run(Backlog([outgoing(1), outgoing(2)])))
        ours.shutdown(socket.SHUT_WR)
        messages = Messages()
        read = [messages.receive(one) for one in fragments(wire.exactly(theirs, 1 << 20))]
    assert [sent.result for sent in results] == [Result.COMPLETED] * 2
    assert len(read) == 4
