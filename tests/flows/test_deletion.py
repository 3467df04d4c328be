"""Deleted for good, whoever is killed: a client deletes and brings back while processes die.

What was answered 204 must be gone after any crash and after a rebuilt index; a study is there whole
or not at all; and what nobody deleted is there.
"""

from __future__ import annotations

import http.client
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import factories
from tests.flows.serving import ROOT, Serving, select_nothing

INSTANCES = 4
STUDIES = 40


@dataclass(slots=True)
class Client:
    """Deletes one study after the other; remembers what it was told."""

    serving: Serving
    studies: list[int]
    stop: threading.Event
    deleted: set[int] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)

    def run(self) -> None:
        for number in self.studies:
            while not self.stop.is_set():
                self.asked.add(number)
                try:
                    path = f"/dicom-web/studies/{factories.uid(number)}"
                    status, _, _ = self.serving.ask("DELETE", path)
                except (OSError, http.client.HTTPException):
                    self.stop.wait(0.05)  # the server is on its way back
                    continue
                if status in (204, 410):
                    self.deleted.add(number)
                    break
                assert status == 503, status
                self.stop.wait(0.05)


@pytest.fixture
def serving() -> Iterator[Serving]:
    """A durable server in a folder another OS user can pass through."""
    folder = Path(tempfile.mkdtemp(prefix="vna-deletion-"))
    folder.chmod(0o755)
    found = Serving(folder / "data")
    found.start()
    yield found
    found.stop()
    shutil.rmtree(folder)


def store(serving: Serving, number: int) -> None:
    made = [factories.ct(number, 1, n + 1) for n in range(INSTANCES)]
    parts = b"".join(
        b"--x\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % one.part10() for one in made
    )
    status, _, _ = serving.ask(
        "POST",
        "/dicom-web/studies",
        body=parts + b"--x--\r\n",
        Content_Type='multipart/related; type="application/dicom"; boundary=x',
    )
    assert status == 200


def held(serving: Serving) -> dict[str, int]:
    """Every study that is shown, and how many of its instances."""
    return {
        row["0020000D"]["Value"][0]: row["00201208"]["Value"][0]
        for row in serving.json("/studies?limit=1000&includefield=00201208")
    }


def require_whole(serving: Serving, client: Client) -> None:
    shown = held(serving)
    assert set(shown.values()) <= {INSTANCES}
    for number in range(1, STUDIES + 1):
        study = factories.uid(number)
        status, _ = serving.settled("GET", f"/dicom-web/studies/{study}/metadata")
        if number in client.deleted:
            assert (study in shown, status) == (False, 410), number
        elif number not in client.asked:
            assert (study in shown, status) == (True, 200), number
        else:
            assert status == (200 if study in shown else 410), number


def kill(serving: Serving, chance: random.Random) -> None:
    """Kill one process at random, or all of them."""
    if chance.random() < 0.5:
        serving.kill_all()
        serving.start()
        return
    assert serving.process is not None
    victim = chance.choice(serving.processes())
    serving.kill(victim)
    if victim.pid == serving.process.pid:
        serving.process.wait()
        serving.start()
    serving.wait_ready()


@pytest.mark.timeout(900)
def test_what_was_answered_as_deleted_is_gone_after_any_crash(serving: Serving) -> None:
    for number in range(1, STUDIES + 1):
        store(serving, number)
    assert len(held(serving)) == STUDIES
    chance = random.Random(random.randrange(1 << 30))
    stop = threading.Event()
    client = Client(serving, chance.sample(range(1, STUDIES + 1), STUDIES - 5), stop)
    thread = threading.Thread(target=client.run)
    thread.start()
    try:
        for _ in range(5):
            before = len(client.deleted)
            while thread.is_alive() and len(client.deleted) < before + 5:
                select_nothing(chance.random() * 0.02)
            kill(serving, chance)
    finally:
        stop.set()
        thread.join()
    assert len(client.deleted) >= 5
    require_whole(serving, client)

    serving.kill_all()
    command = [sys.executable, "-m", "vna", "reindex", "--data", str(serving.data)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    serving.start()
    require_whole(serving, client)
