"""Objects in a local folder, made durable by ourselves.

    tmp/<process epoch>/<name>.part  written, fdatasync, linked to its final name, folder synced

A process locks its own folder below tmp for as long as it lives, so that what a dead one left
behind can be told apart from what a living one is writing, without trusting process numbers.
"""

from __future__ import annotations

import errno
import os
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress

from vna.blobs.files import Files
from vna.blobs.layout import uuid7
from vna.crypto.stream import Buffer
from vna.errors import Conflict, NotFound, Unavailable, VNAError

_KNOWN_FOLDERS_MAX = 4096


class LocalBackend:
    """A folder on a file system with hard links; nobody else writes below it."""

    def __init__(self, root: str, files: Files) -> None:
        self._root = os.path.realpath(root)  # itself it may be a link to a larger disk
        self._files = files
        self._epoch = ""
        self._epoch_fd = -1
        self._lock = threading.Lock()
        self._known: set[str] = set()  # folders whose own names are durable

    def __repr__(self) -> str:
        return f"LocalBackend({self._root})"

    def prepare(self) -> None:
        """Make the folder itself, its name durable."""
        try:
            self._make_root(self._root)
        except OSError as exc:
            raise fault(exc) from exc

    def create(self, name: str) -> LocalPart:
        """Open a part in this process's own folder."""
        try:
            path = f"{self._own_folder()}/{name.rpartition('/')[2]}.part"
            return LocalPart(self, self._files, path, name, self._files.create(path))
        except OSError as exc:
            raise fault(exc) from exc

    def read(self, name: str, start: int, size: int) -> bytes:
        """Read a range: open, one pread, close."""
        room = bytearray(size)
        return bytes(memoryview(room)[: self.read_into(name, start, memoryview(room))])

    def read_into(self, name: str, start: int, view: memoryview) -> int:
        """Read a range: open, one preadv, close."""
        files = self._files
        try:
            fd = files.open(self.path(name))
            try:
                have = files.read_into(fd, view, start)
                while 0 < have < len(view):  # cut off, or past what one call of the system gives
                    more = files.read_into(fd, view[have:], start + have)
                    if not more:
                        break
                    have += more
                return have
            finally:
                files.close(fd)
        except OSError as exc:
            raise fault(exc, absent=True) from exc

    def size(self, name: str) -> int:
        """Give a file's size."""
        try:
            return self._files.size(self.path(name))
        except OSError as exc:
            raise fault(exc, absent=True) from exc

    def list(self, prefix: str, *, after: str = "") -> Iterator[str]:
        """Walk a folder, folder by folder, without holding more than one folder's names a level."""
        try:
            entries = self._files.names(self.path(prefix))
        except FileNotFoundError:
            return
        except OSError as exc:
            raise fault(exc) from exc
        for entry, is_folder in entries:
            name = prefix + entry
            if is_folder:
                if name + "/" > after or after.startswith(name + "/"):
                    yield from self.list(name + "/", after=after)
            elif name > after:
                yield name

    def delete(self, name: str) -> None:
        """Unlink a file and make that durable."""
        path = self.path(name)
        with suppress(FileNotFoundError):
            try:
                self._files.unlink(path)
                self.sync_folder(os.path.dirname(path))
            except FileNotFoundError:
                raise
            except OSError as exc:
                raise fault(exc) from exc

    def free_bytes(self) -> tuple[int, int]:
        """Ask the file system."""
        try:
            return self._files.space(self._root)
        except OSError as exc:
            raise fault(exc) from exc

    def sweep_parts(self, older_s: float) -> int:
        """Remove the parts in folders nobody holds the lock of, when older than `older_s`."""
        tmp = self.path("tmp")
        try:
            epochs = [name for name, is_folder in self._files.names(tmp) if is_folder]
        except FileNotFoundError:
            return 0
        except OSError as exc:
            raise fault(exc) from exc
        return sum(self._sweep(f"{tmp}/{epoch}", older_s) for epoch in epochs)

    def close(self) -> None:
        """Give the lock back and remove this process's folder when it is empty."""
        with self._lock:
            if self._epoch_fd >= 0:
                with suppress(OSError):  # a part may still be there: it is swept later
                    self._files.remove_folder(self._epoch)
                self._files.close(self._epoch_fd)
                self._epoch_fd = -1

    def path(self, name: str) -> str:
        """Give the path of an object."""
        return f"{self._root}/{name}"

    def sync_folder(self, path: str) -> None:
        """Make the names in a folder durable (opening one costs 3 us, the sync about 1 ms)."""
        fd = self._files.open_folder(path)
        try:
            self._files.sync_folder(fd)
        finally:
            self._files.close(fd)

    def make_folders(self, path: str) -> None:
        """Make a folder and its parents below the root, their names durable.

        A folder another process has just made may not be durable yet: this process syncs its
        parent once, too, before it trusts it. Folders are never removed, so trust does not age.
        """
        if path in self._known or path == self._root:
            return
        parent = os.path.dirname(path)
        self.make_folders(parent)
        with suppress(FileExistsError):
            self._files.make_folder(path)
        self.sync_folder(parent)
        if len(self._known) >= _KNOWN_FOLDERS_MAX:
            self._known.clear()
        self._known.add(path)

    def make_ready(self, folders: Sequence[str]) -> None:
        """Make folders of one parent and trust them all after one sync of it."""
        parent = os.path.dirname(self.path(folders[0]))
        try:
            self.make_folders(parent)
            for folder in folders:
                with suppress(FileExistsError):
                    self._files.make_folder(self.path(folder))
            self.sync_folder(parent)
        except OSError as exc:
            raise fault(exc) from exc
        self._known.update(self.path(folder) for folder in folders)

    def _make_root(self, path: str) -> None:
        try:
            self._files.make_folder(path)
        except FileExistsError:
            return
        except FileNotFoundError:
            self._make_root(os.path.dirname(path))
            self._files.make_folder(path)
        self.sync_folder(os.path.dirname(path))

    def _own_folder(self) -> str:
        with self._lock:
            if self._epoch_fd < 0:
                self._epoch_fd = self._new_folder()
            return self._epoch

    def _new_folder(self) -> int:
        files = self._files
        self._make_tmp()
        self._epoch = self.path(f"tmp/{uuid.UUID(bytes=uuid7())}")
        files.make_folder(self._epoch)
        fd = files.open_folder(self._epoch)
        try:
            if files.lock(fd):
                return fd
        except OSError:
            files.close(fd)
            raise
        files.close(fd)  # a sweep without any age limit looks at it this very moment
        raise BlockingIOError(errno.EAGAIN, "the new folder is locked by another process")

    def _make_tmp(self) -> None:
        """Make the folder of all parts. Parts of one process lie apart from those of others.

        ext4 looks for a new file's inode where its folder's is, and passes over those that were
        deleted in the last minutes one by one: near thousands of them a file takes 0.4 ms to make.
        """
        files, tmp = self._files, self.path("tmp")
        with suppress(FileExistsError):
            files.make_folder(tmp)
        fd = files.open_folder(tmp)
        try:
            with suppress(OSError):  # other file systems know no such thing
                files.scatter(fd)
        finally:
            files.close(fd)

    def _sweep(self, folder: str, older_s: float) -> int:
        files = self._files
        if folder == self._epoch:
            return 0
        removed = 0
        try:
            is_old = files.age_s(folder) >= older_s
            fd = files.open_folder(folder)
            try:
                if not files.lock(fd):
                    return 0
                for name, _ in files.names(folder):
                    if files.age_s(f"{folder}/{name}") >= older_s:
                        files.unlink(f"{folder}/{name}")
                        removed += 1
                if is_old:
                    with suppress(OSError):  # a younger part keeps it until the next sweep
                        files.remove_folder(folder)
            finally:
                files.close(fd)
        except FileNotFoundError:
            return removed  # another sweep was faster
        except OSError as exc:
            raise fault(exc) from exc
        return removed


