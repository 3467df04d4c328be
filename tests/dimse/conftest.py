"""Fixtures of the DIMSE edge."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.dimse.edge import ECHO_ONLY, Edge
from vna.access.audit import Audit
from vna.access.labels import Labels
from vna.access.principal import system
from vna.access.remotes import Remote, Remotes
from vna.config import Access, Dicom, Settings, Tls
from vna.db.pool import Database
from vna.dimse.dispatch import Services
from vna.dimse.roster import Roster


@pytest.fixture
def registered(database: Database) -> Iterator[Remotes]:
    """Remote AEs, CT1 and ECHOSCU among them."""
    audit = Audit(database)
    remotes = Remotes(database, audit)
    for title in ("CT1", "ECHOSCU"):
        remotes.add(system("test"), Remote(ae_title=title, host="127.0.0.1", port=104))
    yield remotes
    audit.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Edge]]:
    """Return what starts an edge: `serve(services=..., workers=1, artim_s=..., ...)`.

    With `tls` it has a second port, `secured`.
    """
    edges: list[Edge] = []

    def start(
        services: Services = ECHO_ONLY,
        *,
        workers: int = 1,
        dev: bool = True,
        remotes: Remotes | None = None,
        slow_window_s: float = 30.0,
        tls: Tls | None = None,
        roster: Roster | None = None,
        labels: Labels | None = None,
        roles: str = "",
        **dicom: Any,
    ) -> Edge:
        limits = dataclasses.replace(Dicom(associations_per_address=500), **dicom)
        settings = Settings(dev=dev, dicom=limits, tls=tls or Tls(), access=Access(roles=roles))
        edges.append(
            Edge(
                settings,
                services,
                workers,
                slow_window_s,
                remotes,
                roster=roster,
                labels=labels,
            )
        )
        return edges[-1]

    yield start
    for edge in edges:
        edge.close()
