"""DIMSE command sets <-> values (PS3.7 6.3, 9.3, 10.3, E), fragments -> messages (PS3.8 E).

A command set is Implicit VR Little Endian whatever was negotiated, and short: it is read with
`struct`. What an unknown element holds is passed over.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from vna.dimse.upper_layer import Fragment
from vna.errors import InvalidRequest

MAX_COMMAND_BYTES = 65536
_ELEMENT = struct.Struct("<HHI")
_NO_DATA_SET = 0x0101
_US = frozenset({0x0100, 0x0110, 0x0120, 0x0700, 0x0800, 0x0900, 0x1002, 0x1008})
_US |= {0x0903, 0x1020, 0x1021, 0x1022, 0x1023, 0x1031}
_UI = frozenset({0x0002, 0x0003, 0x1000, 0x1001})
_TEXT = _UI | {0x0600, 0x0902}
_MOST_COMMENT = 256  # characters; an LO has 64, and not every peer counts them
_PROGRESS = (0x1020, 0x1021, 0x1022, 0x1023)


class Field(enum.IntEnum):
    """Command Field of requests; a response has the bit 8000H set (PS3.7 E.1)."""

    C_STORE = 0x0001
    C_GET = 0x0010
    C_FIND = 0x0020
    C_MOVE = 0x0021
    C_ECHO = 0x0030
    N_EVENT_REPORT = 0x0100
    N_GET = 0x0110
    N_SET = 0x0120
    N_ACTION = 0x0130
    N_CREATE = 0x0140
    N_DELETE = 0x0150
    C_CANCEL = 0x0FFF


RESPONSE = 0x8000
REQUESTS = frozenset(Field)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The sub-operations of a C-MOVE or C-GET (PS3.7 9.1.4.1.7); `remaining` is None when over."""

    remaining: int | None
    completed: int
    failed: int
    warning: int


