"""What is done again and again while its thread is busy with something that may take long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType


class Recurring:
    """Calls `act` every so many seconds, from a thread of its own, as long as the context lasts.

    A `ConnectionError` ends it: who is busy will meet it, too.
    """

    def __init__(self, every_s: float, act: Callable[[], None]) -> None:
        self._every_s = every_s
        self._act = act
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recurring", daemon=True)

    def __enter__(self) -> None:
        """Begin; the first call is made when the time has passed once."""
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it: no call is under way any more."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            try:
                self._act()
            except ConnectionError:
                return
