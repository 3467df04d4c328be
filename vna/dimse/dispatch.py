"""Messages of one association -> services, one after the other, and responses (PS3.7 8, 9)."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping

from vna.dimse.exchange import Answer, Exchange, Peer, Service
from vna.dimse.link import Disconnected, Link
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
from vna.dimse.roster import Row
from vna.dimse.sop_classes import Service as Kind
from vna.dimse.status import FAILED, NO_SUCH_SOP_CLASS, STOPPING, UNRECOGNISED_OPERATION
from vna.dimse.upper_layer import Event, Fragment
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
        self._messages = Messages()
        self._exchange: Exchange | None = None
        self._service: Service | None = None
        self._began = 0.0
        self._waiting: deque[Command] = deque()  # came while a request was being answered
        self._out: list[bytes] = []
        self._broken: InvalidRequest | None = None

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

    def _begin(self, command: Command) -> None:
        if command.field & RESPONSE:
            raise InvalidRequest("A response came, but nothing was asked.")
        if command.field == Field.C_CANCEL:
            return  # what it speaks of is answered already (PS3.7 9.3.2.3)
        self._began = time.perf_counter()
        self._row.begins(command.field)
        self._exchange = exchange = self._exchanged(command)
        self._service = self._chosen(exchange)
        if not command.has_data_set:
            self._finish()

    def _exchanged(self, command: Command) -> Exchange:
        written: dict[tuple[Status, bool], bytes] = {}  # thousands of answers differ in nothing

        def respond(status: Status, data_set: bytes | None) -> int:
            how = status, data_set is not None
            if (answer := written.get(how)) is None:
                answer = written[how] = response(command, status, has_data_set=how[1])
            self._out.append(self._link.layer.message(command.context_id, answer, data_set))
            return len(self._out[-1])

        return Exchange(
            command=command,
            context=self._contexts[command.context_id],
            peer=self._peer,
            respond=respond,
            send=self._send,
            is_cancelled=lambda: self._is_cancelled(command.message_id),
        )

    def _chosen(self, exchange: Exchange) -> Service:
        kind, make = self._services.get(exchange.command.field, (None, None))
        if make is None:
            return Answer(exchange, UNRECOGNISED_OPERATION)
        if kind is not exchange.context.service:
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
        self._link.send(out)

    def _is_cancelled(self, message_id: int) -> bool:
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
