"""Log set-up (JSON lines, no patient data) and every metric, declared once.

A log record is an event name and fields (`extra={...}`). Control characters are escaped by JSON
itself, so a peer's text cannot forge a line.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

import orjson
from prometheus_client import Counter, Gauge, Histogram, values
from prometheus_client.mmap_dict import MmapedDict

_MOST_CAUSES = 8
_STANDARD = frozenset(vars(logging.makeLogRecord({})).keys()) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, room, event, then the fields given in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the record as one line."""
        line: dict[str, Any] = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "room": record.name,
            "event": _event(record),
            "pid": record.process,
        }
        line.update({k: v for k, v in vars(record).items() if k not in _STANDARD})
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__name__
            line["trace"] = place_of(record.exc_info[1])
        return orjson.dumps(line, default=str).decode()


def _event(record: logging.LogRecord) -> str:
    """Give what happened. asyncio puts below it what failed, with the text of its error."""
    told = record.getMessage()
    return told.partition("\n")[0] if record.name == "asyncio" else told


def place_of(exc: BaseException | None) -> str:
    """Tell where an error arose and what it arose from: lines of code, types, the system's numbers.

    Never its text: that of an error nobody foresaw may hold a patient's name.
    """
    told: list[str] = []
    while exc is not None and len(told) < _MOST_CAUSES:
        number = f" {exc.errno}" if isinstance(exc, OSError) and exc.errno else ""
        told.append("".join(traceback.format_tb(exc.__traceback__)) + type(exc).__name__ + number)
        exc = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
    return "\n".join(told)


def start_logging(level: str) -> None:
    """Send the log to standard error as JSON lines, what ends the process or a thread, too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    quiet_others()
    sys.excepthook = _uncaught
    threading.excepthook = lambda told: _uncaught(told.exc_type, told.exc_value, told.exc_traceback)


def quiet_others() -> None:
    """Want the failures alone of who speaks of peers' values, or writes down whole addresses."""
    web = ("uvicorn", "uvicorn.access", "uvicorn.error", "httpx", "httpcore")
    for name in ("pydicom", "psycopg", *web):
        logging.getLogger(name).setLevel(logging.ERROR)


