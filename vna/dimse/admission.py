"""How many associations there may be: in all, of one address, of one calling AE title."""

from __future__ import annotations

from collections import Counter

from vna.config import Dicom


class Admission:
    """The connections that are open, by number."""

    def __init__(self, limits: Dicom) -> None:
        self._limits = limits
        self._last = 0
        self._address_of: dict[int, str] = {}
        self._title_of: dict[int, str] = {}
        self._addresses: Counter[str] = Counter()
        self._titles: Counter[str] = Counter()

    def __len__(self) -> int:
        """Count the open connections."""
        return len(self._address_of)

    def enter(self, address: str) -> int | None:
        """Take in a connection under a new number; None when there are enough."""
        limits = self._limits
        if len(self) >= limits.associations:
            return None
        if self._addresses[address] >= limits.associations_per_address:
            return None
        self._last += 1
        self._address_of[self._last] = address
        self._addresses[address] += 1
        return self._last

    def name(self, number: int, title: str, most: int = 0) -> bool:
        """Say whether a connection may be an association of this AE title, and count it if so.

        `most` is how many this AE may have; 0: what the settings say.
        """
        if number not in self._address_of or number in self._title_of:
            return False
        if self._titles[title] >= (most or self._limits.associations_per_ae):
            return False
        self._title_of[number] = title
        self._titles[title] += 1
        return True

    def leave(self, number: int) -> None:
        """Forget a connection that ended; twice is as good as once."""
        address = self._address_of.pop(number, None)
        if address is not None:
            _less(self._addresses, address)
        title = self._title_of.pop(number, None)
        if title is not None:
            _less(self._titles, title)


def _less(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]  # names come from outside: none is kept beyond its connections
