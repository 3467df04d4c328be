"""How the process that serves guests and the archive's own talk: one question, one answer.

Messages of JSON over a pair of Unix sockets that keep them apart (SOCK_SEQPACKET), with at most
one open file. Both ends outlive the processes at them: an answer that nobody waits for is passed
over by its number.
"""

from __future__ import annotations

import base64
import os
import socket
import threading
from collections.abc import Mapping
from typing import Any

import orjson

from vna.errors import NotFound, Unavailable

MOST = 1 << 16
_WAIT_S = 10.0


def pair() -> tuple[socket.socket, socket.socket]:
    """Make both ends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MOST)
    return ours, theirs


class Asking:
    """The end of who asks. Safe to use from many threads: they ask one after the other."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._number = int.from_bytes(os.urandom(6), "big")  # not one of a process before us

    def ask(self, what: str, **said: Any) -> tuple[Any, int | None]:  # JSON both ways
        """Ask, and wait for the answer and a file. Raises `NotFound`, `Unavailable`."""
        with self._lock:
            self._number += 1
            try:
                self._sock.settimeout(_WAIT_S)
                self._sock.send(orjson.dumps([self._number, what, said]))
                while True:
                    found, fds = _received(self._sock)
                    if found[0] == self._number:
                        break
                    _close(fds)
            except (OSError, ValueError) as exc:
                raise Unavailable("The archive does not answer just now; try again.") from exc
        _, how, answer = found
        if how == "done":
            return answer, fds[0] if fds else None
        _close(fds)
        raise NotFound if how == "absent" else Unavailable(str(answer))


def heard(sock: socket.socket) -> tuple[int, str, dict[str, Any]] | None:
    """Take one question; None when it is none. Raises `TimeoutError`, `ConnectionError`."""
    try:
        question, fds = _received(sock)
        _close(fds)
        number, what, said = question
        if not isinstance(number, int):
            return None  # none it could be answered by
        return number, str(what), dict(said)
    except (ValueError, TypeError):
        return None


def answer(sock: socket.socket, number: int, how: str, said: Any, fd: int | None = None) -> None:
    """Answer a question, with JSON, and a file if there is one; the file is closed here."""
    message = orjson.dumps([number, how, said])
    try:
        socket.send_fds(sock, [message], [] if fd is None else [fd])
    finally:
        if fd is not None:
            os.close(fd)


def packed(data: bytes) -> str:
    """Write bytes in JSON."""
    return base64.b64encode(data).decode("ascii")


def unpacked(values: Mapping[str, Any], name: str) -> bytes:
    """Read them again. Raises `ValueError`, `KeyError`."""
    return base64.b64decode(values[name], validate=True)


def _received(sock: socket.socket) -> tuple[Any, list[int]]:
    message, fds, flags, _ = socket.recv_fds(sock, MOST, 1)
    for fd in fds:
        os.set_inheritable(fd, False)
    if not message or flags & socket.MSG_TRUNC:
        _close(fds)
        raise ConnectionError if not message else ValueError
    try:
        return orjson.loads(message), list(fds)
    except ValueError:
        _close(fds)
        raise


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
