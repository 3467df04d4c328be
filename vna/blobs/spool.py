"""A place to put bytes aside until an object is complete: appended once, read at any offset.

The first mebibyte stays in memory. What is more goes to a file that has no name, in blocks sealed
under a key of its own (crypto/scratch.py): no plaintext touches a disk, and nothing is left behind,
not even by a crash.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from vna.blobs.local import fault
from vna.crypto.scratch import TAG, Scratch
from vna.crypto.stream import Buffer
from vna.errors import Corrupt

MEMORY_BYTES = 1 << 20
BLOCK = 1 << 16
_SEALED = BLOCK + TAG


class Spool:
    """Bytes of one request, put aside in `folder`. Used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held = bytearray()  # from `_sealed` on
        self._sealed = 0  # bytes in the file
        self._file: IO[bytes] | None = None
        self._scratch = Scratch()

    @property
    def size(self) -> int:
        """How many bytes were appended."""
        return self._sealed + len(self._held)

    def append(self, data: Buffer) -> None:
        """Take bytes; they are used up on return. Raises `Unavailable` when the disk is full."""
        self._held += data
        if self._file is not None or len(self._held) > MEMORY_BYTES:
            try:
                self._write()
            except OSError as exc:
                raise fault(exc) from exc

    def read(self, offset: int, length: int) -> bytes:
        """Give bytes back; fewer where there are no more. Raises `Corrupt`, `Unavailable`."""
        end = min(offset + length, self.size)
        pieces = []
        while offset < min(end, self._sealed):
            number, skip = divmod(offset, BLOCK)
            piece = self._block(number)[skip : skip + end - offset]
            pieces.append(piece)
            offset += len(piece)
        if offset < end:
            pieces.append(bytes(self._held[offset - self._sealed : end - self._sealed]))
        return b"".join(pieces)

    def chunks(self, offset: int, length: int) -> Iterator[bytes]:
        """Give a range back, a mebibyte at a time."""
        end = offset + length
        while offset < end:
            piece = self.read(offset, min(MEMORY_BYTES, end - offset))
            if not piece:
                return
            offset += len(piece)
            yield piece

    def close(self) -> None:
        """Forget everything."""
        self._held = bytearray()
        self._sealed = 0
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self) -> None:
        """Seal what is held but for the last block that is not full."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 -- closed by close()
        file = self._file
        whole = len(self._held) // BLOCK * BLOCK
        view = memoryview(self._held)[:whole]
        try:
            blocks = [self._scratch.seal(view[at : at + BLOCK]) for at in range(0, whole, BLOCK)]
        finally:
            view.release()
        rest = memoryview(b"".join(blocks))
        while rest:
            rest = rest[file.write(rest) or 0 :]
        del self._held[:whole]
        self._sealed += whole

    def _block(self, number: int) -> bytes:
        if self._file is None:
            raise Corrupt("What was put aside is gone.")
        try:
            sealed = os.pread(self._file.fileno(), _SEALED, number * _SEALED)
        except OSError as exc:
            raise fault(exc) from exc
        return self._scratch.open(number, sealed)
