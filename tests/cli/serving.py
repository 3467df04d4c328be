"""A `vna serve` of its own process, as a test talks to it: lines of its log, HTTP, C-ECHO."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from vna.dimse.scu import Requestor

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60.0
_VERIFICATION = ("1.2.840.10008.1.1", ["1.2.840.10008.1.2"])


@dataclass(slots=True)
class Serving:
    """One supervisor with its children."""

    data: Path
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    authority: Path | None = None  # who signed its certificate, when it is not self-signed
    _more: threading.Condition = field(default_factory=threading.Condition)
    _reader: threading.Thread | None = None

    def read(self) -> None:
        """Collect the lines of standard error in the background."""
        self._reader = threading.Thread(target=self._collect)
        self._reader.start()

    def _collect(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._more:
                self.lines.append(line.rstrip("\n"))
                self._more.notify_all()
        with self._more:
            self._more.notify_all()

    def wait_for(self, text: str, *, count: int = 1) -> None:
        """Wait until that many lines hold the text."""

        def come() -> bool:
            return sum(text in line for line in self.lines) >= count

        with self._more:
            assert self._more.wait_for(come, WAIT_S), "\n".join(self.lines)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log records of one event."""
        records = [json.loads(line) for line in self.lines if line.startswith("{")]
        return [record for record in records if record["event"] == name]

    def state(self) -> dict[str, Any]:
        """Read what the supervisor says of itself."""
        found: dict[str, Any] = json.loads((self.data / "run" / "serve.json").read_text())
        return found

    def child(self, name: str) -> psutil.Process:
        """Return one child by its name, such as "http 1"."""
        return psutil.Process(self.state()["children"][name])

    def family(self) -> list[psutil.Process]:
        """Return the supervisor and everything below it."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Ask over HTTP; a connection waits in the listening socket until a worker is there."""
        state = self.state()
        port = int(state["http"].rpartition(":")[2])
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
        if state["scheme"] == "https":
            trusted = self.authority or self.data / "tls" / "server.crt"
            ours = ssl.create_default_context(cafile=trusted)
            ours.check_hostname = self.authority is None  # theirs names an AE, not this address
            conn = http.client.HTTPSConnection("127.0.0.1", port, timeout=WAIT_S, context=ours)
        with contextlib.closing(conn):
            conn.request("GET", path, headers=headers)
            answer = conn.getresponse()
            return answer.status, answer.read()

    def echo(self) -> None:
        """Send a C-ECHO; raises when it is not answered with success."""
        host, port = self.state()["dicom"].split(":")
        with Requestor(
            host, int(port), calling="TEST", called="VNA", contexts=[_VERIFICATION]
        ) as remote:
            remote.echo()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(WAIT_S)
        if self._reader is not None:
            self._reader.join(WAIT_S)
        return code


def left_of(processes: list[psutil.Process], timeout_s: float = WAIT_S) -> list[psutil.Process]:
    """Wait for processes to end and return those that did not; who only waits to be buried did."""
    _, left = psutil.wait_procs(processes, timeout=0)
    until = time.monotonic() + timeout_s
    while left and time.monotonic() < until:
        left = [process for process in left if _lives(process)]
        psutil.wait_procs(left, timeout=0.05)
    return [process for process in left if _lives(process)]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def command(*words: str | Path) -> list[str]:
    """The command line of `vna`, warnings being errors.

    A closed terminal means something to it, though whoever runs the tests may ignore that.
    """
    heard = ("env", "--default-signal=HUP")
    return [*heard, sys.executable, "-W", "error", "-m", "vna", *map(str, words)]


def run(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*words),
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )


@contextlib.contextmanager
def serving(data: Path, *flags: str, dev: bool = True) -> Iterator[Serving]:
    """Run `vna serve` on free ports until the block ends; nothing of it is left behind."""
    words = ["serve", "--data", str(data), "--http", "127.0.0.1:0", "--dicom", "127.0.0.1:0"]
    words += ["--workers", "1", *(["--dev"] if dev else []), *flags]
    with subprocess.Popen(
        command(*words),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        server = Serving(data, process)
        server.read()
        try:
            server.wait_for("serving ")
            yield server
        finally:
            family = server.family() if process.poll() is None else []
            server.stop()
            assert not left_of(family)
