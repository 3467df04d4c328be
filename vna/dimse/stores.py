"""C-STORE requests at full speed on an association that is open, whoever opened it.

Used by C-GET on the asker's association and by the sender on its own. One request is in hand at a
time; while the peer works on it the next object is read and opened. What is written for an instance
is one command from a template and its data set cut into PDUs as it comes, in few system calls.
"""

from __future__ import annotations

import enum
import struct
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from vna.dimse.link import Link
from vna.dimse.messages import Field, Status
from vna.dimse.status import is_warning, of_store_error
from vna.dimse.upper_layer import UpperLayer
from vna.errors import Corrupt, NotAcceptable, Unavailable, VNAError
from vna.retrieve.outgoing import Body, Buffer, Forms, Outgoing

_ELEMENT = struct.Struct("<HHI")
_US = struct.Struct("<HHIH")
_HEAD = struct.Struct(">BxIIBB")
_GROUP_LENGTH = struct.Struct("<HHII")
_AT_ONCE = 512  # pieces of one sendmsg(); the system takes 1024
_AT_ONCE_BYTES = 1 << 20
_NOT_TAKEN = "The remote AE does not take this SOP Class and Transfer Syntax."

Accepted = Mapping[tuple[str, str], int]
"""Abstract and Transfer Syntax -> the Presentation Context ID that carries them."""


class Result(enum.Enum):
    """How a C-STORE sub-operation ended (PS3.7 9.1.4.1)."""

    COMPLETED = "completed"
    WARNING = "warning"
    FAILED = "failed"


class Sent(NamedTuple):
    """What became of one instance. `status` is the peer's answer, or ours when there was none.

    `is_tried` is false of one whose turn never came: those before it were not answered.
    """

    outgoing: Outgoing
    result: Result
    status: Status
    is_answered: bool = True
    is_tried: bool = True


class StoreTemplate:
    """The C-STORE requests of one Presentation Context (PS3.7 9.3.1.1).

    They differ in Message ID and SOP Instance UID alone. `originator` is the AE title and the
    Message ID of the C-MOVE they belong to.
    """

    def __init__(
        self, context_id: int, sop_class: str, *, priority: int, originator: tuple[str, int] | None
    ) -> None:
        self.context_id = context_id
        self._before = (
            _text(0x0002, sop_class, b"\0")
            + _US.pack(0, 0x0100, 2, Field.C_STORE)
            + _ELEMENT.pack(0, 0x0110, 2)
        )
        self._between = _US.pack(0, 0x0700, 2, priority) + _US.pack(0, 0x0800, 2, 0)
        self._after = b""
        if originator is not None:
            title, number = originator
            self._after = _text(0x1030, title, b" ") + _US.pack(0, 0x1031, 2, number)
        self._size = len(self._before) + 2 + len(self._between) + 8 + len(self._after)

    def pdus(self, layer: UpperLayer, message_id: int, sop_instance: str) -> bytes:
        """Write one request, as a single PDU wherever the peer takes one of that size."""
        uid = sop_instance.encode("ascii")
        if len(uid) % 2:
            uid += b"\0"
        size = self._size + len(uid)
        command = b"".join(
            (
                _GROUP_LENGTH.pack(0, 0, 4, size),
                self._before,
                message_id.to_bytes(2, "little"),
                self._between,
                _ELEMENT.pack(0, 0x1000, len(uid)),
                uid,
                self._after,
            )
        )
        if len(command) > layer.fragment_bytes:
            return layer.message(self.context_id, command)
        return _HEAD.pack(4, len(command) + 6, len(command) + 2, self.context_id, 3) + command


def _text(element: int, value: str, pad: bytes) -> bytes:
    raw = value.encode("ascii", "replace")
    raw += pad * (len(raw) % 2)
    return _ELEMENT.pack(0, element, len(raw)) + raw


