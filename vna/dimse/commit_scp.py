"""Storage Commitment Push Model (PS3.4 J): N-ACTION taken in, N-EVENT-REPORT sent and taken in.

A request is in the queue when it is answered, and the answer says no more than that. A small one
is checked when the asker has said nothing for a moment, and reported on the same association; if
the asker has gone or does not take it, the queue's worker reports on a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from vna.config import Settings
from vna.dimse.collecting import Collected
from vna.dimse.commitments import (
    ALL_COMMITTED,
    REQUEST,
    SOME_FAILED,
    event_of,
    read_report,
    read_request,
    write_report,
)
from vna.dimse.exchange import Answer, Exchange, Notice, Service
from vna.dimse.messages import SUCCESS, Status
from vna.dimse.negotiate import Context
from vna.dimse.sop_classes import COMMITMENT_INSTANCE, COMMITMENT_PUSH
from vna.dimse.status import (
    NO_SUCH_ACTION,
    NO_SUCH_EVENT,
    NO_SUCH_INSTANCE,
    NO_SUCH_NORMALIZED_CLASS,
    NOTHING_GIVEN,
    of_normalized_error,
)
from vna.errors import VNAError
from vna.operate.pushes import Pushed

if TYPE_CHECKING:
    from vna.engines import Engines


def asking(engines: Engines, settings: Settings) -> Callable[[Exchange], Service]:
    """Return what serves N-ACTION (J.3.2)."""
    most = settings.commitment.body_bytes

    def take(exchange: Exchange, data: bytes) -> None:
        transaction, claims = read_request(data, exchange.context.transfer_syntax, most=most)
        peer = exchange.peer
        pushed = engines.pushes.request(peer.principal, peer.calling, transaction, claims)
        if pushed is not None:
            exchange.follow(_Reporting(pushed, exchange.context))

    return lambda exchange: _begun(exchange, {REQUEST: take}, NO_SUCH_ACTION, most)


def reporting(engines: Engines, settings: Settings) -> Callable[[Exchange], Service]:
    """Return what serves N-EVENT-REPORT on what we asked for (J.3.3)."""
    most = settings.commitment.body_bytes

    def take(exchange: Exchange, data: bytes) -> None:
        report = read_report(data, exchange.context.transfer_syntax, most=most)
        engines.pushes.reported(exchange.peer.principal, exchange.peer.calling, report)

    known = {ALL_COMMITTED: take, SOME_FAILED: take}
    return lambda exchange: _begun(exchange, known, NO_SUCH_EVENT, most)


Take = Callable[[Exchange, bytes], None]


def _begun(exchange: Exchange, known: Mapping[int, Take], unknown: Status, most: int) -> Service:
    command = exchange.command
    if command.sop_class != COMMITMENT_PUSH:
        return Answer(exchange, NO_SUCH_NORMALIZED_CLASS)
    if command.sop_instance != COMMITMENT_INSTANCE:
        return Answer(exchange, NO_SUCH_INSTANCE)
    take = known.get(command.type_id)
    if take is None:
        return Answer(exchange, unknown)
    if not command.has_data_set:
        return Answer(exchange, NOTHING_GIVEN)
    return _Taking(exchange, take, most)


class _Taking:
    """One request or report: collected up to the limit, taken in, answered."""

    def __init__(self, exchange: Exchange, take: Take, most: int) -> None:
        self._exchange = exchange
        self._take = take
        self._data = Collected(most, "The data set is longer than this archive takes.")

    def feed(self, data: memoryview) -> None:
        """Collect it, up to the limit."""
        self._data.feed(data)

    def finish(self) -> None:
        """Take it in and say so."""
        status = SUCCESS
        try:
            self._take(self._exchange, self._data.whole())
        except VNAError as exc:
            status = of_normalized_error(exc)
        self._exchange.respond(status, None)
        self._exchange.send()

    def abort(self) -> None:
        """Nothing is held."""


class _Reporting:
    """The report on a request, while its association is open."""

    def __init__(self, pushed: Pushed, context: Context) -> None:
        self._pushed = pushed
        self._context = context

    def prepare(self) -> Notice | None:
        """Read the instances back; None when the report is not to be sent here."""
        report = self._pushed.check()
        if report is None:
            return None
        return Notice(
            context_id=self._context.context_id,
            sop_class=COMMITMENT_PUSH,
            sop_instance=COMMITMENT_INSTANCE,
            type_id=event_of(report),
            data_set=write_report(report, self._context.transfer_syntax),
        )

    def answered(self, status: int) -> None:
        """Note what the asker says to the report."""
        if status:
            self._pushed.give_back(f"The report was answered with status {status:04X}H.")
        else:
            self._pushed.close(how="same association")

    def dropped(self) -> None:
        """Leave it to the worker."""
        self._pushed.give_back("The association of the request ended before the report was taken.")
