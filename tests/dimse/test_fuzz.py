"""Fuzzed PDUs against the whole edge of an association: no crash, no hang, no growth."""

from __future__ import annotations

import logging
import resource
import socket
import time
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dimse import wire
from tests.dimse.fuzzing import SEEDS, Mutator, pdus_in
from tests.dimse.shelf import STORED, Rows, served
from vna.access.watched import Watched
from vna.config import Dicom, Settings
from vna.dimse import tls
from vna.dimse.association import Association, House
from vna.dimse.buffers import Buffers
from vna.dimse.callers import Callers
from vna.dimse.link import Timing
from vna.dimse.messages import Messages
from vna.dimse.negotiate import Negotiated, negotiate
from vna.dimse.pdu import decode_request, encode_accept
from vna.dimse.roster import Roster
from vna.dimse.upper_layer import Aborted, Fragment, State, UpperLayer
from vna.errors import InvalidRequest
from vna.ingest.outcome import Outcome

SETTINGS = Settings(dev=True, dicom=Dicom(max_pdu_bytes=16384))


class Sink:
    """Takes objects in and forgets them."""

    def receive(self, *_: object, **__: object) -> Sink:
        return self

    def feed(self, data: memoryview) -> None:
        bytes(data)

    def finish(self) -> Outcome:
        return STORED

    def abort(self) -> None:
        pass


class Ear:
    """The archive's side of connections, one after the other, in this thread."""

    def __init__(self) -> None:
        self._stop_out, self._stop_in = socket.socketpair()
        self._listener = socket.create_server(("127.0.0.1", 0))
        sink: object = Sink()
        self._house = House(
            settings=SETTINGS,
            services=served(
                ingest=sink,  # type: ignore[arg-type]  # what is taken in is forgotten
                query=Rows(lambda: iter([{"00100020": {"vr": "LO", "Value": ["1"]}}])),
            ),
            timing=Timing(artim_s=5, idle_s=5, slowest_bytes_s=1024, slow_window_s=5),
            buffers=Buffers(),
            stop_fd=self._stop_out.fileno(),
            callers=Callers(SETTINGS, None),
            roster=Roster(),
            tls=Watched(tuple, lambda: tls.acceptor(SETTINGS.tls).value()),
            is_stopping=lambda: False,
        )

    def close(self) -> None:
        self._stop_out.close()
        self._stop_in.close()
        self._listener.close()

    def hear(self, data: bytes) -> bytes:
        """Let a peer send all of it and close; return what it was sent."""
        theirs = socket.create_connection(self._listener.getsockname())
        ours, _ = self._listener.accept()
        with theirs:
            theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)
            Association(ours, "127.0.0.1", self._house, admit=lambda *_: True).run()
            return wire.exactly(theirs, 1 << 20)  # all of it, or up to a reset


def check(said: bytes) -> None:
    """What may be sent to a peer, in which order (PS3.8 9.2)."""
    kinds = [kind for kind, _ in pdus_in(said)]
    assert set(kinds) <= {2, 3, 4, 6, 7}
    assert kinds.count(2) + kinds.count(3) <= 1
    if 4 in kinds or 6 in kinds:
        assert kinds[0] == 2
    ends = [at for at, kind in enumerate(kinds) if kind in (3, 6, 7)]
    if ends:
        assert set(kinds[ends[0] + 1 :]) <= {7}  # AA-7 alone


def fuzz(seed: int, pdus: int) -> int:
    """Let a mutator talk until it has sent so many PDUs; return the growth in KiB."""
    ear, mutator = Ear(), Mutator(seed)
    longest = 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        for number, talk in enumerate(mutator):
            begun = time.monotonic()
            check(ear.hear(talk))
            longest = max(longest, time.monotonic() - begun)
            if number == 200:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if mutator.pdus >= pdus:
                break
    finally:
        ear.close()
    assert longest < 5
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def test_fuzzed_conversations_break_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert fuzz(seed=1, pdus=10_000) < 20 << 10
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_two_hundred_thousand_fuzzed_pdus_break_nothing(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    assert fuzz(seed=100 + seed, pdus=20_000) < 20 << 10
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("talk", SEEDS)
def test_the_recorded_conversations_are_valid(talk: list[bytes]) -> None:
    ear = Ear()
    kinds = [kind for kind, _ in pdus_in(ear.hear(b"".join(talk)))]
    ear.close()
    assert kinds[0] == 2
    assert 4 in kinds
    assert 7 not in kinds[:-1]


ASKED = decode_request(wire.associate(wire.context(1, wire.CT), wire.context(3, wire.CT))[6:])


def answers() -> list[bytes]:
    """What an acceptor may say to our requestor, one PDU each."""
    answer = negotiate(ASKED, Dicom())
    assert isinstance(answer, Negotiated)
    return [
        encode_accept(answer.answer),
        wire.pdu(3, bytes((0, 1, 1, 7))),
        wire.pdu(4, wire.pdv(1, 3, bytes(40))),
        wire.pdu(4, wire.pdv(1, 1, b"ab") + wire.pdv(3, 2, b"cd")),
        wire.RELEASE,
        wire.pdu(6, bytes(4)),
        wire.ABORT,
    ]


@wire.examples(300)
@given(
    said=st.lists(
        st.tuples(
            st.sampled_from(answers()),
            st.lists(st.tuples(st.integers(0, 250), st.integers(0, 255)), max_size=3),
        ),
        max_size=8,
    ),
    opened=st.booleans(),
)
def test_whatever_a_remote_ae_says_our_requestor_stands(
    said: list[tuple[bytes, list[tuple[int, int]]]], opened: bool
) -> None:
    layer = UpperLayer(max_pdu_bytes=4096, max_associate_bytes=4096, acceptor=False)
    layer.request(ASKED)
    messages = Messages()
    if opened:
        wire.feed(layer, answers()[0])
    for pdu, changes in said:
        data = bytearray(pdu)
        for at, byte in changes:
            data[at % len(data)] = byte
        events = wire.feed(layer, bytes(data))
        ended = list(takewhile(lambda event: not isinstance(event, Aborted), events))
        assert len(events) - len(ended) <= 1  # nothing behind an abort
        for event in events:
            if isinstance(event, Fragment):
                try:
                    messages.receive(event)
                except InvalidRequest:
                    layer.abort()
        if layer.state is State.CLOSED:
            break
    pdus_in(layer.data_to_send())
