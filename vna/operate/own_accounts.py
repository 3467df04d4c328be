"""A patient's account as they have it themselves: whose it is, what is new, their language."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from vna.access import bindings
from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.dicom.refs import UID, StudyRef
from vna.errors import NotFound
from vna.patients import store
from vna.texts import marked

_SQL = statements.load("own")


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What a patient's pages say of their account."""

    name: str = field(repr=False)
    birth_date: dt.date | None = field(repr=False)
    is_open: bool  # not open: it waits for staff
    not_released: int  # studies under an embargo
    released_by: dt.datetime | None


class OwnAccounts:
    """Shows accounts to those whose they are. One a process, shared by its threads."""

    def __init__(self, *, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    def of(self, account_id: int) -> Own | None:
        """Say whose account it is, and what of theirs is yet to come; None when it is nobody's."""
        with self._database.reading() as conn:
            binding = bindings.of_account(conn, account_id)
            known = {} if binding is None else store.find(conn, [binding.identity])
            if binding is None or binding.identity not in known:
                return None
            count, until = conn.execute(_SQL.not_released, (account_id,)).fetchone() or (0, None)
        said = known[binding.identity].said
        is_open = binding.confirmed_at is not None
        return Own(
            name=said.name if is_open else "",
            birth_date=said.born if is_open else None,
            is_open=is_open,
            not_released=count,
            released_by=until,
        )

    def held_code(self, account_id: int) -> dt.datetime | None:
        """Say from when on a code opens that a desk gave out for this person; None: none waits."""
        with self._database.reading() as conn:
            codes = bindings.codes(conn, bindings.beside(conn, account_id))
        return min((one.opens_at for one in codes.values() if one.opens_at), default=None)

    def stop_code(self, who: Principal, account_id: int) -> None:
        """Make void what a desk gave out for one's own person and does not open yet.

        Raises `NotFound`.
        """

        def work(tx: Connection) -> None:
            if not bindings.void_held(tx, bindings.beside(tx, account_id)):
                raise NotFound(marked("No code waits any more."))
            detail = {"account": who.name}
            event = Event(kind="account.code.stopped", outcome="done", detail=detail)
            self._audit.write(tx, who, [event])

        self._database.changing(work)

    def seen(self, account_id: int, studies: Sequence[str]) -> set[str]:
        """Say which of some studies a patient has opened."""
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.seen_of, (account_id, list(studies))).fetchall()
        return {row[0] for row in rows}

    def mark_seen(self, who: Principal, account_id: int, study: UID) -> None:
        """Note that a patient has opened a study; it is new to them no more."""
        require(who, Action.QUERY, StudyRef(study))
        with self._database.transaction() as tx:
            tx.execute(_SQL.mark_seen, (account_id, study))

    def language(self, account_id: int) -> str | None:
        """Say which language a patient chose."""
        with self._database.reading() as conn:
            row = conn.execute(_SQL.language_of, (account_id,)).fetchone()
        return None if row is None else row[0]

    def choose_language(self, account_id: int, language: str | None) -> None:
        """Keep the language a patient chose; None: as their browser says."""
        with self._database.transaction() as tx:
            tx.execute(_SQL.choose_language, (account_id, language))
