"""A worker's half of the DIMSE edge: take connections from the supervisor, a thread for each."""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time

from vna.access.labels import Labels
from vna.access.remotes import Remotes
from vna.config import Settings
from vna.dimse import tls
from vna.dimse.association import Association, House
from vna.dimse.buffers import Buffers
from vna.dimse.callers import Callers
from vna.dimse.dispatch import Services
from vna.dimse.handoff import (
    ASK,
    CONNECTION,
    ENDED,
    SECURED,
    TAKEN,
    YES,
    receive_from_supervisor,
    send_to_supervisor,
)
from vna.dimse.link import Timing
from vna.dimse.roster import Roster
from vna.dimse.standing import Watch
from vna.telemetry import Spell

log = logging.getLogger(__name__)

_STACK_BYTES = (
    512 << 10
)  # address space of a thread, not memory; the default of 8 MiB times 500 is 4 GiB
_ADMIT_S = 5.0  # the supervisor answers in microseconds; this long means it is gone


class Worker:
    """Serve what the supervisor hands over on `control`, until `stop` or the supervisor's end."""

    def __init__(
        self,
        services: Services,
        settings: Settings,
        control: socket.socket,
        *,
        remotes: Remotes | None = None,
        labels: Labels | None = None,
        slow_window_s: float = 30.0,
        roster: Roster | None = None,
    ) -> None:
        dicom = settings.dicom
        self._control = control
        self._stop_out, self._stop_in = socket.socketpair()
        self._house = House(
            settings=settings,
            services=services,
            timing=Timing(
                artim_s=dicom.artim_s,
                idle_s=dicom.idle_s,
                slowest_bytes_s=dicom.slowest_bytes_s,
                slow_window_s=slow_window_s,
                send_s=dicom.response_s,
                response_s=dicom.response_s,
            ),
            buffers=Buffers(),
            stop_fd=self._stop_out.fileno(),
            callers=Callers(settings, remotes, labels),
            roster=roster or Roster(),
            tls=tls.acceptor(settings.tls),
            is_stopping=lambda: self.is_stopping,
        )
        self._lock = threading.Lock()
        self._open: dict[int, tuple[threading.Thread, Association]] = {}
        self._asked: dict[int, tuple[threading.Event, list[bool]]] = {}
        self._grace_s: float | None = None
        self._crowded = Spell(log, "connections not taken")
        self._watch = Watch(self._house.callers, self._associations)

    def __len__(self) -> int:
        """Count the open connections."""
        return len(self._open)

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._grace_s is not None

    def stop(self, grace_s: float) -> None:
        """End `serve`: idle associations are released, others may finish their object.

        Returns at once; after `grace_s` what is still open is cut. May be called from a signal
        handler or another thread.
        """
        if self._grace_s is None:
            self._grace_s = grace_s
            self._stop_in.send(b"s")  # never read: every idle association sees it

    def serve(self) -> None:
        """Take connections until stopped, then see the open ones to their end."""
        self._watch.start()
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._stop_out, selectors.EVENT_READ)
            while self._grace_s is None:
                ready = [key.fileobj for key, _ in selector.select()]
                if self._control in ready and not self._has_taken():
                    self.stop(0.0)
            self._see_off(selector)
        self._watch.stop()
        self._house.roster.close()
        self._control.close()
        self._stop_in.close()
        self._stop_out.close()

    def _associations(self) -> list[Association]:
        with self._lock:
            return [association for _, association in self._open.values()]

    def _has_taken(self) -> bool:
        try:
            record = receive_from_supervisor(self._control)
        except OSError:
            record = None
        if record is None:
            log.warning("supervisor gone")
            return False
        kind, number, sock = record
        if kind in (CONNECTION, SECURED):
            self._tell(TAKEN, number)
        if sock is not None:
            self._start(number, sock, secured=kind == SECURED)
        elif kind in (CONNECTION, SECURED):  # no descriptor was left for it: the kernel closed it
            self._crowded.failed("No descriptor is left.")
            self._tell(ENDED, number)
        elif (asked := self._asked.get(number)) is not None:
            answered, answer = asked
            answer.append(kind == YES)
            answered.set()
        return True

    def _start(self, number: int, sock: socket.socket, *, secured: bool) -> None:
        try:
            peer = str(sock.getpeername()[0])
            association = Association(
                sock,
                peer,
                self._house,
                admit=lambda title, most: self._is_admitted(number, title, most),
                secured=secured,
            )
        except OSError:
            sock.close()  # the peer went before it was served
            self._tell(ENDED, number)
            return
        thread = threading.Thread(
            target=self._run, args=(number, association), name=f"association-{number}", daemon=True
        )
        with self._lock:
            self._open[number] = thread, association
        before = threading.stack_size(_STACK_BYTES)
        try:
            thread.start()
            self._crowded.worked()
        except RuntimeError:  # the system has no other: it would end this thread, and with it all
            self._crowded.failed("No thread can be started.")
            with self._lock:
                del self._open[number]
            sock.close()
            self._tell(ENDED, number)
        finally:
            threading.stack_size(before)

    def _run(self, number: int, association: Association) -> None:
        try:
            association.run()
        except Exception:  # the end of the thread: nothing above it would say so
            log.exception("association failed")
        finally:
            with self._lock:
                self._open.pop(number, None)
            self._tell(ENDED, number)

    def _is_admitted(self, number: int, title: str, most: int) -> bool:
        answered, answer = threading.Event(), list[bool]()
        self._asked[number] = answered, answer
        self._tell(ASK, number, title, most)
        answered.wait(_ADMIT_S)
        del self._asked[number]
        return bool(answer and answer[0])

    def _tell(self, kind: bytes, number: int, title: str = "", most: int = 0) -> None:
        try:
            with self._lock:
                send_to_supervisor(self._control, kind, number, title, most)
        except OSError:
            log.debug("supervisor gone")

    def _see_off(self, selector: selectors.BaseSelector) -> None:
        # the supervisor still answers which AE may have one more: connections handed over just now
        selector.unregister(self._stop_out)
        deadline = time.monotonic() + (self._grace_s or 0.0)
        while self._open and (left := deadline - time.monotonic()) > 0:
            if selector.select(min(left, 0.05)) and not self._has_taken():
                break
        with self._lock:
            late = list(self._open.values())
        for _, association in late:
            association.hang_up()
        for thread, _ in late:
            thread.join(5.0)
