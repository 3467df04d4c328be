"""Nothing acknowledged is lost: processes are killed at random while objects stream in.

A client writes each acknowledged object into a ledger. After the server is back, every one of them
must be found by QIDO-RS and C-FIND and come back equal by WADO-RS; and whatever is found at all
must be retrievable.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.flows.ledger import Ledger, Sender, agrees_with_find, digest_of, everything
from tests.flows.serving import Serving, select_nothing


@pytest.fixture
def serving() -> Iterator[Serving]:
    """A durable server in a folder another OS user can pass through."""
    folder = Path(tempfile.mkdtemp(prefix="vna-crash-"))
    folder.chmod(0o755)
    found = Serving(folder / "data")
    found.start()
    yield found
    found.stop()
    shutil.rmtree(folder)


def _crash(serving: Serving, chance: random.Random) -> str:
    """Kill one process at random, or all of them, or PostgreSQL; return which."""
    kind = chance.choice(["one", "one", "one", "all", "postgres"])
    found = serving.processes()
    if kind == "all":
        serving.kill_all()
        serving.start()
        return kind
    postmasters = [p for p in found if _name(p).startswith("postgres")]
    if kind == "postgres" and postmasters:
        serving.kill(min(postmasters, key=lambda p: p.create_time()))
    else:
        victim = chance.choice(found)
        serving.kill(victim)
        assert serving.process is not None
        if victim.pid == serving.process.pid:
            serving.process.wait()
            serving.start()
            return "supervisor"
    serving.wait_ready()
    return kind


def _name(process: psutil.Process) -> str:
    """Name a process; one that the last kill has ended meanwhile has no name."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def _ends_well(serving: Serving, ledger: Ledger) -> None:
    found = everything(serving)
    missing = set(ledger.rows) - set(found)
    assert not missing, f"{len(missing)} of {len(ledger.rows)} acknowledged are not found"
    for sop, (study, series) in found.items():
        digest = digest_of(serving, study, series, sop)
        if sop in ledger.rows:
            assert ledger.rows[sop] == (study, series, digest), sop
    agrees_with_find(serving, found)


def _run(serving: Serving, *, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    ledger, stop = Ledger(), threading.Event()
    senders = [Sender(serving, ledger, number, stop) for number in range(4)]
    threads = [threading.Thread(target=sender.run) for sender in senders]
    for thread in threads:
        thread.start()
    killed = []
    try:
        for _ in range(kills):
            before = len(ledger.rows)
            while len(ledger.rows) < before + chance.randrange(1, 25):
                select_nothing(chance.random() * 0.03)
            killed.append(_crash(serving, chance))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(ledger.rows) >= kills
    _ends_well(serving, ledger)
    print(f"{len(ledger.rows)} acknowledged, all found, after {killed}")


@pytest.mark.timeout(600)
def test_no_acknowledged_instance_is_lost_when_processes_are_killed(serving: Serving) -> None:
    _run(serving, kills=30, seed=random.randrange(1 << 30))


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_no_acknowledged_instance_is_lost_in_three_hundred_kills(serving: Serving) -> None:
    _run(serving, kills=300, seed=random.randrange(1 << 30))
