"""Who opens far more studies than their work can need is told of: a stolen session, or curiosity.

The trail is looked over each minute, the hour before it. Of people alone: modalities, archives and
programs open as many as they like. An account is told of once a day: an alert in the trail, a
metric, a line of the log, and a mail to `access.privacy_mail`, which does not say who it was.
Nobody is locked out: a night with a bus accident looks just like that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from vna.access.audit import Audit, Event
from vna.access.principal import system
from vna.config import Access
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.telemetry import MANY_OPENED

_SQL = statements.load("watch")

WITHIN_S: Final = 3600
QUIET_S: Final = 86400

log = logging.getLogger(__name__)

TellOfMany = Callable[[Connection, int], None]
"""Leaves word, in the transaction of the alert, that so many studies were opened by somebody."""


class Watch:
    """Looks over the trail. For one thread of one process at a time."""

    def __init__(
        self, *, database: Database, audit: Audit, settings: Access, told: TellOfMany | None
    ) -> None:
        self._database = database
        self._audit = audit
        self._most = settings.studies_an_hour
        self._told = told

    def look(self) -> int:
        """Tell of everybody who opened too many studies within the hour; count them."""
        if not self._most:
            return 0
        asked = {"within_s": WITHIN_S, "quiet_s": QUIET_S, "most": self._most}
        with self._database.reading() as conn:
            found = conn.execute(_SQL.many, asked).fetchall()
        return sum(self._database.changing(partial(self._tell, *one)) for one in found)

    def sweep(self) -> None:
        """Forget whom it was told of a day ago."""
        with self._database.transaction() as tx:
            tx.execute(_SQL.forget, {"quiet_s": QUIET_S})

    def _tell(self, login: str, count: int, tx: Connection) -> bool:
        noted = {"principal": login, "quiet_s": QUIET_S}
        if tx.execute(_SQL.note, noted).fetchone() is None:
            return False
        detail = {"principal": login, "studies": count, "within_s": WITHIN_S}
        event = Event(kind="opened.many", outcome="done", detail=detail)
        self._audit.write(tx, system("watch"), [event])
        if self._told is not None:
            self._told(tx, count)
        MANY_OPENED.inc()
        log.warning("somebody opened many studies", extra={"login": login, "studies": count})
        return True
