"""One accepted connection and its thread: the opening, then messages until someone ends it."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from vna.access.watched import Watched
from vna.config import Settings
from vna.dimse.associate import Caller
from vna.dimse.buffers import Buffers
from vna.dimse.callers import Callers, Line
from vna.dimse.dispatch import Dispatch, Services
from vna.dimse.exchange import Peer
from vna.dimse.link import Disconnected, Link, Silence, Stopping, Timing
from vna.dimse.negotiate import OVER_LIMIT, Negotiated, negotiate
from vna.dimse.pdu import AssociateRequest
from vna.dimse.roster import Roster, Row
from vna.dimse.upper_layer import (
    Aborted,
    AbortReason,
    Event,
    Fragment,
    Rejected,
    ReleaseRequested,
    UpperLayer,
)
from vna.errors import ConfigError, InvalidRequest
from vna.telemetry import ASSOCIATION_SECONDS, ASSOCIATIONS, ASSOCIATIONS_REFUSED

log = logging.getLogger(__name__)

_GOODBYE_S = 2.0  # for the peer's answer to our release when the process ends


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What all associations of a process share."""

    settings: Settings
    services: Services
    timing: Timing
    buffers: Buffers
    stop_fd: int
    callers: Callers
    roster: Roster
    tls: Watched[ssl.SSLContext]
    is_stopping: Callable[[], bool]


