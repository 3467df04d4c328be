"""What a process keeps to itself: its memory and its files; and what `ps` calls it.

There are keys in it, and what was unsealed with them. A core file is not written; where the system
hands core dumps to a program, which a limit of size does not keep from it (core(5)), and to other
programs of the same user, the process is not readable either (prctl(2), PR_SET_DUMPABLE). Linux.
"""

from __future__ import annotations

import ctypes
import os
import resource
import stat
import sys
from typing import Final

_SET_DUMPABLE: Final = 4
_SET_NAME: Final = 15
_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


def keep_memory(*, dev: bool) -> None:
    """Let nobody have the memory of this process, nor of those it forks.

    In development mode it can still be looked at while it runs: there are no patients in it.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not dev:
        _prctl(_SET_DUMPABLE, ctypes.c_ulong(0))


def keep_files() -> None:
    """Let nobody else write to what is made from here on, whatever umask we were started with.

    A service manager or a container may leave none (umask(2)): the scripts of the viewer, the word
    of where the cluster lies, and what tells of a backup would be open to every user then.
    """
    os.umask(os.umask(_BY_OTHERS) | _BY_OTHERS)


def be_called(name: str) -> None:
    """Let `ps` tell this process from others."""
    _prctl(_SET_NAME, ctypes.c_char_p(name.encode("ascii")))


def _prctl(option: int, value: ctypes.c_ulong | ctypes.c_char_p) -> None:
    if sys.platform == "linux":
        zero = ctypes.c_ulong(0)
        ctypes.CDLL(None).prctl(option, value, zero, zero, zero)
