"""Bytes that pass by: taken a header or a piece at a time, turned round, joined to chunks again."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from vna.errors import MalformedInstance

_OUT = 1 << 16
_CODES = {array(code).itemsize: code for code in "HIQ"}


class Source:
    """The incoming bytes, taken a header or a piece at a time."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = memoryview(b"")
        self.at = 0

    def peek(self, length: int) -> bytes:
        """Look at so many bytes, or at what is left."""
        while len(self._chunk) < length:
            more = next(self._chunks, None)
            if more is None:
                break
            self._chunk = memoryview(bytes(self._chunk) + more if self._chunk else more)
        return bytes(self._chunk[:length])

    def take(self, length: int) -> bytes:
        """Take exactly so many bytes; for headers and the few values that are looked at."""
        return b"".join(self.pieces(length))

    def pieces(self, length: int) -> Iterator[bytes]:
        """Take so many bytes as they come."""
        while length:
            if not self._chunk and not self.peek(1):
                raise MalformedInstance("The data set ends in the middle of an element.")
            piece = bytes(self._chunk[:length])
            self._chunk = self._chunk[len(piece) :]
            self.at += len(piece)
            length -= len(piece)
            yield piece

    def skip(self, length: int) -> None:
        """Let so many bytes go by."""
        for _ in self.pieces(length):
            pass


def turned(pieces: Iterable[bytes], unit: int) -> Iterator[bytes]:
    """Turn each number of `unit` bytes round; one may lie across two pieces."""
    carry = b""
    for piece in pieces:
        data = carry + piece if carry else piece
        whole = len(data) - len(data) % unit
        carry = data[whole:]
        words = array(_CODES[unit], data[:whole])
        words.byteswap()
        yield words.tobytes()
    yield carry  # less than a number: the sender's mistake, kept as it came


def gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join headers and small values to chunks worth sending."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _OUT:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    if waiting:
        yield b"".join(waiting)
