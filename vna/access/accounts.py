"""Accounts: who can be let in. Made, given roles, disabled and reset by those who may.

An account never goes: the trail names it for ever. A person gets a one-time link and brings
passphrase and second factor themselves; a program gets tokens (api_tokens.py).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Principal, system
from vna.access.roles import FIRST, Roles
from vna.config import Access
from vna.crypto.credentials import digest, new_secret, random_bytes
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.errors import Conflict, InvalidRequest, NotFound

_SQL = statements.load("access")

PERSON, SERVICE = "person", "service"

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account, without anything secret."""

    account_id: int
    login: str
    kind: str
    roles: tuple[str, ...]
    enrolled_at: dt.datetime | None
    disabled_at: dt.datetime | None
    has_totp: bool
    passkeys: int
    recovery_codes: int
    is_federated: bool

    @property
    def state(self) -> str:
        """Say in a word whether it can be used."""
        if self.disabled_at is not None:
            return "disabled"
        return "invited" if self.kind == PERSON and self.enrolled_at is None else "active"


def fold(login: str) -> str:
    """Bring a login as typed into the form it is kept in."""
    return login.strip().lower()


class Accounts:
    """Keeps the accounts. Each change stands in the trail, in the same transaction."""

    def __init__(self, *, database: Database, audit: Audit, roles: Roles, settings: Access) -> None:
        self._database = database
        self._audit = audit
        self._roles = roles
        self._settings = settings

    def add(
        self, who: Principal, login: str, roles: Sequence[str], *, kind: str = PERSON
    ) -> Account:
        """Make an account. Raises `NotPermitted`, `InvalidRequest`, `Conflict`."""
        require(who, Action.ACCOUNTS)
        login = fold(login)
        if not _LOGIN.fullmatch(login):
            raise InvalidRequest("A login is 1 to 64 letters, digits, dots, dashes, @ or _.")
        self._check(roles)
        with self._database.transaction() as tx:
            row = tx.execute(
                _SQL.add_account, (login, kind, list(roles), random_bytes())
            ).fetchone()
            if row is None:
                raise Conflict("There is an account of that login already.")
            self._tell(tx, who, "account.added", login, roles=list(roles), kind=kind)
        return self.find(login)

    def provide(self, tx: Connection, login: str, roles: Sequence[str]) -> int | None:
        """Make the account of somebody an identity provider vouches for; None when it is taken."""
        if not _LOGIN.fullmatch(login):
            return None
        asked = (login, PERSON, list(roles), random_bytes())
        row = tx.execute(_SQL.add_account, asked).fetchone()
        if row is None:
            return None
        detail = {"account": login, "roles": list(roles), "kind": PERSON}
        told = Event(kind="account.added", outcome="done", detail=detail)
        self._audit.write(tx, system("federation"), [told])
        return int(row[0])

    def find(self, login: str) -> Account:
        """Find an account by its login. Raises `NotFound`."""
        return self._one(_SQL.find_account, fold(login))

    def of(self, account_id: int) -> Account:
        """Find an account by its number. Raises `NotFound`."""
        return self._one(_SQL.find_account_by_id, account_id)

    def roles_of(self, logins: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Say what some accounts are; those that are none are left out."""
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.roles_of, (list(logins),)).fetchall()
        return {login: tuple(roles) for login, roles in rows}

    def all(self, who: Principal) -> list[Account]:
        """List the accounts. Raises `NotPermitted`."""
        require(who, Action.ACCOUNTS)
        with self._database.reading() as conn:
            return [_account(row) for row in conn.execute(_SQL.list_accounts)]

    def invite(self, who: Principal, login: str) -> str:
        """Make the one-time link of an account that is not enrolled; return its secret.

        An older link is void. Raises `NotPermitted`, `NotFound`, `Conflict`.
        """
        require(who, Action.ACCOUNTS)
        account = self.find(login)
        if account.kind != PERSON:
            raise Conflict("A service has tokens, not a link: `vna token add`.")
        if account.is_federated:
            raise Conflict("This person signs in at the identity provider, without a link.")
        if account.state != "invited":
            raise Conflict(f"This account is {account.state}; `vna user reset` begins anew.")
        secret = new_secret()
        with self._database.transaction() as tx:
            tx.execute(_SQL.invite, (account.account_id, digest(secret), self._settings.link_s))
            self._tell(tx, who, "account.invited", account.login)
        return secret

    def disable(self, who: Principal, login: str) -> None:
        """Let nobody in under this account: its sessions end and its tokens are of no use."""
        require(who, Action.ACCOUNTS)
        account = self.find(login)
        with self._database.transaction() as tx:
            tx.execute(_SQL.disable_account, (account.account_id,))
            tx.execute(_SQL.end_sessions, (account.account_id, None))
            tx.execute(_SQL.void_invitation, (account.account_id,))
            self._tell(tx, who, "account.disabled", account.login)

    def enable(self, who: Principal, login: str) -> None:
        """Let an account be used again."""
        require(who, Action.ACCOUNTS)
        account = self.find(login)
        with self._database.transaction() as tx:
            tx.execute(_SQL.enable_account, (account.account_id,))
            self._tell(tx, who, "account.enabled", account.login)

    def reset(self, who: Principal, login: str) -> str:
        """Forget passphrase and second factors, end all sessions; return a new link's secret."""
        require(who, Action.ACCOUNTS)
        account = self.find(login)
        if account.kind != PERSON:
            raise Conflict("A service has tokens only: `vna token revoke`.")
        if account.is_federated:
            raise Conflict("This person signs in at the identity provider; reset them there.")
        if account.disabled_at is not None:
            raise Conflict("This account is disabled; `vna user enable` comes first.")
        with self._database.transaction() as tx:
            for statement in (
                _SQL.reset_account, _SQL.drop_totp, _SQL.drop_passkeys, _SQL.drop_recovery_codes
            ):  # fmt: skip
                tx.execute(statement, (account.account_id,))
            tx.execute(_SQL.end_sessions, (account.account_id, None))
            self._tell(tx, who, "account.reset", account.login)
        return self.invite(who, login)

    def give_roles(self, who: Principal, login: str, roles: Sequence[str]) -> None:
        """Replace the roles of an account."""
        require(who, Action.ACCOUNTS)
        self._check(roles)
        account = self.find(login)
        if self._roles.is_own(account.roles) != self._roles.is_own(roles):
            raise Conflict("A patient's account stays one, and staff have another.")
        with self._database.transaction() as tx:
            tx.execute(_SQL.keep_roles, (list(roles), account.account_id))
            self._tell(
                tx, who, "account.roles", account.login, before=list(account.roles),
                after=list(roles),
            )  # fmt: skip

    def has_administrator(self) -> bool:
        """Whether somebody can manage accounts, or was invited to."""
        with self._database.reading() as conn:
            row = conn.execute(
                _SQL.has_account_with_role, (self._roles.granting(Action.ACCOUNTS),)
            ).fetchone()
        return bool(row and row[0])

    def first_link(self, who: Principal) -> tuple[str, str] | None:
        """Make the first administrator's link, or a new one while nobody came by the last.

        Returns login and secret; None once an administrator is enrolled.
        """
        require(who, Action.ACCOUNTS)
        with self._database.reading() as conn:
            rows = conn.execute(
                _SQL.list_waiting, (self._roles.granting(Action.ACCOUNTS),)
            ).fetchall()
        if rows:
            active = [a for a in self.all(who) if a.state == "active" and self._manages(a)]
            return None if active else (rows[0][0], self.invite(who, rows[0][0]))
        if self.has_administrator():
            return None
        known = [name for name in FIRST if name in self._roles.by_name]
        roles = known or self._roles.granting(Action.ACCOUNTS)[:1]
        login = self.add(who, "admin", roles).login
        return login, self.invite(who, login)

    def _manages(self, account: Account) -> bool:
        return Action.ACCOUNTS in self._roles.actions(account.roles)

    def _check(self, roles: Sequence[str]) -> None:
        if not roles:
            raise InvalidRequest("An account needs a role; `vna role list` shows them.")
        self._roles.check(roles)

    def _one(self, statement: Any, value: str | int) -> Account:  # a LiteralString
        with self._database.reading() as conn:
            row = conn.execute(statement, (value,)).fetchone()
        if row is None:
            raise NotFound("There is no account of that login.")
        return _account(row)

    def _tell(self, tx: Connection, who: Principal, act: str, login: str, **more: Any) -> None:
        event = Event(kind=act, outcome="done", detail={"account": login, **more})
        self._audit.write(tx, who, [event])


def _account(row: tuple[Any, ...]) -> Account:  # the columns of find_account
    return Account(
        account_id=row[0],
        login=row[1],
        kind=row[2],
        roles=tuple(row[3]),
        enrolled_at=row[4],
        disabled_at=row[5],
        has_totp=row[6],
        passkeys=row[7],
        recovery_codes=row[8],
        is_federated=row[9],
    )
