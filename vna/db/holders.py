"""Who is using a cluster: the first holder starts it, the last one stops it, kill -9 or not.

Two files in DATA/run. `postgres.lock` is held for the moment of starting or stopping.
`postgres.holders` is held shared by every process that uses the cluster; who can turn its own share
into an exclusive lock is the last. The kernel drops both when a process dies, however it dies.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vna.errors import ConfigError

logger = logging.getLogger(__name__)


class Holders:
    """This process's place among the holders of one cluster."""

    def __init__(self, run: Path) -> None:
        self._changing = _open(run / "postgres.lock")
        self._held = _open(run / "postgres.holders")

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Let one process at a time start or stop the cluster; the others wait."""
        if not self.try_change():
            logger.info("another process starts or stops postgres, waiting")
            fcntl.flock(self._changing, fcntl.LOCK_EX)
        try:
            yield
        finally:
            self.changed()

    def try_change(self) -> bool:
        """Begin what `changing` guards if nobody else does it now; end it with `changed`."""
        try:
            fcntl.flock(self._changing, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def changed(self) -> None:
        """End what `try_change` began."""
        fcntl.flock(self._changing, fcntl.LOCK_UN)

    def join(self) -> None:
        """Become a holder. Call within `changing`."""
        fcntl.flock(self._held, fcntl.LOCK_SH)

    def is_last(self) -> bool:
        """Whether nobody else holds the cluster. Call within `changing`."""
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._held, fcntl.LOCK_SH)  # a refused upgrade has dropped our share
            return False
        return True

    def leave(self) -> None:
        """Stop being a holder, for good."""
        os.close(self._held)
        os.close(self._changing)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as exc:
        raise ConfigError(f"The lock {path} cannot be opened: {exc.strerror}.") from exc
