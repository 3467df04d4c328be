"""Peers of the edge on its inner side, for what needs exact control: they keep and answer bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from vna.access.principal import Principal
from vna.config import Settings
from vna.dicom.matching import Query
from vna.dicom.refs import UID, InstanceRef
from vna.dicom.searchable import Searchable
from vna.dimse.dispatch import Services
from vna.dimse.scps import services
from vna.ingest.outcome import Cause, Expected, Outcome, Refused, Source, Stored

STORED = Stored(ref=InstanceRef(UID("1"), UID("1"), UID("1")), sop_class="1.2")


@dataclass
class Taken:
    """One object that was sent: what was said of it, its bytes, and how it ended."""

    principal: Principal
    source: Source
    transfer_syntax: str
    expected: Expected
    data: bytearray = field(default_factory=bytearray)
    pieces: int = 0
    ended: str = ""
    answer: Callable[[], Outcome] = lambda: STORED

    def feed(self, data: memoryview) -> None:
        self.data += data
        self.pieces += 1

    def finish(self) -> Outcome:
        self.ended = "finished"
        return self.answer()

    def abort(self) -> None:
        self.ended = "aborted"


class Shelf:
    """Takes objects in and keeps their bytes."""

    def __init__(self, answer: Callable[[], Outcome] = lambda: STORED) -> None:
        self.taken: list[Taken] = []
        self.answer = answer
        self._lock = threading.Lock()

    def receive(
        self, principal: Principal, source: Source, *, transfer_syntax: str, expected: Expected
    ) -> Taken:
        taken = Taken(principal, source, transfer_syntax, expected, answer=self.answer)
        with self._lock:
            self.taken.append(taken)
        return taken


class Rows:
    """Answers every query with the same elements, and remembers what was asked."""

    def __init__(self, rows: Callable[[], Iterator[dict[str, Any]]]) -> None:
        self._rows = rows
        self.asked: list[Query] = []
        self.closed = threading.Event()

    def searchable(self) -> tuple[Searchable, ...]:
        return ()

    def find(self, principal: Principal, query: Query) -> SimpleNamespace:
        self.asked.append(query)
        return SimpleNamespace(rows=self._walk())

    def _walk(self) -> Iterator[SimpleNamespace]:
        try:
            for row in self._rows():
                yield SimpleNamespace(attributes=row, study=UID("1.2.3"))
        finally:
            self.closed.set()


def served(
    *, ingest: Shelf | None = None, query: Rows | None = None, settings: Settings | None = None
) -> Services:
    """The services of the edge over these."""
    engines: Any = SimpleNamespace(ingest=ingest, query=query)
    return services(engines, settings or Settings(dev=True))


def refused(cause: Cause) -> Refused:
    """A refusal with a message of its own."""
    return Refused(cause=cause, message=f"Refused: {cause.value}.")
