"""What a process tells of itself: what it is called, and nothing of its memory.

There are keys in it, and what was unsealed with them. A core file is not written; where the system
hands core dumps to a program, which a limit of size does not keep from it (core(5)), and to other
programs of the same user, the process is not readable either (prctl(2), PR_SET_DUMPABLE). Linux.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

_SET_DUMPABLE: Final = 4
_SET_NAME: Final = 15


def keep_memory(*, dev: bool) -> None:
    """Let nobody have the memory of this process, nor of those it forks.

    In development mode it can still be looked at while it runs: there are no patients in it.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not dev:
        _prctl(_SET_DUMPABLE, ctypes.c_ulong(0))


def be_called(name: str) -> None:
    """Let `ps` tell this process from others."""
    _prctl(_SET_NAME, ctypes.c_char_p(name.encode("ascii")))


def _prctl(option: int, value: ctypes.c_ulong | ctypes.c_char_p) -> None:
    if sys.platform == "linux":
        zero = ctypes.c_ulong(0)
        ctypes.CDLL(None).prctl(option, value, zero, zero, zero)
