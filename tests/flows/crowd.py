"""Hundreds of open associations: most of them idle, some storing, one asking for an echo.

`python -m tests.flows.crowd PORT COUNT SECONDS` is the storing peers in a process of their own, so
that their work does not stand in the way of what is measured here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests import factories
from tests.flows.serving import ROOT, Serving, select_nothing
from vna.dimse.scu import Requestor
from vna.dimse.sop_classes import VERIFICATION
from vna.errors import VNAError

# more than the archive lets in by default, all from one address, and idle as long as it takes
ENVIRONMENT = {
    "VNA_DICOM_ASSOCIATIONS": "600",
    "VNA_DICOM_ASSOCIATIONS_PER_AE": "600",
    "VNA_DICOM_IDLE_S": "600",
}
_ECHO_EVERY_S = 0.05
_UID_WIDTH = 10_000_000  # all UIDs of one length, so that one object serves as the form of all


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a crowd cost."""

    idle_cpu: float  # of one core, by all idle associations together
    stored: int
    errors: list[str]
    echo_p50_s: float
    echo_p99_s: float
    echoes: int
    memory_bytes: int  # of all processes, what they share counted once


def gather(serving: Serving, *, idle: int, storing: int, seconds: float) -> Seen:
    """Open the idle ones, look what they cost, then let others store for so many seconds."""
    with ExitStack() as stack:
        for number in range(idle):
            stack.enter_context(_remote(serving.dicom, f"IDLE{number}"))
        idle_cpu = _cpu_share(serving, min(seconds / 3, 10.0))
        command = [sys.executable, "-m", "tests.flows.crowd"]
        with subprocess.Popen(
            [*command, *map(str, (serving.dicom, storing, seconds))],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        ) as senders:
            took = _echoes(serving, senders)
            said = json.loads(senders.stdout.read()) if senders.stdout else {}
        memory = sum(_memory(process) for process in serving.processes())
    took.sort()
    return Seen(
        idle_cpu=idle_cpu,
        stored=said["stored"],
        errors=said["errors"],
        echo_p50_s=took[len(took) // 2],
        echo_p99_s=took[int(len(took) * 0.99)],
        echoes=len(took),
        memory_bytes=memory,
    )


def _remote(port: int, calling: str) -> Requestor:
    return Requestor(
        "127.0.0.1",
        port,
        calling=calling,
        called="VNA",
        contexts=[(VERIFICATION, [factories.IMPLICIT]), (factories.CT, [factories.EXPLICIT])],
        timeout_s=120,
    )


def _cpu_share(serving: Serving, seconds: float) -> float:
    dicom = [process for process in serving.processes() if "dicom" in _comm(process)]
    assert dicom
    before, begun = sum(map(_cpu_s, dicom)), time.monotonic()
    select_nothing(seconds)
    return (sum(map(_cpu_s, dicom)) - before) / (time.monotonic() - begun)


def _comm(process: psutil.Process) -> str:
    return Path(f"/proc/{process.pid}/comm").read_text()


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def _echoes(serving: Serving, senders: subprocess.Popen[bytes]) -> list[float]:
    took = []
    with _remote(serving.dicom, "ECHO") as remote:
        while senders.poll() is None or not took:
            asked = time.monotonic()
            assert remote.echo() == 0
            took.append(time.monotonic() - asked)
            select_nothing(_ECHO_EVERY_S)
    return took


class _Senders:
    """So many associations that store one CT of 512 KiB after the other."""

    def __init__(self, port: int, until: float) -> None:
        self._port = port
        self._until = until
        form = factories.ct(_UID_WIDTH, 1, _UID_WIDTH, rows=512, columns=512)
        self._form, self._uid = form.dataset(), form.instance
        self.stored = 0
        self.errors: list[str] = []
        self._lock = threading.Lock()

    def run(self, sender: int) -> None:
        try:
            self._store(sender)
        except VNAError as exc:
            self.errors.append(str(exc))

    def _store(self, sender: int) -> None:
        old = self._uid.encode()
        with _remote(self._port, f"STORE{sender}") as remote:
            number = 0
            while time.monotonic() < self._until:
                number += 1
                new = self._uid.replace(
                    f".{_UID_WIDTH}", f".{_UID_WIDTH + sender * 100_000 + number}", 2
                )
                data = self._form.replace(old, new.encode())
                status = remote.store(factories.CT, new, factories.EXPLICIT, [data])
                with self._lock:
                    self.stored += 1
                    if status.code:
                        self.errors.append(f"{status.code:04X} {status.comment}")


def main() -> None:
    """Store, and print how much and what went wrong."""
    port, count, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    senders = _Senders(port, time.monotonic() + seconds)
    threads = [threading.Thread(target=senders.run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"stored": senders.stored, "errors": senders.errors[:20]}))


if __name__ == "__main__":
    main()
