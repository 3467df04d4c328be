"""The data set of a request that is small: collected as it comes, up to a limit."""

from __future__ import annotations

from vna.errors import TooLarge

MAX_IDENTIFIER_BYTES = 1 << 20


class Collected:
    """The fragments of one data set; nothing of one that is too long is held."""

    def __init__(self, most: int, told: str) -> None:
        """`told` says of a data set of more than `most` bytes that it is too long."""
        self._most = most
        self._told = told
        self._data = bytearray()
        self._is_too_long = False

    @classmethod
    def identifier(cls) -> Collected:
        """Begin to collect an Identifier (PS3.4 C.1.4)."""
        return cls(MAX_IDENTIFIER_BYTES, "The Identifier is longer than 1 MiB.")

    def feed(self, data: memoryview) -> None:
        """Collect what came, up to the limit."""
        if len(self._data) + len(data) > self._most:
            self._is_too_long = True
            self._data.clear()
        if not self._is_too_long:
            self._data += data

    def whole(self) -> bytes:
        """Give all of it. Raises `TooLarge`."""
        if self._is_too_long:
            raise TooLarge(self._told)
        return bytes(self._data)
