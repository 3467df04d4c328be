"""Inflating a deflated data set under a cap that counts real bytes (PS3.5 A.5)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from vna.config import Limits
from vna.errors import MalformedInstance, TooLarge

_PIECE = 256 << 10


class Inflater:
    """Raw deflate in, data set bytes out, never more than `_PIECE` at a time.

    Refuses past min(largest object, largest inflated, ratio x bytes received). Below
    `limits.head_bytes` the ratio is not asked for: a blank instance may well be smaller than that,
    and so little memory is no bomb.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._received = 0
        self._produced = 0
        self.trailing = False

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[bytes]:
        """Inflate what arrived. Raises `TooLarge`, `MalformedInstance`."""
        self._received += len(data)
        rest: bytes | bytearray | memoryview = data
        if self._has_ended():
            self._after_end(bytes(rest))
            return
        while not self._has_ended():
            try:
                piece = self._inflate.decompress(rest, _PIECE)
            except zlib.error as exc:
                raise MalformedInstance("The deflated data set cannot be inflated.") from exc
            self._count(len(piece))
            rest = self._inflate.unconsumed_tail
            if piece:
                yield piece
            elif not rest:
                return
        self._after_end(self._inflate.unused_data)

    def finish(self) -> None:
        """Raise `MalformedInstance` when the deflated stream did not end."""
        if not self._has_ended():
            raise MalformedInstance("The deflated data set is cut off.")

    def _has_ended(self) -> bool:
        return self._inflate.eof

    def _count(self, produced: int) -> None:
        self._produced += produced
        limits = self._limits
        by_ratio = max(limits.inflate_ratio * self._received, limits.head_bytes)
        cap = min(limits.object_bytes, limits.inflate_bytes, by_ratio)
        if self._produced > cap:
            raise TooLarge(f"The deflated data set inflates past the limit of {cap} bytes.")

    def _after_end(self, rest: bytes) -> None:
        # one zero byte to even length is the rule; senders add more
        if rest.strip(b"\0"):
            self.trailing = True
