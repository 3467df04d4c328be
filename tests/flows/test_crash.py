"""Nothing acknowledged is lost: processes are killed at random while objects stream in.

A client writes each acknowledged object into a ledger. After the server is back, every one of them
must be found by QIDO-RS and C-FIND and come back equal by WADO-RS; and whatever is found at all
must be retrievable.
"""

from __future__ import annotations

import hashlib
import http.client
import random
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import factories
from tests.flows.serving import Serving, select_nothing
from vna.config import Limits
from vna.dicom.encode import decode_dataset, encode_dataset
from vna.dicom.part10 import Part10Reader
from vna.dimse.scu import Requestor
from vna.errors import VNAError
from vna.web.multipart import MultipartParser, PartData, boundary_of

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT = "1.2.840.10008.1.2"


@dataclass(slots=True)
class Ledger:
    """What the archive acknowledged: SOP Instance UID -> study, series, digest of the data set."""

    rows: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, made: factories.Instance) -> None:
        digest = hashlib.sha256(made.dataset()).hexdigest()
        with self.lock:
            self.rows[made.instance] = (made.study, made.series, digest)


@dataclass(slots=True)
class Sender:
    """Sends new objects until told to stop, over C-STORE or STOW-RS; reconnects for ever."""

    serving: Serving
    ledger: Ledger
    number: int
    stop: threading.Event
    sent: int = 0

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self._associate() if self.number % 2 else self._post()
            except (VNAError, OSError, http.client.HTTPException):
                self.stop.wait(0.05)  # the server is on its way back

    def _next(self) -> factories.Instance:
        self.sent += 1
        study = self.number * 1_000_000 + self.sent // 40 + 1
        pixels = random.Random(study * 1000 + self.sent).randbytes(64 * 64 * 2)
        return factories.ct(study, 1, self.sent, rows=64, columns=64, pixels=pixels)

    def _associate(self) -> None:
        contexts = [(factories.CT, [factories.EXPLICIT])]
        with Requestor(
            "127.0.0.1",
            self.serving.dicom,
            calling=f"CRASH{self.number}",
            called="VNA",
            contexts=contexts,
            timeout_s=20,
        ) as remote:
            while not self.stop.is_set():
                made = self._next()
                status = remote.store(
                    factories.CT, made.instance, factories.EXPLICIT, [made.dataset()]
                )
                if status.code == 0:
                    self.ledger.note(made)

    def _post(self) -> None:
        made = self._next()
        body = b"--x\r\nContent-Type: application/dicom\r\n\r\n%b\r\n--x--\r\n" % made.part10()
        status, _, _ = self.serving.ask(
            "POST",
            "/dicom-web/studies",
            body=body,
            Content_Type='multipart/related; type="application/dicom"; boundary=x',
        )
        if status == 200:
            self.ledger.note(made)


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
    postmasters = [p for p in found if p.name().startswith("postgres")]
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


def _ends_well(serving: Serving, ledger: Ledger) -> None:
    found = _everything(serving)
    missing = set(ledger.rows) - set(found)
    assert not missing, f"{len(missing)} of {len(ledger.rows)} acknowledged are not found"
    for sop, (study, series) in found.items():
        digest = _digest(serving, study, series, sop)
        if sop in ledger.rows:
            assert ledger.rows[sop] == (study, series, digest), sop
    _agrees_with_find(serving, found)


def _everything(serving: Serving) -> dict[str, tuple[str, str]]:
    """Every instance QIDO-RS knows, page by page."""
    found: dict[str, tuple[str, str]] = {}
    offset = 0
    while True:
        page = serving.json(f"/instances?limit=500&offset={offset}")
        for row in page:
            sop, study, series = (
                row[tag]["Value"][0] for tag in ("00080018", "0020000D", "0020000E")
            )
            found[sop] = (study, series)
        offset += len(page)
        if len(page) < 500:
            return found


def _digest(serving: Serving, study: str, series: str, sop: str) -> str:
    status, body, headers = serving.ask(
        "GET",
        f"/dicom-web/studies/{study}/series/{series}/instances/{sop}",
        Accept='multipart/related; type="application/dicom"; transfer-syntax=*',
    )
    assert status == 200, (sop, status)
    kind = next(v for k, v in headers.items() if k.lower() == "content-type")
    events = MultipartParser(boundary_of(kind)[1], Limits()).feed(body)
    reader = Part10Reader(meta_group_bytes=1 << 16)
    file = b"".join(bytes(e.data) for e in events if isinstance(e, PartData))
    return hashlib.sha256(bytes(reader.feed(file)) + reader.finish()).hexdigest()


def _agrees_with_find(serving: Serving, found: dict[str, tuple[str, str]]) -> None:
    """C-FIND at IMAGE level finds exactly what QIDO-RS found."""
    series = sorted(set(found.values()))
    seen: set[str] = set()
    with Requestor(
        "127.0.0.1", serving.dicom, calling="CHECK", called="VNA", contexts=[(FIND, [IMPLICIT])]
    ) as remote:
        for study, one in series:
            keys = {
                "00080052": {"vr": "CS", "Value": ["IMAGE"]},
                "0020000D": {"vr": "UI", "Value": [study]},
                "0020000E": {"vr": "UI", "Value": [one]},
                "00080018": {"vr": "UI"},
            }
            answers = remote.find(
                FIND, encode_dataset(keys, explicit=False), transfer_syntax=IMPLICIT
            )
            seen |= {decode_dataset(a, IMPLICIT)["00080018"]["Value"][0] for a in answers}
    assert seen == set(found)


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
