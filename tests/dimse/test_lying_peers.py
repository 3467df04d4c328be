"""Remote AEs we call that keep to no protocol: what they say is no success, and none holds us."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

import pytest

from tests.dimse import wire
from tests.factories import CT, EXPLICIT, IMPLICIT
from vna.dicom.refs import UID, InstanceRef
from vna.dimse.messages import Field, encode_command
from vna.dimse.pdu import (
    AnsweredContext,
    AssociateAccept,
    UserInformation,
    decode_request,
    encode_accept,
)
from vna.dimse.scu import Requestor
from vna.dimse.sop_classes import COMMITMENT_INSTANCE, COMMITMENT_PUSH
from vna.dimse.stores import Backlog, Result
from vna.errors import NotAcceptable, Unavailable
from vna.retrieve.outgoing import Body, Forms, Outgoing

ECHOED = {0x0002: wire.VERIFICATION, 0x0100: 0x8030, 0x0120: 1, 0x0800: 0x0101, 0x0900: 0}
Behave = Callable[[socket.socket], None]


class Liar:
    """Opens one association, then does as a test wants."""

    def __init__(self, behave: Behave, *more: AnsweredContext, syntax: str | None = None) -> None:
        self._behave, self._more, self._syntax = behave, more, syntax
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> int:
        self._thread.start()
        return int(self._listener.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        try:
            sock, _ = self._listener.accept()
            with sock:
                self._open(sock)
                self._behave(sock)
        except OSError:  # we have hung up, which is what is waited for; or never called
            return

    def _open(self, sock: socket.socket) -> None:
        asked = decode_request(wire.answer(sock)[1])
        contexts = tuple(
            AnsweredContext(
                context_id=one.context_id,
                result=0,
                transfer_syntax=self._syntax or one.transfer_syntaxes[0],
            )
            for one in asked.contexts
        )
        accept = AssociateAccept(
            called=asked.called,
            calling=asked.calling,
            contexts=(*contexts, *self._more),
            user=UserInformation(max_pdu_bytes=16384, implementation_class="1.2.3"),
        )
        sock.sendall(encode_accept(accept))


def calling(
    port: int,
    *,
    timeout_s: float = 1.0,
    sop_class: str = wire.VERIFICATION,
    slowest_bytes_s: int = 0,
) -> Requestor:
    return Requestor(
        "127.0.0.1",
        port,
        calling="A",
        called="B",
        contexts=[(sop_class, [IMPLICIT])],
        timeout_s=timeout_s,
        slowest_bytes_s=slowest_bytes_s,
    )


def said(sock: socket.socket, elements: dict[int, int | str], number: int = 1) -> None:
    sock.sendall(wire.pdu(4, wire.pdv(number, 3, encode_command(elements))))


def answering(elements: dict[int, int | str]) -> Behave:
    """Answer the first request so, and nothing else until we have gone."""

    def behave(sock: socket.socket) -> None:
        assert wire.answer(sock)[0] == 4
        said(sock, elements)
        assert wire.is_closed(sock)

    return behave


def again_and_again(what: Callable[[], bytes], pause_s: float) -> Behave:
    """Go on saying something for ever; it ends when the connection does."""

    def behave(sock: socket.socket) -> None:
        assert wire.answer(sock)[0] == 4
        while True:
            sock.sendall(what())
            time.sleep(pause_s)

    return behave


@pytest.mark.parametrize(
    "elements",
    [
        {one: value for one, value in ECHOED.items() if one != 0x0900},
        ECHOED | {0x0120: 2},
        ECHOED | {0x0100: 0x8001},
        ECHOED | {0x0100: 0x0FFF},
    ],
    ids=["no status", "another request", "a C-STORE response", "a C-CANCEL request"],
)
def test_what_is_no_answer_to_a_c_echo_is_not_taken_for_one(elements: dict[int, int | str]) -> None:
    """PS3.7 9.3.5.2: C-ECHO-RSP has Command Field, Message ID Being Responded To and Status."""
    with (
        Liar(answering(elements)) as port,
        pytest.raises(Unavailable),
        calling(port) as remote,
    ):
        remote.echo()


@pytest.mark.parametrize(
    ("what", "pause_s"),
    [
        (lambda: wire.pdu(4, wire.pdv(1, 1, b"")), 0.05),
        (lambda: wire.pdu(4, wire.pdv(1, 3, encode_command(ECHOED | {0x0900: 0xFF00}))), 0.05),
        (lambda: wire.pdu(4, wire.pdv(1, 3, encode_command(ECHOED | {0x0120: 9}))), 0.05),
    ],
    ids=["an answer in empty fragments", "Pending", "answers to others"],
)
def test_who_never_comes_to_an_answer_is_given_up_in_its_time(
    what: Callable[[], bytes], pause_s: float
) -> None:
    began = time.monotonic()
    with (
        Liar(again_and_again(what, pause_s)) as port,
        pytest.raises(Unavailable),
        calling(port) as remote,
    ):
        remote.echo()
    assert time.monotonic() - began < 10


STORED = {0x0100: 0x8001, 0x0120: 1, 0x0800: 0x0101, 0x0900: 0}


def takes_objects(sock: socket.socket, elements: dict[int, int | str]) -> None:
    while (pdu := wire.answer(sock))[0] == 4:
        if pdu[1][5] == 2:  # the last fragment of the data set
            said(sock, elements)


@pytest.mark.parametrize(
    "elements",
    [
        {one: value for one, value in STORED.items() if one != 0x0900},
        STORED | {0x0100: 0x8030},
        STORED | {0x0100: 0x0FFF},
    ],
    ids=["no status", "a C-ECHO response", "a C-CANCEL request"],
)
def test_an_object_is_stored_only_where_a_c_store_response_says_so(
    elements: dict[int, int | str],
) -> None:
    """PS3.7 9.3.1.2: without a Status of C-STORE-RSP nobody knows that the object is kept."""
    with (
        Liar(lambda sock: takes_objects(sock, elements)) as port,
        calling(port, sop_class=CT) as remote,
    ):
        assert results(remote, b"1234") == [Result.FAILED]


def results(remote: Requestor, *objects: bytes) -> list[Result]:
    """Send them; say how that went until the association ended."""
    found: list[Result] = []
    with contextlib.suppress(ConnectionError):  # behind the result with which it ended
        for sent in remote.stores().run(Backlog(map(_outgoing, objects))):
            found.append(sent.result)
    return found


def _outgoing(data: bytes) -> Outgoing:
    return Outgoing(
        ref=InstanceRef(UID("1.2"), UID("1.3"), UID("1.4")),
        sop_class=CT,
        transfer_syntax=IMPLICIT,
        forms=Forms(offered=(IMPLICIT,), made=()),
        load=lambda _: Body(length=len(data), chunks=iter((data,))),
    )


def test_a_peer_that_only_asks_fills_no_memory() -> None:
    """Requests that come while an answer is owed wait, but not without end."""
    asked = wire.pdu(4, wire.pdv(1, 3, encode_command({0x0100: 0x30, 0x0110: 1, 0x0800: 0x0101})))
    began = time.monotonic()
    with (
        Liar(again_and_again(lambda: asked, 0.0)) as port,
        pytest.raises(Unavailable, match="asks"),
        calling(port, timeout_s=20.0) as remote,
    ):
        remote.echo()
    assert time.monotonic() - began < 10


def test_a_transfer_syntax_nobody_proposed_is_not_spoken() -> None:
    """PS3.8 7.1.1.14: what is accepted is one of the Transfer Syntaxes proposed."""
    with Liar(lambda sock: wire.is_closed(sock) or None, syntax="1.2.3") as port:
        remote = calling(port, sop_class=COMMITMENT_PUSH)
        with remote:
            assert remote.accepted == frozenset()
            with pytest.raises(NotAcceptable):
                remote.notify(
                    Field.N_ACTION, COMMITMENT_PUSH, COMMITMENT_INSTANCE, 1, lambda _: b""
                )


def test_a_request_in_a_context_nobody_proposed_breaks_the_association() -> None:
    more = AnsweredContext(context_id=77, result=0, transfer_syntax=EXPLICIT)
    report = {0x0002: COMMITMENT_PUSH, 0x0100: 0x0100, 0x0110: 1, 0x0800: 0x0101, 0x1002: 1}

    def behave(sock: socket.socket) -> None:
        said(sock, report, number=77)
        assert wire.answer(sock)[0] == 7

    with Liar(behave, more) as port, calling(port, sop_class=COMMITMENT_PUSH) as remote:
        assert remote.incoming(within_s=5.0, most=1000) is None


def test_who_takes_an_object_drop_by_drop_is_given_up() -> None:
    """As who asked for it by C-GET is: else it would hold a worker for days."""

    def behave(sock: socket.socket) -> None:
        while sock.recv(1 << 16):
            time.sleep(0.1)

    began = time.monotonic()
    with (
        Liar(behave) as port,
        calling(port, sop_class=CT, slowest_bytes_s=1 << 20) as remote,
    ):
        assert results(remote, bytes(32 << 20)) == [Result.FAILED]
    assert time.monotonic() - began < 10


def test_who_speaks_without_end_between_two_objects_is_given_up() -> None:
    flood = wire.pdu(4, wire.pdv(1, 1, b"")) * (1 << 16)

    def behave(sock: socket.socket) -> None:
        while wire.answer(sock)[1][5] != 2:  # until the data set is over
            pass
        said(sock, STORED)
        while True:
            sock.sendall(flood)

    began = time.monotonic()
    with Liar(behave) as port, calling(port, sop_class=CT) as remote:
        assert results(remote, b"12", b"34") == [Result.COMPLETED]
    assert time.monotonic() - began < 10
