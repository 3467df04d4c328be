"""Which person a patient's account is bound to, and the codes a desk hands over.

An account names nobody: its login is drawn, and what binds it is an identity (vna/patients). All of
it in the caller's transaction; who may do what is said a floor above (operate/patient_accounts.py).
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vna.access.accounts import PERSON
from vna.access.roles import PATIENT
from vna.crypto.credentials import Vault, digest, new_paper_code, new_secret, random_bytes
from vna.db import statements
from vna.db.pool import Connection
from vna.errors import Conflict
from vna.texts import marked

_SQL = statements.load("own")
_ACCESS = statements.load("access")

MOST_TRIES = 5
_MOST_TYPED = 64
_MOST_LISTED = 1000
_DRAWS = 60
_LOGIN_LETTERS = 9  # of a paper code: eight random letters; a name, not a secret
_LOOK_ALIKE = frozenset("01")


class Proof(enum.Enum):
    """How somebody showed that they are the person."""

    DESK = "desk"
    SHARE = "share"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One account of a person; nothing is seen by it before it is confirmed."""

    binding_id: int
    account_id: int
    login: str
    identity: bytes
    proof: Proof
    asked_at: dt.datetime
    asked_by: str
    confirmed_at: dt.datetime | None
    confirmed_by: str | None
    ended_at: dt.datetime | None
    ended_by: str | None
    reason: str | None
    enrolled_at: dt.datetime | None

    @property
    def state(self) -> str:
        """Say in a word how it stands."""
        if self.ended_at is not None:
            return "ended"
        if self.enrolled_at is None:
            return "begun"
        return "waiting" if self.confirmed_at is None else "open"


@dataclass(frozen=True, slots=True)
class Code:
    """A code of a desk that is out."""

    ends_at: dt.datetime
    is_locked: bool
    opens_at: dt.datetime | None  # it opens nothing before; None when it does now


@dataclass(frozen=True, slots=True)
class Tried:
    """A code that was found, with its try counted: whose it is."""

    account_id: int
    login: str
    identity: bytes


def add(
    tx: Connection,
    identity: bytes,
    proof: Proof,
    *,
    by: str,
    grant_id: int | None = None,
) -> tuple[int, str]:
    """Make an account bound to an identity; give its number and login. Raises `Conflict`.

    What a desk proved is confirmed; what a link proved waits.
    """
    account_id, login = add_account(tx)
    asked = {
        "account": account_id,
        "identity": identity,
        "proof": proof.value,
        "grant": grant_id,
        "asked_by": by,
        "confirmed_by": by if proof is Proof.DESK else None,
    }
    if tx.execute(_SQL.add_binding, asked).fetchone() is None:
        raise Conflict("An account was made by this link before: sign in with it.")
    return account_id, login


def add_account(tx: Connection) -> tuple[int, str]:
    """Make an account of a patient's role that is nobody's yet; give its number and login."""
    for _ in range(_DRAWS):
        login = f"p-{new_paper_code()[:_LOGIN_LETTERS].lower()}"
        if not _LOOK_ALIKE.isdisjoint(login):
            continue  # it is typed off paper, as it stands there
        row = tx.execute(_ACCESS.add_account, (login, PERSON, [PATIENT], random_bytes())).fetchone()
        if row is not None:
            return int(row[0]), login
    raise Conflict(marked("No name is free for a new account; try again."))


def of_identities(conn: Connection, identities: Sequence[bytes]) -> list[Binding]:
    """List the accounts of some identities, the newest first."""
    return _bindings(conn, _SQL.bindings_of, (list(identities), _MOST_LISTED))


def waiting(conn: Connection) -> list[Binding]:
    """List the accounts that wait for staff, the oldest first."""
    return _bindings(conn, _SQL.bindings_waiting, (_MOST_LISTED,))


def of_account(conn: Connection, account_id: int) -> Binding | None:
    """Say what an account is bound to."""
    return next(iter(_bindings(conn, _SQL.binding_of_account, (account_id,))), None)


def of_grant(conn: Connection, grant_id: int) -> Binding | None:
    """Say which account was made by a link."""
    return next(iter(_bindings(conn, _SQL.binding_of_grant, (grant_id,))), None)


