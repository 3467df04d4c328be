"""Standard streams: there in any case, and what cannot be written to them is told once."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_NUMBERS = (0, 1, 2)


def have_streams() -> None:
    """Open the null device in place of each standard stream that whoever started us had closed.

    Else the next file or socket gets its number, and what PostgreSQL or another child writes to
    its standard error goes into that (POSIX, `exec`: an implementation may open them, too).
    """
    for number in _NUMBERS:
        if not _is_open(number):  # numbers are given out from the lowest
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)


def say(line: str) -> None:
    """Write a line to standard error, unless that cannot be: a full disk of logs ends nothing."""
    with suppress(OSError):
        print(line, file=sys.stderr)


@contextmanager
def written_out() -> Iterator[None]:
    """Write what was printed at the end, here, where a fault can still be told apart.

    What cannot be written is dropped, and the fault is raised: the interpreter would try it again
    at its own end, complain in words of its own and leave with 120.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as exc:
        if isinstance(exc, BrokenPipeError) or exc.errno == errno.ENOSPC:
            _drop_what_waits()
        raise


def _drop_what_waits() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
