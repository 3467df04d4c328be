"""PS3.8 Table 9-10: every one of the 19 events in every one of the 13 states, on both sides.

The table below is written from the standard and compared with pynetdicom's reading of it. A cell
that is blank in the standard cannot occur (the peer's PDUs without a connection) or is a fault of
the service user, which must send nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.fsm import TRANSITION_TABLE

from tests.dimse import wire
from vna.config import Dicom
from vna.dimse.negotiate import UNKNOWN_CALLED, Negotiated, negotiate
from vna.dimse.pdu import AssociateAccept, AssociateRequest, decode_request, encode_accept
from vna.dimse.upper_layer import (
    Aborted,
    Event,
    Fragment,
    Rejected,
    Released,
    ReleaseRequested,
    State,
    UpperLayer,
    encode_reject,
)

S = State
# PS3.8 Tables 9-6 to 9-9, by event: state -> action
_ALL_OPEN = (6, 7, 8, 9, 10, 11, 12)
TABLE: dict[int, dict[int, str]] = {
    1: {1: "AE-1"},
    2: {4: "AE-2"},
    3: {2: "AA-1", 3: "AA-8", 5: "AE-3", **dict.fromkeys(_ALL_OPEN, "AA-8"), 13: "AA-6"},
    4: {2: "AA-1", 3: "AA-8", 5: "AE-4", **dict.fromkeys(_ALL_OPEN, "AA-8"), 13: "AA-6"},
    5: {1: "AE-5"},
    6: {2: "AE-6", 3: "AA-8", 5: "AA-8", **dict.fromkeys(_ALL_OPEN, "AA-8"), 13: "AA-7"},
    7: {3: "AE-7"},
    8: {3: "AE-8"},
    9: {6: "DT-1", 8: "AR-7"},
    10: {
        2: "AA-1",
        3: "AA-8",
        5: "AA-8",
        6: "DT-2",
        7: "AR-6",
        **dict.fromkeys((8, 9, 10, 11, 12), "AA-8"),
        13: "AA-6",
    },
    11: {6: "AR-1"},
    12: {
        2: "AA-1",
        3: "AA-8",
        5: "AA-8",
        6: "AR-2",
        7: "AR-8",
        **dict.fromkeys((8, 9, 10, 11, 12), "AA-8"),
        13: "AA-6",
    },
    13: {
        2: "AA-1",
        3: "AA-8",
        5: "AA-8",
        6: "AA-8",
        7: "AR-3",
        8: "AA-8",
        9: "AA-8",
        10: "AR-10",
        11: "AR-3",
        12: "AA-8",
        13: "AA-6",
    },
    14: {8: "AR-4", 9: "AR-9", 12: "AR-4"},
    15: {3: "AA-1", 4: "AA-2", 5: "AA-1", **dict.fromkeys(_ALL_OPEN, "AA-1")},
    16: {2: "AA-2", 3: "AA-3", 5: "AA-3", **dict.fromkeys(_ALL_OPEN, "AA-3"), 13: "AA-2"},
    17: {
        2: "AA-5",
        3: "AA-4",
        4: "AA-4",
        5: "AA-4",
        **dict.fromkeys(_ALL_OPEN, "AA-4"),
        13: "AR-5",
    },
    18: {2: "AA-2", 13: "AA-2"},
    19: {2: "AA-1", 3: "AA-8", 5: "AA-8", **dict.fromkeys(_ALL_OPEN, "AA-8"), 13: "AA-7"},
}

REQUEST = wire.associate(wire.context(1, wire.CT))
ASKED = decode_request(REQUEST[6:])
ANSWERED = negotiate(ASKED, Dicom())
assert isinstance(ANSWERED, Negotiated)
ACCEPT = ANSWERED.answer
DATA = wire.pdu(4, wire.pdv(1, 3, b"data"))
RELEASED = wire.pdu(6, bytes(4))
REFUSED = Rejected(result=1, source=1, reason=7)
USER_ABORT, UNKNOWN = wire.ABORT, wire.pdu(0x42, bytes(4))


@dataclass(frozen=True)
class Outcome:
    """What an action does: bytes out, the next state, what the service user is told."""

    sent: bytes
    state: State
    told: tuple[type, ...] = ()
    artim: bool = False


def _abort(source: int, reason: int) -> bytes:
    return wire.pdu(7, bytes((0, 0, source, reason)))


# the reason of AA-8: an unexpected PDU, or one that is not recognised (PS3.8 9.3.8)
def _outcome(action: str, state: int, event: int) -> Outcome:
    why = 1 if event == 19 else 2
    return {
        "AE-1": Outcome(b"", S.CONNECTING),
        "AE-2": Outcome(REQUEST_SENT, S.AWAITING_ANSWER),
        "AE-3": Outcome(b"", S.OPEN, (AssociateAccept,)),
        "AE-4": Outcome(b"", S.CLOSED, (Rejected,)),
        "AE-5": Outcome(b"", S.AWAITING_REQUEST, artim=True),
        "AE-6": Outcome(b"", S.NEGOTIATING, (AssociateRequest,)),
        "AE-7": Outcome(encode_accept(ACCEPT), S.OPEN),
        "AE-8": Outcome(encode_reject(UNKNOWN_CALLED), S.CLOSING, artim=True),
        "DT-1": Outcome(DATA, S.OPEN),
        "DT-2": Outcome(b"", S.OPEN, (Fragment,)),
        "AR-1": Outcome(wire.RELEASE, S.RELEASE_SENT),
        "AR-2": Outcome(b"", S.RELEASE_ASKED, (ReleaseRequested,)),
        "AR-3": Outcome(b"", S.CLOSED, (Released,)),
        "AR-4": Outcome(RELEASED, S.CLOSING, artim=True),
        "AR-5": Outcome(b"", S.CLOSED),
        "AR-6": Outcome(b"", S.RELEASE_SENT, (Fragment,)),
        "AR-7": Outcome(DATA, S.RELEASE_ASKED),
        "AR-8": Outcome(b"", S.COLLIDED_ASKED, (ReleaseRequested,)),  # the requestor: Sta9
        "AR-9": Outcome(RELEASED, S.COLLIDED_ANSWERED),
        "AR-10": Outcome(b"", S.COLLIDED_AGREED, (Released,)),
        # the service user is told, too, when the peer's fault before the association is the cause
        "AA-1": Outcome(_abort(0, 0), S.CLOSING, (Aborted,) if state == 2 else (), artim=True),
        "AA-2": Outcome(b"", S.CLOSED, (Aborted,) if (state, event) == (2, 16) else ()),
        "AA-3": Outcome(b"", S.CLOSED, (Aborted,)),
        "AA-4": Outcome(b"", S.CLOSED, (Aborted,)),
        "AA-5": Outcome(b"", S.CLOSED),
        "AA-6": Outcome(b"", S.CLOSING, artim=True),
        "AA-7": Outcome(_abort(2, 2), S.CLOSING, artim=True),
        "AA-8": Outcome(_abort(2, why), S.CLOSING, (Aborted,), artim=True),
    }[action]


def _layer(*, acceptor: bool) -> UpperLayer:
    return UpperLayer(max_pdu_bytes=4096, max_associate_bytes=4096, acceptor=acceptor)


def _sent(layer: UpperLayer) -> bytes:
    return layer.data_to_send()


_requesting = _layer(acceptor=False)
_requesting.request(ASKED)
REQUEST_SENT = _sent(_requesting)


def _in_state(number: int, *, acceptor: bool) -> UpperLayer:
    """Bring an association into a state on one of its sides, by the shortest way there."""
    layer = _layer(acceptor=acceptor)
    for step in _WAYS[acceptor][number]:
        step(layer)
    assert layer.state is STATES[number]
    _sent(layer)
    return layer


Step = Callable[[UpperLayer], object]


def _hears(data: bytes) -> Step:
    return lambda layer: wire.feed(layer, data)


def _accepts(layer: UpperLayer) -> None:
    layer.accept(ACCEPT, peer_max_bytes=4096)


_ASK: Step = lambda layer: layer.request(ASKED)  # noqa: E731 -- a row of the table of ways
_OPENED: dict[bool, tuple[Step, ...]] = {
    True: (_hears(REQUEST), _accepts),
    False: (_ASK, _hears(encode_accept(ACCEPT))),
}
_CROSSED: Step = _hears(wire.RELEASE)


def _ways(*, acceptor: bool) -> dict[int, tuple[Step, ...]]:
    opened = _OPENED[acceptor]
    ways: dict[int, tuple[Step, ...]] = {
        6: opened,
        7: (*opened, UpperLayer.release),
        8: (*opened, _CROSSED),
        13: (*opened, _CROSSED, UpperLayer.agree_to_release),
    }
    collided = (*opened, UpperLayer.release, _CROSSED)
    if acceptor:
        return ways | {2: (), 3: opened[:1], 10: collided, 12: (*collided, _hears(RELEASED))}
    asked = {1: (), 4: (lambda layer: layer.connect(ASKED),), 5: opened[:1]}
    return ways | asked | {9: collided, 11: (*collided, UpperLayer.agree_to_release)}


_WAYS = {side: _ways(acceptor=side) for side in (True, False)}
STATES = {
    1: S.IDLE,
    2: S.AWAITING_REQUEST,
    3: S.NEGOTIATING,
    4: S.CONNECTING,
    5: S.AWAITING_ANSWER,
    6: S.OPEN,
    7: S.RELEASE_SENT,
    8: S.RELEASE_ASKED,
    9: S.COLLIDED_ASKED,
    10: S.COLLIDED_WAITING,
    11: S.COLLIDED_ANSWERED,
    12: S.COLLIDED_AGREED,
    13: S.CLOSING,
}


def _happen(layer: UpperLayer, event: int) -> tuple[bytes, list[Event]]:
    """Let an event happen; return what went out and what the service user was told."""
    told: list[Event] = []
    written = b""
    pdus = {3: encode_accept(ACCEPT), 4: encode_reject(REFUSED), 6: REQUEST, 10: DATA}
    pdus |= {12: wire.RELEASE, 13: RELEASED, 16: USER_ABORT, 19: UNKNOWN}
    primitives: dict[int, Callable[[], object]] = {
        1: lambda: layer.connect(ASKED),
        2: layer.connected,
        7: lambda: _accepts(layer),
        8: lambda: layer.reject(UNKNOWN_CALLED),
        11: layer.release,
        14: layer.agree_to_release,
        15: layer.abort,
        18: layer.expired,
    }
    if event in pdus:
        told = wire.feed(layer, pdus[event])
    elif event == 9:
        written = layer.message(1, b"data")
    elif event == 17:
        told = [ended] if (ended := layer.disconnected()) is not None else []
    else:
        primitives[event]()
    return written + _sent(layer), told


CELLS = [
    (state, event, acceptor)
    for event in range(1, 20)
    for state in range(1, 14)
    for acceptor in (True, False)
    if state in _WAYS[acceptor]
]


def test_the_table_is_pynetdicoms_too() -> None:
    ours = {(f"Evt{e}", f"Sta{s}"): a for e, row in TABLE.items() for s, a in row.items()}
    assert ours == TRANSITION_TABLE


def test_every_state_and_event_is_tried() -> None:
    assert {(state, event) for state, event, _ in CELLS} == {
        (state, event) for state in range(1, 14) for event in range(1, 20)
    }


def test_a_connection_that_was_accepted_awaits_a_request() -> None:
    layer = _layer(acceptor=True)  # Sta1 + Evt5: AE-5
    assert (layer.state, layer.artim_runs) == (S.AWAITING_REQUEST, True)


@pytest.mark.parametrize(
    ("state", "event", "acceptor"),
    [cell for cell in CELLS if cell[0] in TABLE[cell[1]] and cell[1] != 5],
)
def test_an_event_has_its_action(state: int, event: int, acceptor: bool) -> None:
    """PS3.8 Table 9-10 and the actions of Tables 9-6 to 9-9."""
    action = TABLE[event][state]
    wanted = _outcome(action, state, event)
    next_state = wanted.state
    if action == "AR-8" and acceptor:
        next_state = S.COLLIDED_WAITING  # Sta10
    layer = _in_state(state, acceptor=acceptor)
    sent, told = _happen(layer, event)
    assert (sent, layer.state) == (wanted.sent, next_state)
    assert tuple(type(one) for one in told) == wanted.told
    assert layer.artim_runs == wanted.artim


@pytest.mark.parametrize(
    ("state", "event", "acceptor"),
    [cell for cell in CELLS if cell[0] not in TABLE[cell[1]] and cell[1] != 5],
)
def test_what_the_table_does_not_know_changes_nothing(
    state: int, event: int, acceptor: bool
) -> None:
    layer = _in_state(state, acceptor=acceptor)
    if (state, event) == (1, 9):
        return  # without a connection the bytes are written for who carries them himself
    with contextlib.suppress(RuntimeError):  # a primitive out of turn is a fault of ours
        sent, told = _happen(layer, event)
        assert (sent, told) == (b"", [])
    assert _sent(layer) == b""
    if event != 17:
        assert layer.state is STATES[state]


@wire.examples(300)
@given(walk=st.lists(st.integers(1, 19), max_size=40), acceptor=st.booleans())
def test_any_walk_through_the_table_goes_as_it_says(walk: list[int], acceptor: bool) -> None:
    layer = _layer(acceptor=acceptor)
    number = {state: name for name, state in STATES.items()} | {S.CLOSED: 1}
    for event in walk:
        state = number[layer.state]
        action = TABLE[event].get(state)
        if action is None or event == 5:
            continue
        wanted = _outcome(action, state, event)
        sent, told = _happen(layer, event)
        assert sent == wanted.sent
        assert tuple(type(one) for one in told) == wanted.told
        if action != "AR-8":
            assert layer.state is wanted.state
        if layer.state is S.CLOSED:
            return


@pytest.mark.parametrize("state", range(2, 14))
@pytest.mark.parametrize("acceptor", [True, False])
@pytest.mark.parametrize(
    "data",
    [
        wire.pdu(1, b""),
        wire.pdu(2, b"abc"),
        wire.pdu(3, b""),
        wire.pdu(4, b""),
        wire.pdu(4, bytes(5)),
        wire.pdu(4, wire.pdv(1, 3, b"x") + b"\0"),
        wire.pdu(4, bytes(6)),
        wire.pdu(5, bytes(5)),
        wire.pdu(6, b""),
        wire.pdu(0, b""),
        wire.pdu(255, bytes(70)),
    ],
    ids=lambda data: data.hex()[:20],
)
def test_an_invalid_pdu_is_aborted_and_what_follows_skipped(
    state: int, acceptor: bool, data: bytes
) -> None:
    """Evt19: AA-1 before an association, AA-8 with one, AA-7 or AA-6 when it is over."""
    if state not in _WAYS[acceptor] or state == 4:
        return
    layer = _in_state(state, acceptor=acceptor)
    told = wire.feed(layer, data)
    sent = _sent(layer)
    assert layer.state is S.CLOSING
    if state == 13:
        assert told == []
        assert sent in (b"", _abort(2, 2), _abort(2, 6))
        return
    assert [type(one) for one in told][-1:] == [Aborted]
    assert sent[:1] == b"\x07"
    assert sent[8] == (0 if state == 2 else 2)
    assert wire.feed(layer, DATA + RELEASED) == []
    assert _sent(layer) == b""
    wire.feed(layer, wire.ABORT)
    assert layer.state is S.CLOSED


def test_nothing_is_understood_behind_a_length_beyond_reason() -> None:
    layer = _in_state(6, acceptor=True)
    wire.feed(layer, b"\x04\x00\xff\xff\xff\xff" + DATA * 3)
    assert _sent(layer) == _abort(2, 6)
    assert layer.is_lost
    wire.feed(layer, wire.ABORT)
    assert (layer.state, _sent(layer)) == (S.CLOSING, b"")


def test_what_is_sent_after_the_end_is_skipped_in_any_pieces() -> None:
    layer = _in_state(13, acceptor=True)
    for byte in DATA * 3 + RELEASED:
        assert wire.feed(layer, bytes([byte])) == []
    assert (layer.state, _sent(layer)) == (S.CLOSING, b"")
    for byte in REQUEST:
        assert wire.feed(layer, bytes([byte])) == []
    assert _sent(layer) == _abort(2, 2)  # AA-7
