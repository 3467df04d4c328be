"""The DIMSE edge on a free port: acceptor and workers in threads, or a worker in a process."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

from vna.access.labels import Labels
from vna.access.remotes import Remotes
from vna.config import Settings
from vna.dimse.dispatch import Services, echo
from vna.dimse.handoff import control_pair
from vna.dimse.messages import Field
from vna.dimse.roster import Roster
from vna.dimse.server import Acceptor, listen
from vna.dimse.sop_classes import Service as Kind
from vna.dimse.worker import Worker

ECHO_ONLY: Services = {Field.C_ECHO: (Kind.VERIFICATION, echo)}


def wait_for(is_so: Callable[[], bool], within_s: float = 60.0) -> None:
    """Look until it is so; what is looked at changes in another thread."""
    event, deadline = threading.Event(), time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline
        event.wait(0.002)


class Edge:
    """A running edge. `close` ends it as a supervisor would."""

    def __init__(
        self,
        settings: Settings,
        services: Services,
        workers: int,
        slow_window_s: float,
        remotes: Remotes | None = None,
        *,
        roster: Roster | None = None,
        labels: Labels | None = None,
    ) -> None:
        self.labels = labels
        self.roster = roster
        self.settings = settings
        self.slow_window_s = slow_window_s
        self.remotes = remotes
        listener = listen("127.0.0.1:0")
        self.port: int = listener.getsockname()[1]
        secured = [listen("127.0.0.1:0")] if settings.tls.certificate else []
        self.secured: int = secured[0].getsockname()[1] if secured else 0
        self.acceptor = Acceptor(settings, listener, secured=secured)
        self.workers: list[Worker] = []
        self.threads: list[threading.Thread] = []
        for _ in range(workers):
            self.add_worker(services)
        self._start(self.acceptor.run)

    def add_worker(self, services: Services) -> None:
        """Start one more worker."""
        ours, theirs = control_pair()
        worker = Worker(
            services,
            self.settings,
            theirs,
            remotes=self.remotes,
            labels=self.labels,
            slow_window_s=self.slow_window_s,
            roster=self.roster,
        )
        self.workers.append(worker)
        self._start(worker.serve)
        self.acceptor.add_worker(ours)

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        """Open a bare connection to it, from an address of the loopback network."""
        return socket.create_connection(
            ("127.0.0.1", self.port), timeout=10, source_address=(source, 0)
        )

    def close(self, grace_s: float = 5.0) -> None:
        """Stop, and wait until every thread has ended."""
        self.acceptor.stop(grace_s)
        for worker in self.workers:
            worker.stop(grace_s)
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.threads.append(thread)


_WORKER = """
import socket, sys
from tests.dimse.edge import ECHO_ONLY
from vna.config import Settings
from vna.dimse.worker import Worker
Worker(ECHO_ONLY, Settings(dev=True), socket.socket(fileno=int(sys.argv[1]))).serve()
"""


class WorkerProcess:
    """A worker that serves C-ECHO in a process of its own."""

    def __init__(self, control: socket.socket) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(control.fileno())],
            pass_fds=[control.fileno()],
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        )
        control.close()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()

    def kill(self) -> None:
        """End it as the kernel does when memory is short."""
        self._process.send_signal(signal.SIGKILL)

    def stand_still(self) -> None:
        """Stop it, as a debugger does: it is not dead, and does nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def limit_files(self, most: int) -> int:
        """Let it open no descriptor with a number from `most` on; returns what was allowed."""
        before, hard = resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE, (most, hard))
        return before

    def go_on(self) -> None:
        """Let it do what waits for it."""
        self._process.send_signal(signal.SIGCONT)

    def wait(self) -> int:
        """Wait for its end; return the exit code."""
        return self._process.wait(20)
