"""What those who bring files by a link need of the desk."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Protocol

from vna.access.principal import Principal
from vna.db.pool import Connection
from vna.imports.values import Import, Origin, Person


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

    def expect(self, who: Principal, number: int, marks: Sequence[str]) -> list[int]:
        """Take the list of what is to come; say which of it is missing, by position."""

    def brought(self, who: Principal, number: int) -> Import:
        """Count what came."""

    def finish_in(self, tx: Connection, who: Principal, number: int) -> Import:
        """Say that everything has come, in a transaction of the caller's."""

    def keep_until(self, tx: Connection, number: int, until: dt.datetime) -> None:
        """Say until when an import waits, in a transaction of the caller's."""

    def reject_in(self, tx: Connection, who: Principal, number: int, reason: str) -> None:
        """Have an import destroyed, in a transaction of the caller's. Raises `Conflict`."""

    def persons_in(self, conn: Connection, number: int) -> list[Person]:
        """List whose images an import holds, with their studies and series."""
