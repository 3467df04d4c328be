"""API tokens: what programs show. Random, shown once, kept as a hash, revocable, with an end.

They belong to services alone: a person's token would go round the second factor.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vna.access.accounts import SERVICE, Accounts
from vna.access.audit import Audit, Event
from vna.access.care import Care
from vna.access.labels import Labels
from vna.access.policy import require
from vna.access.principal import Action, Kind, Principal
from vna.access.roles import Roles
from vna.config import Access
from vna.crypto.credentials import TOKEN_PREFIX, digest, new_secret
from vna.db import statements
from vna.db.pool import Database
from vna.errors import Conflict, InvalidRequest, NotFound

_SQL = statements.load("access")

_DAY_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token, without its secret."""

    token_id: int
    login: str
    name: str
    actions: tuple[str, ...] | None
    created_at: dt.datetime
    ends_at: dt.datetime
    revoked_at: dt.datetime | None

    @property
    def state(self) -> str:
        """Say in a word whether it lets anyone in."""
        if self.revoked_at is not None:
            return "revoked"
        return "over" if self.ends_at <= dt.datetime.now(dt.UTC) else "good"


class ApiTokens:
    """Makes, revokes and recognises tokens."""

    def __init__(
        self,
        *,
        database: Database,
        audit: Audit,
        roles: Roles,
        accounts: Accounts,
        care: Care,
        labels: Labels,
        settings: Access,
    ) -> None:
        self._database = database
        self._audit = audit
        self._roles = roles
        self._accounts = accounts
        self._care = care
        self._labels = labels
        self._settings = settings

    def add(
        self,
        who: Principal,
        login: str,
        *,
        name: str,
        days: float,
        actions: Sequence[str] | None = None,
    ) -> tuple[Token, str]:
        """Make a token of a service; its secret is returned here and never again.

        Raises `NotPermitted`, `NotFound`, `Conflict`, `InvalidRequest`.
        """
        require(who, Action.ACCOUNTS)
        account = self._accounts.find(login)
        if account.kind != SERVICE:
            raise Conflict("Tokens are for services; people sign in. `vna user add --service`.")
        if not 0 < days <= self._settings.token_days:
            raise InvalidRequest(
                f"A token is good for up to {self._settings.token_days:g} days (access.token_days)."
            )
        if not name.isprintable() or not name.isascii() or not 1 <= len(name) <= 64:
            raise InvalidRequest("The name of a token is 1 to 64 printable characters.")
        self._check(actions, account.roles)
        secret = TOKEN_PREFIX + new_secret()
        narrowed = None if actions is None else sorted(set(actions))
        with self._database.transaction() as tx:
            row = tx.execute(
                _SQL.add_token,
                (account.account_id, name, digest(secret), narrowed, days * _DAY_S),
            ).fetchone()
            token_id = int(row[0]) if row else 0
            detail = {"account": account.login, "token": token_id, "name": name, "may": narrowed}
            self._audit.write(tx, who, [Event(kind="token.added", outcome="done", detail=detail)])
        return next(t for t in self.all(who) if t.token_id == token_id), secret

    def all(self, who: Principal) -> list[Token]:
        """List the tokens. Raises `NotPermitted`."""
        require(who, Action.ACCOUNTS)
        with self._database.reading() as conn:
            return [_token(row) for row in conn.execute(_SQL.list_tokens)]

    def revoke(self, who: Principal, token_id: int) -> None:
        """Let nobody in with it any more, within a second. Raises `NotPermitted`, `NotFound`."""
        require(who, Action.ACCOUNTS)
        with self._database.transaction() as tx:
            row = tx.execute(_SQL.revoke_token, (token_id,)).fetchone()
            if row is None:
                raise NotFound("There is no such token, or it was revoked before.")
            detail = {"account": row[0], "token": token_id, "name": row[1]}
            self._audit.write(tx, who, [Event(kind="token.revoked", outcome="done", detail=detail)])

    def principal(self, secret: str, address: str | None) -> Principal | None:
        """Say whose token this is; None when it is nobody's, over, revoked, or disabled."""
        with self._database.reading() as conn:
            row = conn.execute(_SQL.find_token, (digest(secret),)).fetchone()
        if row is None:
            return None
        token_id, login, roles, narrowed, account_id = row
        return self.service(account_id, f"{login}#{token_id}", roles, narrowed, address)

    def service(
        self,
        account_id: int,
        name: str,
        roles: Sequence[str],
        narrowed: Sequence[str] | None,
        address: str | None,
    ) -> Principal:
        """Make the principal of a program; `narrowed` are the actions its token is cut to."""
        actions = self._roles.actions(roles)
        if narrowed is not None:
            actions &= {action for action in Action if action.value in narrowed}
        return self._labels.narrowed(
            Principal(
                kind=Kind.SERVICE,
                name=name,
                actions=actions,
                scope=self._care.scope(account_id, roles),
                address=address,
                clearances=self._roles.clearances(roles),
            )
        )

    def _check(self, actions: Sequence[str] | None, roles: Sequence[str]) -> None:
        if actions is None:
            return
        allowed = {action.value for action in self._roles.actions(roles)}
        if not actions or not set(actions) <= allowed:
            raise InvalidRequest(
                "A token may do some of what its account may: " + ", ".join(sorted(allowed))
            )


def _token(row: tuple[Any, ...]) -> Token:  # the columns of list_tokens
    return Token(
        token_id=row[0],
        login=row[1],
        name=row[2],
        actions=None if row[3] is None else tuple(row[3]),
        created_at=row[4],
        ends_at=row[5],
        revoked_at=row[6],
    )
