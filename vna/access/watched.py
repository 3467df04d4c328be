"""A value made from files, and made anew when one of them changes: certificates, identities.

The files are looked at when the value is asked for. What cannot be read, half-written say, does not
replace what was good: it is logged once, and tried again at the next change.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from vna.errors import ConfigError

log = logging.getLogger(__name__)

T = TypeVar("T")
_Seen = tuple[tuple[int, int, int], ...]  # inode, size and time of change of each file


class Watched(Generic[T]):
    """`value()` is what `make` makes of the files. Safe to use from many threads."""

    def __init__(self, files: Callable[[], Sequence[Path]], make: Callable[[], T]) -> None:
        self._files = files
        self._make = make
        self._lock = threading.Lock()
        self._seen: _Seen | None = None
        self._made: T | None = None

    def value(self) -> T:
        """Return the value as the files are now. Raises `ConfigError` when it never was good."""
        with self._lock:
            seen = self._look()
            if self._made is None or seen != self._seen:
                self._renew()
                self._seen = seen
            if self._made is None:
                raise ConfigError("A file the settings name cannot be read.")
            return self._made

    def _look(self) -> _Seen:
        return tuple(_mark(path) for path in self._files())

    def _renew(self) -> None:
        try:
            self._made = self._make()
        except ConfigError as exc:
            if self._made is None:
                raise
            log.error("changed files not taken over", extra={"why": str(exc)})  # noqa: TRY400 -- a sentence of ours
            return
        if self._seen is not None:
            log.info("changed files taken over", extra={"files": [str(p) for p in self._files()]})


def _mark(path: Path) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_size, found.st_mtime_ns
