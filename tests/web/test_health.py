"""Metrics of several processes add up where they share a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
COUNT = "from vna import telemetry; telemetry.RETRIEVALS.labels('frames').inc({})"
READ = "import sys; from vna.web.health import _metrics; sys.stdout.buffer.write(_metrics())"


def run(program: str, folder: Path) -> str:
    """Run a program in a process of its own that shares its metrics in `folder`."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout


def test_the_metrics_of_all_processes_are_told_as_one(tmp_path: Path) -> None:
    run(COUNT.format(2), tmp_path)
    run(COUNT.format(3), tmp_path)
    samples = [
        sample
        for family in text_string_to_metric_families(run(READ, tmp_path))
        for sample in family.samples
    ]
    assert [s.value for s in samples if s.name == "vna_retrievals_total"] == [5.0]
