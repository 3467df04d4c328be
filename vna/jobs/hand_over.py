"""Send what was shared on to an archive its recipient chose, as long as the sharing holds.

Read as the recipient would: by the scope of their grant, which is asked for again between two
instances. What is taken from them meanwhile stays here, and the job says why.
"""

from __future__ import annotations

import time

from vna.access.labels import LOOK_S
from vna.access.principal import Principal
from vna.config import Settings
from vna.db.work import Settled
from vna.engines import Engines
from vna.errors import NotFound, NotPermitted
from vna.jobs import forward, stow
from vna.jobs.attempts import ending
from vna.jobs.reading import WITHHELD, Reads
from vna.jobs.task import Ending, Handler, How, Task
from vna.retrieve.outgoing import Outgoing
from vna.sharing.engine import SharingEngine
from vna.sharing.sendings import ENDED, KIND, NOT_SHARED, Standing

__all__ = ["KIND", "handing_over"]


def handing_over(engines: Engines, settings: Settings) -> Handler:
    """Return what does jobs of the kind "hand-over"."""

    def hand_over(task: Task) -> Ending:
        try:
            reader = Holder(engines.sharing, int(task.job.payload["sending"]))
        except NotFound:  # its grant went with the share
            return _none(task, ENDED)
        if reader.standing.cause is not None:
            return _none(task, reader.standing.cause)
        waiting = [item for item in task.items() if item.state == "waiting"]
        if reader.standing.remote is not None:
            remote = forward.known(engines.remotes, reader.standing.remote)
            if waiting:
                forward.send(task, engines, settings, remote, waiting, reader=reader)
            return forward.ending(task)
        peer = stow.known(engines, reader.standing.peer)
        if waiting:
            stow.send(task, engines, settings, peer, waiting, reader=reader)
        return ending(task)

    return hand_over


class Holder(Reads):
    """Reads as the holder of a grant, for one attempt at a job."""

    gone = NOT_SHARED

    def __init__(self, sharing: SharingEngine, sending_id: int) -> None:
        """Look at what holds now. Raises `NotFound`, `Unavailable`."""
        self._sharing = sharing
        self._sending_id = sending_id
        self._looked = time.monotonic()
        self.standing: Standing = sharing.sendings.standing(sending_id)

    @property
    def principal(self) -> Principal:
        """Say as whom it reads: may no more than they see."""
        return self.standing.principal

    def require(self, outgoing: Outgoing) -> None:
        """See that the holder is still shown it."""
        outgoing.still()
        standing = self._look()
        if standing.cause is not None:
            raise NotPermitted(standing.cause)
        if outgoing.ref.study in standing.principal.scope.withheld:
            raise NotPermitted(WITHHELD)
        if not standing.principal.scope.covers(outgoing.ref):
            raise NotPermitted(NOT_SHARED)

    def _look(self) -> Standing:
        begun = time.monotonic()
        if begun - self._looked > LOOK_S:
            try:
                self.standing = self._sharing.sendings.standing(self._sending_id)
            except NotFound:
                raise NotPermitted(ENDED) from None
            self._looked = begun
        return self.standing


def _none(task: Task, cause: str) -> Ending:
    """End a job of which nothing more may go."""
    task.note(
        [Settled(i.number, "failed", None, cause) for i in task.items() if i.state == "waiting"]
    )
    return Ending(how=How.FAILED, cause=cause)
