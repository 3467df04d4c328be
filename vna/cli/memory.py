"""How a worker keeps house with memory.

What was imported is taken out of the garbage collector's sight, which else walks through all of it
again and again while objects come in. And what is freed is kept for the next object: glibc gives
every freed block of 128 KiB or more back to the system and takes fresh pages for the next one,
which cost more than sealing what is written into them. With another C library nothing is kept.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 16 << 20  # at the top of the heap
_LARGE_BYTES = 4 << 20  # from here on a block is one of its own, and given back
_ARENAS = 4


def keep_freed_memory() -> None:
    """Let this process keep a little of what it frees."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # another C library: its own rules hold
    mallopt(_ARENA_MAX, _ARENAS)
    mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
    mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)


def settle() -> None:
    """Look for garbage only among what is made from now on, and not at every turn."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Look for no garbage while code is imported: there is none, and it is a fifth of a start."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