class Backlog:
    """What is still to be sent. Several associations may take from it; `stop` ends them all."""

    def __init__(self, instances: Iterable[Outgoing]) -> None:
        self._instances = iter(instances)
        self._returned: deque[Outgoing] = deque()
        self._lock = threading.Lock()
        self._is_stopped = False

    def take(self) -> Outgoing | None:
        """Take the next one; None when there is none, or no more is to be sent."""
        with self._lock:
            if self._is_stopped:
                return None
            if self._returned:
                return self._returned.popleft()
            return next(self._instances, None)

    def has_more(self) -> bool:
        """Whether there is something to take."""
        outgoing = self.take()
        if outgoing is not None:
            self.give_back(outgoing)
        return outgoing is not None

    def give_back(self, outgoing: Outgoing) -> None:
        """Put back what was taken and not sent."""
        with self._lock:
            self._returned.appendleft(outgoing)

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._lock:
            self._is_stopped = True


@dataclass(frozen=True, slots=True)
class _Ready:
    """An instance of which the first bytes are here; or the reason why it cannot be sent."""

    outgoing: Outgoing
    template: StoreTemplate | None = None
    body: Body | None = None
    first: Buffer = b""
    failure: VNAError | None = None


class Stores:
    """C-STORE after C-STORE on one association.

    `answer` waits for the response to a Message ID; `ConnectionError` says that none will come.
    `is_over` looks, without waiting, whether the peer ended the association between two requests.
    An instance goes out in the first of `wanted` it can be sent in and the peer takes, else in the
    first of its own forms.
    """

    def __init__(
        self,
        link: Link,
        accepted: Accepted,
        answer: Callable[[int], Status],
        *,
        is_over: Callable[[], bool] = lambda: False,
        wanted: tuple[str, ...] = (),
        priority: int = 0,
        originator: tuple[str, int] | None = None,
    ) -> None:
        self._link = link
        self._accepted = accepted
        self._answer = answer
        self._is_over = is_over
        self._wanted = wanted
        self._how = priority, originator
        self._templates: dict[tuple[str, str], StoreTemplate] = {}
        self._chosen: dict[tuple[str, Forms], tuple[str, ...]] = {}
        self._number = 0

    def run(self, backlog: Backlog) -> Generator[Sent, None, None]:
        """Send what the backlog holds, one after the other.

        Raises `ConnectionError` behind the result of the instance with which the association ended.
        What was not begun is given back, then and when the caller ends the walk.
        """
        ready = self._prepared(backlog.take())
        try:
            while ready is not None:
                if self._number and self._is_over():  # it took its share: this one is another's
                    raise ConnectionResetError("The remote AE ended the association.")
                done, ready = ready, None
                failure = done.failure or _hindrance(done.outgoing)
                if failure is not None:
                    yield failed(done.outgoing, failure)
                    ready = self._prepared(backlog.take())
                    continue
                try:
                    number = self._begin(done)
                    ready = self._prepared(backlog.take())
                    status = self._answer(number)
                except ConnectionError as exc:
                    yield failed(done.outgoing, Unavailable(str(exc)))
                    raise
                yield Sent(done.outgoing, result_of(status), status)
        finally:
            if ready is not None:
                backlog.give_back(ready.outgoing)

    def _prepared(self, outgoing: Outgoing | None) -> _Ready | None:
        """Choose a form and read the first bytes; a codec that fails leaves the forms behind it."""
        if outgoing is None:
            return None
        failure: VNAError = NotAcceptable(_NOT_TAKEN)
        for form in self._usable(outgoing.sop_class, outgoing.forms):
            try:
                body = outgoing.load(form)
                first = next(body.chunks, b"")
            except NotAcceptable as exc:
                failure = exc
            except VNAError as exc:
                return _Ready(outgoing, failure=exc)
            else:
                return _Ready(outgoing, self._template(outgoing.sop_class, form), body, first)
        return _Ready(outgoing, failure=failure)

    def _usable(self, sop_class: str, forms: Forms) -> tuple[str, ...]:
        """List the forms the peer takes: the wanted ones first, those a codec makes at the end."""
        key = sop_class, forms
        if key not in self._chosen:
            possible = forms.offered + forms.made
            preferred = [form for form in self._wanted if form in possible]
            ordered = dict.fromkeys((*preferred, *possible))
            usable = tuple(form for form in ordered if (sop_class, form) in self._accepted)
            self._chosen[key] = usable
        return self._chosen[key]

    def _template(self, sop_class: str, form: str) -> StoreTemplate:
        key = sop_class, form
        template = self._templates.get(key)
        if template is None:
            priority, originator = self._how
            template = self._templates[key] = StoreTemplate(
                self._accepted[key], sop_class, priority=priority, originator=originator
            )
        return template

    def _begin(self, ready: _Ready) -> int:
        """Write a request and its data set; return its Message ID. Raises `ConnectionError`."""
        self._number = self._number % 65535 + 1
        template, body = ready.template, ready.body
        assert template is not None  # noqa: S101 -- an instance without one was told as failed
        assert body is not None  # noqa: S101
        instance = ready.outgoing.ref.instance
        command = template.pdus(self._link.layer, self._number, instance)
        try:
            write(self._link, template.context_id, command, ready.first, body)
        except VNAError as exc:
            # a data set that began cannot be taken back: wrong bytes would follow
            self._link.layer.abort()
            raise ConnectionAbortedError(str(exc)) from exc
        return self._number


