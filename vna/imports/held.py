"""A file that was put aside, sealed, as a stream that can be read anywhere in it."""

from __future__ import annotations

import io

from vna.blobs.spool import Spool
from vna.errors import TooLarge

MOST_AT_ONCE = 8 << 20
"""A ZIP's list of entries is read in one piece: this is the longest there may be."""


class HeldFile(io.RawIOBase):
    """Reads a spool as a file. It does not own it."""

    def __init__(self, spool: Spool) -> None:
        super().__init__()
        self._spool = spool
        self._at = 0

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return self._spool.size

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read anywhere."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go elsewhere. Raises `ValueError` before the beginning."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError("there is nothing before the beginning")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Say where it is."""
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on. Raises `TooLarge` when more is asked for than anything sound needs."""
        left = max(self.size - self._at, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > MOST_AT_ONCE:
            raise TooLarge("the list of its entries is too long")
        data = self._spool.read(self._at, wanted)
        self._at += len(data)
        return data

    def read_at(self, offset: int, size: int) -> bytes:
        """Read a range; fewer bytes where there are no more."""
        return self._spool.read(offset, size) if offset < self.size else b""
