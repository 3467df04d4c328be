"""The DIMSE services of this archive: what a worker is given to serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vna.config import Settings
from vna.dimse.commit_scp import asking, reporting
from vna.dimse.dispatch import Services, echo
from vna.dimse.find_scp import finding
from vna.dimse.messages import Field
from vna.dimse.retrieve_scp import getting, moving
from vna.dimse.sop_classes import Service as Kind
from vna.dimse.store_scp import storing

if TYPE_CHECKING:
    from vna.engines import Engines


def services(engines: Engines, settings: Settings) -> Services:
    """Say what serves each request; any other one is answered 0211H."""
    return {
        Field.C_ECHO: (Kind.VERIFICATION, echo),
        Field.C_STORE: (Kind.STORAGE, storing(engines.ingest, settings)),
        Field.C_FIND: (Kind.FIND, finding(engines.query, settings)),
        Field.C_MOVE: (Kind.MOVE, moving(engines, settings)),
        Field.C_GET: (Kind.GET, getting(engines)),
        Field.N_ACTION: (Kind.COMMITMENT, asking(engines, settings)),
        Field.N_EVENT_REPORT: (Kind.COMMITMENT, reporting(engines, settings)),
    }
