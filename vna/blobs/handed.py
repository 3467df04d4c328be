"""Blobs whose files another process opens and hands over: read by descriptor, found by nobody here.

For a process that may not pass through the folder of the blobs: it names a blob and is given its
file, open for reading. It can neither list what there is nor write.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NoReturn

from vna.blobs.recent import Recent
from vna.errors import NotPermitted, Unavailable

Opens = Callable[[str], int]
"""Gives an open file of an object by name, the caller's from then on. Raises `NotFound`."""

_KEPT, _KEPT_S = 256, 60.0


class _Handle:
    """An open file; closed when nobody reads it any more."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class HandedBackend:
    """The objects another process hands over. Shared by the threads of one process."""

    def __init__(self, opens: Opens) -> None:
        self._opens = opens
        self._handles: Recent[str, _Handle] = Recent(_KEPT, _KEPT_S)

    def __repr__(self) -> str:
        return f"HandedBackend({self._handles!r})"

    def read(self, name: str, start: int, size: int) -> bytes:
        """Read a range; shorter than asked only where the object ends."""
        room = bytearray(size)
        return bytes(memoryview(room)[: self.read_into(name, start, memoryview(room))])

    def read_into(self, name: str, start: int, view: memoryview) -> int:
        """Read a range into a buffer; give the bytes read."""
        handle, have = self._handle(name), 0
        try:
            while have < len(view):
                more = os.preadv(handle.fd, [view[have:]], start + have)
                if not more:
                    break
                have += more
        except OSError as exc:
            raise Unavailable(f"A blob cannot be read: {exc.strerror}.") from exc
        return have

    def size(self, name: str) -> int:
        """Give an object's size."""
        return os.fstat(self._handle(name).fd).st_size

    def prepare(self) -> None:
        """Do nothing: the place is another process's."""

    def make_ready(self, *_: object) -> None:
        """Do nothing: nothing is written here."""

    def create(self, *_: object) -> NoReturn:
        """Refuse: nothing is written here."""
        _refuse()

    def list(self, *_: object, **__: object) -> NoReturn:
        """Refuse: a blob is found by its id alone."""
        _refuse()

    def delete(self, *_: object) -> NoReturn:
        """Refuse: nothing is removed here."""
        _refuse()

    def free_bytes(self) -> tuple[int, int] | None:
        """Say that this is not known here."""
        return None

    def sweep_parts(self, *_: object) -> int:
        """Do nothing: there are none."""
        return 0

    def close(self) -> None:
        """Let go of the files."""
        self._handles.clear()

    def _handle(self, name: str) -> _Handle:
        handle = self._handles.get(name)
        if handle is None:
            handle = _Handle(self._opens(name))
            self._handles.put(name, handle)
        return handle


def _refuse() -> NoReturn:
    raise NotPermitted("This process reads blobs it is handed, and nothing else.")
