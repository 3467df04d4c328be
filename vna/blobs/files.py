"""Every file operation of this room, in one object: the seam where tests put faults and kills.

Nothing is decided here and nothing is translated: each method is one call of the system.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import sys
import time
from collections.abc import Callable

from vna.crypto.stream import Buffer

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
# fdatasync is not everywhere (macOS); fsync does more, never less
_sync_data = getattr(os, "fdatasync", os.fsync)


def _range_writer() -> Callable[[int], object]:
    """Linux can be asked to begin; elsewhere the system writes when it likes."""
    call = getattr(ctypes.CDLL(None), "sync_file_range", None) if sys.platform == "linux" else None
    if call is None:
        return lambda _: None
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    begin_only = 2  # SYNC_FILE_RANGE_WRITE
    return lambda fd: call(fd, 0, 0, begin_only)


_begin_writing = _range_writer()


# of linux/fs.h: folders made below one with this flag are put in regions of the disk by themselves
_GET_FLAGS, _SET_FLAGS, _TOP_FOLDER = 0x80086601, 0x40086602, 0x00020000


def _scatter(fd: int) -> None:
    if sys.platform != "linux":
        return
    flags = struct.pack("@l", 0)
    (held,) = struct.unpack("@l", fcntl.ioctl(fd, _GET_FLAGS, flags))
    if not held & _TOP_FOLDER:
        fcntl.ioctl(fd, _SET_FLAGS, struct.pack("@l", held | _TOP_FOLDER))


def _forget(fd: int) -> None:
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


class Files:
    """The file system, as the local backend uses it. Raises OSError as it comes."""

    def create(self, path: str) -> int:
        """Open a new file for writing; an old one or a link in its place is an error."""
        return os.open(path, _CREATE, 0o600)

    def open(self, path: str) -> int:
        """Open a file for reading."""
        return os.open(path, _READ)

    def open_folder(self, path: str) -> int:
        """Open a folder, to sync or lock it."""
        return os.open(path, _READ | os.O_DIRECTORY)

    def close(self, fd: int) -> None:
        """Close a file or folder."""
        os.close(fd)

    def write(self, fd: int, data: Buffer) -> int:
        """Write; may write less than asked."""
        return os.write(fd, data)

    def begin_writing(self, fd: int) -> None:
        """Have what was written so far brought to the disk while we go on; promises nothing."""
        _begin_writing(fd)

    def read_into(self, fd: int, view: memoryview, offset: int) -> int:
        """Read at an offset into a buffer; may read less than it holds."""
        return os.preadv(fd, [view], offset)

    def sync_data(self, fd: int) -> None:
        """Make a file's bytes and size durable."""
        _sync_data(fd)

    def forget(self, fd: int) -> None:
        """Tell the system that what was written, and is durable, need not be kept in memory."""
        _forget(fd)

    def sync_folder(self, fd: int) -> None:
        """Make a folder's names durable."""
        os.fsync(fd)

    def link(self, source: str, target: str) -> None:
        """Give a file a second name; an existing one is an error: the rename without overwrite."""
        os.link(source, target, follow_symlinks=False)

    def unlink(self, path: str) -> None:
        """Take a name away."""
        os.unlink(path)

    def make_folder(self, path: str) -> None:
        """Make a folder only its owner enters."""
        os.mkdir(path, 0o700)

    def scatter(self, fd: int) -> None:
        """Have folders made below this one lie apart on the disk; ext4 can, others raise."""
        _scatter(fd)

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder."""
        os.rmdir(path)

    def size(self, path: str) -> int:
        """Give a file's size."""
        return os.stat(path, follow_symlinks=False).st_size

    def names(self, path: str) -> list[tuple[str, bool]]:
        """List a folder: names in order, and whether each is a folder."""
        with os.scandir(path) as entries:
            return sorted((e.name, e.is_dir(follow_symlinks=False)) for e in entries)

    def age_s(self, path: str) -> float:
        """Tell how long ago a file or folder was changed."""
        return time.time() - os.stat(path, follow_symlinks=False).st_mtime

    def lock(self, fd: int) -> bool:
        """Take the lock of an open file or folder, unless another process has it."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def space(self, path: str) -> tuple[int, int]:
        """Give the free and the whole bytes of the file system; none is free where no file can be.

        Linux mounts a file system read-only after an error of its disk. One that has all the files
        it may have takes no other, however much is free; where they are not counted both are 0.
        """
        found = os.statvfs(path)
        takes_files = found.f_favail > 0 or not found.f_files
        free = found.f_bavail if takes_files and not found.f_flag & os.ST_RDONLY else 0
        return free * found.f_frsize, found.f_blocks * found.f_frsize
