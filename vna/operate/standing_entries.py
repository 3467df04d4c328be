"""What the journal says of one sort of standing mark: the newest entry about a thing decides.

Labels and holds are such marks: set on something, perhaps anew, and taken away. An index that was
emptied gets back those that stand; one that a crash kept from an entry is told of it later.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from vna.access.audit import Audit, Event
from vna.access.principal import system
from vna.blobs.journal import Entry, Journal
from vna.db.pool import Connection, Database
from vna.errors import InvalidRequest
from vna.index.deleted import known_to, mark_applied
from vna.texts import filled

log = logging.getLogger(__name__)

_MOST_REASON = 200

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks(Generic[K, V]):
    """One sort of mark: its entries, and its rows.

    `read` gives what an entry is about and the mark it sets, None where it takes it away; `alone`
    keeps everybody else from changing rows until the transaction is over.
    """

    set_op: str
    taken_op: str
    read: Callable[[Entry], tuple[K, V | None]]
    event: Callable[[K, V | None], Event]
    alone: Callable[[Connection], None]
    put: Callable[[Connection, V], None]
    drop: Callable[[Connection, K], object]
    replace_all: Callable[[Connection, Sequence[V]], None]

    def is_of(self, entry: Entry) -> bool:
        """Whether an entry is about a mark of this sort."""
        return entry.op in (self.set_op, self.taken_op)


def reason_of(text: str) -> str:
    """Read why somebody sets a mark or takes it away. Raises `InvalidRequest`."""
    reason = " ".join(text.split())
    if not 1 <= len(reason) <= _MOST_REASON:
        raise InvalidRequest(filled("Say why, in up to %(most)s characters.", most=_MOST_REASON))
    return reason


def lay(tx: Connection, journal: Journal, marks: Marks[K, V]) -> None:
    """Write every mark that stands into an emptied index. Raises `Corrupt`."""
    entries: list[bytes] = []
    standing: dict[K, V] = {}
    for entry in filter(marks.is_of, journal.replay()):
        entries.append(entry.id)
        key, mark = marks.read(entry)
        standing.pop(key, None)
        if mark is not None:
            standing[key] = mark
    marks.replace_all(tx, list(standing.values()))
    mark_applied(tx, entries, marks.set_op)


def catch_up(
    database: Database,
    audit: Audit,
    journal: Journal,
    marks: Marks[K, V],
    *,
    older_s: float,
    since: dt.date | None,
) -> int:
    """Bring into the index what the journal says and a crash kept from it; count the acts.

    Raises `Corrupt` when an entry cannot be read.
    """
    waits = journal.unknown(known_to(database), older_s=older_s, since=since)
    unknown = [entry for entry in waits if marks.is_of(entry)]
    if unknown:
        database.changing(lambda tx: _bring_in(tx, audit, journal, marks, unknown))
        log.warning("marks of the journal brought in", extra={"acts": len(unknown)})
    return len(unknown)


def _bring_in(
    tx: Connection,
    audit: Audit,
    journal: Journal,
    marks: Marks[K, V],
    unknown: Sequence[Entry],
) -> None:
    """Of several entries about one thing the newest decides, whether it was known or not."""
    marks.alone(tx)  # the journal is read behind it: what is written later, lands later
    newest = {marks.read(e)[0]: e.id for e in journal.replay() if marks.is_of(e)}
    for entry in unknown:
        key, mark = marks.read(entry)
        is_new = mark_applied(tx, [entry.id], entry.op)
        if not is_new or newest[key] != entry.id:
            continue
        if mark is None:
            marks.drop(tx, key)
        else:
            marks.put(tx, mark)
        audit.write(tx, system(f"recovery for {entry.actor}"), [marks.event(key, mark)])
