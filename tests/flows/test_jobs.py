"""A job survives what its worker does not: kill -9 in the middle of a study, again and again."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pynetdicom import AE, evt

from tests.cli.serving import run
from tests.factories import CT, EXPLICIT, ct
from tests.flows.serving import Serving, select_nothing
from vna.dimse.scu import Requestor

INSTANCES = 60
KILLS = 3


class Destination:
    """A Storage SCP that wakes whoever waits for its next object."""

    def __init__(self) -> None:
        self.came: Counter[str] = Counter()
        self._more = threading.Condition()
        ae = AE(ae_title="DEST")
        ae.add_supported_context(CT, EXPLICIT)
        handlers = [(evt.EVT_C_STORE, self._store)]
        self._server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.port: int = self._server.server_address[1]

    def _store(self, event: Any) -> int:
        with self._more:
            self.came[str(event.request.AffectedSOPInstanceUID)] += 1
            self._more.notify_all()
        return 0

    def wait_for(self, different: int) -> None:
        """Wait until so many different objects came."""
        with self._more:
            assert self._more.wait_for(lambda: len(self.came) >= different, 90), self.came

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(reachable_tmp: Path) -> Iterator[Serving]:
    folder = Path(tempfile.mkdtemp(dir=reachable_tmp))
    folder.chmod(0o755)
    serving = Serving(folder / "data", {"VNA_JOBS_FIRST_RETRY_S": "0.1"})
    (folder / "data").mkdir()
    serving.start()
    yield serving
    serving.stop()
    shutil.rmtree(folder)


@pytest.fixture
def destination() -> Iterator[Destination]:
    found = Destination()
    yield found
    found.close()


def child(server: Serving) -> int:
    """The process that does the jobs."""
    state = json.loads((server.data / "run" / "serve.json").read_text())
    return int(state["children"].get("jobs", 0))


def killed(server: Serving) -> None:
    """Kill it, and wait for the next one."""
    before = child(server)
    server.kill(psutil.Process(before))
    for _ in range(1200):
        if child(server) not in (0, before):
            return
        select_nothing(0.05)
    raise AssertionError(server.log()[-3000:])


def test_nothing_is_lost_when_the_worker_is_killed_in_the_middle(
    server: Serving, destination: Destination
) -> None:
    made = [ct(1, 1, number, rows=64, columns=64) for number in range(1, INSTANCES + 1)]
    with Requestor(
        "127.0.0.1", server.dicom, calling="CT", called="VNA", contexts=[(CT, [EXPLICIT])]
    ) as remote:
        for one in made:
            stored = remote.store(CT, one.instance, EXPLICIT, [one.dataset()])
            assert stored.code == 0
    at = ("--data", server.data)
    assert run("remote", "add", "DEST", "127.0.0.1", str(destination.port), *at).returncode == 0
    assert run("send", made[0].study, "DEST", *at).returncode == 0
    for kill in range(1, KILLS + 1):
        destination.wait_for(kill * INSTANCES // (KILLS + 2))
        killed(server)
    destination.wait_for(INSTANCES)
    facts = ended(server)
    assert (facts["state"], facts["done"], facts["failed"]) == ("done", INSTANCES, 0)
    assert set(destination.came) == {one.instance for one in made}
    # what was on its way or not yet noted when the worker was killed came once more, no others
    assert max(destination.came.values()) <= KILLS + 1


def ended(server: Serving) -> dict[str, Any]:
    """Wait for the end of the job."""
    for _ in range(600):
        shown = run("jobs", "show", "1", "--json", "--data", server.data)
        facts: dict[str, Any] = json.loads(shown.stdout)
        if facts["finished_at"] is not None:
            return facts
        select_nothing(0.1)
    raise AssertionError(facts)
