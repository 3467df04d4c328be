"""Send a message to a person, or call a webhook: its own state stands in its row."""

from __future__ import annotations

from vna.config import Settings
from vna.delivery.notifier import Cause
from vna.engines import Engines
from vna.jobs.task import DONE, Ending, Handler, How, Task

_WHY = {
    Cause.NETWORK: "The other side cannot be reached.",
    Cause.NOT_NOW: "The other side asks to come again.",
    Cause.REFUSED: "The other side refuses the message.",
    Cause.ADDRESS: "There is nobody under the address.",
    Cause.QUOTA: "The mailbox is full, or too much was sent.",
    Cause.EXPIRED: "The message is of no use any more.",
    Cause.NOT_SET_UP: "There is no way out for this channel: [mail] and [sms] of the settings.",
    Cause.BOUNCED: "The message came back.",
    Cause.HELD: "What the message is about is suspended.",
}


def notifying(engines: Engines, settings: Settings) -> Handler:
    """Return what does jobs of the kind "notify"."""

    def notify(task: Task) -> Ending:
        left_s = settings.jobs.give_up_s - task.job.age_s
        message_id = int(task.job.payload["message"])
        attempt = engines.messages.attempt(message_id, most_s=left_s, job_id=task.job.job_id)
        if attempt.cause is None:
            return DONE
        why = _WHY[attempt.cause]
        if attempt.again_s is None:
            return Ending(how=How.FAILED, cause=why)
        return Ending(how=How.LATER, cause=why, after_s=attempt.again_s)

    return notify
