"""Imports as jobs: what was confirmed is filed, what was rejected is destroyed."""

from __future__ import annotations

from vna.engines import Engines
from vna.jobs.task import DONE, LEFT, Ending, Handler, Task


def importing(engines: Engines) -> Handler:
    """Return what carries out what was decided on an import."""

    def work(task: Task) -> Ending:
        number = int(task.job.payload["import"])
        is_done = engines.imports.carry_out(number, must_leave=lambda: task.must_leave)
        return DONE if is_done else LEFT

    return work
