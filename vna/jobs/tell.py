"""Telling programs as jobs: of acts a process saw that knows neither them nor their secrets."""

from __future__ import annotations

from vna.delivery.webhooks import passed_on
from vna.engines import Engines
from vna.jobs.task import Ending, Handler, How, Task


def telling(engines: Engines) -> Handler:
    """Return what leaves a call for each program, in the transaction that ends the job."""

    def work(task: Task) -> Ending:
        acts, webhooks = passed_on(task.job.payload), engines.messages.webhooks
        return Ending(how=How.DONE, follow=lambda tx: webhooks.heard(tx, acts))

    return work
