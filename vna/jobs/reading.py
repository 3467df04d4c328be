"""Who reads what a job sends, and whether it may still go out: asked anew between two instances.

A rule sends no more than AEs are cleared for. What somebody asked for by hand they saw as it was:
what bore a label then may go; what bears one since then waits for who asks anew.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from functools import partial

from vna.access.labels import LOOK_S
from vna.access.principal import Action, Kind, Principal
from vna.access.roles import clears
from vna.config import Settings
from vna.db.work import Item, Job, Settled
from vna.dicom.refs import UID, Level
from vna.engines import Engines
from vna.errors import NotPermitted
from vna.index.select import Selection
from vna.retrieve.outgoing import Outgoing
from vna.retrieve.retrieval import Retrieval

WITHHELD = "A label withholds it; `vna jobs retry` once it does not any more."
_BY_RULE = "route:"  # who asks for what a rule sends: the rule


def sender_of(job: Job) -> Principal:
    """On whose behalf a job reads: who asked for it, at a shell, and may no more than it needs."""
    return Principal(kind=Kind.SYSTEM, name=job.requested_by, actions=frozenset([Action.RETRIEVE]))


class Reads(ABC):
    """Who reads for a job, and what may go out. Safe to use from many threads."""

    gone = "It is no longer there."
    """Why what waits and is not found is not sent."""

    @property
    @abstractmethod
    def principal(self) -> Principal:
        """Say as whom it reads."""

    @abstractmethod
    def require(self, outgoing: Outgoing) -> None:
        """See that it may still go out. Raises `NotPermitted`, and what its own look raises."""

    def instances(self, found: Retrieval) -> Iterator[Outgoing]:
        """Walk a retrieval; what may not go any more fails and does not go out."""
        for outgoing in found.instances():
            yield replace(outgoing, still=partial(self.require, outgoing))

    def absent(self, waiting: Sequence[Item], there: Set[str]) -> list[Settled]:
        """Say of what waits and is not found why it is not sent."""
        withheld = self.principal.scope.withheld
        return [
            Settled(item.number, "failed", None, WITHHELD if item.study in withheld else self.gone)
            for item in waiting
            if item.instance not in there
        ]


class Reader(Reads):
    """Reads for one attempt at a job."""

    def __init__(self, job: Job, engines: Engines, settings: Settings) -> None:
        """Look at what is withheld now. Raises `Unavailable`."""
        self._job = job
        self._labels = engines.people.labels
        self._cleared = clears(settings.access.ae_clears)
        self._looked = float("-inf")
        self._withheld: frozenset[UID] = frozenset()
        who = sender_of(job)
        scope = replace(who.scope, withheld=self._look())
        self._principal = replace(who, scope=scope)

    @property
    def principal(self) -> Principal:
        """Say as whom it reads."""
        return self._principal

    def require(self, outgoing: Outgoing) -> None:
        """See that it is still there, and that no label withholds it."""
        outgoing.still()
        if outgoing.ref.study in self._look():
            raise NotPermitted(WITHHELD)

    def _look(self) -> frozenset[UID]:
        """Name what is withheld from the job, at most 0.4 s old. Raises `Unavailable`."""
        if self._job.requested_by.startswith(_BY_RULE):
            return self._labels.withheld(self._cleared)
        begun = time.monotonic()
        if begun - self._looked > LOOK_S:
            self._withheld = self._labels.withheld_since(self._job.created_at)
            self._looked = begun
        return self._withheld


def selection_of(waiting: Sequence[Item]) -> Selection:
    """Select the instances that wait."""
    return Selection(
        level=Level.IMAGE,
        studies=frozenset(UID(item.study) for item in waiting if item.study is not None),
        instances=frozenset(UID(item.instance) for item in waiting),
    )
