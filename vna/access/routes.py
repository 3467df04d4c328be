"""Routing rules: which instances that come in are sent on, and to whom.

A rule says whom an instance must come from and which Matching Keys it must match; all of it must
hold. Kept in the database; each process reads the rules at most once in `FRESH_S`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.access.remotes import require_title
from vna.config import Settings
from vna.db import statements
from vna.db.fresh import Fresh
from vna.db.pool import Connection, Database
from vna.dicom.matching import MatchingKey
from vna.dicom.matchkeys import keys_of
from vna.dicom.parameters import read_parameters
from vna.errors import Conflict, InvalidRequest, NotFound

_SQL = statements.load("routes")

FRESH_S = 1.0
KEYS_MOST = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One rule. Raises `InvalidRequest` when a value is not one the archive can use.

    `keys` are ATTRIBUTE=VALUE in the grammar of a search (PS3.18 8.3.4.1): wild cards, ranges, and
    several values joined by a backslash, one of which is enough. `callers` are AE titles, or names
    of accounts that store by DICOMweb.
    """

    name: str
    remote: str | None = None
    peer: str | None = None
    callers: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    commit: bool = False
    route_id: int = 0
    matching: tuple[MatchingKey, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check what the database would refuse, and read the keys."""
        require_name(self.name, "A rule")
        if (self.remote is None) == (self.peer is None):
            raise InvalidRequest("A rule leads to one remote AE or to one DICOMweb archive.")
        if self.remote is not None:
            require_title(self.remote)
        if self.remote in self.callers:
            raise InvalidRequest("A rule would send an instance back to where it came from.")
        if self.commit and self.remote is None:
            raise InvalidRequest("Only a remote AE is asked for Storage Commitment.")
        if not all(0 < len(caller) <= 256 and caller.isprintable() for caller in self.callers):
            raise InvalidRequest("A caller is an AE title or the name of an account.")
        object.__setattr__(self, "matching", read_keys(self.keys))

    @property
    def to(self) -> str:
        """Whom it leads to."""
        return self.remote or self.peer or ""

    def takes_from(self, callers: Sequence[str | None]) -> bool:
        """Whether what comes from somebody of these names is sent on; never back to them."""
        if self.to in callers:
            return False
        return not self.callers or any(caller in self.callers for caller in callers)


class Routes:
    """The rules of one archive. Safe to use from many threads."""

    def __init__(
        self,
        database: Database,
        audit: Audit,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._audit = audit
        self._own = settings.dicom.ae_title
        self._rules = Fresh(database, _listed, fresh_s=FRESH_S, clock=clock)

    def now(self) -> tuple[Route, ...]:
        """Return the rules, ordered by name; nearly always without a question to the database."""
        return self._rules.now()

    def all(self, principal: Principal) -> list[Route]:
        """List the rules as they stand now. Raises `NotPermitted`."""
        require(principal, Action.MANAGE)
        with self._database.reading() as conn:
            return list(_listed(conn))

    def add(self, principal: Principal, route: Route) -> bool:
        """Add a rule, or change all of a known one; True when it is new.

        Raises `NotFound` when there is nobody it leads to, `InvalidRequest` when that is us.
        """
        require(principal, Action.MANAGE)
        if route.remote == self._own:
            raise InvalidRequest("A rule would send an instance to this archive itself.")
        row = [route.name, route.remote, route.peer, list(route.callers), list(route.keys)]
        with self._database.transaction() as tx:
            self._require_destination(tx, route)
            found = tx.execute(_SQL.put_route, (*row, route.commit)).fetchone()
            is_new = bool(found and found[0])
            kind = "route.added" if is_new else "route.changed"
            self._audit.write(tx, principal, [_event(kind, route)])
        self._rules.forget()
        return is_new

    def remove(self, principal: Principal, name: str) -> None:
        """Forget a rule; what it has queued is sent all the same. Raises `NotFound`."""
        require(principal, Action.MANAGE)
        with self._database.transaction() as tx:
            if tx.execute(_SQL.remove_route, (name,)).fetchone() is None:
                raise NotFound("There is no rule of this name; `vna route list` shows them.")
            event = Event(kind="route.removed", outcome="done", detail={"route": name})
            self._audit.write(tx, principal, [event])
        self._rules.forget()

    def _require_destination(self, tx: Connection, route: Route) -> None:
        if route.remote is not None:
            found = tx.execute(_SQL.has_remote, (route.remote,)).fetchone()
            if found is None:
                raise NotFound(
                    f"There is no remote AE {route.remote}; `vna remote add` makes it known."
                )
        elif tx.execute(_SQL.has_peer, (route.peer,)).fetchone() is None:
            raise NotFound(
                f"There is no DICOMweb archive {route.peer}; `vna peer add` makes it known."
            )


def read_keys(keys: Sequence[str]) -> tuple[MatchingKey, ...]:
    """Read ATTRIBUTE=VALUE texts. Raises `InvalidRequest` (`InvalidQuery`) when one is not."""
    if len(keys) > KEYS_MOST:
        raise InvalidRequest(f"A rule may have {KEYS_MOST} keys.")
    pairs = []
    for key in keys:
        name, equals, value = key.partition("=")
        if not equals or not value or not name[:1].isalnum() or name[:1].islower():
            raise InvalidRequest("A key is ATTRIBUTE=VALUE, such as Modality=CT.")
        pairs.append((name, value))
    asked = read_parameters(pairs)
    if asked.deviations or asked.includes:
        raise InvalidRequest("A key names an attribute no dictionary has.")
    return keys_of(asked.tree, asked.options)


def require_name(name: str, what: str) -> None:
    """Return if this can be the name of a rule or of an archive. Raises `InvalidRequest`."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{what} is named by 1 to 64 letters, digits, dots and hyphens.")


def require_no_route(tx: Connection, *, remote: str | None = None, peer: str | None = None) -> None:
    """Return if no rule leads there any more. Raises `Conflict`."""
    row = tx.execute(_SQL.count_routes_to, {"remote": remote, "peer": peer}).fetchone()
    if row and row[0]:
        raise Conflict("A rule leads there: `vna route list`.")


def _listed(conn: Connection) -> tuple[Route, ...]:
    return tuple(
        Route(
            route_id=route_id,
            name=name,
            remote=remote,
            peer=peer,
            callers=tuple(callers),
            keys=tuple(keys),
            commit=commit,
        )
        for route_id, name, remote, peer, callers, keys, commit in conn.execute(
            _SQL.list_routes, prepare=True
        ).fetchall()
    )


def _event(kind: str, route: Route) -> Event:
    # which attributes it looks at; a value may be a patient's, and the trail holds none
    looks_at = [key.partition("=")[0] for key in route.keys]
    detail = {
        "route": route.name,
        "to": route.to,
        "callers": list(route.callers),
        "keys": looks_at,
        "commit": route.commit,
    }
    return Event(kind=kind, outcome="done", detail=detail)
