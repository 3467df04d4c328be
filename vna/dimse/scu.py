"""The own Upper Layer as requestor: C-ECHO, streaming C-STORE and C-FIND to another AE.

with Requestor(host, port, calling="VNA", called="PACS", contexts=[(uid, [syntax])]) as remote:
    remote.echo()
    remote.store(sop_class, sop_instance, transfer_syntax, chunks)
"""

from __future__ import annotations

import itertools
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType

from vna.dicom.uids import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION
from vna.dimse.buffers import Buffers
from vna.dimse.collecting import MAX_IDENTIFIER_BYTES
from vna.dimse.link import Link, Silence, Timing
from vna.dimse.messages import (
    RESPONSE,
    Command,
    DataSetPart,
    Field,
    Messages,
    Status,
    cancel,
    notice,
    request,
    response,
)
from vna.dimse.pdu import (
    AssociateAccept,
    AssociateRequest,
    ProposedContext,
    Role,
    UserIdentity,
    UserInformation,
)
from vna.dimse.secured import Certificate
from vna.dimse.sop_classes import VERIFICATION
from vna.dimse.stores import Stores, write
from vna.dimse.upper_layer import Fragment, Rejected, ReleaseRequested, State, UpperLayer
from vna.errors import InvalidRequest, NotAcceptable, NotPermitted, TooLarge, Unavailable
from vna.retrieve.outgoing import Body

_MAX_PDU_BYTES = 131072
_MAX_ASSOCIATE_BYTES = 65536
_RELEASE_S = 5.0  # for the answer to our release
_PENDING = frozenset((0xFF00, 0xFF01))
_MOST_CAME = 16  # requests of the peer that wait while it owes us an answer

_buffers = Buffers(keep=1)


