"""The DICOM Upper Layer (PS3.8 9.2) without any input or output: bytes in, events and bytes out.

A length is checked when its six header bytes are there and before anything is kept. Only
A-ASSOCIATE bodies are collected; P-DATA is parsed where it lies and delivered as it comes, so a PDU
of any size costs no memory here. The states are those of PS3.8 Table 9-10:

    acceptor   AWAITING_REQUEST (Sta2) -> NEGOTIATING (Sta3) -> OPEN (Sta6)
    requestor  IDLE (Sta1) -> CONNECTING (Sta4) -> AWAITING_ANSWER (Sta5) -> OPEN
    both       OPEN -> RELEASE_ASKED (Sta8) -> CLOSING (Sta13)       the peer released
               OPEN -> RELEASE_SENT (Sta7) -> CLOSED (Sta1)          we released
               RELEASE_SENT -> COLLIDED_ASKED (Sta9) -> COLLIDED_ANSWERED (Sta11) -> CLOSED
                               both at once, we being the requestor
               RELEASE_SENT -> COLLIDED_WAITING (Sta10) -> COLLIDED_AGREED (Sta12) -> CLOSING
                               both at once, we being the acceptor
               any  -> CLOSING                                       one of us aborted

CLOSING only waits for the peer to close the connection: what it still sends is skipped (AA-6), or
aborted once more where it is no PDU of an ending association (AA-7).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from vna.dimse.pdu import (
    AssociateAccept,
    AssociateRequest,
    decode_accept,
    decode_request,
    encode_accept,
    encode_request,
)
from vna.dimse.states import (
    Aborted,
    AbortReason,
    Event,
    Fragment,
    Rejected,
    Released,
    ReleaseRequested,
    State,
)
from vna.errors import InvalidRequest

__all__ = [
    "SMALLEST_PDU_BYTES",
    "Aborted",
    "AbortReason",
    "Event",
    "Fragment",
    "Rejected",
    "Released",
    "ReleaseRequested",
    "State",
    "UpperLayer",
    "encode_reject",
]

_PDU = struct.Struct(">BxI")
_PDV = struct.Struct(">IBB")
_REQUEST, _ACCEPT, _REJECT, _DATA, _RELEASE, _RELEASED, _ABORT = range(1, 8)
_FIXED = frozenset((_REJECT, _RELEASE, _RELEASED, _ABORT))  # four bytes each
_NO_LIMIT = 0xFFFFFFFF
_MOST_SKIPPED = 1 << 20  # of a PDU nobody wants; past it, what comes is no PDU
SMALLEST_PDU_BYTES = 64  # a peer that takes less could be sent nothing useful


# the PDU types a state takes; any other one breaks the protocol (PS3.8 Table 9-10)
_EXPECTED = {
    State.AWAITING_REQUEST: {_REQUEST, _ABORT},
    State.NEGOTIATING: {_ABORT},
    State.AWAITING_ANSWER: {_ACCEPT, _REJECT, _ABORT},
    State.OPEN: {_DATA, _RELEASE, _ABORT},
    State.RELEASE_ASKED: {_ABORT},
    State.RELEASE_SENT: {_DATA, _RELEASE, _RELEASED, _ABORT},
    State.COLLIDED_ASKED: {_ABORT},
    State.COLLIDED_WAITING: {_RELEASED, _ABORT},
    State.COLLIDED_ANSWERED: {_RELEASED, _ABORT},
    State.COLLIDED_AGREED: {_ABORT},
}

_ENDED = (State.CLOSING, State.CLOSED)
_MAY_SEND = (State.OPEN, State.RELEASE_ASKED, State.IDLE)  # IDLE: who carries the bytes himself
_NOTHING_YET = (State.IDLE, State.AWAITING_REQUEST)
_UNCONNECTED = (State.IDLE, State.CONNECTING, State.CLOSED)


class UpperLayer:
    """One association. Feed `receive`, send what `data_to_send` returns."""

    def __init__(self, *, max_pdu_bytes: int, max_associate_bytes: int, acceptor: bool) -> None:
        self.state = State.AWAITING_REQUEST if acceptor else State.IDLE
        self.contexts: frozenset[int] = frozenset()
        self.peer_max_bytes = SMALLEST_PDU_BYTES
        self._acceptor = acceptor
        self._limits = {
            _REQUEST: max_associate_bytes,
            _ACCEPT: max_associate_bytes,
            _DATA: max_pdu_bytes or _NO_LIMIT,
        }
        self._out = bytearray()
        self._head = bytearray()  # of a PDU or a PDV, up to six bytes
        self._body = bytearray()  # of anything but P-DATA
        self._kind = 0
        self._left = 0  # bytes of the PDU still to come
        self._pdv = (0, False, False)  # context, is command, is last
        self._pdv_left = 0
        self._in_pdv = False
        self._deaf = False  # where the next PDU begins is not known any more
        self._asked: AssociateRequest | None = None  # waits for the connection

    @property
    def artim_runs(self) -> bool:
        """Whether the ARTIM timer runs (PS3.8 9.1.5)."""
        return self.state in (State.AWAITING_REQUEST, State.CLOSING)

    @property
    def is_lost(self) -> bool:
        """Whether nothing the peer may still send can be understood."""
        return self._deaf

    @property
    def midway(self) -> bool:
        """Whether a PDU has begun and not ended."""
        return bool(self._left or self._head or self._in_pdv)

    def data_to_send(self) -> bytes:
        """Take what is to be sent to the peer."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def receive(self, data: memoryview) -> Iterator[Event]:
        """Yield what the bytes mean. Walk it to its end before the next call.

        What an event asks for (`accept`, `reject`, ...) may be done while walking.
        """
        at = 0
        while self.state not in _UNCONNECTED:
            empty = self._in_pdv and not self._pdv_left  # a PDV without bytes still says "last"
            if at == len(data) and not empty:
                return
            event: Event | None = None
            if self.state is State.CLOSING:
                at = self._ignore(data, at)
            elif self._in_pdv:
                at, event = self._fragment(data, at)
            elif self._kind and self._kind != _DATA:
                at, event = self._collect(data, at)
            else:
                at, event = self._header(data, at)
            if event is not None:
                yield event

    def accept(self, accept: AssociateAccept, *, peer_max_bytes: int) -> None:
        """Answer the request with A-ASSOCIATE-AC (AE-7)."""
        self._require(State.NEGOTIATING)
        self._opened(accept, peer_max_bytes)
        self._out += encode_accept(accept)

    def reject(self, rejected: Rejected) -> None:
        """Answer the request with A-ASSOCIATE-RJ (AE-8)."""
        self._require(State.NEGOTIATING)
        self._out += encode_reject(rejected)
        self.state = State.CLOSING

    def connect(self, request: AssociateRequest) -> None:
        """Ask for an association; a connection is wanted (AE-1)."""
        self._require(State.IDLE)
        self._asked = request
        self.state = State.CONNECTING

    def connected(self) -> None:
        """Say that the connection stands: A-ASSOCIATE-RQ goes out (AE-2)."""
        self._require(State.CONNECTING)
        if self._asked is not None:
            self._out += encode_request(self._asked)
        self.state = State.AWAITING_ANSWER

    def request(self, request: AssociateRequest) -> None:
        """Ask for an association on a connection that stands already."""
        self.connect(request)
        self.connected()

    def disconnected(self) -> Aborted | None:
        """Say that the connection has ended: with an association, that is its abort (AA-4)."""
        had = self.state not in (*_NOTHING_YET, *_ENDED)
        self.state = State.CLOSED
        return Aborted(source=2, reason=0, by_us=False) if had else None

    def expired(self) -> None:
        """Say that the ARTIM timer has run out: the connection is to be closed (AA-2)."""
        if self.artim_runs:
            self.state = State.CLOSED

    def message(self, context_id: int, command: bytes, data_set: bytes | None = None) -> bytes:
        """Return the P-DATA PDUs of a whole message; they are not added to `data_to_send`.

        Nothing when the association is ending: its end may have crossed what was to be said.
        """
        if self.state not in _MAY_SEND:
            return b""
        out = [self._pdus(context_id, command, is_command=True)]
        if data_set is not None:
            out.append(self._pdus(context_id, data_set, is_command=False))
        return b"".join(out)

    def data_header(self, context_id: int, length: int, *, last: bool) -> bytes:
        """Return the twelve bytes before one data set fragment, at most `fragment_bytes` long."""
        return _PDU.pack(_DATA, length + 6) + _PDV.pack(length + 2, context_id, 2 if last else 0)

    def fragments(
        self, context_id: int, data: memoryview, *, last: bool
    ) -> list[bytes | memoryview]:
        """Cut a part of a data set into P-DATA PDUs without copying it; `last` ends the data set.

        `data` has an even length unless it is the last.
        """
        size = self.fragment_bytes
        end = max(0, (len(data) - 1) // size * size)
        head = self.data_header(context_id, size, last=False)
        parts: list[bytes | memoryview] = []
        for at in range(0, end, size):
            parts += (head, data[at : at + size])
        parts += (self.data_header(context_id, len(data) - end, last=last), data[end:])
        return parts

    @property
    def fragment_bytes(self) -> int:
        """The longest fragment the peer takes: even, as PS3.8 Annex E.1 asks."""
        return (self.peer_max_bytes - 6) & ~1

    def release(self) -> None:
        """Ask the peer to end the association (AR-1)."""
        self._require(State.OPEN)
        self._out += _PDU.pack(_RELEASE, 4) + bytes(4)
        self.state = State.RELEASE_SENT

    def agree_to_release(self) -> None:
        """Answer the peer's release (AR-4; AR-9 when we, the requestor, had asked as well)."""
        self._require(State.RELEASE_ASKED, State.COLLIDED_ASKED, State.COLLIDED_AGREED)
        self._out += _PDU.pack(_RELEASED, 4) + bytes(4)
        collided = self.state is State.COLLIDED_ASKED
        self.state = State.COLLIDED_ANSWERED if collided else State.CLOSING

    def abort(self, reason: AbortReason | None = None) -> None:
        """Send A-ABORT: the provider's with its reason, or without one the service user's (AA-1).

        Without an association there is nothing to do, and with no connection nothing to send.
        """
        if self.state is State.CONNECTING:
            self.state = State.CLOSED
        elif self.state not in (*_NOTHING_YET, *_ENDED):
            self._abort(reason)

    def _abort(self, reason: AbortReason | None) -> None:
        source, why = (0, 0) if reason is None else (2, int(reason))
        self._out += _PDU.pack(_ABORT, 4) + bytes((0, 0, source, why))
        self.state = State.CLOSING

    def _require(self, *states: State) -> None:
        if self.state not in states:  # a fault of ours, not of the peer
            raise RuntimeError(f"There is no such primitive in state {self.state.value}.")

    def _opened(self, accept: AssociateAccept, peer_max_bytes: int) -> None:
        self.contexts = frozenset(c.context_id for c in accept.contexts if c.result == 0)
        self.peer_max_bytes = min(peer_max_bytes or 1 << 20, 1 << 20)
        self.state = State.OPEN

    def _pdus(self, context_id: int, value: bytes, *, is_command: bool) -> bytes:
        size, flag = self.fragment_bytes, int(is_command)
        if len(value) <= size:
            head = _PDU.pack(_DATA, len(value) + 6)
            return head + _PDV.pack(len(value) + 2, context_id, flag | 2) + value
        out = []
        for at in range(0, len(value), size):
            part = value[at : at + size]
            last = 2 if at + size >= len(value) else 0
            out.append(_PDU.pack(_DATA, len(part) + 6))
            out.append(_PDV.pack(len(part) + 2, context_id, flag | last) + part)
        return b"".join(out)

    def _fragment(self, data: memoryview, at: int) -> tuple[int, Event]:
        part = data[at : at + self._pdv_left]
        self._pdv_left -= len(part)
        self._left -= len(part)
        context_id, is_command, is_last = self._pdv
        if not self._pdv_left:
            self._in_pdv = False
            if not self._left:
                self._kind = 0
        return at + len(part), Fragment(
            context_id=context_id,
            is_command=is_command,
            is_last=is_last and not self._in_pdv,
            data=part,
        )

    def _header(self, data: memoryview, at: int) -> tuple[int, Event | None]:
        if not self._head and len(data) - at >= 6:
            head: bytes | memoryview = data[at : at + 6]
            at += 6
        else:
            take = min(6 - len(self._head), len(data) - at)
            self._head += data[at : at + take]
            at += take
            if len(self._head) < 6:
                return at, None
            head = bytes(self._head)
            self._head.clear()
        return at, self._pdv_header(head) if self._kind else self._pdu_header(head)

    def _pdu_header(self, head: bytes | memoryview) -> Event | None:
        kind, length = _PDU.unpack(head)
        self._left = length
        if not _REQUEST <= kind <= _ABORT:
            return self._broken(AbortReason.UNRECOGNISED_PDU, "The PDU type is not one of PS3.8.")
        if kind not in _EXPECTED.get(self.state, ()):
            return self._broken(AbortReason.UNEXPECTED_PDU, "The PDU is not expected now.")
        if length > self._limits.get(kind, 4):
            return self._broken(AbortReason.INVALID_PARAMETER, "The PDU is longer than agreed.")
        if length < (6 if kind == _DATA else 4):
            return self._broken(AbortReason.INVALID_PARAMETER, "The PDU is too short.")
        self._kind = kind
        return None

    def _ignore(self, data: memoryview, at: int) -> int:
        """Skip PDUs while the connection is being closed (Sta13)."""
        if self._deaf:
            return len(data)
        if self._left:
            skipped = min(self._left, len(data) - at)
            self._left -= skipped
            return at + skipped
        take = min(6 - len(self._head), len(data) - at)
        self._head += data[at : at + take]
        if len(self._head) == 6:
            kind, self._left = _PDU.unpack(self._head)
            self._head.clear()
            if kind in _FIXED and self._left != 4:
                self._abort(AbortReason.INVALID_PARAMETER)  # AA-7
            elif kind == _ABORT:
                self.state = State.CLOSED  # AA-2
            elif kind == _REQUEST or not _REQUEST <= kind <= _ABORT:
                self._abort(AbortReason.UNEXPECTED_PDU)  # AA-7
            self._deaf = self._left > _MOST_SKIPPED
        return at + take

    def _pdv_header(self, head: bytes | memoryview) -> Event | None:
        length, context_id, control = _PDV.unpack(head)
        self._left -= 6
        if not 2 <= length <= self._left + 2:
            return self._broken(AbortReason.INVALID_PARAMETER, "A PDV does not fit its PDU.")
        if 0 < self._left + 2 - length < 6:
            return self._broken(AbortReason.INVALID_PARAMETER, "Bytes are left behind a PDV.")
        if context_id not in self.contexts:
            return self._broken(AbortReason.INVALID_PARAMETER, "The context is not accepted.")
        self._pdv = (context_id, bool(control & 1), bool(control & 2))
        self._pdv_left = length - 2
        self._in_pdv = True
        return None

    def _collect(self, data: memoryview, at: int) -> tuple[int, Event | None]:
        part = data[at : at + self._left]
        self._body += part
        self._left -= len(part)
        if self._left:
            return at + len(part), None
        kind, body = self._kind, bytes(self._body)
        self._kind = 0
        self._body.clear()
        try:
            return at + len(part), self._complete(kind, body)
        except InvalidRequest as exc:
            return at + len(part), self._broken(AbortReason.INVALID_PARAMETER, str(exc))

    def _complete(self, kind: int, body: bytes) -> Event | None:
        if kind == _REQUEST:
            return self._requested(body)
        if kind == _ACCEPT:
            return self._accepted(body)
        if kind == _REJECT:
            self.state = State.CLOSED
            return Rejected(result=body[1], source=body[2], reason=body[3])
        if kind == _ABORT:
            self.state = State.CLOSED
            return Aborted(source=body[2], reason=body[3], by_us=False)
        if kind == _RELEASE:
            return self._release_requested()
        return self._released()

    def _requested(self, body: bytes) -> Event:
        request = decode_request(body)
        if 0 < request.user.max_pdu_bytes < SMALLEST_PDU_BYTES:
            raise InvalidRequest("The largest PDU the peer takes is too small.")
        self.state = State.NEGOTIATING
        return request

    def _accepted(self, body: bytes) -> Event:
        accept = decode_accept(body)
        if 0 < accept.user.max_pdu_bytes < SMALLEST_PDU_BYTES:
            raise InvalidRequest("The largest PDU the peer takes is too small.")
        self._opened(accept, accept.user.max_pdu_bytes)
        return accept

    def _release_requested(self) -> Event:
        if self.state is State.OPEN:
            self.state = State.RELEASE_ASKED
        else:  # both asked at once (AR-8): the requestor answers first
            self.state = State.COLLIDED_WAITING if self._acceptor else State.COLLIDED_ASKED
        return ReleaseRequested()

    def _released(self) -> Event:
        collided = self.state is State.COLLIDED_WAITING  # AR-10: now the acceptor answers, too
        self.state = State.COLLIDED_AGREED if collided else State.CLOSED
        return Released()

    def _broken(self, reason: AbortReason, message: str) -> Event:
        # before there is an association the service user aborts (AA-1), later the provider (AA-8)
        early = self.state is State.AWAITING_REQUEST
        self._abort(None if early else reason)
        self._kind = 0
        self._in_pdv = False
        if self._left > _MOST_SKIPPED:
            self._deaf = True
        return Aborted(
            source=0 if early else 2, reason=0 if early else reason, by_us=True, message=message
        )


def encode_reject(rejected: Rejected) -> bytes:
    """Write A-ASSOCIATE-RJ."""
    return _PDU.pack(_REJECT, 4) + bytes((0, rejected.result, rejected.source, rejected.reason))
