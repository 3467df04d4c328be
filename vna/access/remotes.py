"""Remote AEs: who may call and with which rights, and where each is called.

Kept in the database; each process reads them at most once in `FRESH_S`, so a change is in force
everywhere within seconds and no request waits for a look-up of its own.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.dicom.refs import uid
from vna.errors import Conflict, InvalidRequest, NotFound, Unavailable
from vna.telemetry import Spell

_SQL = statements.load("access")

FRESH_S = 2.0
UNKNOWN_S = 0.1  # who is not known may just have been added: asked for so often, and no oftener
STALE_S = 300.0  # a database that is away for a moment must not shut out every AE

_HOST = re.compile(r"[!-~]{1,255}")
_CHARACTER_SET = re.compile(
    r"[A-Z0-9_ \\]{1,64}"
)  # PS3.3 C.12.1.1.2, several joined by a backslash
_ISSUER = re.compile(r"[^\s\\](?:[^\\\n]{0,62}[^\s\\])?")

_OFFERED = re.compile(r"\S(?:.{0,78}\S)?")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """One remote AE. Raises `InvalidRequest` when a value is not one the archive can use."""

    ae_title: str
    host: str
    port: int
    tls: bool = False
    may_store: bool = True
    may_find: bool = True
    may_move: bool = True
    destinations: tuple[str, ...] | None = None  # of its C-MOVE requests; None: any registered AE
    character_set: str | None = None
    transfer_syntaxes: tuple[str, ...] = ()  # best first; empty: as stored
    patient_id_issuer: str | None = None
    max_associations: int = 0  # with us at a time; 0: as the settings say
    parallel: int = 1  # associations we open to it for one piece of work
    offered_as: str | None = None  # to recipients of shares, under this name; None: not to them

    def __post_init__(self) -> None:
        """Check what the database would refuse, and say it in words."""
        for title in (self.ae_title, *(self.destinations or ())):
            require_title(title)
        for uid_of_syntax in self.transfer_syntaxes:
            uid(uid_of_syntax)
        if not _HOST.fullmatch(self.host):
            raise InvalidRequest("The host of a remote AE is a name or an address.")
        if self.character_set is not None and not _CHARACTER_SET.fullmatch(self.character_set):
            raise InvalidRequest("A character set is a Defined Term such as ISO_IR 192.")
        if self.patient_id_issuer is not None and not _ISSUER.fullmatch(self.patient_id_issuer):
            raise InvalidRequest("An issuer of Patient IDs is a text of 1 to 64 characters.")
        require_offered_as(self.offered_as)
        if not 1 <= self.port <= 65535:
            raise InvalidRequest("The port of a remote AE is a number from 1 to 65535.")
        if not 1 <= self.parallel <= 16 or not 0 <= self.max_associations <= 65535:
            raise InvalidRequest("A remote AE has 1 to 16 associations in parallel, 65535 in all.")

    @property
    def actions(self) -> frozenset[Action]:
        """What it may do when it calls."""
        rights = {
            Action.STORE: self.may_store,
            Action.COMMIT: self.may_store,
            Action.QUERY: self.may_find,
            Action.RETRIEVE: self.may_move,
        }
        return frozenset(action for action, granted in rights.items() if granted)


class Remotes:
    """The remote AEs of one archive. Safe to use from many threads."""

    def __init__(
        self, database: Database, audit: Audit, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, Remote] = {}
        self._read_at: float | None = None  # when `_known` was true
        self._tried_at: float | None = None
        self._reading = Spell(logger, "remotes not read")

    def find(self, ae_title: str) -> Remote | None:
        """Return a remote AE, or None when there is none. Raises `Unavailable`."""
        title = ae_title.strip(" ")
        found = self._current().get(title)
        if found is None:
            self.look(within_s=UNKNOWN_S)
            found = self._current().get(title)
        return found

    def all(self) -> list[Remote]:
        """Return them all, ordered by AE title. Raises `Unavailable`."""
        return list(self._current().values())

    def add(self, principal: Principal, remote: Remote) -> bool:
        """Add a remote AE, or change all of a known one; True when it is new."""
        require(principal, Action.MANAGE)
        with self._database.transaction() as tx:
            require_free(tx, remote.offered_as, remote=remote.ae_title)
            row = tx.execute(_SQL.put_remote, _row(remote)).fetchone()
            is_new = bool(row and row[0])
            kind = "remote.added" if is_new else "remote.changed"
            self._audit.write(tx, principal, [_event(kind, remote)])
        self._forget()
        return is_new

    def remove(self, principal: Principal, ae_title: str) -> None:
        """Forget a remote AE. Raises `NotFound`, `Conflict` while a rule or work leads to it."""
        require(principal, Action.MANAGE)
        with self._database.transaction() as tx:
            row = tx.execute(_SQL.count_remote_routes, (ae_title,)).fetchone()
            if row and row[0]:
                raise Conflict("A rule leads to this remote AE: `vna route list`.")
            if tx.execute(_SQL.remove_remote, (ae_title,)).fetchone() is None:
                raise NotFound("There is no remote AE of this title.")
            row = tx.execute(_SQL.count_remote_jobs, (ae_title,)).fetchone()
            if row and row[0]:
                raise Conflict("There is work for this remote AE that is not done: `vna jobs`.")
            event = Event(kind="remote.removed", outcome="done", detail={"ae": ae_title})
            self._audit.write(tx, principal, [event])
        self._forget()

    def look(self, within_s: float) -> None:
        """Read them anew when what is known is older than this."""
        with self._lock:
            now = self._clock()
            if self._tried_at is None or now - self._tried_at >= within_s:
                self._tried_at = now
                self._refresh(now)

    def _current(self) -> dict[str, Remote]:
        with self._lock:
            now = self._clock()
            if self._tried_at is None or now - self._tried_at >= FRESH_S:
                self._tried_at = now
                self._refresh(now)
            if self._read_at is None or now - self._read_at > STALE_S:
                raise Unavailable("The remote AEs cannot be read; try again later.")
            return self._known

    def _refresh(self, now: float) -> None:
        try:
            with self._database.reading() as conn:
                rows = conn.execute(_SQL.list_remotes).fetchall()
        except Unavailable as exc:
            self._reading.failed(str(exc))
            return
        self._reading.worked()
        found = [_remote(row) for row in rows]
        self._known = {remote.ae_title: remote for remote in found}
        self._read_at = now

    def _forget(self) -> None:
        with self._lock:
            self._tried_at = self._read_at = None


def require_title(title: str) -> None:
    """Return if this is an AE title (PS3.5 6.2 AE). Raises `InvalidRequest`."""
    plain = title.isascii() and title.isprintable() and "\\" not in title
    if not plain or not 1 <= len(title) <= 16 or title != title.strip():
        raise InvalidRequest(
            "An AE title is 1 to 16 printable ASCII characters without a backslash."
        )


def require_offered_as(name: str | None) -> None:
    """Return if people can choose an archive by this name, or need not. Raises `InvalidRequest`."""
    if name is not None and not (_OFFERED.fullmatch(name) and name.isprintable()):
        raise InvalidRequest("What an archive is offered as is a text of 1 to 80 characters.")


def require_free(
    tx: Connection, name: str | None, *, remote: str | None = None, peer: str | None = None
) -> None:
    """Return unless another archive is offered under this name. Raises `Conflict`."""
    if name is None:
        return
    asked = {"name": name, "remote": remote, "peer": peer}
    if tx.execute(_SQL.is_offered, asked).fetchone() is not None:
        raise Conflict("Another archive is offered to recipients of shares under this name.")


_NAMES = tuple(field.name for field in fields(Remote))  # in the order of the columns


def _row(remote: Remote) -> list[object]:
    values = (getattr(remote, name) for name in _NAMES)
    return [list(value) if isinstance(value, tuple) else value for value in values]


def _remote(row: tuple[object, ...]) -> Remote:
    values = [tuple(value) if isinstance(value, list) else value for value in row]
    return Remote(**dict(zip(_NAMES, values, strict=True)))  # type: ignore[arg-type]  # as the CHECKs hold them


def _event(kind: str, remote: Remote) -> Event:
    detail = {name: getattr(remote, name) for name in _NAMES}
    return Event(kind=kind, outcome="done", detail=detail)
