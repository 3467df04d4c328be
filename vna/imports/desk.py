"""What those who bring files by a link need of the desk."""

from __future__ import annotations

from typing import Protocol

from vna.access.principal import Principal
from vna.db.pool import Connection
from vna.imports.values import Import, Origin


class Desk(Protocol):
    """Begins imports for others, and is told when they are complete."""

    def begin_in(
        self,
        tx: Connection,
        who: Principal,
        *,
        note: str,
        origin: Origin,
        keep_s: float | None = None,
    ) -> int:
        """Begin an import in a transaction of the caller's."""

    def finish(self, who: Principal, number: int) -> Import:
        """Say that everything has come."""
