"""A page's answer that is octets of known length, whole or a range of it (RFC 9110 14)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vna.access.principal import Principal
from vna.retrieve.payload import Stretch
from vna.web.dicomweb import answering, caching
from vna.web.exchange import Ask, Counter, Reply
from vna.web.sending import send_reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Octets:
    """What is given: its bytes, what they are, and how they are told from others."""

    content: Stretch
    media: str
    file_name: str
    revision: str
    changed_at: dt.datetime


class Walked(Response):
    """Sends octets piece by piece by the threads that read them."""

    def __init__(self, reply: Reply, counter: Counter, resource: str) -> None:
        super().__init__(status_code=reply.status)
        self._reply = reply
        self._counter = counter
        self._resource = resource

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them; what fails once they have begun breaks the connection."""
        await send_reply(
            self._reply,
            scope,
            receive,
            send,
            threads=self._counter.threads,
            resource=self._resource,
        )


async def walked(
    request: Request, counter: Counter, who: Principal, octets: Octets, *, resource: str
) -> Response:
    """Answer with octets, or the range asked for."""
    ask = Ask(request.scope, request.receive, counter=counter, principal=who, names={})

    def reply() -> Reply:
        state = caching.State([octets.revision], is_strong=True, changed_at=octets.changed_at)
        named = f'attachment; filename="{octets.file_name}"'.encode("ascii")
        fields = [*caching.headers(state), (b"content-disposition", named)]
        return answering.walked(ask, octets.media, octets.content, state, fields)

    return Walked(await ask.hop(reply), counter, resource)