NO_PROGRESS = Progress(remaining=None, completed=0, failed=0, warning=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A DIMSE status with its related fields (PS3.7 Annex C). `offending` are attribute tags."""

    code: int
    comment: str = ""
    offending: tuple[int, ...] = ()
    progress: Progress | None = None


SUCCESS = Status(code=0x0000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command set. A text element that is absent is empty."""

    context_id: int
    field: int
    message_id: int
    responded_id: int
    sop_class: str
    sop_instance: str
    has_data_set: bool
    status: int
    comment: str = ""
    priority: int = 0
    destination: str = ""
    progress: Progress = NO_PROGRESS
    type_id: int = 0  # Action Type ID or Event Type ID


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSetPart:
    """The next bytes of the data set of the message in hand."""

    data: memoryview
    is_last: bool


class Messages:
    """Fragments in, command sets and data set parts out: one message at a time (PS3.8 E.1)."""

    def __init__(self) -> None:
        self._context_id = 0  # of the message in hand; 0 is none
        self._command = bytearray()
        self.in_data_set = False

    @property
    def midway(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._context_id != 0

    def receive(self, fragment: Fragment) -> Command | DataSetPart | None:
        """Take the next fragment. Raises `InvalidRequest` when it does not go on the message."""
        if self._context_id not in (0, fragment.context_id):
            raise InvalidRequest("The fragments of two messages are mixed.")
        if fragment.is_command == self.in_data_set:
            raise InvalidRequest("A command was expected, or a data set.")
        self._context_id = fragment.context_id
        if self.in_data_set:
            if fragment.is_last:
                self.in_data_set, self._context_id = False, 0
            return DataSetPart(data=fragment.data, is_last=fragment.is_last)
        if len(self._command) + len(fragment.data) > MAX_COMMAND_BYTES:
            raise InvalidRequest("The command set is too long.")
        self._command += fragment.data
        return self._whole(fragment.context_id) if fragment.is_last else None

    def _whole(self, context_id: int) -> Command:
        command = decode_command(context_id, bytes(self._command))
        self._command.clear()
        self.in_data_set = command.has_data_set
        if not command.has_data_set:
            self._context_id = 0
        return command


def decode_command(context_id: int, data: bytes) -> Command:
    """Read a command set. Raises `InvalidRequest`."""
    values: dict[int, int | str] = {}
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise InvalidRequest("The command set is cut off.")
        group, element, length = _ELEMENT.unpack_from(data, at)
        at += 8
        if group != 0 or at + length > len(data):
            raise InvalidRequest("The command set holds what is no command element.")
        if element in _US:
            values[element] = _number(data[at : at + length])
        elif element in _TEXT:
            values[element] = data[at : at + length].decode("latin-1").strip(" \0")
        at += length
    return _command(context_id, values)


def _number(value: bytes) -> int:
    if len(value) != 2:
        raise InvalidRequest("A number of the command set has not two bytes.")
    return int.from_bytes(value, "little")


def _command(context_id: int, values: Mapping[int, int | str]) -> Command:
    def number(element: int) -> int:
        return int(values.get(element, 0))

    field = number(0x0100)
    # C-CANCEL-RQ and responses name the request they speak of, every other request itself
    named = 0x0120 if field == Field.C_CANCEL or field & RESPONSE else 0x0110
    if not field or named not in values or 0x0800 not in values:
        raise InvalidRequest("The command set lacks Command Field, Message ID or Data Set Type.")
    if field & RESPONSE and 0x0900 not in values:  # 0 would be a success nobody told of
        raise InvalidRequest("The command set of a response lacks its Status.")
    return Command(
        context_id=context_id,
        field=field,
        message_id=number(0x0110),
        responded_id=number(0x0120),
        sop_class=str(values.get(0x0002) or values.get(0x0003) or ""),
        sop_instance=str(values.get(0x1000) or values.get(0x1001) or ""),
        has_data_set=number(0x0800) != _NO_DATA_SET,
        status=number(0x0900),
        comment=_plain(str(values.get(0x0902, ""))),
        priority=number(0x0700),
        destination=str(values.get(0x0600, "")),
        progress=_progress(values),
        type_id=number(0x1008) or number(0x1002),
    )


def _plain(comment: str) -> str:
    """Keep of an Error Comment what an LO may hold (PS3.5 6.2): it is noted, and shown."""
    shown = (char if char.isprintable() else " " for char in comment[:_MOST_COMMENT])
    return "".join(shown).strip()


def _progress(values: Mapping[int, int | str]) -> Progress:
    if values.keys().isdisjoint(_PROGRESS):
        return NO_PROGRESS
    remaining, completed, failed, warning = (values.get(element) for element in _PROGRESS)
    return Progress(
        remaining=None if remaining is None else int(remaining),
        completed=int(completed or 0),
        failed=int(failed or 0),
        warning=int(warning or 0),
    )


def encode_command(elements: Mapping[int, int | str | tuple[int, ...]]) -> bytes:
    """Write a command set with its group length: numbers are US, tuples AT, texts padded."""
    body = bytearray()
    for element in sorted(elements):
        value = _value(element, elements[element])
        body += _ELEMENT.pack(0, element, len(value)) + value
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<I", len(body)) + bytes(body)


def _value(element: int, value: int | str | tuple[int, ...]) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(2, "little")
    if isinstance(value, tuple):
        return b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in value)
    text = value.encode("ascii", "replace")
    return text if len(text) % 2 == 0 else text + (b"\0" if element in _UI else b" ")


def response(command: Command, status: Status, *, has_data_set: bool = False) -> bytes:
    """Write the response to a request."""
    elements: dict[int, int | str | tuple[int, ...]] = {
        0x0100: command.field | RESPONSE,
        0x0120: command.message_id,
        0x0800: 0 if has_data_set else _NO_DATA_SET,
        0x0900: status.code,
    }
    if command.sop_class:
        elements[0x0002] = command.sop_class
    if command.sop_instance:
        elements[0x1000] = command.sop_instance
    if status.offending:
        elements[0x0901] = status.offending
    if status.comment:
        elements[0x0902] = _short(status.comment)
    if status.progress is not None:
        elements |= _counts(status.progress)
    return encode_command(elements)


def _counts(progress: Progress) -> dict[int, int]:
    # numbers of two bytes: of more than 65535 the most that can be said
    counts = {0x1021: progress.completed, 0x1022: progress.failed, 0x1023: progress.warning}
    if progress.remaining is not None:
        counts[0x1020] = progress.remaining
    return {element: min(count, 0xFFFF) for element, count in counts.items()}


def _short(comment: str) -> str:
    # Error Comment is LO: 64 characters
    return comment if len(comment) <= 64 else comment[:61].rsplit(" ", 1)[0] + "..."


def request(
    field: Field,
    message_id: int,
    sop_class: str,
    *,
    sop_instance: str = "",
    has_data_set: bool = True,
    priority: int = 0,
    destination: str = "",
) -> bytes:
    """Write a C-ECHO, C-STORE, C-FIND, C-GET or C-MOVE request; the last has a `destination`."""
    elements: dict[int, int | str | tuple[int, ...]] = {
        0x0002: sop_class,
        0x0100: field,
        0x0110: message_id,
        0x0800: 0 if has_data_set else _NO_DATA_SET,
    }
    if field is not Field.C_ECHO:
        elements[0x0700] = priority
    if sop_instance:
        elements[0x1000] = sop_instance
    if destination:
        elements[0x0600] = destination
    return encode_command(elements)


def notice(field: Field, message_id: int, sop_class: str, sop_instance: str, type_id: int) -> bytes:
    """Write an N-ACTION or N-EVENT-REPORT request with a data set (PS3.7 10.3.1, 10.3.4)."""
    requested = field is Field.N_ACTION
    return encode_command(
        {
            0x0003 if requested else 0x0002: sop_class,
            0x0100: field,
            0x0110: message_id,
            0x0800: 0,
            0x1001 if requested else 0x1000: sop_instance,
            0x1008 if requested else 0x1002: type_id,
        }
    )


def cancel(message_id: int) -> bytes:
    """Write C-CANCEL-RQ (PS3.7 9.3.2.3)."""
    return encode_command({0x0100: Field.C_CANCEL, 0x0120: message_id, 0x0800: _NO_DATA_SET})
