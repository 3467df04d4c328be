"""Bytes of the Upper Layer written by hand, so that a test can write wrong ones, too."""

from __future__ import annotations

import socket
import struct

from hypothesis import HealthCheck, settings

from vna.dimse.upper_layer import Aborted, Event, Fragment, UpperLayer

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


def examples(count: int) -> settings:
    """So many examples, however busy the machine is."""
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxI", kind, len(body)) + body


def item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def context(number: int, abstract: str, *syntaxes: str) -> bytes:
    named = b"".join(item(0x40, uid.encode()) for uid in syntaxes or (IMPLICIT,))
    return item(0x20, bytes((number, 0, 0, 0)) + item(0x30, abstract.encode()) + named)


def associate(
    *contexts: bytes,
    calling: str = "PEER",
    called: str = "VNA",
    version: int = 1,
    application: str = "1.2.840.10008.3.1.1.1",
    max_pdu_bytes: int = 16384,
    user: bytes = b"",
    items: bytes = b"",
) -> bytes:
    body = struct.pack(">HH", version, 0) + called.encode().ljust(16) + calling.encode().ljust(16)
    body += bytes(32) + item(0x10, application.encode())
    body += b"".join(contexts or (context(1, VERIFICATION),)) + items
    body += item(0x50, item(0x51, struct.pack(">I", max_pdu_bytes)) + item(0x52, b"1.2.3") + user)
    return pdu(1, body)


def pdv(number: int, control: int, data: bytes) -> bytes:
    return struct.pack(">IBB", len(data) + 2, number, control) + data


RELEASE = pdu(5, bytes(4))
ABORT = pdu(7, bytes(4))


def feed(layer: UpperLayer, data: bytes) -> list[Event]:
    """Walk the events of the bytes, fragments with a copy of their data."""
    return [keep(event) for event in layer.receive(memoryview(data))]


def keep(event: Event) -> Event:
    if not isinstance(event, Fragment):
        return event
    return Fragment(
        context_id=event.context_id,
        is_command=event.is_command,
        is_last=event.is_last,
        data=memoryview(bytes(event.data)),
    )


def is_abort(events: list[Event]) -> bool:
    return any(isinstance(event, Aborted) for event in events)


def answer(sock: socket.socket) -> tuple[int, bytes]:
    """Read one PDU; (0, b"") when the connection ended."""
    head = exactly(sock, 6)
    if len(head) < 6:
        return 0, b""
    kind, length = struct.unpack(">BxI", head)
    return kind, exactly(sock, length)


def exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        try:
            more = sock.recv(count - len(data))
        except ConnectionResetError:
            more = b""
        if not more:
            break
        data += more
    return data


def is_closed(sock: socket.socket) -> bool:
    """Wait until the other side closed the connection; what it still sends is dropped."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True
