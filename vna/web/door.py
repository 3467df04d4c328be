"""Who is inside: how many connections there are, of each address and in all."""

from __future__ import annotations

from collections import Counter

from vna.config import Http
from vna.web.proxies import known


class Door:
    """Lets connections in as long as there is room. Shared by those of a listener."""

    def __init__(self, limits: Http) -> None:
        self._limits = limits
        self._proxies = known(limits)  # behind each of them are many
        self._addresses: Counter[str] = Counter()
        self._total = 0

    def enter(self, address: str) -> bool:
        """Count a connection in; False when there is no room for it, and then it is not counted."""
        if self._total >= self._limits.connections or (
            address not in self._proxies
            and self._addresses[address] >= self._limits.connections_per_address
        ):
            return False
        self._total += 1
        self._addresses[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Count a connection out."""
        self._total -= 1
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]
