"""Bodies that are under way end when who sends or has them may not do so any more.

Twice a second, and only while there are any, each credential that has a body under way is verified
anew: a session that ended, a token that was revoked, an account that was disabled. What goes out is
cut off, so that a client which reads slowly has nothing more from it. What comes in is not waited
for any longer: nothing that is incomplete is kept, and what is complete already is answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.types import Message, Receive, Scope

from vna.access.principal import Principal
from vna.dicom.refs import UID, StudyRef
from vna.errors import NotAuthenticated, VNAError
from vna.telemetry import BODIES_ENDED
from vna.web.identity import Identity
from vna.web.inward import Inward

LOOK_S = 0.4
_ENDED = "This was ended while it was being sent: sign in to go on."

log = logging.getLogger(__name__)

Stands = Callable[[], Awaitable[bool]]
"""Says whether a body under way may go on. May raise `VNAError`, which leaves it as it is."""


@dataclass(eq=False, slots=True)
class _Body:
    """One body under way: whose it is, who says that it may go on, the task at work on it."""

    principal: Principal
    stands: Stands
    task: asyncio.Task[object]
    past: Inward | None = None  # the way in on which its task does not see what comes
    may_be_cut: bool = True  # a task that reads is cut only where it waits for more
    is_over: bool = False

    def end(self) -> None:
        """Cut it off where it is, or at its next step."""
        self.is_over = True
        BODIES_ENDED.inc()
        who = self.principal
        log.info("body ended", extra={"kind": who.kind.value, "principal": who.name})
        if self.past is not None:
            self.past.close()
        if self.may_be_cut:
            self.task.cancel()

    def was_ended(self) -> bool:
        """Whether that is why its task was cancelled."""
        if self.is_over:
            self.task.uncancel()
        return self.is_over


class Standing:
    """Watches the bodies of one process; belongs to its event loop."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._bodies: set[_Body] = set()
        self._watch: asyncio.Task[None] | None = None

    def of_request(self, scope: Scope, principal: Principal, studies: Sequence[UID] = ()) -> Stands:
        """Say that a body goes on while its request's credential stands for as much as it did.

        With studies, while some of each may be seen, too.
        """

        async def stands() -> bool:
            now = await self._identity.again(scope, LOOK_S)
            if now is None or not principal.actions <= now.actions:
                return False
            return all(now.scope.touches(StudyRef(study)) for study in studies)

        return stands

    async def sent(
        self,
        scope: Scope,
        principal: Principal,
        studies: Sequence[UID],
        send: Callable[[], Awaitable[None]],
    ) -> bool:
        """Send a body; False when it was cut off because it may not be had any more."""
        body = _Body(principal, self.of_request(scope, principal, studies), _current())
        self._begin(body)
        try:
            await send()
        except asyncio.CancelledError:
            if not body.was_ended():
                raise
            return False
        finally:
            self._bodies.discard(body)
        return True

    @contextmanager
    def taking(
        self,
        stands: Stands,
        principal: Principal,
        receive: Receive,
        *,
        past: Inward | None = None,
    ) -> Iterator[Receive]:
        """Give what a body is to be received with instead of `receive`, by the task of now.

        It raises `NotAuthenticated` once the body may not go on; then nothing comes by `past`.
        """
        body = _Body(principal, stands, _current(), past, may_be_cut=False)

        async def watched() -> Message:
            if body.is_over:
                raise NotAuthenticated(_ENDED)
            body.may_be_cut = True
            try:
                message = await receive()
            except asyncio.CancelledError:
                if not body.was_ended():
                    raise
                raise NotAuthenticated(_ENDED) from None
            finally:
                body.may_be_cut = False
            if not message.get("more_body", False):
                self._bodies.discard(body)
            return message

        self._begin(body)
        try:
            yield watched
        finally:
            self._bodies.discard(body)

    def _begin(self, body: _Body) -> None:
        self._bodies.add(body)
        if self._watch is None:
            self._watch = asyncio.ensure_future(self._look())

    async def _look(self) -> None:
        try:
            while self._bodies:
                await asyncio.sleep(LOOK_S)
                for body in tuple(self._bodies):
                    # it may have come to its end while that was found out
                    if not await _may_go_on(body) and body in self._bodies:
                        body.end()
                        self._bodies.discard(body)
        finally:
            self._watch = None


async def _may_go_on(body: _Body) -> bool:
    try:
        return await body.stands()
    except VNAError:  # not known now: what began stays, nothing new begins
        return True


def _current() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("A body belongs to a task.")
    return task
