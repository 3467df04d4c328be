"""The instance's JSON on its way out: held for a moment, handed over in large pieces.

What is still held can be taken back (a sequence that turned out not to be one) or put in order (a
data set whose elements were not). What is gone is gone: the caller is told.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

_CHECKED_PIECES = 512
_FLUSH_BYTES = 16 << 10
_HEAVY_BYTES = 4096
_MOST_HEAVY = 64 << 10
_MOST_CAPTURED = 256 << 10


class Pieces:
    """JSON pieces in order, each member with its comma behind it.

    Piece numbers count from the first ever made, gone or held. When pieces go depends on the pieces
    alone, never on how the data set was cut up on its way here.
    """

    __slots__ = ("_captured", "_check", "_emit", "_gone", "_heavy", "dropped", "held")

    def __init__(self, emit: Callable[[bytes], None]) -> None:
        self.held: list[bytes] = [b"{"]
        self.dropped = False  # a captured value was too large to be kept
        self._emit = emit
        self._gone = 0
        self._check = _CHECKED_PIECES
        self._heavy = 0
        self._captured: int | None = None

    @property
    def next(self) -> int:
        """The number of the next piece."""
        return self._gone + len(self.held)

    @property
    def room(self) -> int:
        """How many light pieces may be appended to `held` before `relieve` must be called."""
        return self._check - len(self.held)

    def add(self, piece: bytes) -> None:
        """Append a piece, however heavy."""
        self.held.append(piece)
        if len(piece) > _HEAVY_BYTES:
            self._heavy += len(piece)
        if len(self.held) >= self._check or self._heavy > _MOST_HEAVY:
            self.relieve()

    def relieve(self) -> None:
        """Hand over what is held if that is worth while by now, all but the last piece."""
        size = sum(map(len, self.held))
        self._heavy = 0
        self._check = len(self.held) + _CHECKED_PIECES
        if size < _FLUSH_BYTES or (self._captured is not None and size < _MOST_CAPTURED):
            return
        if self._captured is not None:
            self._captured, self.dropped = None, True
        last = self.held.pop()
        self._emit(b"".join(self.held))
        self._gone += len(self.held)
        self.held[:] = [last]
        self._check = _CHECKED_PIECES

    def capture(self) -> None:
        """Hold on to everything from the next piece on, up to a limit."""
        self._captured = self.next

    def captured(self) -> bytes | None:
        """Give back what was captured, or None when it was too large."""
        number, self._captured = self._captured, None
        return None if number is None else b"".join(self.held[number - self._gone :])

    def is_held(self, number: int) -> bool:
        """Whether all pieces from this one on are still here."""
        return number >= self._gone

    def take_back(self, number: int) -> None:
        """Forget all pieces from this one on. They must be held."""
        del self.held[number - self._gone :]

    def close_item(self) -> None:
        """End a data set: no comma behind its last member."""
        last = self.held[-1]
        self.held[-1] = (last if last.endswith(b"{") else last[:-1]) + b"},"

    def close_sequence(self, *, is_empty: bool) -> None:
        """End a sequence; without items it has no Value."""
        last = self.held[-1]
        if is_empty:
            self.held[-1] = last[: last.rindex(b',"Value"')] + b"},"
        else:
            self.held[-1] = last[:-1] + b"]},"

    def sort(self, number: int) -> bool:
        """Put the members of the data set closed last, which began at this piece, in order.

        Of an attribute that occurs twice the last one stays. False when it is too late.
        """
        if not self.is_held(number):
            return False
        text = b"".join(self.held[number - self._gone :])
        members: dict[str, Any] = json.loads(text[:-1])
        ordered = {tag: members[tag] for tag in sorted(members)}
        self.take_back(number)
        written = json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))
        self.held.append(written.encode() + b",")
        return True

    def finish(self) -> None:
        """Hand over the rest, without the comma of the outermost data set."""
        self._emit(b"".join(self.held)[:-1])
