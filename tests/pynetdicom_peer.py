"""pynetdicom as a peer in tests, with the race mended that takes answers away from who waits.

Before a request it has its own thread stand still, and sends once that thread says so. The thread
goes on saying so for a moment after it was let go: a request that follows another at once is then
sent while it runs, and it takes the answer ("Received unexpected ... service message"). Here it
stands still when it waits, and not otherwise.
"""

from __future__ import annotations

import threading

from pynetdicom.association import Association


def _stands_still(assoc: Association) -> bool:
    if assoc is threading.current_thread() or not assoc.is_alive():
        return True  # nobody else is there to take an answer
    return bool(assoc._reactor_checkpoint._cond._waiters)  # type: ignore[attr-defined]  # of threading.Event


def _says(_assoc: Association, _is_paused: bool) -> None:
    """What the thread says of itself is not asked for."""


Association._is_paused = property(_stands_still, _says)  # type: ignore[assignment]  # an attribute there
