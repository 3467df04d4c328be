"""Labels on studies: which are set, and what they withhold from whom.

A process keeps in mind what is withheld and looks twice a second, when it is asked at all, whether
that changed: one small row. It is meant for thousands of labelled studies, not for millions.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vna.access.principal import Label, Principal
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.dicom.refs import UID

_SQL = statements.load("restriction")

LOOK_S = 0.4  # with the half second a credential is believed, less than one in all
MOST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """One label of one study; only an embargo has an end."""

    study: UID
    label: Label
    until: dt.datetime | None
    reason: str
    by: str
    at: dt.datetime


class Labels:
    """The labels of one archive, and what they withhold. Safe to use from many threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._revision: int | None = None
        self._next_end: dt.datetime | None = None
        self._by_label: dict[Label, frozenset[UID]] = {}
        self._for: dict[frozenset[Label], frozenset[UID]] = {}

    def narrowed(self, principal: Principal) -> Principal:
        """Withhold what is labelled and not cleared for somebody. Raises `Unavailable`."""
        withheld = self.withheld(principal.clearances)
        if withheld == principal.scope.withheld:
            return principal
        return replace(principal, scope=replace(principal.scope, withheld=withheld))

    def withheld(self, clearances: frozenset[Label]) -> frozenset[UID]:
        """Name the studies withheld from who has these clearances; at most 0.4 s old."""
        if len(clearances) == len(Label):
            return frozenset()
        with self._lock:
            begun = time.monotonic()
            if begun - self._looked > LOOK_S:
                self._look()
                self._looked = begun
            found = self._for.get(clearances)
            if found is None:
                found = frozenset[UID]().union(
                    *(uids for label, uids in self._by_label.items() if label not in clearances)
                )
                self._for[clearances] = found
            return found

    def withheld_since(self, at: dt.datetime) -> frozenset[UID]:
        """Name the studies labelled after a moment, whatever the label. Raises `Unavailable`."""
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.list_withheld_since, (at,), prepare=True).fetchall()
        return frozenset(UID(row[0]) for row in rows)

    def of(self, study: UID | None = None) -> list[Labelled]:
        """List the labels of a study, or the newest of all."""
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.list_labels, {"study": study, "most": MOST}).fetchall()
        return [
            Labelled(
                study=UID(r[0]), label=Label(r[1]), until=r[2], reason=r[3], by=r[4], at=r[5]
            )
            for r in rows
        ]  # fmt: skip

    def put(self, tx: Connection, labelled: Labelled) -> None:
        """Set a label, in the place of the same one."""
        tx.execute(
            _SQL.put_label,
            {
                "study": labelled.study,
                "label": labelled.label.value,
                "until": labelled.until,
                "reason": labelled.reason,
                "by": labelled.by,
                "at": labelled.at,
            },
        )

    def drop(self, tx: Connection, study: UID, label: Label) -> bool:
        """Take a label away; False when there was none."""
        return tx.execute(_SQL.drop_label, (study, label.value)).fetchone() is not None

    def hold(self, tx: Connection) -> None:
        """Keep everybody from changing labels until the transaction is over."""
        tx.execute(_SQL.hold_labels)

    def replace_all(self, tx: Connection, labels: Sequence[Labelled]) -> None:
        """Forget all and set these."""
        tx.execute(_SQL.clear_labels)
        for labelled in labels:
            self.put(tx, labelled)

    def _look(self) -> None:
        now = dt.datetime.now(dt.UTC)
        with self._database.reading() as conn:
            row = conn.execute(_SQL.label_revision, prepare=True).fetchone()
            revision, next_end = row or (0, None)
            is_over = self._next_end is not None and self._next_end <= now
            if revision == self._revision and not is_over:
                return
            found: dict[Label, set[UID]] = {label: set() for label in Label}
            for study, label in conn.execute(_SQL.list_withheld):
                found[Label(label)].add(UID(study))
        self._by_label = {label: frozenset(uids) for label, uids in found.items()}
        self._for.clear()
        self._revision, self._next_end = revision, next_end
