"""A page's answer that is octets of known length, whole or a range of it (RFC 9110 14)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vna.access.principal import Principal
from vna.dicom.refs import UID
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


@dataclass(frozen=True, slots=True)
class Whose:
    """Whom octets are sent to, who is known by the request's credential, and of which studies."""

    who: Principal
    studies: Sequence[UID]


class Walked(Response):
    """Sends octets piece by piece by the threads that read them.

    With `whose`, as long as they may have them.
    """

    def __init__(
        self, reply: Reply, counter: Counter, resource: str, *, whose: Whose | None = None
    ) -> None:
        super().__init__(status_code=reply.status)
        self._reply = reply
        self._counter = counter
        self._resource = resource
        self._whose = whose

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them; what fails once they have begun breaks the connection."""
        sending = partial(
            send_reply,
            self._reply,
            scope,
            receive,
            send,
            threads=self._counter.threads,
            resource=self._resource,
        )
        if self._whose is None:
            await sending()
        else:
            whose, standing = self._whose, self._counter.standing
            await standing.sent(scope, whose.who, whose.studies, sending)


async def walked(
    request: Request,
    counter: Counter,
    who: Principal,
    octets: Octets,
    *,
    resource: str,
    studies: Sequence[UID] | None = None,
) -> Response:
    """Answer with octets, or the range asked for.

    With the studies they are of, they end when who asks may not have them any more; without, who
    gives them sees to that.
    """
    ask = Ask(request.scope, request.receive, counter=counter, principal=who, names={})

    def reply() -> Reply:
        state = caching.State([octets.revision], is_strong=True, changed_at=octets.changed_at)
        named = f'attachment; filename="{octets.file_name}"'.encode("ascii")
        fields = [*caching.headers(state), (b"content-disposition", named)]
        return answering.walked(ask, octets.media, octets.content, state, fields)

    whose = None if studies is None else Whose(who, studies)
    return Walked(await ask.hop(reply), counter, resource, whose=whose)
