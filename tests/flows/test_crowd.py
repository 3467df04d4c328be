"""Many open associations at once on a real archive: idle ones cost nothing, nobody is forgotten."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import factories
from tests.flows.crowd import ENVIRONMENT, gather
from tests.flows.serving import ROOT, Serving
from vna.dimse.scu import Requestor


@pytest.fixture
def serving(reachable_tmp: Path) -> Iterator[Serving]:
    folder = Path(tempfile.mkdtemp(dir=reachable_tmp))
    folder.chmod(0o755)
    server = Serving(folder / "data", environment=ENVIRONMENT)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("idle", "storing", "seconds"),
    [(108, 12, 3.0), pytest.param(450, 50, 60.0, marks=pytest.mark.long)],
)
def test_a_crowd_is_served(serving: Serving, idle: int, storing: int, seconds: float) -> None:
    seen = gather(serving, idle=idle, storing=storing, seconds=seconds)
    assert seen.errors == []
    assert seen.stored > storing
    assert seen.idle_cpu < 0.02
    assert seen.echo_p99_s < 0.5
    assert seen.memory_bytes < 1.5e9


def test_the_running_archive_lists_its_associations(serving: Serving) -> None:
    def listed(*flags: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "vna", "associations", "--data", serving.data, *flags],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert listed() == "no associations\n"
    with Requestor(
        "127.0.0.1",
        serving.dicom,
        calling="CT1",
        called="VNA",
        contexts=[(factories.CT, [factories.EXPLICIT])],
    ) as remote:
        made = factories.ct()
        status = remote.store(factories.CT, made.instance, factories.EXPLICIT, [made.dataset()])
        assert status.code == 0
        (row,) = json.loads(listed("--json"))
        assert (row["calling"], row["called"], row["secured"]) == ("CT1", "VNA", False)
        assert (row["requests"], row["command"], row["address"]) == (1, "C-STORE", "127.0.0.1")
        head, line = listed().splitlines()
        assert head.split()[:3] == ["calling", "called", "address"]
        assert line.split()[:5] == ["CT1", "VNA", "127.0.0.1", "no", "idle"]
