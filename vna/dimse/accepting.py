"""Accepting what waits at a listening socket, and what to do when descriptors run out."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

BREATH_S = 0.2
"""How long to leave a listener alone when descriptors ran out."""

_AT_ONCE = 64  # connections accepted before others are looked at

log = logging.getLogger(__name__)


class Exhausted(Exception):
    """There is no descriptor or no memory left: wait for connections to end, do not spin."""


def accepted(listener: socket.socket) -> Iterator[tuple[socket.socket, str]]:
    """Accept what waits, a limited number at a time, each with its peer's address.

    The listener does not block. Raises `Exhausted`.
    """
    for _ in range(_AT_ONCE):
        try:
            sock, where = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as exc:
            log.warning("cannot accept", extra={"errno": exc.errno})
            raise Exhausted from exc
        yield sock, str(where[0])
