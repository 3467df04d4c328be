"""The live list of associations: each worker keeps its own in a file mapped into memory.

A row is 192 bytes that the association's thread overwrites; nothing is locked, synced or sent. Who
reads looks twice and takes a row that stands still. AE titles, addresses and counts: nothing of a
patient.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

_HEAD = struct.Struct("<4sHHQ")  # magic, size of a row, rows, process id
_MAGIC = b"VNAR"
# begun, changed, requests, command, state, secured, AE titles, address
_ROW = struct.Struct("<ddQHBB16s16s64s")
_ROW_BYTES = 192
_SUFFIX = ".list"
_FREE, _OPENING, _IDLE, _BUSY, _ENDING = range(5)
_STATES = ("", "opening", "idle", "busy", "ending")
_LOOKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """One association as it stood a moment ago. `command` is the last request's Command Field."""

    pid: int
    calling: str
    called: str
    address: str
    secured: bool
    state: str
    command: int
    requests: int
    begun: float  # seconds since 1970
    changed: float


class Row:
    """One association's line; its thread alone writes it."""

    __slots__ = ("_address", "_at", "_begun", "_command", "_map", "_names", "_requests", "_secured")

    def __init__(self, memory: mmap.mmap | None, at: int, address: str, *, secured: bool) -> None:
        self._map = memory
        self._at = at
        self._begun = time.time()
        self._address = address.encode()[:64]
        self._secured = secured
        self._names = b"", b""
        self._requests = 0
        self._command = 0
        self._write(_OPENING)

    def opened(self, calling: str, called: str) -> None:
        """Say that the association stands."""
        self._names = calling.encode("latin-1", "replace"), called.encode("latin-1", "replace")
        self._write(_IDLE)

    def begins(self, command: int) -> None:
        """Say that a request has come."""
        self._requests += 1
        self._command = command
        self._write(_BUSY)

    def rests(self) -> None:
        """Say that it was answered."""
        self._write(_IDLE)

    def ends(self) -> None:
        """Say that the association is over; the connection is being closed."""
        self._write(_ENDING)

    def _write(self, state: int) -> None:
        if self._map is not None:
            _ROW.pack_into(
                self._map,
                self._at,
                self._begun,
                time.time(),
                self._requests,
                self._command,
                state,
                self._secured,
                *self._names,
                self._address,
            )


class Roster:
    """The rows of one process. Associations beyond `rows` are served and not listed."""

    def __init__(self, path: Path | None = None, *, rows: int = 0) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._free = [] if path is None else list(range(rows - 1, -1, -1))
        self._map = None if path is None else _mapped(path, rows)

    @contextmanager
    def entered(self, address: str, *, secured: bool = False) -> Iterator[Row]:
        """Keep a row as long as a connection lasts."""
        with self._lock:
            number = self._free.pop() if self._free else None
        memory = None if number is None else self._map
        at = _HEAD.size + (number or 0) * _ROW_BYTES
        try:
            yield Row(memory, at, address, secured=secured)
        finally:
            if memory is not None and number is not None:
                memory[at : at + _ROW_BYTES] = bytes(_ROW_BYTES)
                with self._lock:
                    self._free.append(number)

    def close(self) -> None:
        """Take the list away."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def read(folder: Path) -> list[Live]:
    """List the associations of all processes that live, the oldest first."""
    found: list[Live] = []
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            with path.open("rb") as file:
                found += _rows(file.fileno())
        except OSError:
            continue  # the process ended meanwhile
    return sorted(found, key=lambda live: live.begun)


def place(data: Path) -> Path:
    """Say where the lists of a data folder lie."""
    return data / "run" / "associations"


def own(data: Path, rows: int) -> Roster:
    """Make this process's list below a data folder; without space for it nothing is listed."""
    folder = place(data)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in folder.glob(f"*{_SUFFIX}"):
            if not _is_alive(int(path.stem)):
                path.unlink(missing_ok=True)
        return Roster(folder / f"{os.getpid()}{_SUFFIX}", rows=rows)
    except (OSError, ValueError) as exc:
        log.warning("associations are not listed", extra={"why": type(exc).__name__})
        return Roster()


def _mapped(path: Path, rows: int) -> mmap.mmap:
    size = _HEAD.size + rows * _ROW_BYTES
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.posix_fallocate(handle, 0, size)  # a page a full disk has no room for would kill us
        memory = mmap.mmap(handle, size)
    finally:
        os.close(handle)
    _HEAD.pack_into(memory, 0, _MAGIC, _ROW_BYTES, rows, os.getpid())
    return memory


def _rows(handle: int) -> Iterator[Live]:
    head = os.pread(handle, _HEAD.size, 0)
    if len(head) < _HEAD.size:
        return
    magic, size, rows, pid = _HEAD.unpack(head)
    if magic != _MAGIC or size != _ROW_BYTES or not _is_alive(pid):
        return
    for number in range(rows):
        data = _still(handle, _HEAD.size + number * size)
        if data and (live := _live(pid, data)) is not None:
            yield live


def _still(handle: int, at: int) -> bytes:
    seen = os.pread(handle, _ROW.size, at)
    for _ in range(_LOOKS):
        again = os.pread(handle, _ROW.size, at)
        if again == seen:
            break
        seen = again
    return seen if len(seen) == _ROW.size else b""


def _live(pid: int, data: bytes) -> Live | None:
    begun, changed, requests, command, state, secured, calling, called, address = _ROW.unpack(data)
    if not _FREE < state < len(_STATES):
        return None
    return Live(
        pid=pid,
        calling=calling.rstrip(b"\0").decode("latin-1"),
        called=called.rstrip(b"\0").decode("latin-1"),
        address=address.rstrip(b"\0").decode("ascii", "replace"),
        secured=bool(secured),
        state=_STATES[state],
        command=command,
        requests=requests,
        begun=begun,
        changed=changed,
    )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
