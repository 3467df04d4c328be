"""The DIMSE services of this archive, and the worker that serves them."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from vna.config import Settings
from vna.dimse.dispatch import Services, echo
from vna.dimse.find_scp import finding
from vna.dimse.messages import Field
from vna.dimse.sop_classes import Service as Kind
from vna.dimse.store_scp import storing
from vna.dimse.worker import Worker

if TYPE_CHECKING:
    from vna.engines import Engines


def services(engines: Engines, settings: Settings) -> Services:
    """Say what serves each request; any other one is answered 0211H."""
    return {
        Field.C_ECHO: (Kind.VERIFICATION, echo),
        Field.C_STORE: (Kind.STORAGE, storing(engines.ingest, settings)),
        Field.C_FIND: (Kind.FIND, finding(engines.query, settings)),
    }


def serve_worker(engines: Engines, settings: Settings, control: socket.socket) -> None:
    """Serve what the supervisor hands over until it says otherwise or is gone."""
    Worker(services(engines, settings), settings, control).serve()
