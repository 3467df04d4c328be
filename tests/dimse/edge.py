"""The DIMSE edge on a free port: acceptor and workers in threads of the test process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from vna.config import Settings
from vna.dimse.dispatch import Services, echo
from vna.dimse.handoff import control_pair
from vna.dimse.messages import Field
from vna.dimse.server import Acceptor, listen
from vna.dimse.sop_classes import Service as Kind
from vna.dimse.worker import Worker

ECHO_ONLY: Services = {Field.C_ECHO: (Kind.VERIFICATION, echo)}


class Edge:
    """A running edge. `close` ends it as a supervisor would."""

    def __init__(self, settings: Settings, services: Services, workers: int) -> None:
        self.settings = settings
        self.listener = listen("127.0.0.1:0")
        self.port: int = self.listener.getsockname()[1]
        pairs = [control_pair() for _ in range(workers)]
        self.acceptor = Acceptor(settings, self.listener, [ours for ours, _ in pairs])
        self.workers = [Worker(services, settings, theirs) for _, theirs in pairs]
        runs: list[Callable[[], None]] = [self.acceptor.run, *(w.serve for w in self.workers)]
        self.threads = [threading.Thread(target=run, daemon=True) for run in runs]
        for thread in self.threads:
            thread.start()

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
