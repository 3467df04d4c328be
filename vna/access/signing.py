"""Signing in, enrolling, and what people change about how they sign in. All of it audited.

An answer to a wrong name and to a wrong passphrase is the same, after the same work. What was typed
as a name is written down only when there is such an account: people type passphrases there, too.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NoReturn, TypeVar

from vna.access import rates
from vna.access.accounts import fold
from vna.access.audit import Audit, Event
from vna.access.factors import Factors, Offer
from vna.access.passkeys import Passkeys, Site
from vna.access.principal import Principal
from vna.access.rates import Limit, Rates
from vna.access.sessions import Browser, Level, Sessions, Visitor, person
from vna.crypto.credentials import MOST_PASSPHRASE, Vault, digest
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.errors import InvalidRequest, NotAuthenticated, NotPermitted, NotProven, TooMany
from vna.telemetry import SIGN_INS
from vna.texts import filled, marked

T = TypeVar("T")

_SQL = statements.load("access")

LEAST_PASSPHRASE = 12
_LEAST_KINDS = 5  # different characters
_WRONG = marked("The name or the passphrase is not right.")
_WRONG_CODE = marked("The code is not right, or was used already.")
_CODE_DIGITS = 6
_RECOVERY_CODE = "recovery-code"
_CEREMONIES = 60  # begun by an address without signing in


class Change(enum.Enum):
    """What changed about how somebody signs in, that they are told of."""

    WAYS = enum.auto()  # a factor came, or went
    RECOVERY_CODE = enum.auto()  # one was used
    CARER = enum.auto()  # somebody may act for its person
    CODE = enum.auto()  # a desk made a code for its person
    GUESSED = enum.auto()  # nothing yet: somebody has its passphrase, and guesses codes


Changed = Callable[[Connection, int, Change], None]
"""Told of a change of an account, in the transaction that makes it."""


class SignIn:
    """Lets people in. Methods return the secret of the cookie that stands for the next step."""

    def __init__(
        self,
        *,
        database: Database,
        audit: Audit,
        vault: Vault,
        sessions: Sessions,
        factors: Factors,
        passkeys: Passkeys,
        rates: Rates,
        changed: Changed | None = None,
    ) -> None:
        """`changed` is what tells people of changes of their account."""
        self._changed = changed
        self._database = database
        self._audit = audit
        self._vault = vault
        self._sessions = sessions
        self._factors = factors
        self._passkeys = passkeys
        self._rates = rates

    # ---- signing in ----------------------------------------------------------------------------

    def passphrase(self, login: str, passphrase: str, browser: Browser) -> str:
        """Take the first step. Costs what a hash costs: never in an event loop.

        Raises `NotAuthenticated`, `TooMany`.
        """
        login = fold(login)[:64]
        with self._database.reading() as conn:
            row = conn.execute(_SQL.find_passphrase, (login.replace("\0", ""),)).fetchone()
        who = person(login if row else "unknown", browser.address)
        limits = rates.sign_in(self._vault.hidden(login), browser.address)
        self._count(limits, who, "passphrase")
        account_id, kept = row or (0, None)
        if not self._vault.is_passphrase(passphrase[:MOST_PASSPHRASE], kept):
            self._refuse(who, "passphrase", _WRONG)
        self._rates.give_back(limits)
        with self._database.transaction() as tx:
            secret = self._sessions.open(tx, account_id, Level.PASSPHRASE, browser)
            self._tell(tx, who, "login", factor="passphrase")
        return secret

    def code(self, visitor: Visitor, code: str, browser: Browser) -> str:
        """Take the second step with a code. Raises `NotAuthenticated`, `TooMany`."""
        _require(visitor, Level.PASSPHRASE)

        def enter(tx: Connection, factor: str) -> str:
            secret = self._sessions.open(tx, visitor.account_id, Level.SIGNED_IN, browser)
            self._shown(tx, visitor, factor)
            return secret

        secret = self._by_code(visitor, code, enter)
        SIGN_INS.labels("done").inc()
        return secret

    def prove(self, visitor: Visitor, code: str) -> None:
        """Show a second factor again, by a code. Raises `NotAuthenticated`, `TooMany`."""
        _require(visitor, Level.SIGNED_IN)
        self._require_local(visitor)
        self._by_code(visitor, code, lambda tx, factor: self._proven(tx, visitor, factor))

    def prove_passkey(self, visitor: Visitor, browser: Browser, site: Site, answer: bytes) -> None:
        """Show a passkey again. Raises `NotAuthenticated`, `TooMany`."""
        _require(visitor, Level.SIGNED_IN)
        limits = rates.factor(visitor.account_id)
        self._count(limits, visitor.principal, "passkey")
        try:
            account_id = self._passkeys.recognise(browser.secret or "", site, answer)
        except NotAuthenticated as exc:
            self._refuse(visitor.principal, "passkey", str(exc))
        if account_id != visitor.account_id:
            self._refuse(visitor.principal, "passkey", "This passkey is somebody else's.")
        self._rates.give_back(limits)
        self._rates.give_back(_ceremonies(browser))
        with self._database.transaction() as tx:
            _hold(tx, visitor)
            self._proven(tx, visitor, "passkey")

    def _by_code(self, visitor: Visitor, code: str, then: Callable[[Connection, str], T]) -> T:
        """Do what a right code is for, in the transaction that uses it up; count every try.

        Raises `NotAuthenticated`, `TooMany`.
        """
        limits = rates.factor(visitor.account_id)
        factor, is_app = _factor_of(code)
        self._count(limits, visitor.principal, factor, guessed=visitor)
        with self._database.transaction() as tx:
            _hold(tx, visitor)
            is_right = self._is_code(tx, visitor.account_id, code, is_app=is_app)
            done = [then(tx, factor)] if is_right else []
        if not done:
            self._refuse(visitor.principal, factor, _WRONG_CODE)
        self._rates.give_back(limits)
        return done[0]

    def _is_code(self, tx: Connection, account_id: int, code: str, *, is_app: bool) -> bool:
        if is_app:
            return self._factors.is_app_code(tx, account_id, code)
        return self._factors.is_recovery_code(tx, account_id, code[:64])

    def _proven(self, tx: Connection, visitor: Visitor, factor: str) -> None:
        tx.execute(_SQL.prove_session, (visitor.session_id,))
        self._shown(tx, visitor, factor, again="yes")

    def _shown(self, tx: Connection, visitor: Visitor, factor: str, **more: str) -> None:
        """Write down that a second factor was shown; its owner is told of a recovery code."""
        self._tell(tx, visitor.principal, "login.factor", factor=factor, **more)
        if factor == _RECOVERY_CODE:
            self._tell_owner(tx, visitor, Change.RECOVERY_CODE)

    def passkey_challenge(self, browser: Browser, site: Site) -> str:
        """Begin signing in with a passkey. Raises `TooMany`."""
        if self._rates.take(_ceremonies(browser)):
            raise TooMany
        return self._passkeys.challenge(browser.secret or "", site)

    def passkey(self, browser: Browser, site: Site, answer: bytes) -> str:
        """Sign in with a passkey: both steps in one. Raises `NotAuthenticated`, `TooMany`."""
        limits = rates.address(browser.address, "passkey", _CEREMONIES)
        self._count(limits, person("unknown", browser.address), "passkey")
        try:
            account_id = self._passkeys.recognise(browser.secret or "", site, answer)
        except NotAuthenticated as exc:
            self._refuse(person("unknown", browser.address), "passkey", str(exc))
        self._rates.give_back(limits)
        self._rates.give_back(_ceremonies(browser))
        with self._database.transaction() as tx:
            row = tx.execute(_SQL.find_handle, (account_id,)).fetchone()
            secret = self._sessions.open(tx, account_id, Level.SIGNED_IN, browser)
            name = row[1] if row else "unknown"
            self._tell(tx, person(name, browser.address), "login", factor="passkey")
        SIGN_INS.labels("done").inc()
        return secret

    # ---- enrolling -----------------------------------------------------------------------------

    def follow_link(self, secret: str, browser: Browser) -> str:
        """Begin to enrol by a one-time link; it is good until both factors stand.

        Only one browser enrols at a time: opening the link again begins anew, so that whoever
        looked at it before can add nothing of their own. Raises `NotAuthenticated`, `TooMany`.
        """
        nobody = person("unknown", browser.address)
        limits = rates.address(browser.address, "link", 10)
        self._count(limits, nobody, "link")
        with self._database.transaction() as tx:
            row = tx.execute(_SQL.find_invitation, (digest(secret.strip()),)).fetchone()
            if row is not None:  # whoever opened it before is out, with all they brought
                tx.execute(_SQL.end_sessions, (row[0], None))
                for statement in (_SQL.reset_account, _SQL.drop_totp, _SQL.drop_passkeys):
                    tx.execute(statement, (row[0],))
            cookie = row and self._sessions.open(tx, row[0], Level.ENROLLING, browser)
        if not cookie:
            self._refuse(nobody, "link", "This link is not good any more; ask for a new one.")
        self._rates.give_back(limits)
        return cookie

    def choose_passphrase(self, visitor: Visitor, passphrase: str) -> None:
        """Take the passphrase of somebody who enrols. Raises `InvalidRequest`."""
        _require(visitor, Level.ENROLLING)
        check_passphrase(passphrase, visitor.login)
        kept = self._vault.hash_passphrase(passphrase)
        with self._database.transaction() as tx:
            _hold(tx, visitor)
            tx.execute(_SQL.keep_passphrase, (kept, visitor.account_id))
            self._tell(tx, visitor.principal, "factor.added", factor="passphrase")

    def offer_app(self, visitor: Visitor) -> Offer:
        """Offer a secret to an authenticator app. Raises `Conflict`."""
        _require_any(visitor, Level.ENROLLING, Level.SIGNED_IN)
        _require_fresh(visitor)
        self._require_local(visitor)
        return self._factors.offer(visitor.account_id, visitor.login)

    def confirm_app(self, visitor: Visitor, code: str) -> None:
        """Take an authenticator app by its first code. Raises `NotAuthenticated`, `TooMany`."""
        _require_any(visitor, Level.ENROLLING, Level.SIGNED_IN)
        _require_fresh(visitor)
        limits = rates.factor(visitor.account_id)
        self._count(limits, visitor.principal, "app")
        with self._database.transaction() as tx:
            _hold(tx, visitor)
            is_right = self._factors.is_app_code(tx, visitor.account_id, code, confirming=True)
            if is_right:
                self._factor(tx, visitor, "added", "app")
        if not is_right:
            self._refuse(visitor.principal, "app", _WRONG_CODE)
        self._rates.give_back(limits)

    def offer_passkey(self, visitor: Visitor, browser: Browser, site: Site) -> str:
        """Begin registering a passkey. Raises `Conflict`."""
        _require_any(visitor, Level.ENROLLING, Level.SIGNED_IN)
        _require_fresh(visitor)
        self._require_local(visitor)
        return self._passkeys.offer(browser.secret or "", visitor.account_id, site)

    def add_passkey(self, visitor: Visitor, browser: Browser, site: Site, answer: bytes) -> None:
        """Take a passkey. Raises `NotAuthenticated`."""
        _require_any(visitor, Level.ENROLLING, Level.SIGNED_IN)
        _require_fresh(visitor)
        self._require_local(visitor)
        with self._database.transaction() as tx:
            _hold(tx, visitor)
            self._passkeys.register(tx, browser.secret or "", visitor.account_id, site, answer)
            self._factor(tx, visitor, "added", "passkey")

    def finish(self, visitor: Visitor, browser: Browser) -> tuple[str, list[str]]:
        """End enrolling: the link is void, the person signed in. Returns the recovery codes, too.

        Raises `NotPermitted` while a factor is missing.
        """
        _require(visitor, Level.ENROLLING)
        with self._database.transaction() as tx:
            # first, as `follow_link` does: who opens it meanwhile waits, and finds it void
            void = tx.execute(_SQL.drop_invitation, (visitor.account_id,)).fetchone() is None
            _hold(tx, visitor)
            account = tx.execute(_SQL.find_account_by_id, (visitor.account_id,)).fetchone()
            if account is None or not (account[6] or account[7]):
                raise NotPermitted(marked("A second factor is still missing."))
            if void or tx.execute(_SQL.enrol_account, (visitor.account_id,)).rowcount != 1:
                raise NotPermitted(marked("This link is not good any more; ask for a new one."))
            tx.execute(_SQL.drop_desk_code, (visitor.account_id,))
            codes = self._factors.renew_recovery_codes(tx, visitor.account_id)
            tx.execute(_SQL.end_sessions, (visitor.account_id, None))
            secret = self._sessions.open(tx, visitor.account_id, Level.SIGNED_IN, browser)
            self._tell(tx, visitor.principal, "account.enrolled")
            self._tell_owner(tx, visitor, Change.WAYS)  # a desk's code was used: all is new
        return secret, codes

    # ---- my account ----------------------------------------------------------------------------

    def renew_recovery_codes(self, visitor: Visitor) -> list[str]:
        """Make new recovery codes; the old ones are void."""
        _require(visitor, Level.SIGNED_IN)
        _require_fresh(visitor)
        self._require_local(visitor)
        with self._database.transaction() as tx:
            tx.execute(_SQL.hold_account, (visitor.account_id,))
            _hold(tx, visitor)
            codes = self._factors.renew_recovery_codes(tx, visitor.account_id)
            self._factor(tx, visitor, "added", "recovery-codes")
        return codes

    def drop_passkey(self, visitor: Visitor, passkey_id: int) -> None:
        """Forget a passkey; the last second factor stays. Raises `NotPermitted`."""
        _require(visitor, Level.SIGNED_IN)
        _require_fresh(visitor)
        with self._database.transaction() as tx:
            tx.execute(_SQL.hold_account, (visitor.account_id,))  # they may be in at two browsers
            _hold(tx, visitor)
            account = tx.execute(_SQL.find_account_by_id, (visitor.account_id,)).fetchone()
            if account is None or not (account[6] or account[7] > 1):
                raise NotPermitted(marked("This is your only second factor; add another first."))
            gone = tx.execute(_SQL.drop_passkey, (visitor.account_id, passkey_id)).fetchone()
            if gone is not None:
                self._factor(tx, visitor, "removed", "passkey")

    # ---- shared --------------------------------------------------------------------------------

    def _factor(self, tx: Connection, visitor: Visitor, act: str, factor: str) -> None:
        """Write down that a factor came or went; who enrols is told once, at the end."""
        self._tell(tx, visitor.principal, f"factor.{act}", factor=factor)
        if visitor.level is Level.SIGNED_IN:
            self._tell_owner(tx, visitor, Change.WAYS)

    def _require_local(self, visitor: Visitor) -> None:
        """Refuse who proves who they are elsewhere: what they had here would outlive it there.

        Raises `NotPermitted`.
        """
        with self._database.reading() as conn:
            row = conn.execute(_SQL.is_federated, (visitor.account_id,)).fetchone()
        if row is None or row[0]:
            raise NotPermitted

    def _tell_owner(self, tx: Connection, visitor: Visitor, change: Change) -> None:
        if self._changed is not None:
            self._changed(tx, visitor.account_id, change)

    def _count(
        self,
        limits: tuple[Limit, ...],
        who: Principal,
        factor: str,
        *,
        guessed: Visitor | None = None,
    ) -> None:
        """Count a try. Of too many codes whose account it is, `guessed`, is told."""
        over = self._rates.take(limits)
        if not over:
            return
        SIGN_INS.labels("limited").inc()
        if over == 1:  # once: the trail must not be filled by whoever keeps trying
            self._note(who, factor, "limited", guessed)
        raise TooMany

    def _refuse(self, who: Principal, factor: str, text: str) -> NoReturn:
        SIGN_INS.labels("refused").inc()
        self._note(who, factor, "refused")
        raise NotAuthenticated(text)

    def _note(
        self, who: Principal, factor: str, outcome: str, guessed: Visitor | None = None
    ) -> None:
        event = Event(kind="login", outcome=outcome, detail={"factor": factor})
        with self._database.transaction() as tx:
            self._audit.write(tx, who, [event])
            if guessed is not None:
                self._tell_owner(tx, guessed, Change.GUESSED)

    def _tell(self, tx: Connection, who: Principal, kind: str, **more: str) -> None:
        self._audit.write(tx, who, [Event(kind=kind, outcome="done", detail=dict(more))])


def check_passphrase(passphrase: str, login: str) -> None:
    """Refuse what is too easy to guess (NIST SP 800-63B 3.1.1.2). Raises `InvalidRequest`."""
    if not LEAST_PASSPHRASE <= len(passphrase) <= MOST_PASSPHRASE:
        raise InvalidRequest(
            filled(
                "A passphrase has %(least)s to %(most)s characters: "
                "a few words are easier to remember than signs.",
                least=LEAST_PASSPHRASE,
                most=MOST_PASSPHRASE,
            )
        )
    plain = passphrase.lower()
    if len(set(plain)) < _LEAST_KINDS or (len(login) > 3 and login in plain):
        raise InvalidRequest(
            marked("That is too easy to guess: repeat less, and leave your login out.")
        )


def _ceremonies(browser: Browser) -> tuple[Limit, ...]:
    """Limit what is begun without signing in: a house behind one address signs in all morning."""
    return rates.address(browser.address, "ceremony", _CEREMONIES)


def _factor_of(code: str) -> tuple[str, bool]:
    """Tell by its form what a code is of: the app, or paper."""
    is_app = len("".join(code.split())) == _CODE_DIGITS
    return "app" if is_app else _RECOVERY_CODE, is_app


def _require_fresh(visitor: Visitor) -> None:
    """Ask for a second factor of just now, where somebody at an open screen could do harm."""
    if visitor.level is Level.SIGNED_IN and not visitor.is_fresh:
        raise NotProven


def _require(visitor: Visitor, level: Level) -> None:
    _require_any(visitor, level)


def _require_any(visitor: Visitor, *levels: Level) -> None:
    if visitor.level not in levels:
        raise NotPermitted


def _hold(tx: Connection, visitor: Visitor) -> None:
    """Make sure of a session that was believed for a moment, before it changes anything."""
    asked = (visitor.session_id, visitor.account_id, int(visitor.level))
    if tx.execute(_SQL.hold_session, asked).fetchone() is None:
        raise NotAuthenticated(marked("This session is over; sign in again."))