class Spell:
    """A fault that comes again and again, told once a reason and day, and once when it is over.

    A database that is away for an hour fails ten thousand times: as many lines tell no more, and
    hide what else happens. One line for a fault of weeks is one nobody finds any more. Over is what
    has not failed for a while and was done since. Shared by threads.
    """

    _QUIET_S = 10.0
    _AGAIN_S = 86400.0
    _MOST_REASONS = 8

    def __init__(
        self,
        log: logging.Logger,
        event: str,
        *,
        level: int = logging.WARNING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`event` names what fails, as its line shall say it, at this `level`."""
        self._log = log
        self._event = event
        self._level = level
        self._clock = clock
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self._times = 0
        self._began = self._last = self._day = 0.0

    def failed(self, why: str) -> None:
        """Note that it failed; the reason is told when it is new in this spell, or today."""
        with self._lock:
            self._last = self._clock()
            if not self._times:
                self._began = self._day = self._last
            self._times += 1
            if self._last - self._day >= self._AGAIN_S:
                self._day = self._last
                self._told.clear()
            if why in self._told or len(self._told) >= self._MOST_REASONS:
                return
            self._told.add(why)
            extra = {"why": why, **self._so_far()}
        self._log.log(self._level, self._event, extra=extra)

    def worked(self) -> None:
        """Note that it was done; costs nothing while nothing fails."""
        if not self._times:
            return
        with self._lock:
            if not self._times or self._clock() - self._last < self._QUIET_S:
                return
            extra = self._so_far()
            self._times = 0
            self._told.clear()
        self._log.warning(f"{self._event}: over", extra=extra)

    def _so_far(self) -> dict[str, float]:
        return {"times": self._times, "for_s": round(self._last - self._began, 1)}


def _uncaught(
    kind: type[BaseException], exc: BaseException | None, trace: TracebackType | None
) -> None:
    if not issubclass(kind, Exception):  # asked to end
        sys.__excepthook__(kind, exc or kind(), trace)
        return
    found = (kind, exc or kind(), trace)
    logging.getLogger(__name__).critical("nobody caught this", exc_info=found)


def share_metrics(folder: str) -> None:
    """Let the processes of one archive add up their metrics through files in `folder`.

    Must run before the first metric is touched, which is when this module is imported: the
    supervisor sets the variable for the processes it starts.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder


class RoomyDict(MmapedDict):
    """The file a process counts in, with the room it takes beforehand.

    It is mapped into memory: a page a full disk has no room for would end the process (SIGBUS),
    and with it storing, searching and retrieving. Without room it is kept in memory, and the other
    processes do not see it.
    """

    _ROOM = 1 << 16
    _OVERHEAD = 64  # of an entry beyond its key: length, padding, two numbers

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        """Open or make the file."""
        if read_mode or self._allocate(filename):
            super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]
            return
        memory = os.memfd_create("vna metrics")
        super().__init__(f"/proc/self/fd/{memory}", read_mode)  # type: ignore[no-untyped-call]
        os.close(memory)

    def _init_value(self, key: str) -> None:
        if self._used + len(key.encode()) + self._OVERHEAD > self._capacity:
            self._grow()
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _grow(self) -> None:
        try:
            os.posix_fallocate(self._f.fileno(), 0, 2 * self._capacity)
        except OSError:
            memory = os.fdopen(os.memfd_create("vna metrics"), "r+b")
            memory.write(self._m[:])
            memory.flush()
            self._f.close()
            self._f = memory

    @classmethod
    def _allocate(cls, filename: str) -> bool:
        try:
            handle = os.open(filename, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            os.posix_fallocate(handle, 0, cls._ROOM)
        except OSError:
            with suppress(OSError):
                os.unlink(filename)  # one without a head could not be read
            return False
        finally:
            os.close(handle)
        return True


# before the first metric is declared
values.MmapedDict = RoomyDict  # type: ignore[attr-defined]

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

INSTANCES_RECEIVED = Counter(
    "vna_instances_received_total",
    "Instances received, by way in and outcome",
    ["proto", "outcome"],
)
BYTES_RECEIVED = Counter("vna_bytes_received_total", "Bytes of data sets received", ["proto"])
RECEIVE_SECONDS = Histogram(
    "vna_receive_seconds", "First byte to acknowledged outcome of an instance", buckets=_FAST
)
COMMIT_SECONDS = Histogram("vna_commit_seconds", "One index transaction of ingest", buckets=_FAST)
COMMIT_BATCH = Histogram(
    "vna_commit_batch", "Instances in one index transaction", buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)
SEARCHES = Counter("vna_searches_total", "Searches, by level and result", ["level", "result"])
SEARCH_SECONDS = Histogram("vna_search_seconds", "One search, all its pages", buckets=_FAST)
RETRIEVALS = Counter("vna_retrievals_total", "Retrievals, by what was asked for", ["what"])
BYTES_SENT = Counter("vna_bytes_sent_total", "Bytes of payloads handed to an edge", ["what"])
BLOB_READS_CORRUPT = Counter(
    "vna_blob_reads_corrupt_total", "Reads refused because sealed bytes did not verify"
)
ASSOCIATIONS = Gauge("vna_associations", "Open associations", multiprocess_mode="livesum")
ASSOCIATION_SECONDS = Histogram(
    "vna_association_seconds",
    "From the connection to its end",
    buckets=(0.01, 0.1, 1, 10, 60, 600, 3600),
)
ASSOCIATIONS_REFUSED = Counter(
    "vna_associations_refused_total", "Associations rejected or aborted by us, by cause", ["cause"]
)
DIMSE_SECONDS = Histogram(
    "vna_dimse_seconds", "One DIMSE request to its last response", ["command"], buckets=_FAST
)
HTTP_SECONDS = Histogram(
    "vna_http_seconds", "One HTTP request to its last byte", ["resource", "status"], buckets=_FAST
)
HTTP_REFUSED = Counter(
    "vna_http_refused_total", "Connections closed by a limit before a request, by cause", ["cause"]
)
WORKERS_LATE = Gauge(
    "vna_workers_late",
    "Worker processes that do not take what they are handed",
    ["proto"],
    multiprocess_mode="livesum",
)
SIGN_INS = Counter("vna_sign_ins_total", "Tries to sign in, by outcome", ["outcome"])
EMERGENCIES = Counter("vna_emergencies_total", "Emergency accesses begun")
MANY_OPENED = Counter("vna_many_opened_total", "Accounts that opened unusually many studies")
AUDIT_SENT = Counter("vna_audit_sent_total", "Audit messages given to the audit repository")
BODIES_ENDED = Counter(
    "vna_bodies_ended_total", "Bodies cut off because who asked may not have them any more"
)
BLOBS_CHECKED = Counter("vna_blobs_checked_total", "Blobs read again to see whether they are whole")
BLOBS_DAMAGED = Gauge(
    "vna_blobs_damaged",
    "Blobs of the catalogue that cannot be read",
    multiprocess_mode="livesum",
)
BLOBS_ADOPTED = Counter("vna_blobs_adopted_total", "Complete blobs without a row, indexed again")
COMMITMENTS = Counter(
    "vna_commitments_total", "Instances asked to be committed, by outcome", ["outcome"]
)
DELETIONS = Counter("vna_deletions_total", "Acts on what was deleted, by sort", ["act"])
BLOBS_PURGED = Counter("vna_blobs_purged_total", "Blobs removed after their time of grace")
EXCHANGE_ACTS = Counter(
    "vna_exchange_acts_total", "Acts of guests who send to guests, by sort", ["act", "outcome"]
)
SHARE_ACTS = Counter("vna_share_acts_total", "Acts on shares and by guests, by sort", ["act"])
PIXEL_CALLS = Counter(
    "vna_pixel_calls_total", "Frames given to a sandboxed process, by outcome", ["outcome"]
)
PIXEL_SECONDS = Histogram(
    "vna_pixel_seconds", "One frame decoded, transcoded or rendered", buckets=_FAST
)
MESSAGES = Counter(
    "vna_messages_total", "Attempts at messages, by channel and outcome", ["channel", "outcome"]
)
JOBS = Counter(
    "vna_jobs_total", "Attempts of jobs, by kind and how they ended", ["kind", "outcome"]
)
