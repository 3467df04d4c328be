"""Fixtures of the DIMSE edge."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.dimse.edge import ECHO_ONLY, Edge
from vna.access.remotes import Remotes
from vna.config import Dicom, Settings
from vna.dimse.dispatch import Services


@pytest.fixture
def serve() -> Iterator[Callable[..., Edge]]:
    """Return what starts an edge: `serve(services=..., workers=1, artim_s=..., ...)`."""
    edges: list[Edge] = []

    def start(
        services: Services = ECHO_ONLY,
        *,
        workers: int = 1,
        dev: bool = True,
        remotes: Remotes | None = None,
        slow_window_s: float = 30.0,
        **dicom: Any,
    ) -> Edge:
        limits = dataclasses.replace(Dicom(associations_per_address=500), **dicom)
        settings = Settings(dev=dev, dicom=limits)
        edges.append(Edge(settings, services, workers, slow_window_s, remotes))
        return edges[-1]

    yield start
    for edge in edges:
        edge.close()
