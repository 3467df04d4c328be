"""The state machine of PS3.8 9.2, fed whole, byte by byte, cut, changed and out of turn."""

from __future__ import annotations

import resource
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dimse import wire
from vna.config import Dicom
from vna.dimse.negotiate import Negotiated, negotiate
from vna.dimse.pdu import AssociateAccept, AssociateRequest, decode_request
from vna.dimse.upper_layer import (
    Aborted,
    AbortReason,
    Event,
    Fragment,
    Rejected,
    Released,
    ReleaseRequested,
    State,
    UpperLayer,
)

MOST = 1024
RELEASED = wire.pdu(6, bytes(4))


def acceptor() -> UpperLayer:
    return UpperLayer(max_pdu_bytes=MOST, max_associate_bytes=4096, acceptor=True)


def opened(request: bytes = wire.associate(wire.context(1, wire.CT))) -> UpperLayer:
    layer = acceptor()
    (event,) = wire.feed(layer, request)
    assert isinstance(event, AssociateRequest)
    answer = negotiate(event, Dicom())
    assert isinstance(answer, Negotiated)
    layer.accept(answer.answer, peer_max_bytes=event.user.max_pdu_bytes)
    layer.data_to_send()
    return layer


def pair() -> tuple[UpperLayer, UpperLayer]:
    """Requestor and acceptor of one association, opened."""
    ours = UpperLayer(max_pdu_bytes=MOST, max_associate_bytes=4096, acceptor=False)
    ours.request(decode_request(wire.associate(wire.context(1, wire.CT))[6:]))
    theirs = acceptor()
    (request,) = wire.feed(theirs, ours.data_to_send())
    assert isinstance(request, AssociateRequest)
    answer = negotiate(request, Dicom())
    assert isinstance(answer, Negotiated)
    theirs.accept(answer.answer, peer_max_bytes=64)
    (accept,) = wire.feed(ours, theirs.data_to_send())
    assert isinstance(accept, AssociateAccept)
    return ours, theirs


def abort_pdu(source: int, reason: int) -> bytes:
    return wire.pdu(7, bytes((0, 0, source, reason)))


STREAM = (
    wire.pdu(4, wire.pdv(1, 1, b"abc") + wire.pdv(1, 3, b"defg"))
    + wire.pdu(4, wire.pdv(1, 0, b"x" * 500))
    + wire.pdu(4, wire.pdv(1, 0, b"") + wire.pdv(1, 2, b""))
    + wire.RELEASE
)


def joined(events: list[Event]) -> list[object]:
    """Merge fragments of one PDV stream: cuts of the transport must not show."""
    out: list[object] = []
    data = {True: b"", False: b""}
    for event in events:
        if not isinstance(event, Fragment):
            out.append(event)
            continue
        data[event.is_command] += bytes(event.data)
        if event.is_last:
            out.append((event.context_id, event.is_command, data[event.is_command]))
            data[event.is_command] = b""
    return out


@wire.examples(100)
@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_cuts_of_the_transport_do_not_show(cuts: list[int]) -> None:
    layer, events, at = opened(), [], 0
    for cut in [*sorted(cuts), len(STREAM)]:
        events += wire.feed(layer, STREAM[at:cut])
        at = cut
    assert joined(events) == [(1, True, b"abcdefg"), (1, False, b"x" * 500), ReleaseRequested()]


def test_a_stream_may_come_byte_by_byte() -> None:
    layer, events = acceptor(), []
    for byte in wire.associate(wire.context(1, wire.CT)):
        events += wire.feed(layer, bytes([byte]))
    assert [type(event) for event in events] == [AssociateRequest]


def test_fragments_are_views_of_the_buffer_received() -> None:
    data = bytearray(STREAM)
    fragments = [e for e in opened().receive(memoryview(data)) if isinstance(e, Fragment)]
    assert all(f.data.obj is data for f in fragments)


SEEDS = [STREAM, wire.associate(), wire.RELEASE, RELEASED, wire.ABORT, abort_pdu(2, 1)]


@wire.examples(300)
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 700),
    trailing=st.binary(max_size=16),
    open_=st.booleans(),
)
def test_whatever_comes_is_an_event_or_an_abort(
    seed: bytes, changes: list[tuple[int, int]], cut: int, trailing: bytes, open_: bool
) -> None:
    data = bytearray(seed)
    for at, byte in changes:
        data[at % len(data)] = byte
    layer = opened() if open_ else acceptor()
    events = wire.feed(layer, bytes(data[:cut]) + trailing)
    by_us = [event for event in events if isinstance(event, Aborted) and event.by_us]
    sent = layer.data_to_send()
    assert len(by_us) == (sent[:1] == b"\x07") <= 1
    if by_us:
        assert events[-1] is by_us[0]
        assert sent.startswith(abort_pdu(by_us[0].source, by_us[0].reason))
        assert len(sent) % 10 == 0  # AA-7: what comes then and is no PDU is aborted again
        assert layer.state in (State.CLOSING, State.CLOSED)
        assert wire.feed(layer, STREAM) == []
        layer.data_to_send()


def test_an_associate_pdu_at_the_limit_is_read_and_past_it_aborted() -> None:
    for length, kind in ((4096, AssociateRequest), (4097, Aborted)):
        fill = length - len(wire.associate(items=wire.item(0x77, b""))) + 6
        request = wire.associate(items=wire.item(0x77, bytes(fill)))
        assert len(request) - 6 == length
        (event,) = wire.feed(acceptor(), request)
        assert isinstance(event, kind)


