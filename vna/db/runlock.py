"""One `vna serve` or `vna reindex` at a time on a data folder; other commands beside `serve` only.

DATA/run/lock is held exclusively by `serve` and `reindex` and shared by every other command. While
`serve` holds it the others do without: they were made to work beside it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vna.errors import ConfigError

BESIDE = "serve"  # the one exclusive holder others may work beside
# Children of a killed supervisor hold its lock until the kernel has ended them; short commands end.
_PATIENCE_S = 5.0
_STEP_S = 0.02


@contextmanager
def held(data: Path, command: str, *, exclusive: bool) -> Iterator[bool]:
    """Hold the lock for a command. Raises `ConfigError` naming who has it.

    A forked child holds it, too, as long as it lives. Gives False beside `serve`, which has it.
    """
    path = data / "run" / "lock"
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as exc:
        raise ConfigError(f"The lock {path} cannot be opened: {exc.strerror}.") from exc
    try:
        is_ours = _lock(lock, exclusive=exclusive)
        if is_ours:
            os.ftruncate(lock, 0)  # a killed holder's name
            if exclusive:
                os.pwrite(lock, f"{command} {os.getpid()}\n".encode(), 0)
        yield is_ours
    finally:
        os.close(lock)


def holder(data: Path) -> tuple[str, int] | None:
    """Say which command holds the lock exclusively, and its process id; None when none does."""
    path = data / "run" / "lock"
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return None if _try(lock, fcntl.LOCK_SH) else _told(lock)
    finally:
        os.close(lock)


def _lock(lock: int, *, exclusive: bool) -> bool:
    """Take the lock; False when it is not needed because `serve` has it."""
    until = time.monotonic() + _PATIENCE_S
    while not _try(lock, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH):
        told = _told(lock)
        if not exclusive and told is not None and told[0] == BESIDE:
            return False
        if time.monotonic() > until or (told is not None and _lives(told[1])):
            who = f"`vna {told[0]}` (process {told[1]})" if told else "another command"
            raise ConfigError(f"This data folder is in use by {who}; stop that first.")
        time.sleep(_STEP_S)
    return True


def _try(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's, so it is there
        pass
    return True


def _told(lock: int) -> tuple[str, int] | None:
    """Read what the exclusive holder wrote; shared holders write nothing."""
    command, _, pid = os.pread(lock, 256, 0).decode("ascii", "replace").strip().partition(" ")
    return (command, int(pid)) if pid.isdigit() else None