class LocalPart:
    """A part in tmp; one thread writes it."""

    def __init__(self, backend: LocalBackend, files: Files, path: str, name: str, fd: int) -> None:
        self._backend = backend
        self._files = files
        self._path = path
        self._final = backend.path(name)
        self._fd = fd
        self._is_open = True
        self._is_linked = False

    def write(self, data: Buffer) -> None:
        """Write all of it."""
        view = memoryview(data)
        try:
            while view:
                view = view[self._files.write(self._fd, view) :]
            self._files.begin_writing(self._fd)
        except OSError as exc:
            raise fault(exc) from exc

    def commit(self) -> None:
        """Sync the bytes, link, sync the folder. A sync that failed is never tried again."""
        try:
            self._files.sync_data(self._fd)
            self._files.forget(self._fd)
            self._close()
            folder = os.path.dirname(self._final)
            self._backend.make_folders(folder)
            self._files.link(self._path, self._final)
            self._is_linked = True
            self._files.unlink(self._path)
            self._backend.sync_folder(folder)
        except OSError as exc:
            self.abort()
            raise fault(exc) from exc
        self._is_linked = False

    def abort(self) -> None:
        """Close and unlink; what cannot be unlinked now is swept later."""
        with suppress(OSError):
            self._close()
        for path in (self._path, self._final) if self._is_linked else (self._path,):
            with suppress(OSError):
                self._files.unlink(path)

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._files.close(self._fd)


def fault(exc: OSError, *, absent: bool = False) -> VNAError:
    """Name an error of the system in the house's words, without the path."""
    if isinstance(exc, FileExistsError):
        return Conflict("There is an object of that name already.")
    if absent and isinstance(exc, FileNotFoundError | NotADirectoryError):
        return NotFound()
    return Unavailable(f"The blob store cannot do this now: {os.strerror(exc.errno or 0)}.")