def test_a_length_is_refused_before_a_byte_of_it_came() -> None:
    layer = acceptor()
    (event,) = wire.feed(layer, struct.pack(">BxI", 1, 0xFFFFFFFF))
    assert isinstance(event, Aborted)
    assert layer.data_to_send() == abort_pdu(0, 0)


def test_a_data_pdu_at_the_limit_is_read_and_past_it_aborted() -> None:
    assert len(wire.feed(opened(), wire.pdu(4, wire.pdv(1, 0, bytes(MOST - 6))))) == 1
    (event,) = wire.feed(opened(), struct.pack(">BxI", 4, MOST + 1))
    assert isinstance(event, Aborted)
    assert event.reason == AbortReason.INVALID_PARAMETER


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (wire.pdu(0, bytes(4)), AbortReason.UNRECOGNISED_PDU),
        (wire.pdu(8, bytes(4)), AbortReason.UNRECOGNISED_PDU),
        (wire.associate(), AbortReason.UNEXPECTED_PDU),
        (wire.pdu(2, bytes(4)), AbortReason.UNEXPECTED_PDU),
        (RELEASED, AbortReason.UNEXPECTED_PDU),
        (wire.pdu(5, bytes(5)), AbortReason.INVALID_PARAMETER),
        (wire.pdu(5, b""), AbortReason.INVALID_PARAMETER),
        (wire.pdu(4, b""), AbortReason.INVALID_PARAMETER),
        (wire.pdu(4, wire.pdv(3, 0, b"ab")), AbortReason.INVALID_PARAMETER),
        (wire.pdu(4, struct.pack(">IBB", 1, 1, 0)), AbortReason.INVALID_PARAMETER),
        (wire.pdu(4, struct.pack(">IBB", 0xFFFFFFFF, 1, 0)), AbortReason.INVALID_PARAMETER),
        (wire.pdu(4, wire.pdv(1, 0, b"ab") + b"\0\0\0"), AbortReason.INVALID_PARAMETER),
    ],
)
def test_an_open_association_is_aborted_with_its_reason(data: bytes, reason: AbortReason) -> None:
    layer = opened()
    events = wire.feed(layer, data)
    assert isinstance(events[-1], Aborted)
    assert layer.data_to_send() == abort_pdu(2, reason)


@pytest.mark.parametrize("data", [STREAM, wire.RELEASE, wire.pdu(9, b""), wire.pdu(3, bytes(4))])
def test_before_a_request_the_abort_names_no_reason(data: bytes) -> None:
    layer = acceptor()
    assert wire.is_abort(wire.feed(layer, data))
    assert layer.data_to_send() == abort_pdu(0, 0)


def test_the_peer_releases() -> None:
    layer = opened()
    assert wire.feed(layer, wire.RELEASE) == [ReleaseRequested()]
    layer.agree_to_release()
    assert layer.data_to_send() == RELEASED
    assert layer.state is State.CLOSING


def test_we_release() -> None:
    _, theirs = pair()
    theirs.release()
    assert theirs.data_to_send() == wire.RELEASE
    late = wire.pdu(4, wire.pdv(1, 0, b"ab"))
    assert [type(e) for e in wire.feed(theirs, late + RELEASED)] == [Fragment, Released]
    assert theirs.state is State.CLOSED


def test_both_release_at_once() -> None:
    ours, theirs = pair()
    ours.release()
    theirs.release()
    crossing = ours.data_to_send()
    assert wire.feed(ours, theirs.data_to_send()) == [ReleaseRequested()]
    assert wire.feed(theirs, crossing) == [ReleaseRequested()]
    ours.agree_to_release()  # the requestor answers first
    assert wire.feed(theirs, ours.data_to_send()) == [Released()]
    theirs.agree_to_release()
    assert wire.feed(ours, theirs.data_to_send()) == [Released()]
    assert (ours.state, theirs.state) == (State.CLOSED, State.CLOSING)


def test_the_requestor_is_rejected() -> None:
    ours = UpperLayer(max_pdu_bytes=MOST, max_associate_bytes=4096, acceptor=False)
    ours.request(decode_request(wire.associate()[6:]))
    rejected = wire.pdu(3, bytes((0, 1, 1, 7)))
    assert wire.feed(ours, rejected) == [Rejected(result=1, source=1, reason=7)]


def test_the_peer_aborts() -> None:
    layer = opened()
    assert wire.feed(layer, abort_pdu(2, 6)) == [Aborted(source=2, reason=6, by_us=False)]
    assert layer.data_to_send() == b""


def test_a_message_is_cut_to_what_the_peer_takes() -> None:
    ours, theirs = pair()
    data = bytes(range(200))
    events = wire.feed(ours, theirs.message(1, b"c" * 100, data))
    assert joined(events) == [(1, True, b"c" * 100), (1, False, data)]
    assert max(len(e.data) for e in events if isinstance(e, Fragment)) == 58


def test_a_peer_that_takes_next_to_nothing_is_aborted() -> None:
    assert wire.is_abort(wire.feed(acceptor(), wire.associate(max_pdu_bytes=63)))
    assert not wire.is_abort(wire.feed(acceptor(), wire.associate(max_pdu_bytes=64)))


def test_a_thousand_hostile_pdus_take_no_memory() -> None:
    hostile = [
        struct.pack(">BxI", 1, 0xFFFFFFFF) + b"x" * 4096,
        struct.pack(">BxI", 1, 4096) + b"x" * 4096,
        wire.associate(wire.item(0x20, bytes((1, 0, 0, 0)) + wire.item(0x40, b"1") * 700)),
        wire.associate(*[wire.context(1, "1")] * 200),
    ]
    for data in hostile:
        wire.feed(acceptor(), data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(1000):
        wire.feed(acceptor(), hostile[number % 4])
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 20 << 10  # KiB
