"""A running server as its postmaster.pid tells it, and whether that can be believed.

The file outlives a killed server, and its process id may by then be somebody else's.
"""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Larger than any process id of Linux (2^22), so no process will ever answer to it.
_NOBODYS_PID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What the lock file says (miscadmin.h, LOCK_FILE_LINE_*)."""

    pid: int
    socket_folder: Path
    status: str  # "starting", "ready", "stopping", "standby"

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        return self.status == "ready"

    def wait_gone(self, timeout_s: float) -> bool:
        """Wait until the process has ended; False when it has not by then."""
        try:
            ended = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        except (AttributeError, OSError):  # not Linux, or an old one
            return _poll_gone(self.pid, timeout_s)
        try:
            poll = select.poll()
            poll.register(ended, select.POLLIN)
            return bool(poll.poll(timeout_s * 1000))
        finally:
            os.close(ended)


def running(files: Path) -> Postmaster | None:
    """Return the live server of this cluster; None when there is none, or only an old file."""
    told = _read(files)
    return told if told is not None and _serves(told.pid, files) else None


def disown_reused_pid(files: Path) -> None:
    """Let a server start although the process id in the old file is in use by another program.

    PostgreSQL would refuse. The file must not be removed: its shared memory key is what keeps a new
    server from starting beside orphaned backends of the killed one.
    """
    path = files / "postmaster.pid"
    told = _read(files)
    if told is None or told.pid == _NOBODYS_PID or _serves(told.pid, files):
        return
    with suppress(ProcessLookupError, PermissionError):
        os.kill(told.pid, 0)
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        lines[0] = f"{_NOBODYS_PID}\n"
        handle = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
        with open(handle, "w", encoding="utf-8") as out:
            out.writelines(lines)


def disown_socket(folder: Path, port: int, files: Path) -> None:
    """Remove the lock of a socket of ours whose server is gone.

    PostgreSQL does so itself, unless the process id in it still answers: a killed server that
    nobody has buried yet does, and so does a program that was given its number.
    """
    lock = folder / f".s.PGSQL.{port}.lock"
    try:
        pid = abs(int(lock.read_text(encoding="utf-8").splitlines()[0]))
    except (OSError, ValueError, IndexError):
        return
    if not _serves(pid, files):
        lock.unlink(missing_ok=True)


def _read(files: Path) -> Postmaster | None:
    try:
        lines = (files / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        pid = abs(int(lines[0]))
    except (OSError, ValueError, IndexError):
        return None
    lines += [""] * (8 - len(lines))  # the later ones are written as the start goes on
    return Postmaster(pid, Path(lines[4]), lines[7].strip())


def _serves(pid: int, files: Path) -> bool:
    """Whether this process is the cluster's: a postmaster's working directory is its cluster."""
    if not Path("/proc/self").exists():
        return _exists(pid)
    try:
        return os.path.samefile(f"/proc/{pid}/cwd", files)
    except OSError:  # gone, or a zombie, or another user's
        return False


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _poll_gone(pid: int, timeout_s: float) -> bool:
    until = time.monotonic() + timeout_s
    while _exists(pid):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
