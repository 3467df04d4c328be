"""C-MOVE and C-GET: Identifier -> what matches -> C-STORE sub-operations (PS3.4 C.4.2, C.4.3).

Both are one story: the matches are counted, then sent one after the other, and the asker is told
how far it is. They differ in where the sub-operations go: C-GET uses the association it came on,
C-MOVE the associations of a sender to a registered AE.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, nullcontext
from typing import TYPE_CHECKING

from vna.access.remotes import Remote, Remotes
from vna.config import Settings
from vna.dicom.encode import decode_dataset
from vna.dicom.identifiers import Model
from vna.dimse.calling import connecting
from vna.dimse.collecting import Collected
from vna.dimse.exchange import Answer, Exchange, Service
from vna.dimse.messages import SUCCESS, Progress, Status
from vna.dimse.recurring import Recurring
from vna.dimse.sender import Sender
from vna.dimse.sop_classes import GET_MODELS, MOVE_MODELS
from vna.dimse.standing import guarded
from vna.dimse.status import (
    CANCELLED,
    NO_DATA_SET,
    NO_SUCH_DESTINATION,
    PENDING,
    SOME_FAILED,
    SUBOPERATIONS_FAILED,
    of_retrieve_error,
)
from vna.dimse.stores import Backlog, Result, Sent
from vna.dimse.syntaxes import encode_identifier
from vna.errors import Unavailable, VNAError
from vna.retrieve.keys import selection
from vna.retrieve.retrieval import Retrieval, Tally

if TYPE_CHECKING:
    from vna.engines import Engines
    from vna.retrieve.engine import RetrieveEngine

FAILED_INSTANCES = "00080058"
_PENDING_S = 0.05  # between two Pending responses; each costs the asker more than an instance us
_SILENCE_S = 10.0  # many an asker gives up after thirty; one large object may take minutes

Carry = Callable[[Retrieval], Generator[Sent, None, None]]
"""What sends the instances of a retrieval, and says of each how it went."""


def moving(engines: Engines, settings: Settings) -> Callable[[Exchange], Service]:
    """Return what serves C-MOVE."""

    def begin(exchange: Exchange) -> Service:
        command = exchange.command
        if not command.has_data_set:
            return Answer(exchange, NO_DATA_SET)
        try:
            remote = _destination(exchange, engines.remotes)
        except VNAError as exc:
            return Answer(exchange, of_retrieve_error(exc))
        if remote is None:
            return Answer(exchange, NO_SUCH_DESTINATION)
        return _Retrieving(
            exchange,
            engines.retrieve,
            MOVE_MODELS[exchange.context.sop_class],
            _sending(exchange, remote, settings, engines.remotes),
            to=remote.ae_title,
            elsewhere=True,
        )

    return begin


def getting(engines: Engines) -> Callable[[Exchange], Service]:
    """Return what serves C-GET."""

    def begin(exchange: Exchange) -> Service:
        if not exchange.command.has_data_set:
            return Answer(exchange, NO_DATA_SET)
        model = GET_MODELS[exchange.context.sop_class]

        def carry(found: Retrieval) -> Generator[Sent, None, None]:
            return exchange.stores().run(Backlog(guarded(found.instances(), exchange.peer)))

        to = exchange.peer.calling
        return _Retrieving(exchange, engines.retrieve, model, carry, to=to, elsewhere=False)

    return begin


def _destination(exchange: Exchange, remotes: Remotes) -> Remote | None:
    """Find the Move Destination: a registered AE, and one this caller may send to."""
    title = exchange.command.destination
    caller = exchange.peer.remote
    if caller is not None and caller.destinations is not None and title not in caller.destinations:
        return None
    return remotes.find(title)


def _sending(exchange: Exchange, remote: Remote, settings: Settings, remotes: Remotes) -> Carry:
    command = exchange.command

    def is_removed() -> bool:
        try:
            return remotes.find(remote.ae_title) is None
        except Unavailable:  # not known now: what began goes on
            return False

    def carry(found: Retrieval) -> Generator[Sent, None, None]:
        sender = Sender(
            connecting(remote, settings),
            found.kinds,
            wanted=remote.transfer_syntaxes,
            priority=command.priority,
            originator=(exchange.peer.calling, command.message_id),
            parallel=remote.parallel,
        )
        return sender.send(guarded(found.instances(), exchange.peer, is_over=is_removed))

    return carry


class _Retrieving:
    """One request: its Identifier is small and collected, then answered while it is carried out.

    `elsewhere`: it is carried out on other associations, so that on this one the asker can be told
    at any time how far it is. What is said and heard on it, and the tally, is under the lock.
    """

    def __init__(
        self,
        exchange: Exchange,
        retrieve: RetrieveEngine,
        model: Model,
        carry: Carry,
        *,
        to: str,
        elsewhere: bool,
    ) -> None:
        self._exchange = exchange
        self._retrieve = retrieve
        self._model = model
        self._carry = carry
        self._to = to
        self._what = exchange.context.service.value
        self._identifier = Collected.identifier()
        self._elsewhere = elsewhere
        self._told_at = 0.0
        self._lock = threading.Lock()

    def feed(self, data: memoryview) -> None:
        """Collect it, up to the limit."""
        self._identifier.feed(data)

    def finish(self) -> None:
        """Carry it out and answer."""
        exchange = self._exchange
        try:
            status, data = self._answer()
        except VNAError as exc:
            status, data = of_retrieve_error(exc), None
        exchange.respond(status, data)
        exchange.send()

    def abort(self) -> None:
        """Nothing is held."""

    def _answer(self) -> tuple[Status, bytes | None]:
        context, who = self._exchange.context, self._exchange.peer.asker()
        elements = decode_dataset(self._identifier.whole(), context.transfer_syntax)
        asked = selection(self._model, elements, relational=context.options.relational)
        found = self._retrieve.retrieval(who, asked, what=self._what)
        tally = Tally(len(found))
        how = "broken off"
        try:
            is_cancelled = self._carried(found, tally)
            how = "cancelled" if is_cancelled else "done"
        finally:
            if tally.total:
                self._retrieve.sent(who, found, tally, what=self._what, to=self._to, how=how)
        return self._final(tally, is_cancelled=is_cancelled)

    def _carried(self, found: Retrieval, tally: Tally) -> bool:
        """Send what was found; say whether the asker cancelled it before its end."""
        if not tally.total:
            return False
        self._tell(tally)
        with self._not_silent(tally), closing(self._carry(found)) as results:
            for sent in results:
                with self._lock:
                    _count(tally, sent)
                    if not tally.remaining:
                        continue  # to the end of the walk: does the association stand?
                    if self._exchange.is_cancelled():
                        return True
                    self._tell_after(_PENDING_S, tally)
        if self._exchange.peer.is_ended():
            raise ConnectionAbortedError("The association was ended.")
        return False

    def _not_silent(self, tally: Tally) -> AbstractContextManager[None]:
        """Tell the asker now and then while one large object, or a slow answer, takes its time."""

        def tell() -> None:
            with self._lock:
                if tally.remaining:
                    self._tell_after(_SILENCE_S, tally)

        return Recurring(_SILENCE_S / 2, tell) if self._elsewhere else nullcontext()

    def _tell_after(self, silence_s: float, tally: Tally) -> None:
        if time.monotonic() - self._told_at >= silence_s:
            self._tell(tally)

    def _tell(self, tally: Tally) -> None:
        """Say how far it is (PS3.4 C.4.2.3.1): optional, and not for every instance."""
        self._told_at = time.monotonic()
        self._exchange.respond(_with_counts(PENDING, tally, remaining=tally.remaining), None)
        self._exchange.send()

    def _final(self, tally: Tally, *, is_cancelled: bool) -> tuple[Status, bytes | None]:
        if is_cancelled:
            status = _with_counts(CANCELLED, tally, remaining=tally.remaining)
        elif tally.failed == tally.total > 0:
            status = _with_counts(SUBOPERATIONS_FAILED, tally)
        else:
            clean = not (tally.failed or tally.warning)
            status = _with_counts(SUCCESS if clean else SOME_FAILED, tally)
        if not tally.failures:
            return status, None
        elements = {FAILED_INSTANCES: {"vr": "UI", "Value": tally.failures}}
        syntax = self._exchange.context.transfer_syntax
        return status, encode_identifier(elements, syntax, charset="")


def _count(tally: Tally, sent: Sent) -> None:
    if sent.result is Result.COMPLETED:
        tally.completed += 1
    elif sent.result is Result.WARNING:
        tally.warning += 1
    else:
        tally.failed += 1
        tally.failures.append(sent.outgoing.ref.instance)


def _with_counts(status: Status, tally: Tally, *, remaining: int | None = None) -> Status:
    return Status(
        code=status.code,
        comment=status.comment,
        progress=Progress(
            remaining=remaining,
            completed=tally.completed,
            failed=tally.failed,
            warning=tally.warning,
        ),
    )
