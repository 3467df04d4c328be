"""The supervisor's loop: DICOM connections in, children watched, PostgreSQL kept alive."""

from __future__ import annotations

import datetime as dt
import functools
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from types import FrameType

from prometheus_client import multiprocess

from vna import app, telemetry
from vna.cli import guests, sockets
from vna.cli.children import GRACE_S, Place, do_jobs, keep_house, speak_dicom, speak_http
from vna.cli.desks import Desks
from vna.cli.spread import Spread
from vna.cli.streams import say
from vna.cli.supervisor import Supervisor
from vna.cli.usable import require_usable
from vna.config import Settings
from vna.db.cluster import Cluster
from vna.dimse.handoff import control_pair
from vna.dimse.server import Acceptor
from vna.errors import VNAError

STATE = "serve.json"  # in DATA/run: who is there and where it listens; read by `vna status`

_LOOK_S = 1.0  # how often PostgreSQL is looked at; a child's death is noticed at once
_RETRY_S = 10.0  # longest pause between two attempts to start PostgreSQL again
_LATE_S = 2.0  # after their grace, before children are killed

logger = logging.getLogger(__name__)


def serve(
    settings: Settings,
    http: socket.socket,
    workers: int,
    dicom: sockets.Doors,
    for_guests: Sequence[socket.socket] = (),
) -> None:
    """Make what is missing, then serve on these sockets until SIGTERM, SIGINT or SIGHUP.

    HTTP has so many `workers`, and DICOM as well unless its settings name another number.
    """
    telemetry.start_logging(settings.log.level)
    made = app.found(settings)
    with app.index_of(settings) as index:
        made += app.found_index(settings, index)
        for line in made:
            say(f"made: {line}")
        require_usable(settings, index)
        loop = _Loop(settings, index.cluster, http, dicom, for_guests)
        guests_dsn = app.found_guest_role(settings, index) if for_guests else ""
        place = Place(settings=settings, dsn=index.dsn, guests_dsn=guests_dsn)
        loop.populate(place, workers, settings.dicom.workers or workers)
        loop.run()


