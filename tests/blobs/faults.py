"""File systems that fail, fill up, die or lose power at a chosen operation."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from typing import Any

from vna.blobs.files import Files

OPERATIONS = [name for name in vars(Files) if not name.startswith("_")]
FAULTS = (
    "eio",
    "enospc",
    "short write",
    "failing sync",
    "gone for good",
    "killed before",
    "killed after",
)


class Killed(BaseException):
    """The process is no more: nothing of it may run on."""


class FaultyFiles(Files):
    """Real files whose operation number `at` (from 1) goes wrong in one named way."""

    def __init__(self, fault: str = "none", at: int = 0) -> None:
        self.fault = fault
        self.at = at
        self.count = 0
        self.struck = False
        self.is_dead = False
        self.open_fds: set[int] = set()

    def arm(self) -> None:
        """Begin to count."""
        self.count = 0

    def bury(self) -> None:
        """Close what a dead process held, as the system does."""
        for fd in list(self.open_fds):
            os.close(fd)
        self.open_fds.clear()

    def step(self, name: str, call: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        if self.is_dead:
            raise Killed
        self.count += 1
        hit = self.count == self.at or (
            self.fault == "gone for good" and self.at and self.count >= self.at and name != "close"
        )
        if not hit:
            return self._track(name, call(self, *args), args)
        self.struck = True
        return self._strike(name, call, args)

    def _strike(self, name: str, call: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        if self.fault in ("eio", "gone for good") or (
            self.fault == "failing sync" and name.startswith("sync")
        ):
            if name == "close":  # the descriptor is gone all the same
                self._track(name, call(self, *args), args)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self.fault == "enospc" and name in (
            "create",
            "write",
            "sync_data",
            "link",
            "make_folder",
        ):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.fault == "short write" and name == "write":
            fd, data = args
            return call(self, fd, data[: max(1, len(data) // 2)])
        if self.fault == "killed before":
            self.is_dead = True
            raise Killed
        result = self._track(name, call(self, *args), args)
        if self.fault == "killed after":
            self.is_dead = True
            raise Killed
        return result

    def _track(self, name: str, result: Any, args: tuple[Any, ...]) -> Any:
        if name in ("open", "create", "open_folder"):
            self.open_fds.add(result)
        elif name == "close":
            self.open_fds.discard(args[0])
        return result


class PowerLoss(FaultyFiles):
    """Remembers what was made durable; losing power takes the rest, as far as a disk may.

    `deaf` names a sync that is swallowed: a store that forgot it must be caught losing something.
    """

    def __init__(self, at: int = 0, deaf: str = "") -> None:
        super().__init__("killed after", at)
        self.deaf = deaf
        self._paths: dict[int, str] = {}
        self._unsynced: dict[int, set[str]] = {}  # inode -> its names
        self._names: set[str] = set()

    def lose_power(self, *, keep_names: bool) -> None:
        """Put the disk into the worst state it may be in; names may or may not have got there."""
        self.bury()
        for names in self._unsynced.values():
            for name in names:
                if os.path.lexists(name):
                    os.truncate(name, 0)
        for name in sorted(self._names, reverse=True):
            if keep_names or not os.path.lexists(name):
                continue
            if os.path.isdir(name):
                shutil.rmtree(name)
            else:
                os.unlink(name)

    def step(self, name: str, call: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        if name == self.deaf:
            return super().step(name, lambda *_: None, args)
        return super().step(name, call, args)

    def _track(self, name: str, result: Any, args: tuple[Any, ...]) -> Any:
        if name in ("open", "create", "open_folder"):
            self._paths[result] = args[0]
        if name == "create":
            self._unsynced[os.stat(args[0]).st_ino] = {args[0]}
        elif name == "sync_data" and self.deaf != name:
            self._unsynced.pop(os.fstat(args[0]).st_ino, None)
        elif name == "link":
            self._unsynced.get(os.stat(args[1]).st_ino, set()).add(args[1])
            self._names.add(args[1])
        elif name == "make_folder":
            self._names.add(args[0])
        elif name == "sync_folder" and self.deaf != name:
            folder = self._paths[args[0]]
            self._names -= {n for n in self._names if os.path.dirname(n) == folder}
        return super()._track(name, result, args)


def _through(name: str) -> Callable[..., Any]:
    call = getattr(Files, name)

    def method(self: FaultyFiles, *args: Any) -> Any:
        return self.step(name, call, args)

    return method


for _name in OPERATIONS:
    setattr(FaultyFiles, _name, _through(_name))
