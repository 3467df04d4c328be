"""A server of our own, started as a child: what `vna demo` talks to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vna.config import Outbound, Settings, address
from vna.errors import Unavailable
from vna.outbound import Caller, Gate, Plain, Use, named

_START_S = 120.0
_STOP_S = 60.0
_MOST_ANSWER = 1 << 30
_GATE = Gate(Outbound())


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    content_type: str
    body: bytes

    def json(self) -> object:
        """The body as JSON; an empty one is an empty list."""
        found: object = json.loads(self.body or b"[]")
        return found


@dataclass(frozen=True, slots=True)
class Server:
    """Where the running archive listens."""

    http: tuple[str, int]
    dicom: tuple[str, int]
    ae_title: str
    process: subprocess.Popen[bytes]

    def ask(self, method: str, path: str, *, body: bytes | None = None, **headers: str) -> Answer:
        """Send one HTTP request; header names are written with underscores.

        Raises `Unavailable` when it does not answer.
        """
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        with self.caller() as caller:
            answer = caller.ask(
                method, self.origin + path, content=body, headers=sent, most=_MOST_ANSWER
            )
        kind = answer.headers.get("Content-Type") or ""
        return Answer(answer.status, kind, answer.body)

    @property
    def origin(self) -> str:
        """The URL of its root."""
        host, port = self.http
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def caller(self) -> Caller:
        """Give what asks it, and keeps cookies in between; who takes it closes it."""
        use = Use(called="The archive", named=named(self.origin), plain=Plain.HERE)
        return _GATE.caller(timeout_s=60, use=use)


@contextmanager
def serving(settings: Settings, flags: list[str]) -> Iterator[Server]:
    """Start `vna serve --dev` and wait until it is ready; stop it at the end.

    Raises `Unavailable` when it ends before it is ready: its own words are on standard error.
    """
    command = [sys.executable, "-m", "vna", "serve", "--dev", *flags]
    # only trouble is worth a line between the steps that are shown
    environment = {"VNA_LOG_LEVEL": "WARNING", **os.environ}
    # asked to end, we end what we started, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)
    server = Server(
        address(settings.http.listen),
        address(settings.dicom.listen),
        settings.dicom.ae_title,
        process,
    )
    try:
        _wait_until_ready(server)
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=_STOP_S)


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise Unavailable("The archive did not start; the reason stands above.")
        try:
            if server.ask("GET", "/readyz").status == 200:
                return
        except Unavailable:
            pass  # not listening yet
        time.sleep(0.05)
    raise Unavailable("The archive did not become ready in two minutes.")