def hold(tx: Connection, binding_id: int) -> Binding | None:
    """Keep a binding that stands as it is until the transaction ends."""
    return next(iter(_bindings(tx, _SQL.hold_binding, (binding_id,))), None)


def confirm(tx: Connection, binding: Binding, by: str) -> None:
    """Let an account see what is about its person: staff have compared."""
    tx.execute(_SQL.confirm_binding, {"binding": binding.binding_id, "by": by})


def end(tx: Connection, binding: Binding, *, by: str, reason: str) -> None:
    """Let nobody in by an account any more."""
    tx.execute(_SQL.end_binding, {"binding": binding.binding_id, "by": by, "reason": reason})
    tx.execute(_ACCESS.disable_account, (binding.account_id,))
    tx.execute(_ACCESS.end_sessions, (binding.account_id, None))
    tx.execute(_ACCESS.void_invitation, (binding.account_id,))
    tx.execute(_SQL.drop_code, (binding.account_id,))


def issue(
    tx: Connection,
    vault: Vault,
    account_id: int,
    *,
    by: str,
    lasts_s: float,
    hold_s: float = 0.0,
) -> tuple[str, Code]:
    """Give an account a code; the one before is void. It is shown here and never again.

    It opens nothing for `hold_s`, and is good for `lasts_s` from then on.
    """
    code = new_paper_code()
    asked = {
        "account": account_id,
        "hash": hashed(vault, code),
        "by": by,
        "lasts_s": lasts_s,
        "hold_s": hold_s,
    }
    row = tx.execute(_SQL.keep_code, asked).fetchone()
    if row is None:
        raise Conflict(marked("The code could not be kept; try again."))
    return code, Code(row[0], is_locked=False, opens_at=row[1])


def codes(conn: Connection, accounts: Sequence[int]) -> dict[int, Code]:
    """Say which codes are out."""
    rows = conn.execute(_SQL.codes_of, (list(accounts),)).fetchall()
    return {row[0]: Code(row[1], is_locked=row[2], opens_at=row[3]) for row in rows}


def void_held(tx: Connection, accounts: Sequence[int]) -> int:
    """Make the codes void that open nothing yet; say how many there were."""
    return len(tx.execute(_SQL.drop_held_codes, (list(accounts),)).fetchall())


def beside(conn: Connection, account_id: int) -> list[int]:
    """List the accounts of whom a confirmed account is bound to; it is one of them."""
    return [row[0] for row in conn.execute(_SQL.accounts_beside, (account_id,)).fetchall()]


def charge(tx: Connection, vault: Vault, typed: str) -> Tried | None:
    """Count a try of a code before it is made; None for one that opens nothing."""
    row = tx.execute(_SQL.charge_code, (hashed(vault, typed),)).fetchone()
    return None if row is None else Tried(row[0], row[1], row[2])


def let_in(tx: Connection, account_id: int, *, lasts_s: float) -> str:
    """Make the one-time link by which an account is enrolled; give its secret."""
    secret = new_secret()
    tx.execute(_ACCESS.invite, (account_id, digest(secret), lasts_s))
    return secret


def give_back(tx: Connection, account_id: int) -> None:
    """The try of a code was right: it does not count."""
    tx.execute(_SQL.give_code_back, (account_id,))


def hashed(vault: Vault, typed: str) -> bytes:
    """Hash a code for keeping and finding, under a pepper that is not in the database."""
    return vault.hash_paper_code(0, typed[:_MOST_TYPED])  # no account has this number


def _bindings(conn: Connection, statement: Any, values: tuple[Any, ...]) -> list[Binding]:
    # Any: a LiteralString and its parameters
    cursor = conn.cursor(binary=True)
    return [
        Binding(
            binding_id=row[0],
            account_id=row[1],
            login=row[2],
            identity=row[3],
            proof=Proof(row[4]),
            asked_at=row[5],
            asked_by=row[6],
            confirmed_at=row[7],
            confirmed_by=row[8],
            ended_at=row[9],
            ended_by=row[10],
            reason=row[11],
            enrolled_at=row[12],
        )
        for row in cursor.execute(statement, values).fetchall()
    ]
