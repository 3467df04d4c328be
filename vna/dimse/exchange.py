"""One request in hand, and what a service does with it. A service answers; it knows no sockets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from vna.access.principal import Principal
from vna.access.remotes import Remote
from vna.dimse.messages import Command, Status
from vna.dimse.negotiate import Context
from vna.dimse.stores import Stores


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who is on the other side of an association; `remote` is what is registered of it.

    `narrowed` withholds what is labelled by now: an association may stand for hours. `is_ended`
    says that it was cut, because who called may not call any more.
    """

    calling: str
    called: str
    address: str
    principal: Principal
    remote: Remote | None = None
    narrowed: Callable[[Principal], Principal] | None = None
    is_ended: Callable[[], bool] = lambda: False

    def asker(self) -> Principal:
        """Say who asks, with what they may see now. Raises `Unavailable`."""
        return self.principal if self.narrowed is None else self.narrowed(self.principal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request: the command, where it came from, and the way to answer.

    `respond(status, data_set)` queues a response, `send()` sends what is queued. `is_cancelled()`
    looks, without waiting, whether the peer sent C-CANCEL for this request. `stores` returns what
    sends C-STORE requests on the same association, to an asker that is an SCP of Storage. `follow`
    names what is to be told the asker later, while the association rests.
    """

    command: Command
    context: Context
    peer: Peer
    respond: Callable[[Status, bytes | None], int]
    send: Callable[[], None]
    is_cancelled: Callable[[], bool]
    stores: Callable[[], Stores]
    follow: Callable[[FollowUp], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An N-EVENT-REPORT request of ours."""

    context_id: int
    sop_class: str
    sop_instance: str
    type_id: int
    data_set: bytes


class FollowUp(Protocol):
    """What is to be told the asker after its request was answered. Exactly one ending is called."""

    def prepare(self) -> Notice | None:
        """Say what to send; None when there is nothing to tell here, and no ending follows."""

    def answered(self, status: int) -> None:
        """Take the asker's answer."""

    def dropped(self) -> None:
        """Know that there will be none: the association ended, or the asker kept silent."""


class Service(Protocol):
    """What takes the data set of a request and answers it."""

    def feed(self, data: memoryview) -> None:
        """Take the next bytes of the data set; they are used up on return."""

    def finish(self) -> None:
        """Answer: the data set is complete, or there is none."""

    def abort(self) -> None:
        """Forget it: the association ended."""


class Answer:
    """The service that has its answer already: the data set is read and forgotten."""

    def __init__(self, exchange: Exchange, status: Status) -> None:
        self._exchange = exchange
        self._status = status

    def feed(self, data: memoryview) -> None:
        """Swallow it."""

    def finish(self) -> None:
        """Answer the status."""
        self._exchange.respond(self._status, None)
        self._exchange.send()

    def abort(self) -> None:
        """Nothing to forget."""
