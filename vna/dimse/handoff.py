"""What supervisor and worker say to each other over one stream socket: short records, and sockets.

supervisor -> worker   C number + the accepted socket     serve this connection
                       T number + the accepted socket     the same, under TLS
                       Y number, N number                 the AE may, may not have one more
worker -> supervisor   G number                           the connection was taken
                       A number AE title, limit           may this AE have one more?
                       E number                           the connection ended
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

_TO_WORKER = struct.Struct(">cQ")
_TO_SUPERVISOR = struct.Struct(">cQ16sH")

CONNECTION, SECURED, YES, NO = b"C", b"T", b"Y", b"N"
TAKEN, ASK, ENDED = b"G", b"A", b"E"


def control_pair() -> tuple[socket.socket, socket.socket]:
    """Make the two ends: one stays with the supervisor, one goes to the worker."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def send_to_worker(
    control: socket.socket, kind: bytes, number: int, sock: socket.socket | None = None
) -> None:
    """Send one record, with a connection if any. Raises `OSError` when the worker is gone."""
    record = _TO_WORKER.pack(kind, number)
    if sock is None:
        control.sendall(record)
    else:
        sent = socket.send_fds(control, [record], [sock.fileno()])
        control.sendall(record[sent:])


def receive_from_supervisor(
    control: socket.socket,
) -> tuple[bytes, int, socket.socket | None] | None:
    """Wait for one record; None when the supervisor is gone."""
    data, fds, _, _ = socket.recv_fds(control, _TO_WORKER.size, 1)
    while data and len(data) < _TO_WORKER.size:
        more = control.recv(_TO_WORKER.size - len(data))
        data = data + more if more else b""
    sock = socket.socket(fileno=fds[0]) if fds else None
    if not data:
        return None
    kind, number = _TO_WORKER.unpack(data)
    return kind, number, sock


def send_to_supervisor(
    control: socket.socket, kind: bytes, number: int, title: str = "", most: int = 0
) -> None:
    """Send one record; `most` is the AE's own limit, 0 that of the settings.

    Raises `OSError` when the supervisor is gone.
    """
    control.sendall(_TO_SUPERVISOR.pack(kind, number, title.encode("ascii", "replace"), most))


class FromWorker:
    """Records of one worker, from bytes as they come."""

    def __init__(self) -> None:
        self._rest = b""

    def receive(self, data: bytes) -> Iterator[tuple[bytes, int, str, int]]:
        """Yield the complete records."""
        data = self._rest + data
        whole = len(data) - len(data) % _TO_SUPERVISOR.size
        self._rest = data[whole:]
        for kind, number, title, most in _TO_SUPERVISOR.iter_unpack(data[:whole]):
            yield kind, number, title.rstrip(b"\0").decode("ascii"), most
