"""The kinds of jobs there are: what a worker of this archive is given to do."""

from __future__ import annotations

from collections.abc import Mapping

from vna.config import Settings
from vna.delivery.outbox import KIND as NOTIFY
from vna.delivery.webhooks import PASSED_ON
from vna.engines import Engines
from vna.imports.engine import KIND as IMPORT
from vna.jobs import commit, disc, forward, hand_over, importing, notify, stow, tell
from vna.jobs.task import Handler
from vna.operate.pushes import ASK, REPORT
from vna.retrieve.disc import KIND as DISC

URGENT = frozenset({NOTIFY})
"""What somebody sits and waits for."""


def handlers(engines: Engines, settings: Settings) -> Mapping[str, Handler]:
    """Say what does each kind."""
    return {
        forward.KIND: forward.forwarding(engines, settings),
        stow.KIND: stow.storing(engines, settings),
        hand_over.KIND: hand_over.handing_over(engines, settings),
        REPORT: commit.reporting(engines, settings),
        IMPORT: importing.importing(engines),
        ASK: commit.asking(engines, settings),
        NOTIFY: notify.notifying(engines, settings),
        DISC: disc.mastering(engines),
        PASSED_ON: tell.telling(engines),
    }
