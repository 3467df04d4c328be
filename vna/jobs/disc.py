"""Discs as jobs: made in the background, each object with its state, whole or not at all."""

from __future__ import annotations

from vna.engines import Engines
from vna.jobs.task import LEFT, Ending, Handler, How, Task
from vna.retrieve.disc import Left


def mastering(engines: Engines) -> Handler:
    """Return what makes discs."""

    def make(task: Task) -> Ending:
        items = task.items()
        try:
            made = engines.discs.make(
                task.job, items, note=task.note, must_leave=lambda: task.must_leave
            )
        except Left:
            return LEFT
        if made is None:
            return _failed(task)
        return Ending(how=How.DONE, follow=lambda tx: engines.discs.keep(tx, task.job, made))

    return make


def _failed(task: Task) -> Ending:
    items = task.items()
    bad = [item for item in items if item.state == "failed"]
    why = next((item.cause for item in bad if item.cause), "")
    cause = f"{len(bad)} of {len(items)} objects could not be read. {why}"
    return Ending(how=How.FAILED, cause=cause.strip())