class _Loop:
    """One `vna serve`. Single-threaded, because it forks."""

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster | None,
        http: socket.socket,
        dicom: sockets.Doors,
        for_guests: Sequence[socket.socket],
    ) -> None:
        self._state = settings.data / "run" / STATE
        self._cluster = cluster
        self._guests = for_guests
        self._web, self._dimse = sockets.name_of(http), sockets.name_of(dicom.plain[0])
        self._secured = [sockets.name_of(sock) for sock in dicom.secured]
        self._guests_at = sockets.name_of(for_guests[0]) if for_guests else ""  # they close first
        first, *others = dicom.plain
        self._acceptor = Acceptor(settings, first, plain=others, secured=dicom.secured)
        self._spread = Spread(http, watch=self._acceptor.watch, unwatch=self._acceptor.unwatch)
        self._supervisor = Supervisor(leave=self._leave, ended=multiprocess.mark_process_dead)
        self._desks = Desks(
            watch=self._acceptor.watch, unwatch=self._acceptor.unwatch, lost=self._supervisor.end
        )
        self._settings = settings
        self._scheme = "http" if settings.dev else "https"
        self._told: dict[str, object] = {}
        self._is_untold = False
        self._begun = dt.datetime.now(dt.UTC)
        self._asked: signal.Signals | None = None
        self._is_stopping = False
        self._look_at, self._pause_s = 0.0, _LOOK_S
        self._reviving = telemetry.Spell(logger, "postgres does not start", level=logging.ERROR)

    def populate(self, place: Place, http_workers: int, dicom_workers: int) -> None:
        """Name the children: the workers of both protocols, one for jobs, one for upkeep."""
        add = self._supervisor.add
        for number in range(1, http_workers + 1):
            name = f"http {number}"
            add(name, functools.partial(self._with_connections, name, place))
        for number in range(1, dicom_workers + 1):
            name = f"dicom {number}"
            add(name, functools.partial(self._with_control, name, place))
        add("jobs", lambda: (functools.partial(do_jobs, place), ()))
        add("upkeep", functools.partial(self._with_desks, place))
        for number, sock in enumerate(self._guests, 1):
            name = f"guests {number}"
            add(name, functools.partial(self._with_guests, name, sock))

    def run(self) -> None:
        """Work until asked to stop, or the terminal is closed, then stop in order."""
        ignored = {n for n in _OF_TERMINALS if signal.getsignal(n) is signal.SIG_IGN}  # by nohup
        handlers = {n: signal.signal(n, self._note) for n in _SIGNALS if n not in ignored}
        before = signal.set_wakeup_fd(self._acceptor.wakeup_fd, warn_on_full_buffer=False)
        try:
            self._acceptor.run(self._turn)
        finally:
            signal.set_wakeup_fd(before)
            self._supervisor.stop(GRACE_S + _LATE_S)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._state.unlink(missing_ok=True)
            logger.info("stopped")

    def _turn(self) -> float | None:
        """Do the supervisor's share between two connections."""
        if self._asked is not None and not self._is_stopping:
            self._is_stopping = True
            logger.info("stopping", extra={"signal": self._asked.name})
            self._supervisor.ask_to_stop()
            self._acceptor.stop(GRACE_S + _LATE_S)
            self._spread.close()
            for sock in self._guests:  # theirs are closed, too: who comes now is refused
                sock.close()
        waits = [self._supervisor.tend(), self._spread.tend()]
        self._tell()
        if self._cluster is not None and not self._is_stopping:
            self._look_after(self._cluster)
            waits.append(self._look_at - time.monotonic())
        return min((wait_s for wait_s in waits if wait_s is not None), default=None)

    def _look_after(self, cluster: Cluster) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        if cluster.is_alive():
            self._pause_s = _LOOK_S
            self._reviving.worked()
        else:
            if self._pause_s == _LOOK_S:  # else it was told, and it did not start
                logger.error("postgres ended, starting it again")
            try:
                cluster.revive()
            except VNAError as exc:
                self._reviving.failed(str(exc))
            self._pause_s = min(self._pause_s * 2, _RETRY_S)
        self._look_at = now + self._pause_s

    def _with_connections(
        self, name: str, place: Place
    ) -> tuple[Callable[[], None], tuple[int, ...]]:
        handle = self._spread.add_worker(name).detach()
        return functools.partial(speak_http, place, handle), (handle,)

    def _with_control(self, name: str, place: Place) -> tuple[Callable[[], None], tuple[int, ...]]:
        ours, theirs = control_pair()
        self._acceptor.add_worker(ours, name)
        handle = theirs.detach()
        return functools.partial(speak_dicom, place, handle), (handle,)

    def _with_desks(self, place: Place) -> tuple[Callable[[], None], tuple[int, ...]]:
        if not self._guests:
            return functools.partial(keep_house, place, self._begun), ()
        handle = self._desks.for_upkeep().detach()
        return functools.partial(keep_house, place, self._begun, handle), (handle,)

    def _with_guests(
        self, name: str, sock: socket.socket
    ) -> tuple[Callable[[], None], tuple[int, ...]]:
        listening, desk = sock.dup(), self._desks.for_guests(name)
        handles = listening.detach(), desk.detach()
        return functools.partial(guests.begin, *handles, self._supervisor.lifeline), handles

    def _leave(self) -> None:
        """Close in a child what is the supervisor's."""
        self._acceptor.leave_behind()
        self._spread.leave_behind()
        self._desks.leave_behind()
        for sock in self._guests:
            sock.close()

    def _tell(self) -> None:
        """Keep the state file true: written when a child came or went."""
        children = self._supervisor.running()
        if self._told.get("children") == children:
            return
        is_first = not self._told
        self._told = {
            "pid": os.getpid(),
            "since": self._begun.isoformat(timespec="seconds"),
            "dev": self._settings.dev,
            "scheme": self._scheme,
            "http": self._web,
            "dicom": self._dimse,
            "dicom_tls": self._secured,
            "guests": self._guests_at,
            "ae_title": self._settings.dicom.ae_title,
            "children": children,
        }
        part = self._state.with_suffix(".part")
        try:
            part.write_text(json.dumps(self._told), encoding="utf-8")
            part.replace(self._state)
        except OSError as exc:  # a full disk ends nothing; written at a later turn
            if not self._is_untold:
                logger.warning("state not written", extra={"errno": exc.errno})
            self._is_untold = True
            self._told.pop("children")
        else:
            self._is_untold = False
        if is_first:
            say(
                f"serving {self._settings.data}: DICOMweb {self._scheme}://{self._web}/dicom-web, "
                f"DICOM {self._settings.dicom.ae_title} at {self._dimse}"
                f"{''.join(f', {name} (TLS)' for name in self._secured)}"
                f"{f', guests {self._scheme}://{self._guests_at}/s' if self._guests_at else ''}"
                "; Ctrl-C stops it"
            )

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 -- a signal handler's
        if number != signal.SIGCHLD:
            self._asked = signal.Signals(number)


_OF_TERMINALS = frozenset({signal.SIGHUP})
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, *_OF_TERMINALS)
