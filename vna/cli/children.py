"""What each child process of `vna serve` does, from its fork to its end."""

from __future__ import annotations

import datetime as dt
import functools
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from vna.access import trail
from vna.access.trail import Trail
from vna.app import opened, tls_files
from vna.archive import Archive
from vna.cli import desks
from vna.cli.guest_desk import GuestDesk
from vna.cli.memory import keep_freed_memory, settle
from vna.cli.told import when_told
from vna.config import Settings
from vna.db.pool import Database
from vna.dimse import roster
from vna.dimse.scps import services
from vna.dimse.worker import Worker
from vna.errors import VNAError
from vna.ingest.backfill import SearchIndex
from vna.ingest.recover import Recovery
from vna.jobs.kinds import URGENT, handlers
from vna.jobs.worker import Worker as JobWorker
from vna.operate.syslog import Syslog
from vna.telemetry import Spell, place_of
from vna.web.asgi import serve

GRACE_S = 20.0  # for what is under way when the archive stops
_SWEEP_S = 3600.0
_PARTS_OLDER_S = 3600.0
_TURN_S = 60.0
_IDENTITIES = 10_000  # studies whose patients are looked at in one turn
_SEND_S = 3.0  # between looks at what goes out by itself
_RETRY_S = 5.0
_ASK_S = 0.5  # how long a request for commitment may wait to be begun
_FILL_LOOK_S = 2.0  # how often it is asked whether an attribute was made searchable
_OVERLAP = dt.timedelta(days=1)  # blobs are filed by day, and clocks may be set back a little

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a child needs to open the archive."""

    settings: Settings
    dsn: str
    guests_dsn: str = ""  # as the role that guests are served with


def speak_http(place: Place, handle: int) -> None:
    """Serve the HTTP connections the supervisor hands over until SIGTERM."""
    keep_freed_memory()
    stop = _until_told()
    with opened(place.settings, place.dsn) as archive:
        with suppress(VNAError):  # on a full disk, say: they are made one by one when needed
            archive.store.make_ready()
        settle()
        serve(
            archive.engines,
            place.settings,
            socket.socket(fileno=handle),
            stop=stop,
            tls=None if place.settings.dev else tls_files(place.settings),
        )


def speak_dicom(place: Place, handle: int) -> None:
    """Serve the associations the supervisor hands over until SIGTERM."""
    keep_freed_memory()
    control = socket.socket(fileno=handle)
    with opened(place.settings, place.dsn) as archive:
        with suppress(VNAError):  # on a full disk, say: they are made one by one when needed
            archive.store.make_ready()
        settle()
        settings = place.settings
        worker = Worker(
            services(archive.engines, settings),
            settings,
            control,
            remotes=archive.engines.remotes,
            labels=archive.engines.people.labels,
            roster=roster.own(settings.data, settings.dicom.associations),
        )

        def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 -- a signal handler's
            worker.stop(GRACE_S)  # it takes no lock, and ends the waiting of this thread

        signal.signal(signal.SIGTERM, stop)
        worker.serve()


def do_jobs(place: Place) -> None:
    """Do the work of the queue until SIGTERM; what is in hand then goes on at the next start."""
    settings = place.settings
    with opened(settings, place.dsn) as archive:
        all_kinds = handlers(archive.engines, settings)
        urgent = {kind: does for kind, does in all_kinds.items() if kind in URGENT}
        others = {kind: does for kind, does in all_kinds.items() if kind not in URGENT}
        node, policy = node_of(settings), settings.jobs
        # hands of their own: somebody waits for a code while studies are sent for hours
        clerk = JobWorker(archive.database, urgent, policy, node=f"{node} urgent")
        worker = JobWorker(archive.database, others, policy, node=node)

        def stop() -> None:
            clerk.stop()
            worker.stop()

        when_told(stop)

        def hurry() -> None:
            try:
                clerk.run()
            finally:  # without it nobody gets a code: this process is begun anew
                worker.stop()

        beside = threading.Thread(target=hurry, name="urgent")
        beside.start()
        try:
            worker.run()
        finally:
            clerk.stop()
            beside.join()


def node_of(settings: Settings) -> str:
    """Name the place where this archive's jobs are done: one process at a time holds its lock."""
    return f"{socket.gethostname()}:{settings.data}"


