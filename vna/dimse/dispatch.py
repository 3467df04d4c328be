"""Messages of one association -> services, one after the other, and responses (PS3.7 8, 9)."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping

from vna.dimse.exchange import Answer, Exchange, Peer, Service
from vna.dimse.link import Disconnected, Link, Silence
from vna.dimse.messages import (
    REQUESTS,
    RESPONSE,
    SUCCESS,
    Command,
    DataSetPart,
    Field,
    Messages,
    Status,
    response,
)
from vna.dimse.negotiate import Context
from vna.dimse.notices import Notices
from vna.dimse.roster import Row
from vna.dimse.sop_classes import Service as Kind
from vna.dimse.status import FAILED, NO_SUCH_SOP_CLASS, STOPPING, UNRECOGNISED_OPERATION
from vna.dimse.stores import Stores
from vna.dimse.upper_layer import AbortReason, Event, Fragment, State
from vna.errors import InvalidRequest
from vna.telemetry import DIMSE_SECONDS

log = logging.getLogger(__name__)

Services = Mapping[int, tuple[Kind, Callable[[Exchange], Service]]]
"""Command Field -> the kind of Presentation Context it belongs to, and what serves it."""


def echo(exchange: Exchange) -> Service:
    """Serve C-ECHO (PS3.7 9.1.5)."""
    return Answer(exchange, SUCCESS)


class Dispatch:
    """Give it fragments; it answers through the link."""

    def __init__(
        self,
        link: Link,
        contexts: Mapping[int, Context],
        peer: Peer,
        services: Services,
        *,
        row: Row,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.ended: Event | None = None  # what ended the association while a request was answered
        self._link = link
        self._contexts = contexts
        self._peer = peer
        self._services = services
        self._row = row
        self._is_stopping = is_stopping
        self.notices = Notices(link)
        self._messages = Messages()
        self._exchange: Exchange | None = None
        self._service: Service | None = None
        self._began = 0.0
        self._waiting: deque[Command] = deque()  # came while a request was being answered
        self._out: list[bytes] = []
        self._broken: InvalidRequest | None = None
        self._cancelled: int | None = None  # the request that C-CANCEL named while it was answered

    @property
    def midway(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._messages.midway

    @property
    def in_data_set(self) -> bool:
        """Whether a data set is arriving."""
        return self._messages.in_data_set

    def take(self, fragment: Fragment) -> None:
        """Go on with the message in hand.

        Raises `InvalidRequest` when the peer breaks the protocol, `ConnectionError` at its end.
        """
        message = self._messages.receive(fragment)
        if isinstance(message, Command):
            self._begin(message)
        elif isinstance(message, DataSetPart):
            self._feed(message)
        while self._waiting and self.ended is None:
            self._begin(self._waiting.popleft())
        if self._broken is not None:
            raise self._broken

    def abort(self) -> None:
        """Forget the request in hand: the association is over."""
        if self._service is not None:
            self._service.abort()
            self._service = None
        self.notices.drop()

    def _begin(self, command: Command) -> None:
        if command.field & RESPONSE:
            if self.notices.is_answered(command):
                return
            raise InvalidRequest("A response came, but nothing was asked.")
        if command.field == Field.C_CANCEL:
            return  # what it speaks of is answered already (PS3.7 9.3.2.3)
        self._began = time.perf_counter()
        self._row.begins(command.field)
        self._cancelled = None
        self._exchange = exchange = self._exchanged(command)
        self._service = self._chosen(exchange)
        if not command.has_data_set:
            self._finish()

    def _exchanged(self, command: Command) -> Exchange:
        written: dict[tuple[Status, bool], bytes] = {}  # thousands of answers differ in nothing

        def respond(status: Status, data_set: bytes | None) -> int:
            how = status, data_set is not None
            answer = written.get(how)
            if answer is None:
                answer = response(command, status, has_data_set=how[1])
                if status.progress is None:  # those with numbers differ each time
                    written[how] = answer
            self._out.append(self._link.layer.message(command.context_id, answer, data_set))
            return len(self._out[-1])

        return Exchange(
            command=command,
            context=self._contexts[command.context_id],
            peer=self._peer,
            respond=respond,
            send=self._send,
            is_cancelled=lambda: self._is_cancelled(command.message_id),
            stores=lambda: self._stores(command),
            follow=self.notices.add,
        )

    def _stores(self, command: Command) -> Stores:
        accepted = {
            (context.sop_class, context.transfer_syntax): context.context_id
            for context in self._contexts.values()
            if context.from_us
        }
        return Stores(
            self._link,
            accepted,
            lambda number: self._stored(number, command.message_id),
            priority=command.priority,
        )

    def _stored(self, number: int, message_id: int) -> Status:
        """Wait for the response to a C-STORE of ours; a C-CANCEL of the request may come first.

        Raises `ConnectionError` when there will be none.
        """
        until = time.monotonic() + self._link.timing.response_s
        while True:  # what comes bit by bit, and cancels of other requests, win no time
            left_s = until - time.monotonic()
            event = self._link.answer(within_s=left_s) if left_s > 0 else Silence()
            if isinstance(event, Fragment):
                status = self._response(event, number, message_id)
                if status is not None:
                    return status
            elif isinstance(event, Silence):
                self._link.layer.abort()
                raise ConnectionAbortedError("The peer did not answer in time.")
            else:
                raise ConnectionResetError("The peer ended the association.")

    def _response(self, fragment: Fragment, number: int, message_id: int) -> Status | None:
        try:
            message = self._messages.receive(fragment)
            if not isinstance(message, Command):
                return None
            if message.field == Field.C_STORE | RESPONSE and message.responded_id == number:
                return Status(code=message.status, comment=message.comment)
            if message.field != Field.C_CANCEL:
                raise InvalidRequest("Another message came than the response that was due.")
        except InvalidRequest as exc:
            self._link.layer.abort(AbortReason.UNEXPECTED_PARAMETER)
            raise ConnectionAbortedError(str(exc)) from exc
        if message.responded_id == message_id:
            self._cancelled = message_id
        return None

    def _chosen(self, exchange: Exchange) -> Service:
        kind, make = self._services.get(exchange.command.field, (None, None))
        if make is None:
            return Answer(exchange, UNRECOGNISED_OPERATION)
        # a report comes from the SCP of what we asked for, every other request from an SCU
        context, is_report = exchange.context, exchange.command.field == Field.N_EVENT_REPORT
        if kind is not context.service or not (context.from_us if is_report else context.to_us):
            return Answer(exchange, NO_SUCH_SOP_CLASS)
        if self._is_stopping() and kind is not Kind.VERIFICATION:
            return Answer(exchange, STOPPING)
        try:
            return make(exchange)
        except Exception:  # the outermost floor: a fault of ours is logged and answered
            log.exception("request failed")
            return Answer(exchange, FAILED)

    def _feed(self, part: DataSetPart) -> None:
        if self._service is None:
            return
        try:
            self._service.feed(part.data)
        except Exception:  # as above; the rest of the data set is swallowed
            self._give_up()
        if part.is_last:
            self._finish()

    def _finish(self) -> None:
        if self._service is None or self._exchange is None:
            return
        try:
            self._service.finish()
        except ConnectionError:
            raise
        except Exception:  # as above
            self._give_up()
            self._service.finish()
        self._service = None
        self._row.rests()
        field = self._exchange.command.field
        name = Field(field).name if field in REQUESTS else "unknown"
        DIMSE_SECONDS.labels(name).observe(time.perf_counter() - self._began)

    def _give_up(self) -> None:
        log.exception("request failed")
        if self._service is not None and self._exchange is not None:
            self._service.abort()
            self._service = Answer(self._exchange, FAILED)

    def _send(self) -> None:
        out, self._out = b"".join(self._out), []
        if self._link.layer.state in (State.CLOSING, State.CLOSED):
            raise ConnectionAbortedError("The association has ended.")
        self._link.send(out)

    def _is_cancelled(self, message_id: int) -> bool:
        if self._cancelled == message_id:
            return True
        # a look at the socket; what is no cancel has to wait, and what comes after it, too
        while self.ended is None and self._broken is None and not self._waiting:
            event = self._link.glance()
            if event is None:
                return False
            if isinstance(event, Disconnected):
                raise ConnectionResetError("The peer is gone.")
            if not isinstance(event, Fragment):
                self.ended = event
                return True
            try:
                message = self._messages.receive(event)
            except InvalidRequest as exc:
                self._broken = exc
                return True
            if isinstance(message, Command):
                if message.field != Field.C_CANCEL:
                    self._waiting.append(message)
                elif message.responded_id == message_id:
                    return True
        return self.ended is not None or self._broken is not None
