"""Carers at the desk: what a desk was shown, the code it hands over, the end."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from vna.access import bindings, carers
from vna.access.carers import Carer, GivenAs, Relation
from vna.access.principal import Principal
from vna.db.pool import Connection
from vna.dicom.refs import UID
from vna.errors import Conflict, InvalidRequest, NotFound
from vna.operate import carer_entries as entries
from vna.operate.carer_book import SQL, CarerBook, Given, Named
from vna.operate.patient_accounts import CODE_S, Holder, Issued, PatientAccounts
from vna.texts import filled, marked

EVIDENCE = (
    *("identity", "birth-certificate", "custody", "court-order", "power-of-attorney"),
    "person-present",
)
"""What a desk can be shown. Sorts of papers only: what stands in them is the desk's to file."""

_REASON_MOST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class AtDesk:
    """Who acts for the person a study is about, as the desk sees it."""

    holder: Holder
    carers: tuple[Named, ...]
    codes: dict[int, bindings.Code]
    elsewhere: frozenset[int]  # accounts of patients, or made for somebody else: so are their codes


class CarerDesk:
    """What a desk does about carers. One a process, shared by its threads."""

    def __init__(self, book: CarerBook, accounts: PatientAccounts) -> None:
        self._book = book
        self._accounts = accounts

    def at(self, who: Principal, study: UID) -> AtDesk:
        """Show who acts for whom a study is about. Raises `NotPermitted`, `NotFound`."""
        holder = self._accounts.holder(who, study)
        with self._book.database.reading() as conn:
            found = carers.of_identities(conn, [one.id for one in holder.identities])
            numbers = [one.account_id for one in found if one.account_id is not None]
            codes = bindings.codes(conn, numbers)
            elsewhere = {n for n in numbers if _why_elsewhere(conn, holder, n) is not None}
        named = tuple(self._book.named(one) for one in found)
        return AtDesk(holder=holder, carers=named, codes=codes, elsewhere=frozenset(elsewhere))

    def add(
        self,
        who: Principal,
        study: UID,
        given: Given,
        *,
        relation: Relation,
        evidence: Collection[str],
        login: str,
    ) -> Issued | None:
        """Let somebody act for whom a study is about, by what a desk was shown.

        `login` is an account they have; with none a new one is made, and its code given back, which
        is typed with the birth date of whom they act for. Raises `NotPermitted`, `NotFound`,
        `InvalidRequest`, `Conflict`, `Unavailable`.
        """
        holder = self._accounts.holder(who, study)
        if holder.obstacle is not None:
            raise Conflict(holder.obstacle)
        shown = [one for one in EVIDENCE if one in evidence]
        if not shown or (shown == ["identity"] and relation is not Relation.TRUSTED):
            raise InvalidRequest(
                marked("Say what you were shown that gives them the right to act.")
            )
        row = self._book.row(given, relation=relation, given_as=GivenAs.DESK, evidence=shown)
        if relation is Relation.PARENT and not self._is_minor(holder):
            raise Conflict(marked("This person is of age: a parent acts for a child only."))

        def work(tx: Connection) -> Issued | None:
            issued = None
            if login.strip():
                row["login"] = self._book.found(tx, login)[1]
            else:
                account_id, row["login"] = bindings.add_account(tx)
                issued = self._issue(tx, account_id, row["login"], who)
            self._book.give(tx, who, holder.one, row)
            return issued

        return self._book.database.changing(work)

    def code(self, who: Principal, study: UID, carer_id: int, *, compared: bool) -> Issued:
        """Make a new code for a carer who cannot sign in; a lost account is followed by another.

        Only where the account was made: whoever names its login, and shows papers of the name they
        gave it, would else be let into all it acts for.

        Raises `NotFound`, `Conflict`, `InvalidRequest`.
        """
        holder = self._accounts.holder(who, study)
        if not compared:
            raise InvalidRequest(marked("Look at a document that shows who they are."))

        def work(tx: Connection) -> Issued:
            carer = self._held(tx, holder, carer_id)
            if not carer.holds:
                raise Conflict(marked("They may not act any more: give it to them anew."))
            account_id, login = carer.account_id, carer.login
            moved: dict[str, Any] = {"carer_id": carer_id}
            if account_id is None:
                account_id, login = bindings.add_account(tx)
                moved["login"] = login
                tx.execute(SQL.move_carer, moved)
            elif (why := _why_elsewhere(tx, holder, account_id)) is not None:
                raise Conflict(why)
            issued = self._issue(tx, account_id, login, who)
            self._book.tell(tx, who, "carer.code", {"carer": carer_id, "account": login})
            if carer.account_id is None:
                self._book.write_down(tx, entries.MOVED, {"carer": carer_id}, moved, who)
            return issued

        return self._book.database.changing(work)

    def end(self, who: Principal, study: UID, carer_id: int, *, reason: str) -> None:
        """Let somebody act no more; what they shared ends. Raises `NotFound`, `InvalidRequest`."""
        holder = self._accounts.holder(who, study)
        if not reason.strip() or len(reason) > _REASON_MOST or not reason.isprintable():
            raise InvalidRequest(
                filled("Say why, in a line of at most %(most)s characters.", most=_REASON_MOST)
            )
        self._book.end(who, lambda tx: self._held(tx, holder, carer_id), reason.strip())

    def _is_minor(self, holder: Holder) -> bool:
        zone = self._book.settings.site.timezone
        born = min(one.said.born for one in holder.identities if one.said.born)
        asked = (born, self._book.settings.access.of_age, zone)
        with self._book.database.reading() as conn:
            row = conn.execute(SQL.is_minor, asked).fetchone()
        return bool(row and row[0])

    def _issue(self, tx: Connection, account_id: int, login: str, who: Principal) -> Issued:
        code, out = bindings.issue(tx, self._book.vault, account_id, by=who.name, lasts_s=CODE_S)
        return Issued(login=login, code=code, until=out.ends_at)

    def _held(self, tx: Connection, holder: Holder, carer_id: int) -> Carer:
        carer = carers.held(tx, carer_id)
        if carer is None or carer.identity not in {one.id for one in holder.identities}:
            raise NotFound("Nobody acts for this person by this number.")
        return carer


def _why_elsewhere(conn: Connection, holder: Holder, account_id: int) -> str | None:
    """Say why the code of an account is not made with this person; None when it is."""
    if bindings.of_account(conn, account_id) is not None:
        return marked("Their account is that of a patient: its code is made there.")
    if carers.made_for(conn, [account_id]).get(account_id) in {one.id for one in holder.identities}:
        return None
    return marked(
        "Their account was made for somebody else: its code is made there. Or end this, and let "
        "them act by an account of its own."
    )
