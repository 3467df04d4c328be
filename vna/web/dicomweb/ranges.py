"""Range requests: which part of an answer is wanted (RFC 9110 14, PS3.18 8.6.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vna.web.exchange import Ask

_RANGE = re.compile(r"(\d{0,18})-(\d{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Part of `whole` bytes; `is_outside` where no byte of it exists."""

    start: int
    length: int
    whole: int

    @property
    def is_outside(self) -> bool:
        """Whether nothing of what was asked for is there."""
        return self.length == 0

    @property
    def content_range(self) -> bytes:
        """The Content-Range field that says so."""
        if self.is_outside:
            return b"bytes */%d" % self.whole
        return b"bytes %d-%d/%d" % (self.start, self.start + self.length - 1, self.whole)


def wanted(ask: Ask, whole: int, etag: str, most: int) -> Wanted | None:
    """Read which part is wanted; None is all of it.

    A malformed Range, another unit, and several ranges mean the whole (RFC 9110 14.2 allows that);
    more than `most` of them are refused. Under If-Range a part is given only of the same state.
    HEAD knows no ranges (14.2).
    """
    text = ask.header(b"range")
    if text is None or ask.is_head or not text.lower().startswith("bytes="):
        return None
    condition = ask.header(b"if-range")
    if condition is not None and condition != etag:
        return None
    asked = text[len("bytes=") :].split(",")
    if len(asked) > most:
        return Wanted(0, 0, whole)
    found = _RANGE.fullmatch(asked[0].strip()) if len(asked) == 1 else None
    return None if found is None else _part(found[1], found[2], whole)


def _part(first: str, last: str, whole: int) -> Wanted | None:
    if not first:
        if not last:
            return None
        length = min(int(last), whole)
        return Wanted(whole - length, length, whole)
    start = int(first)
    end = min(int(last), whole - 1) if last else whole - 1
    if last and int(last) < start:
        return None
    return Wanted(start, max(end - start + 1, 0), whole)
