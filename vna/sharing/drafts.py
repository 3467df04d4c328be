"""What a patient has chosen so far of a share: kept here between the pages, sealed, for hours.

An address holds the number of a draft and nothing else, and the number is of use to its owner only.
A form of staff has such a number too, and of it nothing is kept but the share it became: a page
that is loaded again sends its form again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.db import statements
from vna.db.pool import Database
from vna.errors import Conflict, NotFound, TooLarge
from vna.sharing.ids import new_id
from vna.sharing.rooms import Act, Rooms
from vna.texts import marked

_SQL = statements.load("own_shares")

LASTS_S = 7200.0
_MOST = 10  # of one owner; the oldest give way
_MOST_BYTES = 128 << 10
_DRAFT = b"share draft"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A draft: the fields as they were typed, and the share it became, if it did."""

    draft_id: int
    fields: Mapping[str, str] = field(repr=False)
    share_id: int | None = None


class Drafts:
    """Keeps drafts. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def begin(self, who: Principal, fields: Mapping[str, str]) -> int:
        """Begin one; return its number. Raises `NotPermitted`, `TooLarge`."""
        require(who, Action.SHARE_OWN)
        draft_id = new_id()
        sealed = self._sealed(draft_id, fields)
        with self._rooms.database.transaction() as tx:
            tx.execute(_SQL.begin_draft, (draft_id, who.name, sealed, LASTS_S))
            tx.execute(_SQL.prune_drafts, (who.name, _MOST))
        return draft_id

    def read(self, who: Principal, draft_id: int) -> Draft:
        """Read one of their own. Raises `NotFound`, also when it is over."""
        require(who, Action.SHARE_OWN)
        with self._rooms.database.reading() as conn:
            row = conn.execute(_SQL.find_draft, (draft_id, who.name)).fetchone()
        if row is None:
            raise NotFound(marked("This was begun too long ago: begin again."))
        sealed, share_id = row
        if share_id is not None:
            return Draft(draft_id=draft_id, fields={}, share_id=share_id)
        fields = orjson.loads(self._rooms.keys.unseal(_DRAFT, draft_id, sealed))
        return Draft(draft_id=draft_id, fields=fields)

    def keep(self, who: Principal, draft_id: int, fields: Mapping[str, str]) -> None:
        """Keep what stands in it now. Raises `NotFound`, `TooLarge`."""
        require(who, Action.SHARE_OWN)
        sealed = self._sealed(draft_id, fields)
        with self._rooms.database.transaction() as tx:
            kept = tx.execute(_SQL.keep_draft, (sealed, draft_id, who.name)).fetchone()
        if kept is None:
            raise NotFound(marked("This was begun too long ago, or sent: begin again."))

    def sweep(self) -> None:
        """Forget those that are over."""
        with self._rooms.database.transaction() as tx:
            tx.execute(_SQL.sweep_drafts)

    def _sealed(self, draft_id: int, fields: Mapping[str, str]) -> bytes:
        written = orjson.dumps(dict(fields))
        if len(written) > _MOST_BYTES:
            raise TooLarge(marked("That is too much for one share: choose whole examinations."))
        return self._rooms.keys.seal(_DRAFT, draft_id, written)


def was_sent(database: Database, who: Principal, form_id: int) -> bool:
    """Whether a form of staff became a share before."""
    require(who, Action.SHARE)
    with database.reading() as conn:
        return conn.execute(_SQL.find_draft, (form_id, who.name)).fetchone() is not None


def use_form(tx: Act, who: Principal, form_id: int, share_id: int) -> None:
    """Let a form of staff become a share, once, in its transaction. Raises `Conflict`."""
    if tx.execute(_SQL.use_form, (form_id, who.name, share_id)).fetchone() is None:
        raise Conflict(marked("This was sent before: look at your shares."))


def use(tx: Act, who: Principal, draft_id: int, share_id: int) -> None:
    """Let a draft become a share, once, in its transaction. Raises `Conflict`."""
    if tx.execute(_SQL.use_draft, (share_id, draft_id, who.name)).fetchone() is None:
        raise Conflict(marked("This was sent before: look at your shares."))
