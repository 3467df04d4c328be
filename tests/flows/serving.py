"""A real `vna serve` in a test: its own data folder, its own ports, killed in any way."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests import prepared

ROOT = Path(__file__).resolve().parents[2]
READY_S = 90.0


def free_port() -> int:
    """Find a port nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@dataclass(slots=True)
class Serving:
    """One archive and the server that serves it, while there is one."""

    data: Path
    environment: dict[str, str] = field(default_factory=dict)
    http: int = field(default_factory=free_port)
    dicom: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it is ready, over an archive that was made before."""
        prepared.lay(self.data)
        log = (self.data.parent / f"{self.data.name}.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "vna", "serve", "--dev"),
                    *("--data", str(self.data), "--workers", "2"),
                    *("--http", f"127.0.0.1:{self.http}", "--dicom", f"127.0.0.1:{self.dicom}"),
                ],
                cwd=ROOT,
                env={**os.environ, "VNA_DICOM_ASSOCIATIONS_PER_ADDRESS": "600", **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_ready()

    def wait_ready(self) -> None:
        """Ask until the server says that it is ready."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, self.log()[-4000:]
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.ask("GET", "/readyz")[0] == 200:
                    return
            # the server is another process: there is no event here to wait on but its answer
            select_nothing(0.05)
        raise AssertionError(f"not ready: {self.log()[-4000:]}")

    def processes(self) -> list[psutil.Process]:
        """Every process of the server's session, PostgreSQL's too."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if self.process is not None and os.getsid(process.pid) == self.process.pid:
                    found.append(process)
        return found

    def kill(self, process: psutil.Process) -> None:
        """`kill -9` of one process of ours."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()

    def kill_all(self) -> None:
        """`kill -9` of the whole tree."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for process in self.processes():
            self.kill(process)
        self.process.wait()

    def stop(self) -> int:
        """Stop as an administrator does; return the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise
        finally:
            self.process = None

    def ask(
        self, method: str, path: str, *, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """Send one HTTP request on a connection of its own."""
        conn = http.client.HTTPConnection("127.0.0.1", self.http, timeout=30)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            conn.request(method, path, body=body, headers=sent)
            response = conn.getresponse()
            return response.status, response.read(), dict(response.getheaders())
        finally:
            conn.close()

    def json(self, path: str) -> Any:
        """Get DICOM JSON below the DICOMweb root."""
        status, body = self.settled("GET", f"/dicom-web{path}", Accept="application/dicom+json")
        assert status == 200, (status, body[:300])
        return json.loads(body)

    def settled(self, method: str, path: str, **headers: str) -> tuple[int, bytes]:
        """Ask again while the archive says to try again later: a process of it was killed."""
        deadline = time.monotonic() + READY_S
        while True:
            status, body, _ = self.ask(method, path, **headers)
            if status != 503 or time.monotonic() > deadline:
                return status, body
            select_nothing(0.05)

    def log(self) -> str:
        """What the server wrote so far."""
        return (self.data.parent / f"{self.data.name}.log").read_text(errors="replace")


def select_nothing(seconds: float) -> None:
    """Let time pass between two questions to another process."""
    import select

    select.select([], [], [], seconds)