class Association:
    """Serve one connection with `run`; `admit` asks whether the AE may have one more."""

    def __init__(
        self,
        sock: socket.socket,
        address: str,
        house: House,
        *,
        admit: Callable[[str, int], bool],
        secured: bool = False,
    ) -> None:
        dicom = house.settings.dicom
        self._secured = secured
        self._address = address
        self._house = house
        self._admit = admit
        self._stands: Callable[[], bool] | None = None  # once it is open
        self._is_cut = False
        self._layer = UpperLayer(
            max_pdu_bytes=dicom.max_pdu_bytes,
            max_associate_bytes=dicom.max_associate_bytes,
            acceptor=True,
        )
        self._link = Link(
            sock, self._layer, house.timing, buffers=house.buffers, stop_fd=house.stop_fd
        )

    def run(self) -> None:
        """Serve until the association ends, whoever ends it."""
        begun = time.monotonic()
        ASSOCIATIONS.inc()
        with self._house.roster.entered(self._address, secured=self._secured) as row:
            dispatch: Dispatch | None = None
            try:
                dispatch = self._opened(row)
                if dispatch is not None:
                    self._serve(dispatch)
            except ConnectionError:
                log.info("peer gone", extra={"address": self._address})
            finally:
                if dispatch is not None:
                    dispatch.abort()
                row.ends()
                self._link.close(linger_s=self._house.timing.artim_s)
                ASSOCIATIONS.dec()
                ASSOCIATION_SECONDS.observe(time.monotonic() - begun)

    @property
    def is_open(self) -> bool:
        """Whether it was accepted, and not cut since."""
        return self._stands is not None and not self._is_cut

    def may_stand(self) -> bool:
        """Say whether who called may still call."""
        return self._stands is None or self._stands()

    def cut(self) -> None:
        """End it from another thread: who called may not call any more."""
        self._is_cut = True
        log.warning("association cut", extra={"address": self._address})
        self._link.hang_up()

    def hang_up(self) -> None:
        """End the connection from another thread."""
        self._link.hang_up()

    def _opened(self, row: Row) -> Dispatch | None:
        deadline = time.monotonic() + self._house.timing.artim_s
        if self._secured and not self._has_shaken_hands(deadline):
            return None
        event = self._link.event(within_s=deadline - time.monotonic())
        if not isinstance(event, AssociateRequest):
            if isinstance(event, Silence):
                self._layer.expired()
            self._count(event, midway=False)
            return None
        answer = self._answered(event)
        if isinstance(answer, Rejected):
            self._reject(event, answer)
            return None
        negotiated, peer = answer
        self._layer.accept(negotiated.answer, peer_max_bytes=event.user.max_pdu_bytes)
        self._link.flush()  # before any answer to a peer that did not wait for it
        row.opened(peer.calling, peer.called)
        log.info("association", extra={"calling": peer.calling, "address": self._address})
        return Dispatch(
            self._link,
            negotiated.contexts,
            peer,
            self._house.services,
            row=row,
            is_stopping=self._house.is_stopping,
        )

    def _has_shaken_hands(self, deadline: float) -> bool:
        try:
            context = self._house.tls.value()
        except ConfigError as exc:
            log.error("no TLS", extra={"why": str(exc)})  # noqa: TRY400 -- a sentence of ours
            return False
        if self._link.secure(context, within_s=deadline - time.monotonic()):
            return True
        ASSOCIATIONS_REFUSED.labels("tls").inc()
        log.info("no TLS with this peer", extra={"address": self._address})
        return False

    def _answered(self, request: AssociateRequest) -> tuple[Negotiated, Peer] | Rejected:
        negotiated = negotiate(request, self._house.settings.dicom)
        if isinstance(negotiated, Rejected):
            return negotiated
        line = Line(
            address=self._address,
            is_secured=self._link.is_secured,
            certificate=self._link.certificate,
        )
        caller = self._house.callers.named(request, line)
        if isinstance(caller, Rejected):
            return caller
        if not self._admit(request.calling, caller.remote.max_associations if caller.remote else 0):
            return OVER_LIMIT
        self._stands = lambda: self._house.callers.stands(request.calling, line, caller)
        return _told(negotiated, caller), Peer(
            calling=request.calling,
            called=request.called,
            address=self._address,
            principal=caller.principal,
            remote=caller.remote,
            narrowed=self._house.callers.narrowed,
            is_ended=lambda: self._is_cut,
        )

    def _reject(self, request: AssociateRequest, why: Rejected) -> None:
        self._layer.reject(why)
        ASSOCIATIONS_REFUSED.labels(f"rejected-{why.result}-{why.source}-{why.reason}").inc()
        log.info(
            "association rejected",
            extra={
                "calling": request.calling,
                "called": request.called,
                "address": self._address,
                "reason": f"{why.result}/{why.source}/{why.reason}",
            },
        )

    def _serve(self, dispatch: Dispatch) -> None:
        while True:
            event = self._next(dispatch)
            if not isinstance(event, Fragment):
                self._end(event, midway=dispatch.midway)
                return
            try:
                dispatch.take(event)
            except InvalidRequest as exc:
                self._layer.abort(AbortReason.UNEXPECTED_PARAMETER)
                self._count(Aborted(source=2, reason=5, by_us=True, message=str(exc)), midway=True)
                return
            if dispatch.ended is not None:
                self._end(dispatch.ended, midway=False)
                return

    def _next(self, dispatch: Dispatch) -> Event | Disconnected | Silence | Stopping:
        if dispatch.midway or self._layer.midway:
            return self._link.flowing(large=dispatch.in_data_set)
        self._link.at_rest()
        idle_s = self._house.timing.idle_s
        while (due_s := dispatch.notices.due_s()) is not None and due_s < idle_s:
            event = self._link.event(within_s=due_s)
            if not isinstance(event, Silence):
                return event
            dispatch.notices.tick()
        return self._link.event(within_s=idle_s)

    def _end(self, event: Event | Disconnected | Silence | Stopping, *, midway: bool) -> None:
        if isinstance(event, ReleaseRequested):
            self._layer.agree_to_release()
        elif isinstance(event, Stopping):
            self._say_goodbye()
        elif isinstance(event, Silence):
            self._layer.abort()
        self._count(event, midway=midway)

    def _say_goodbye(self) -> None:
        self._link.ignore_stop()
        self._link.release(within_s=min(_GOODBYE_S, self._house.timing.artim_s))
        self._layer.abort()

    def _count(self, event: Event | Disconnected | Silence | Stopping, *, midway: bool) -> None:
        if isinstance(event, Silence):
            ASSOCIATIONS_REFUSED.labels("slow" if midway else "silent").inc()
        elif isinstance(event, Aborted) and event.by_us:
            ASSOCIATIONS_REFUSED.labels("protocol").inc()
            log.info("association aborted", extra={"address": self._address, "why": event.message})


def _told(negotiated: Negotiated, caller: Caller) -> Negotiated:
    """Add the answer to User Identity Negotiation, where one was asked for (PS3.7 D.3.3.7.2)."""
    if caller.response is None:
        return negotiated
    answer = negotiated.answer
    user = replace(answer.user, identity_response=caller.response)
    return replace(negotiated, answer=replace(answer, user=user))
