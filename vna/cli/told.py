"""How a process hears that it is to end."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress


def when_told(act: Callable[[], None]) -> None:
    """Have `act` called when SIGTERM comes, in a thread of its own, once.

    A handler interrupts the main thread anywhere, in the middle of an `Event` too, and would then
    wait for a lock its own thread holds. So it only wakes somebody, and not its parent's where a
    process was forked from here.
    """
    owner = os.getpid()
    hears, tells = socket.socketpair()
    tells.setblocking(False)

    def tell(*_: object) -> None:
        if os.getpid() == owner:
            with suppress(OSError):  # it was told before
                tells.send(b"t")

    def hear() -> None:
        with hears:
            hears.recv(1)
        act()

    threading.Thread(target=hear, name="told", daemon=True).start()
    signal.signal(signal.SIGTERM, tell)
