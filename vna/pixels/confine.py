"""What a process that decodes pixels gives up, before it sees the first one. Linux.

    user            nobody, when the archive was started as root
    privileges      no new ones, ever; no core dumps; nobody may trace it
    system calls    only those that compute: no file is opened, no socket made, no program started
    limits          memory, processor time, no files, no processes; threads only where the system
                    can tell one from a process (seccomp), for codecs that share their work out

A codec that is taken over by a stream can spoil its own answer and nothing else.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import threading
from pathlib import Path

_SET_DEATH_SIGNAL, _SET_DUMPABLE, _SET_NO_NEW_PRIVILEGES, _SET_SECCOMP = 1, 4, 38, 22
_FILTER_MODE = 2
_NOBODY = 65534
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
# SECCOMP_RET_ERRNO with EPERM; with ENOSYS, which has the C library try the older call
_ALLOW, _REFUSE, _UNKNOWN = 0x7FFF0000, 0x00050001, 0x00050026
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16  # little endian: the lower half
# memory, file system, files, handlers, System V undo shared; a thread; its storage and its numbers
_THREAD = 0x003D0F00

# read write close fstat lseek poll mmap mprotect munmap brk rt_sigaction rt_sigprocmask
# rt_sigreturn pread64 readv writev madvise mremap sched_yield nanosleep getpid exit gettimeofday
# getrlimit getrusage sysinfo sigaltstack tgkill futex sched_getaffinity set_robust_list gettid
# restart_syscall clock_gettime clock_getres clock_nanosleep exit_group ppoll prlimit64 getrandom
# membarrier rseq
_CALLS = {  # architecture, (clone, clone3), those that are allowed
    "x86_64": (
        0xC000003E,
        (56, 435),
        (
            *(0, 1, 3, 5, 8, 7, 9, 10, 11, 12, 13, 14, 15, 17, 19, 20, 28, 25, 24, 35, 39, 60, 96),
            *(97, 98, 99, 131, 234, 202, 204, 273, 186, 219, 228, 229, 230, 231, 271, 302, 318),
            *(324, 334),
        ),
    ),
    "aarch64": (
        0xC00000B7,
        (220, 435),
        (
            *(63, 64, 57, 80, 62, 222, 226, 215, 214, 134, 135, 139, 67, 65, 66, 233, 216, 124),
            *(101, 172, 93, 169, 163, 165, 179, 132, 131, 98, 123, 99, 178, 128, 113, 114, 115),
            *(94, 73, 261, 278, 283, 293),
        ),
    ),
}


def drop_privileges() -> None:
    """Become nobody if we are root, and let nothing give more rights again."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    _prctl(_SET_NO_NEW_PRIVILEGES, 1)
    _prctl(_SET_DUMPABLE, 0)


def address_space() -> int:
    """How many bytes of addresses this process has. Read before privileges are dropped."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


def die_with_parent() -> None:
    """Be killed when the process that forked us ends."""
    _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)


def limit(most_bytes: int) -> None:
    """Take no more addresses than these, no file, no core."""
    for what, most in (
        (resource.RLIMIT_AS, most_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        _limit(what, most)


def be_alone() -> int:
    """Refuse every system call that is not listed, and say how many threads may share work.

    Where this machine cannot filter calls no process may be started, and so no thread either.
    """
    if not allow_only_computing():
        _limit(resource.RLIMIT_NPROC, 0)
        return 1
    try:
        first = threading.Thread(target=bool)
        first.start()
    except RuntimeError:  # a C library that makes threads in another way
        return 1
    first.join()
    return len(os.sched_getaffinity(0))


def _limit(what: int, most: int) -> None:
    hard = resource.getrlimit(what)[1]
    value = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (value, value))


def limit_processor(more_s: int) -> None:
    """Be killed after so many more seconds of processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime) + 1 + more_s
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (most, hard))


def allow_only_computing() -> bool:
    """Refuse every system call that is not listed; whether this machine could (seccomp(2)).

    A thread may be made, a process not.
    """
    found = _CALLS.get(platform.machine())
    if found is None:
        return False
    architecture, (clone, clone3), calls = found
    program = [
        (_LOAD | 0, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD | 0, 0, 0, _NUMBER_AT),
        (_JUMP_EQUAL, 0, 1, clone3),  # its flags stand in memory, where no filter can read them
        (_RETURN, 0, 0, _UNKNOWN),
        (_JUMP_EQUAL, 0, 4, clone),
        (_LOAD | 0, 0, 0, _FIRST_ARGUMENT_AT),
        (_JUMP_EQUAL, 0, 1, _THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    left = len(calls)
    for number in calls:
        program.append((_JUMP_EQUAL, left, 0, number))
        left -= 1
    program += [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    code = b"".join(struct.pack("<HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    described = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    return _prctl(_SET_SECCOMP, _FILTER_MODE, described) == 0


def _prctl(option: int, value: int, more: bytes | None = None) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    pointer = ctypes.c_char_p(more) if more is not None else ctypes.c_ulong(0)
    zero = ctypes.c_ulong(0)
    return int(library.prctl(option, ctypes.c_ulong(value), pointer, zero, zero))
