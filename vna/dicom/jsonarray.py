"""Cutting a JSON text into the objects of its outermost array as it goes by (PS3.18 F.2.1).

Only where each object begins and ends is found, in constant memory; what stands in it is read by a
JSON parser later, one object at a time.
"""

from __future__ import annotations

import re

from vna.errors import MalformedInstance

_BRACKETS = re.compile(rb'[\[\]{}"]')
_QUOTES = re.compile(rb'["\\]')
_SPACES = b" \t\r\n"
_NO_OBJECTS = "The metadata is neither a DICOM JSON object nor an array of them."


class ObjectCutter:
    """Takes a JSON text in pieces and tells the places of its objects."""

    def __init__(self) -> None:
        self._at = 0  # bytes that went by before the piece at hand
        self._depth = 0  # open brackets of the object at hand
        self._start = 0
        self._in_text = False
        self._skip = False  # the next byte stands behind a backslash
        self._in_array = False
        self._wants = "first"  # or "object", "comma", "end"

    def feed(self, data: bytes) -> list[tuple[int, int]]:
        """Give offset and length of each object that ends here. Raises `MalformedInstance`."""
        found: list[tuple[int, int]] = []
        pos = 0
        while pos < len(data):
            if self._in_text:
                pos = self._text(data, pos)
            elif self._depth:
                pos = self._object(data, pos, found)
            else:
                pos = self._between(data, pos)
        self._at += len(data)
        return found

    @property
    def pending(self) -> int:
        """How long the object at hand is by now."""
        return self._at - self._start if self._depth else 0

    def finish(self) -> None:
        """The text is over. Raises `MalformedInstance` when it was not complete."""
        if self._depth or self._wants != "end":
            raise MalformedInstance("The metadata is cut off.")

    def _text(self, data: bytes, pos: int) -> int:
        if self._skip:
            self._skip = False
            return pos + 1
        found = _QUOTES.search(data, pos)
        if found is None:
            return len(data)
        self._skip = found[0] == b"\\"
        self._in_text = self._skip
        return found.end()

    def _object(self, data: bytes, pos: int, places: list[tuple[int, int]]) -> int:
        found = _BRACKETS.search(data, pos)
        if found is None:
            return len(data)
        if found[0] == b'"':
            self._in_text = True
        elif found[0] in b"{[":
            self._depth += 1
        else:
            self._depth -= 1
        if not self._depth:
            places.append((self._start, self._at + found.end() - self._start))
            self._wants = "comma" if self._in_array else "end"
        return found.end()

    def _between(self, data: bytes, pos: int) -> int:
        """Outside all objects: brackets of the array, commas, white space."""
        byte = data[pos : pos + 1]
        if byte in _SPACES:
            return pos + 1
        match self._wants, byte:
            case "first", b"[":
                self._in_array, self._wants = True, "item"
            case (("first" | "item" | "object"), b"{"):
                self._depth, self._start = 1, self._at + pos
            case "comma", b",":
                self._wants = "object"
            case (("comma" | "item"), b"]"):
                self._wants = "end"
            case _:
                raise MalformedInstance(_NO_OBJECTS)
        return pos + 1