def keep_house(place: Place, begun: dt.datetime, handed: int | None = None) -> None:
    """Do what comes back every hour until SIGTERM: recovery, leftover parts, what was deleted.

    In between: acts the journal knows and the index not yet, and requests for commitment. `begun`
    is when this archive took up its work: no blob before it can still be on its way to a row, for
    who was writing it is gone. Desks come over `handed`: at them it does what who serves guests
    lacks keys for.
    """
    stop = _until_told()
    with opened(place.settings, place.dsn) as archive, _filling(archive.search_index, stop):
        clerk = _beside("clerk", functools.partial(_commit, archive), stop)
        sealer = _beside("sealer", archive.sealer.run, stop)
        scrubber = _beside("scrubber", archive.scrub.run, stop)
        messenger = _sending(archive, stop)
        porter = None if handed is None else _at_desks(archive, place, handed, stop)
        hourly = min(place.settings.ingest.adopt_s, _SWEEP_S)
        courier = _beside("courier", functools.partial(_send, archive), stop)
        failing = Spell(logger, "upkeep failed", level=logging.ERROR)
        due, wait_s, first = time.monotonic(), 0.0, True
        while not stop.wait(wait_s):
            wait_s = _TURN_S
            try:
                if time.monotonic() >= due:
                    recover(archive, begun if first else None)
                    first, due = False, time.monotonic() + hourly
                else:
                    catch_up(archive, _TURN_S)
                archive.engines.identities.keep_up(_IDENTITIES)
                archive.watch.look()
                failing.worked()
            except VNAError as exc:
                failing.failed(str(exc))
                wait_s = _RETRY_S
        if porter is not None:
            porter.join(GRACE_S)
        clerk.join(GRACE_S)
        courier.join(GRACE_S)
        sealer.join(GRACE_S)
        scrubber.join(GRACE_S)
        if messenger is not None:
            messenger.join(GRACE_S)


def recover(archive: Archive, begun: dt.datetime | None) -> None:
    """Bring index and store into agreement, deletions first: nothing deleted is adopted."""
    now = dt.datetime.now(dt.UTC)
    older_s = (now - begun).total_seconds() if begun else _TURN_S
    catch_up(archive, older_s)
    adopt_orphans(archive.recovery, archive.settings, archive.database, begun)
    archive.store.sweep_parts(older_s=_PARTS_OLDER_S)
    archive.purge.run()
    archive.engines.transactions.expire()
    archive.engines.changes.keep_up()
    archive.engines.people.sessions.sweep()
    archive.engines.messages.sweep()
    archive.engines.imports.sweep()
    archive.engines.sharing.sweep()
    archive.engines.sharing.remind()
    archive.engines.people.emergencies.sweep()
    archive.watch.sweep()
    archive.engines.carers.lapse()
    archive.engines.identities.proposals.sweep()


def _sending(archive: Archive, stop: threading.Event) -> threading.Thread | None:
    """Send the audit trail to its repository until told to stop, where one is named."""
    trail = Trail(archive.database, archive.audit)
    syslog = Syslog(database=archive.database, trail=trail, settings=archive.settings)
    if not syslog.is_wanted:
        return None
    return _beside("syslog", syslog.run, stop)


def _beside(
    name: str, run: Callable[[threading.Event], None], stop: threading.Event
) -> threading.Thread:
    """Have something run in a thread of its own until told to stop.

    A fault of ours ends it no more than any other: this process would go on without it, and nobody
    would notice that nothing is sealed, committed or sent any more.
    """
    failing = Spell(logger, f"the {name} failed", level=logging.ERROR)

    def steadily() -> None:
        while True:
            try:
                return run(stop)
            except Exception as exc:
                failing.failed(place_of(exc))
            if stop.wait(_RETRY_S):
                return None

    thread = threading.Thread(target=steadily, name=name, daemon=True)
    thread.start()
    return thread


def _at_desks(
    archive: Archive, place: Place, handed: int, stop: threading.Event
) -> threading.Thread:
    """Answer at each desk that comes over a socket, until told to stop."""
    desk = GuestDesk(
        archive.store,
        place.settings,
        archive.engines.sharing,
        dsn=place.guests_dsn,
        grace_s=GRACE_S,
    )

    def attend() -> None:
        try:
            desks.keep(socket.socket(fileno=handed), desk.run, stop, grace_s=GRACE_S)
        finally:  # no guest is served without it: this process is begun anew
            stop.set()

    thread = threading.Thread(target=attend, name="porter", daemon=True)
    thread.start()
    return thread


