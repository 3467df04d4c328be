"""The trail sent to an audit repository: DICOM audit messages by syslog over TLS, none left out.

PS3.15 A.6: RFC 5424 messages in the frames of RFC 5425. The trail itself is the queue: rows go in
the order of the chain, from where the repository was left. Syslog acknowledges nothing, so a row
counts as sent when the connection still stood a second later; after one that broke, what was not
counted is sent again, and a repository may see a message twice but misses none.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import ssl
import threading
import time
from typing import Final

from vna.access.atna import messages
from vna.access.coding import outcome_of
from vna.access.trail import Row, Trail
from vna.config import Settings, address
from vna.db import statements
from vna.db.pool import Database
from vna.errors import ConfigError, VNAError
from vna.telemetry import AUDIT_SENT, Spell

_SQL = statements.load("syslog")

LOOK_S = 1.0
STANDS_S = 1.0
_BATCH = 200
_WAIT_S = 10.0
_LAST_RETRY_S = 60.0
_FACILITY: Final = 10  # security and authorization (PS3.15 A.6)
_NOTICE, _WARNING = 5, 4
_MINOR = 4  # EventOutcomeIndicator: from here on it did not go as asked
_BOM = b"\xef\xbb\xbf"

log = logging.getLogger(__name__)


class Syslog:
    """Sends one archive's trail to one repository. Belongs to one thread."""

    def __init__(self, *, database: Database, trail: Trail, settings: Settings) -> None:
        """Raises `ConfigError` when the settings are not sound."""
        self._database = database
        self._trail = trail
        self._source = settings.dicom.ae_title
        self._to = settings.syslog.to
        self._context = _context(settings) if self._to else None
        self._failing = Spell(log, "audit repository not reached", level=logging.ERROR)
        self._sock: ssl.SSLSocket | None = None
        self._flown = 0  # the last link given to the connection
        self._counting = (0.0, 0)  # when a link was given to it that does not count yet

    @property
    def is_wanted(self) -> bool:
        """Whether a repository is named."""
        return self._context is not None

    def run(self, stop: threading.Event) -> None:
        """Send what is sealed until told to stop; then end the connection in order."""
        wait_s, retry_s = 0.0, LOOK_S
        while not stop.wait(wait_s):
            try:
                is_more = self.turn()
            except (OSError, VNAError) as exc:
                self._hang_up()
                why = exc.strerror if isinstance(exc, OSError) else str(exc)
                self._failing.failed(f"{self._to}: {why}")
                wait_s, retry_s = retry_s, min(retry_s * 2, _LAST_RETRY_S)
                continue
            self._failing.worked()
            wait_s, retry_s = (0.0 if is_more else LOOK_S), LOOK_S
        self.close()

    def turn(self) -> bool:
        """Send one batch; say whether there may be more. Raises `OSError`, `Unavailable`.

        What went out at the turn before counts as sent when the connection stands now.
        """
        if self._sock is None:
            self._connect()
        else:
            self._require_standing()
            self._count_when_due()
        with self._database.reading() as conn:
            asked = {"after": self._flown, "most": _BATCH}
            rows = [Row(*row) for row in conn.execute(_SQL.to_send, asked).fetchall()]
        if rows and self._sock is not None:
            studies = dict.fromkeys(study for row in rows for study in row.studies())
            patients = self._trail.patients(list(studies))
            frames = [
                framed(row, message)
                for row in rows
                for message in messages(row, self._source, patients)
            ]
            self._sock.sendall(b"".join(frames))
            self._flown = int(rows[-1].seal_seq or self._flown)
            if not self._counting[1]:
                self._counting = (time.monotonic(), self._flown)
            AUDIT_SENT.inc(len(rows))
        return len(rows) == _BATCH

    def close(self) -> None:
        """End the connection in order: what the repository took until then counts as sent."""
        if self._sock is None:
            return
        with contextlib.suppress(OSError, VNAError):
            self._sock.settimeout(2.0)
            self._sock.unwrap().close()  # returns once the other side has read to the end
            self._count(self._flown)
        self._hang_up()

    def _connect(self) -> None:
        if self._context is None:
            raise ConfigError("No audit repository is named: syslog.to.")
        with self._database.transaction() as tx:
            tx.execute(_SQL.begin_sending, {"repository": self._to})
            row = tx.execute(_SQL.sent_upto, {"repository": self._to}).fetchone()
        host, port = address(self._to)
        plain = socket.create_connection((host, port), _WAIT_S)
        try:
            self._sock = self._context.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise
        self._flown = int(row[0]) if row else 0

    def _require_standing(self) -> None:
        """Look whether the other side has hung up. Raises `OSError`."""
        if self._sock is None:
            return
        self._sock.settimeout(0.0)
        try:
            if not self._sock.recv(1024):
                raise ConnectionResetError("The repository closed the connection.")
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        self._sock.settimeout(_WAIT_S)

    def _count_when_due(self) -> None:
        at, seq = self._counting
        if seq and time.monotonic() - at >= STANDS_S:
            self._count(seq)
            self._counting = (0.0, 0)

    def _count(self, seq: int) -> None:
        with self._database.transaction() as tx:
            tx.execute(_SQL.keep_sent, {"repository": self._to, "seq": seq})

    def _hang_up(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        self._counting = (0.0, 0)


def framed(row: Row, content: bytes) -> bytes:
    """Write a message of RFC 5424 into a frame of RFC 5425: its length in octets, then itself."""
    severity = _WARNING if outcome_of(row) >= _MINOR else _NOTICE
    host = socket.gethostname().encode("ascii", "replace")[:255] or b"-"
    head = b"<%d>1 %s %s vna %d DICOM+RFC3881 - " % (
        _FACILITY * 8 + severity,
        row.at.isoformat(timespec="microseconds").encode(),
        host,
        os.getpid(),
    )
    whole = head + _BOM + content
    return b"%d %s" % (len(whole), whole)


def _context(settings: Settings) -> ssl.SSLContext:
    wanted = settings.syslog
    try:
        context = ssl.create_default_context(cafile=wanted.ca or None)
        if wanted.certificate:
            context.load_cert_chain(wanted.certificate, wanted.key or wanted.certificate)
    except OSError as exc:
        raise ConfigError("A certificate or key of [syslog] cannot be read.") from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    address(wanted.to)
    return context
