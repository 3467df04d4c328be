"""Encapsulated values: items of bytes, then a delimiter (PS3.5 A.4). Nothing of them is held."""

from __future__ import annotations

from array import array

from vna.dicom.elements import ITEM, SEQUENCE_END, UNDEFINED, Encoding
from vna.dicom.layout import ENDS_BYTES, STARTS_BYTES, Fragments
from vna.errors import MalformedInstance


class Capsule:
    """One encapsulated value that is going by.

    After a `step`, `skip` says how many bytes follow that only `passing` looks at, `is_done` that
    the delimiter was read. `fragments` is None where nobody asks for frames.
    """

    __slots__ = (
        *("_first", "_head", "_most", "_pending", "_tail", "fragments", "is_done", "offset"),
        *("path", "skip", "tag", "vr"),
    )

    def __init__(
        self, *, tag: int, vr: str, path: str, offset: int, most: int, wanted: bool
    ) -> None:
        self.tag, self.vr, self.path, self.offset = tag, vr, path, offset
        self.fragments = Fragments() if wanted else None
        self.skip = 0
        self.is_done = False
        self._most = most  # frames
        self._first = True
        self._pending = False
        self._head = self._tail = b""

    def step(self, window: bytes, pos: int, at: int, encoding: Encoding) -> int:
        """Read an item's header at `pos`, `at` in the data set: the next one, or -bytes needed."""
        if len(window) - pos < 8:
            return -8
        group, element = encoding.tag.unpack_from(window, pos)
        length: int = encoding.long.unpack_from(window, pos + 4)[0]
        if self._pending and self.fragments is not None:
            self.fragments.note(self._head, self._tail)
            self._pending = False
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            self.is_done = True
            return pos + 8
        if tag != ITEM or length == UNDEFINED:
            raise MalformedInstance("Encapsulated data holds something that is not a fragment.")
        if self._first:
            return self._offset_table(window, pos, at, length)
        if self.fragments is not None:
            self.fragments.offsets.append(at + 8)
            self.fragments.lengths.append(length)
            self._pending, self._head, self._tail = True, b"", b""
        self.skip = length
        return pos + 8

    def _offset_table(self, window: bytes, pos: int, at: int, length: int) -> int:
        readable = self.fragments is not None and length % 4 == 0 and length // 4 <= self._most
        if readable and len(window) - pos < 8 + length:
            return -(8 + length)
        self._first = False
        if self.fragments is not None:
            self.fragments.first = at + 8 + length
        if self.fragments is None or not readable:
            self.skip = length
            return pos + 8
        self.fragments.basic = unsigned("I", window[pos + 8 : pos + 8 + length])
        return pos + 8 + length

    def passing(self, data: bytes | bytearray | memoryview, start: int, end: int) -> None:
        """Look at the ends of the fragment whose bytes go by; data[start:end] are the next ones."""
        if not self._pending:
            return
        missing = STARTS_BYTES - len(self._head)
        if missing > 0:
            self._head += bytes(data[start : min(end, start + missing)])
        self._tail = (self._tail + bytes(data[max(start, end - ENDS_BYTES) : end]))[-ENDS_BYTES:]


def unsigned(code: str, raw: bytes) -> array[int]:
    """Read little endian unsigned numbers: offset tables exist in no other byte order."""
    values = array(code, raw)
    if array("H", b"\x01\x00")[0] != 1:
        values.byteswap()
    return values
