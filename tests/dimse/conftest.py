"""Fixtures of the DIMSE edge."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.dimse.edge import ECHO_ONLY, Edge
from vna.config import Dicom, Settings, Tls
from vna.dimse.dispatch import Services
from vna.dimse.roster import Roster


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
        slow_window_s: float = 30.0,
        tls: Tls | None = None,
        roster: Roster | None = None,
        **dicom: Any,
    ) -> Edge:
        limits = dataclasses.replace(Dicom(associations_per_address=500), **dicom)
        settings = Settings(dev=dev, dicom=limits, tls=tls or Tls())
        edges.append(Edge(settings, services, workers, slow_window_s, roster=roster))
        return edges[-1]

    yield start
    for edge in edges:
        edge.close()