def _hindrance(outgoing: Outgoing) -> VNAError | None:
    """Say what keeps an instance from going out by now; it was opened while another was sent."""
    try:
        outgoing.still()
    except VNAError as exc:
        return exc
    return None


def write(link: Link, context_id: int, command: bytes, first: Buffer, body: Body) -> None:
    """Write a request: its command PDUs, then the data set, of which `first` is here already.

    Raises `ConnectionError`, and what the walk of the body raises.
    """
    parts: list[bytes | memoryview] = [command]
    if body.length is None:
        _write_unsized(link, context_id, parts, chain((first,), body.chunks))
        return
    left, view = body.length, first
    while True:
        left -= len(view)
        if left < 0:
            raise Corrupt("The object is longer than it should be.")
        parts += link.layer.fragments(context_id, memoryview(view), last=not left)
        for at in range(0, len(parts), _AT_ONCE):
            link.send_parts(parts[at : at + _AT_ONCE])
        if not left:
            return
        parts.clear()
        view = next(body.chunks, b"")
        if not len(view):
            raise Corrupt("The object is shorter than it should be.")


def _write_unsized(
    link: Link, context_id: int, parts: list[bytes | memoryview], chunks: Iterator[Buffer]
) -> None:
    held = 0
    for piece, last in pieces(chunks, link.layer.fragment_bytes):
        parts += (link.layer.data_header(context_id, len(piece), last=last), piece)
        held += len(piece)
        if last or len(parts) > _AT_ONCE or held >= _AT_ONCE_BYTES:
            link.send_parts(parts)
            parts.clear()
            held = 0


def pieces(chunks: Iterable[Buffer], size: int) -> Iterator[tuple[memoryview, bool]]:
    """Cut a stream into even pieces of at most `size`, and say which one is the last."""
    held: memoryview | None = None
    odd = b""
    for chunk in chunks:
        whole = memoryview(odd + bytes(chunk) if odd else chunk)
        odd = bytes(whole[-1:]) if len(whole) % 2 else b""
        for at in range(0, len(whole) - len(odd), size):
            if held is not None:
                yield held, False
            held = whole[at : min(at + size, len(whole) - len(odd))]
    if odd:
        if held is not None:
            yield held, False
        held = memoryview(odd)
    yield held if held is not None else memoryview(b""), True


def result_of(status: Status) -> Result:
    """Say what a C-STORE status means for the sub-operation (PS3.4 Table B.2-1, PS3.7 C)."""
    if status.code == 0:
        return Result.COMPLETED
    return Result.WARNING if is_warning(status.code) else Result.FAILED


def failed(outgoing: Outgoing, error: VNAError, *, is_tried: bool = True) -> Sent:
    """Say that an instance was not sent, and why."""
    status = of_store_error(error)
    return Sent(outgoing, Result.FAILED, status, is_answered=False, is_tried=is_tried)