def _send(archive: Archive, stop: threading.Event) -> None:
    """Share what consents let go out, and tell of it in the morning, until told to stop."""
    failing = Spell(logger, "sharing by consent failed", level=logging.ERROR)
    while not stop.wait(_SEND_S):
        try:
            archive.engines.sharing.automatic.turn()
            archive.engines.sharing.mornings.turn()
            failing.worked()
        except VNAError as exc:
            failing.failed(str(exc))
            stop.wait(_RETRY_S)


def catch_up(archive: Archive, older_s: float) -> None:
    """Bring in what the journal knows and a crash kept from the index, whoever wrote it.

    From the day on up to which blobs were looked at: the journal was brought in before them. It
    only ever grows; walked whole each minute it keeps a processor busy after some years.
    """
    engines = archive.engines
    since = _since(_mark(archive.settings), archive.database)
    for engine in (
        engines.lifecycle,
        engines.sharing,
        engines.corrections,
        engines.identities,
        engines.labels,
        engines.holds,
        engines.carers,
        engines.imports,
    ):
        engine.catch_up(older_s=older_s, since=since)


def _commit(archive: Archive, stop: threading.Event) -> None:
    """Work off requests for Storage Commitment until told to stop."""
    failing = Spell(logger, "commitment failed", level=logging.ERROR)
    while not stop.wait(_ASK_S):
        try:
            while archive.engines.transactions.work(stop.is_set) and not stop.is_set():
                pass
            failing.worked()
        except VNAError as exc:
            failing.failed(str(exc))
            stop.wait(_RETRY_S)


@contextmanager
def _filling(search_index: SearchIndex, stop: threading.Event) -> Iterator[None]:
    """Fill in attributes made searchable, beside what else there is to do."""

    failing = Spell(logger, "filling in failed")

    def fill() -> None:
        wait_s = 0.0
        while not stop.wait(wait_s):
            try:
                done = search_index.step().instances
                failing.worked()
            except VNAError as exc:
                failing.failed(str(exc))
                done = 0
            except Exception:
                logger.exception("filling in failed")
                done = 0
            wait_s = 0.0 if done else _FILL_LOOK_S

    thread = threading.Thread(target=fill, name="fill", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _until_told() -> threading.Event:
    """Make an event that SIGTERM sets."""
    stop = threading.Event()
    when_told(stop.set)
    return stop


def adopt_orphans(
    recovery: Recovery, settings: Settings, database: Database, begun: dt.datetime | None
) -> None:
    """Index complete blobs without a row, from the day up to which that was last done.

    With `begun`, what is older than that moment; without, what is older than `ingest.adopt_s`: a
    younger blob may still be on its way to its row. Of a database that was put back since, all.
    """
    now = dt.datetime.now(dt.UTC)
    older_s = (now - begun).total_seconds() if begun else settings.ingest.adopt_s
    mark = _mark(settings)
    found = recovery.adopt(older_s=older_s, since=_since(mark, database))
    logger.info(
        "looked for orphaned blobs",
        extra={"seen": found.blobs, "adopted": found.indexed, "removed": found.removed},
    )
    said = [(now - dt.timedelta(seconds=older_s)).isoformat()]
    if place := trail.newest(database):
        said += [str(place.audit_id), place.at.isoformat()]
    part = mark.with_suffix(f".{os.getpid()}")
    try:
        part.write_text(" ".join(said), encoding="ascii")
        part.replace(mark)
    except OSError as exc:  # a full disk: purging, which makes room, comes after this
        logger.warning("mark not written", extra={"errno": exc.errno})


def _mark(settings: Settings) -> Path:
    return settings.data / "run" / "adopted"


def _since(mark: Path, database: Database) -> dt.date | None:
    try:
        done_to, *place = mark.read_text(encoding="ascii").split()
        since = (dt.datetime.fromisoformat(done_to) - _OVERLAP).date()
        if place and not trail.is_there(database, _place(*place)):
            logger.warning("the database was put back: looking at everything")
            return None
    except (OSError, ValueError, TypeError):
        return None  # never done, or not readable: look at everything
    return since


def _place(audit_id: str, at: str) -> trail.Place:
    return trail.Place(int(audit_id), dt.datetime.fromisoformat(at))
