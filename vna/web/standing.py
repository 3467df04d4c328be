"""Bodies that are under way end when who asked for them may not have them any more.

Twice a second, and only while there are any, each credential that has a body under way is verified
anew: a session that ended, a token that was revoked, an account that was disabled. What may not go
on is cut off, so that a client which reads slowly has nothing more from it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import Scope

from vna.access.principal import Principal
from vna.dicom.refs import UID, StudyRef
from vna.errors import VNAError
from vna.telemetry import BODIES_ENDED
from vna.web.identity import Identity

LOOK_S = 0.4

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Body:
    """One body under way: whose it is, what of, and the task that sends it."""

    scope: Scope
    principal: Principal
    study: UID | None
    task: asyncio.Task[object]
    is_over: bool = False


class Standing:
    """Watches the bodies of one process; belongs to its event loop."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._bodies: set[_Body] = set()
        self._watch: asyncio.Task[None] | None = None

    async def sent(
        self,
        scope: Scope,
        principal: Principal,
        study: UID | None,
        send: Callable[[], Awaitable[None]],
    ) -> bool:
        """Send a body; False when it was cut off because it may not be had any more."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A body is sent by a task.")
        body = _Body(scope, principal, study, task)
        self._bodies.add(body)
        if self._watch is None:
            self._watch = asyncio.ensure_future(self._look())
        try:
            await send()
        except asyncio.CancelledError:
            if not body.is_over:
                raise
            task.uncancel()
            BODIES_ENDED.inc()
            log.info("body ended", extra={"kind": principal.kind.value, "name": principal.name})
            return False
        finally:
            self._bodies.discard(body)
        return True

    async def _look(self) -> None:
        try:
            while self._bodies:
                await asyncio.sleep(LOOK_S)
                for body in tuple(self._bodies):
                    # it may have come to its end while that was found out
                    if not await self._stands(body) and body in self._bodies:
                        body.is_over = True
                        body.task.cancel()
                        self._bodies.discard(body)
        finally:
            self._watch = None

    async def _stands(self, body: _Body) -> bool:
        try:
            now = await self._identity.again(body.scope, LOOK_S)
        except VNAError:  # not known now: what began stays, nothing new begins
            return True
        if now is None or not body.principal.actions <= now.actions:
            return False
        return body.study is None or now.scope.touches(StudyRef(body.study))