class Requestor:
    """One association as its requestor. Use it as a context: it releases, or aborts on an error.

    Raises `Unavailable` when the peer cannot be reached, rejects the association, breaks it or the
    protocol, or is silent for `timeout_s`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        calling: str,
        called: str,
        contexts: Sequence[tuple[str, Sequence[str]]],
        timeout_s: float = 60.0,
        tls: ssl.SSLContext | None = None,
        identity: UserIdentity | None = None,
        roles: Sequence[Role] = (),
        slowest_bytes_s: int = 0,
    ) -> None:
        """`tls` is what `vna.dimse.tls.requestor` gives; `identity` goes out under TLS only.

        `roles` are proposed for SCP/SCU Role Selection (PS3.7 D.3.3.4). A peer that takes fewer
        than `slowest_bytes_s` is given up.
        """
        if identity is not None and tls is None:
            raise NotPermitted("A user identity is sent under TLS only.")
        self.status = Status(code=0)  # of the last request
        self._where = (host, port)
        self._timeout_s = timeout_s
        self._slowest_bytes_s = slowest_bytes_s
        self._messages = Messages()
        self._ids = itertools.cycle(range(1, 65536))
        self._accepted: dict[tuple[str, str], int] = {}
        self._proposed = tuple(
            ProposedContext(
                context_id=2 * number + 1, abstract_syntax=name, transfer_syntaxes=tuple(syntaxes)
            )
            for number, (name, syntaxes) in enumerate(contexts)
        )
        self._titles = calling, called
        self._tls = tls
        self._identity = identity
        self._roles = tuple(roles)
        self._came: deque[tuple[Command, bytes]] = deque()  # requests of the peer
        self.identity_response: bytes | None = None  # of the peer, to what we said of the user
        self._layer = UpperLayer(
            max_pdu_bytes=_MAX_PDU_BYTES, max_associate_bytes=_MAX_ASSOCIATE_BYTES, acceptor=False
        )
        self._link: Link | None = None

    def __enter__(self) -> Requestor:
        """Connect and open the association."""
        try:
            sock = socket.create_connection(self._where, timeout=self._timeout_s)
        except (OSError, UnicodeError) as exc:  # UnicodeError: of a name no name can be
            raise Unavailable("The remote AE cannot be reached.") from exc
        timing = Timing(
            artim_s=self._timeout_s,
            idle_s=self._timeout_s,
            slowest_bytes_s=self._slowest_bytes_s,
            slow_window_s=self._timeout_s,
            send_s=self._timeout_s,
        )
        self._link = Link(sock, self._layer, timing, buffers=_buffers)
        try:
            self._open(self._link)
        except BaseException:
            self._link.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the association, or abort it when there was an error."""
        link = self._connected()
        # a walk that was left early is no error: nothing is under way between two answers
        is_left = kind is None or issubclass(kind, GeneratorExit)
        if self._layer.state is State.OPEN:
            if is_left:
                link.release(within_s=min(self._timeout_s, _RELEASE_S))
            self._layer.abort()
        link.close(linger_s=0.0 if is_left else 1.0)

    @property
    def accepted(self) -> frozenset[tuple[str, str]]:
        """The pairs of abstract and Transfer Syntax the peer takes."""
        return frozenset(self._accepted)

    @property
    def certificate(self) -> Certificate | None:
        """The peer's certificate, when the association is under TLS."""
        return self._connected().certificate

    def echo(self) -> int:
        """Send C-ECHO; return the status code."""
        context_id = self._context(VERIFICATION, None)
        number = next(self._ids)
        command = request(Field.C_ECHO, number, VERIFICATION, has_data_set=False)
        self._send(self._layer.message(context_id, command))
        return self._final(Field.C_ECHO, number).code

    def store(
        self, sop_class: str, sop_instance: str, transfer_syntax: str, chunks: Iterable[bytes]
    ) -> Status:
        """Send one object, its data set as it comes from `chunks`; return the status."""
        context_id = self._context(sop_class, transfer_syntax)
        number = next(self._ids)
        command = request(Field.C_STORE, number, sop_class, sop_instance=sop_instance)
        body = Body(length=None, chunks=iter(chunks))
        try:
            write(
                self._connected(), context_id, self._layer.message(context_id, command), b"", body
            )
        except ConnectionError as exc:
            raise Unavailable("The remote AE broke the association.") from exc
        return self._final(Field.C_STORE, number)

    def stores(
        self,
        *,
        wanted: tuple[str, ...] = (),
        priority: int = 0,
        originator: tuple[str, int] | None = None,
    ) -> Stores:
        """Return what sends many objects on this association; nothing else may be sent meanwhile.

        `wanted` are the Transfer Syntaxes to prefer, best first; `originator` is the AE title and
        the Message ID of the C-MOVE the requests belong to.
        """
        return Stores(
            self._connected(),
            self._accepted,
            self._answer,
            is_over=self._is_over,
            wanted=wanted,
            priority=priority,
            originator=originator,
        )

    def find(self, model: str, identifier: bytes, *, transfer_syntax: str) -> Iterator[bytes]:
        """Send C-FIND; yield the Identifier of each answer as encoded. Leaving early cancels."""
        context_id = self._context(model, transfer_syntax)
        number = next(self._ids)
        command = request(Field.C_FIND, number, model)
        self._send(self._layer.message(context_id, command, identifier))
        done = False
        try:
            while True:
                answer, data = self._answered(Field.C_FIND, number)
                self.status = Status(code=answer.status, comment=answer.comment)
                if answer.status not in _PENDING:
                    done = True
                    return
                yield data
        finally:
            if not done and self._layer.state is State.OPEN:
                self._send(self._layer.message(context_id, cancel(number)))
                self._final(Field.C_FIND, number)

    def notify(
        self,
        field: Field,
        sop_class: str,
        sop_instance: str,
        type_id: int,
        write: Callable[[str], bytes],
    ) -> Status:
        """Send N-ACTION or N-EVENT-REPORT, its data set as `write` encodes it; return the status.

        A request the peer sends meanwhile waits for `incoming`.
        """
        context_id = self._context(sop_class, None)
        syntax = next(pair[1] for pair, number in self._accepted.items() if number == context_id)
        number = next(self._ids)
        command = notice(field, number, sop_class, sop_instance, type_id)
        self._send(self._layer.message(context_id, command, write(syntax)))
        found, _ = self._answered(field, number)
        return Status(code=found.status, comment=found.comment)

    def incoming(self, *, within_s: float, most: int) -> tuple[Command, str, bytes] | None:
        """Wait for a request of the peer; give it with its Transfer Syntax and data set.

        None when none came, or the peer ended the association. It is to be answered by `respond`.
        """
        if self._came:
            command, data = self._came.popleft()
        else:
            event = self._connected().event(within_s=within_s)
            if not isinstance(event, Fragment):
                if isinstance(event, ReleaseRequested):
                    self._layer.agree_to_release()
                    self._connected().flush()
                return None
            until = time.monotonic() + self._timeout_s
            command, data = self._message(until, event, most=most)
        if command.field & RESPONSE:
            return None
        syntaxes = {number: syntax for (_, syntax), number in self._accepted.items()}
        return command, syntaxes[command.context_id], data

    def respond(self, command: Command, status: Status) -> None:
        """Answer a request of the peer."""
        self._send(self._layer.message(command.context_id, response(command, status)))

    def _open(self, link: Link) -> None:
        calling, called = self._titles
        if self._tls is not None and not link.secure(
            self._tls, within_s=self._timeout_s, host=self._where[0]
        ):
            raise Unavailable("There is no TLS with the remote AE: no trust, or no common suite.")
        self._layer.request(
            AssociateRequest(
                calling=calling,
                called=called,
                contexts=self._proposed,
                user=UserInformation(
                    max_pdu_bytes=_MAX_PDU_BYTES,
                    implementation_class=IMPLEMENTATION_CLASS,
                    implementation_version=IMPLEMENTATION_VERSION,
                    identity=self._identity,
                    roles=self._roles,
                ),
            )
        )
        event = link.event(within_s=self._timeout_s)
        if isinstance(event, Rejected):
            why = f"{event.result}/{event.source}/{event.reason}"
            raise Unavailable(f"The remote AE rejects the association ({why}).")
        if not isinstance(event, AssociateAccept):
            raise Unavailable("The remote AE does not open the association.")
        self.identity_response = event.user.identity_response
        proposed = {context.context_id: context for context in self._proposed}
        self._accepted = {
            (one.abstract_syntax, answer.transfer_syntax): answer.context_id
            for answer in event.contexts
            if answer.result == 0
            and (one := proposed.get(answer.context_id)) is not None
            and answer.transfer_syntax in one.transfer_syntaxes
        }
        # what was never proposed carries nothing (PS3.8 7.1.1.14): not from the peer either
        self._layer.contexts = frozenset(self._accepted.values())

    def _connected(self) -> Link:
        if self._link is None:
            raise Unavailable("The association is not open.")
        return self._link

    def _context(self, sop_class: str, transfer_syntax: str | None) -> int:
        for (name, syntax), context_id in self._accepted.items():
            if name == sop_class and transfer_syntax in (None, syntax):
                return context_id
        raise NotAcceptable("The remote AE does not take this SOP Class and Transfer Syntax.")

    def _send(self, data: bytes) -> None:
        self._send_parts(self._connected(), [data])

    def _send_parts(self, link: Link, parts: list[bytes | memoryview]) -> None:
        try:
            link.send_parts(parts)
        except ConnectionError as exc:
            raise Unavailable("The remote AE broke the association.") from exc

    def _is_over(self) -> bool:
        """Look whether the peer ended the association; what nobody asked for is passed over."""
        until = time.monotonic() + self._timeout_s
        while time.monotonic() < until:
            event = self._connected().glance()
            if not isinstance(event, Fragment):
                if isinstance(event, ReleaseRequested):
                    self._layer.agree_to_release()
                return event is not None
            try:
                self._messages.receive(event)
            except InvalidRequest:
                break
        self._layer.abort()
        return True

    def _answer(self, message_id: int) -> Status:
        # what `Stores` waits for: errors are those of a connection
        link, until = self._connected(), time.monotonic() + self._timeout_s
        while True:
            left_s = until - time.monotonic()
            event = link.answer(within_s=left_s) if left_s > 0 else Silence()
            if isinstance(event, Silence):
                self._layer.abort()
                raise ConnectionAbortedError("The remote AE did not answer in time.")
            if not isinstance(event, Fragment):
                raise ConnectionAbortedError("The remote AE broke the association.")
            try:
                message = self._messages.receive(event)
            except InvalidRequest as exc:
                self._layer.abort()
                raise ConnectionAbortedError("The remote AE breaks the protocol.") from exc
            if isinstance(message, Command) and _is_to(message, Field.C_STORE, message_id):
                if message.has_data_set or message.status in _PENDING:
                    continue  # not what PS3.7 9.3.1.2 has a C-STORE answered with
                return Status(code=message.status, comment=message.comment)

    def _final(self, field: Field, number: int) -> Status:
        """Wait for the last response to a request, which comes in the time for one."""
        until = time.monotonic() + self._timeout_s
        while True:
            answer, _ = self._answered(field, number, until=until)
            if answer.status not in _PENDING:
                self.status = Status(code=answer.status, comment=answer.comment)
                return self.status

    def _answered(
        self, field: Field, number: int, *, until: float | None = None
    ) -> tuple[Command, bytes]:
        """Take the next response to a request; requests of the peer wait, what else comes is lost.

        Raises `Unavailable` when there is none `until` then.
        """
        until = time.monotonic() + self._timeout_s if until is None else until
        while True:
            found, data = self._message(until)
            if _is_to(found, field, number):
                return found, data
            if not found.field & RESPONSE:
                self._came.append((found, data))
            if len(self._came) > _MOST_CAME:
                raise Unavailable("The remote AE asks, and answers nothing.")

    def _message(
        self, until: float, first: Fragment | None = None, *, most: int = MAX_IDENTIFIER_BYTES
    ) -> tuple[Command, bytes]:
        """Take one message in; `first` is the part of it that came already."""
        data, command = bytearray(), None
        fragment = first
        while command is None or self._messages.midway:
            fragment = self._fragment(until) if fragment is None else fragment
            try:
                message = self._messages.receive(fragment)
            except InvalidRequest as exc:
                self._layer.abort()
                raise Unavailable("The remote AE breaks the protocol.") from exc
            if isinstance(message, Command):
                command = message
            elif isinstance(message, DataSetPart):
                data += message.data
                if len(data) > most:
                    raise TooLarge("The remote AE sends too long an Identifier.")
            fragment = None
        return command, bytes(data)

    def _fragment(self, until: float) -> Fragment:
        """Wait for the next fragment: what comes bit by bit wins no time."""
        left_s = until - time.monotonic()
        event = self._connected().event(within_s=left_s) if left_s > 0 else Silence()
        if isinstance(event, Silence):
            raise Unavailable("The remote AE did not answer in time.")
        if not isinstance(event, Fragment):
            raise Unavailable("The remote AE broke the association.")
        return event


def _is_to(message: Command, field: Field, number: int) -> bool:
    return message.field == field | RESPONSE and message.responded_id == number
