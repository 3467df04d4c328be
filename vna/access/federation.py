"""Accounts proven elsewhere: signing in by OpenID Connect, and bearer tokens of an issuer.

Authorization code with PKCE (RFC 7636), `state` and `nonce`. All three are bound to the browser's
cookie, and a flow is answered once. Verifier and nonce are drawn from the cookie's secret: they
stand nowhere. An account is found by the issuer's subject; a login counts once,
at its first sign-in.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlencode

from vna.access.accounts import PERSON, SERVICE, Accounts, fold
from vna.access.api_tokens import ApiTokens
from vna.access.audit import Audit, Event
from vna.access.issuers import Remote
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.access.rates import Limit, Rates, address
from vna.access.roles import Roles
from vna.access.sessions import FRESH_S, Browser, Level, Sessions, Visitor, person
from vna.access.tokens import valid_subject
from vna.config import Jwt, Oidc, Outbound, Settings
from vna.crypto.credentials import digest, random_bytes
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.errors import (
    ConfigError,
    Conflict,
    InvalidRequest,
    NotAuthenticated,
    NotPermitted,
    TooMany,
)
from vna.telemetry import SIGN_INS
from vna.texts import marked

_SQL = statements.load("federation")
_ACCESS = statements.load("access")

_FLOW_S = 600.0
_FLOWS = 60  # begun by an address that nobody came back from
_PURPOSE = "federation"
_OVER = "That took too long, or was answered before; sign in again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Whom the provider named, and what it said of them."""

    subject: str
    claims: dict[str, Any]  # JSON


class Federation:
    """Lets people in whom an identity provider vouches for, and programs with its tokens."""

    def __init__(
        self,
        *,
        database: Database,
        audit: Audit,
        accounts: Accounts,
        sessions: Sessions,
        tokens: ApiTokens,
        roles: Roles,
        settings: Settings,
    ) -> None:
        """Raises `ConfigError` when the settings are not sound."""
        self._database = database
        self._audit = audit
        self._accounts = accounts
        self._sessions = sessions
        self._tokens = tokens
        self._oidc, self._jwt = settings.oidc, settings.jwt
        self._rates = Rates(database)
        self._provider = _provider(settings.oidc, settings.outbound)
        self._issuer = _issuer(settings.jwt, settings.outbound)
        self._roles_of = _roles_of(settings.oidc, roles)

    @property
    def shown_as(self) -> str | None:
        """What people know the provider by; None when there is none."""
        return self._oidc.shown_as if self._provider is not None else None

    # ---- accounts ------------------------------------------------------------------------------

    def expect(self, who: Principal, login: str) -> None:
        """Let the owner of an account come in by the provider alone, from now on.

        Raises `NotPermitted`, `NotFound`, `Conflict`.
        """
        require(who, Action.ACCOUNTS)
        provider, account = self._known_provider(), self._accounts.find(login)
        if account.kind != PERSON:
            raise Conflict("People sign in; a service brings tokens: `--subject`.")
        with self._database.transaction() as tx:
            for statement in (
                _ACCESS.drop_totp, _ACCESS.drop_passkeys, _ACCESS.drop_recovery_codes,
                _ACCESS.void_invitation, _SQL.federate,
            ):  # fmt: skip
                tx.execute(statement, (account.account_id,))
            tx.execute(_ACCESS.end_sessions, (account.account_id, None))
            tx.execute(_SQL.expect_subject, (account.account_id, provider.issuer))
            detail = {"account": account.login, "issuer": provider.issuer}
            self._audit.write(
                tx, who, [Event(kind="account.federated", outcome="done", detail=detail)]
            )

    def name(self, who: Principal, login: str, subject: str) -> None:
        """Say by which subject the issuer of tokens means a service.

        Raises `NotPermitted`, `NotFound`, `Conflict`, `InvalidRequest`.
        """
        require(who, Action.ACCOUNTS)
        if self._issuer is None:
            raise Conflict("No issuer of tokens is named in the settings: jwt.issuer.")
        account = self._accounts.find(login)
        if account.kind != SERVICE:
            raise Conflict("People sign in; only a service brings tokens.")
        if not 1 <= len(subject) <= 255 or not subject.isprintable():
            raise InvalidRequest("A subject is 1 to 255 printable characters.")
        with self._database.transaction() as tx:
            tx.execute(_SQL.name_subject, (account.account_id, self._issuer.issuer, subject))
            detail = {"account": account.login, "issuer": self._issuer.issuer}
            self._audit.write(
                tx, who, [Event(kind="account.federated", outcome="done", detail=detail)]
            )

    # ---- signing in ----------------------------------------------------------------------------

    def begin(self, browser: Browser, back: str, *, again: bool) -> str:
        """Begin a flow; return the address to send the browser to, which comes back to `back`.

        `again`: the provider asks its user anew, whatever it remembers. Raises `TooMany`,
        `Unavailable`, `NotPermitted`.
        """
        provider = self._known_provider()
        if self._rates.take(_flows(browser)):
            raise TooMany
        where = provider.endpoints().authorization
        state = random_bytes()
        with self._database.transaction() as tx:
            kept = (digest(browser.secret or ""), _PURPOSE, state, _FLOW_S)
            tx.execute(_ACCESS.keep_challenge, kept)
        asked = {
            "response_type": "code",
            "client_id": self._oidc.client_id,
            "redirect_uri": back,
            "scope": "openid profile",
            "state": _text(state),
            "nonce": _drawn(browser, b"nonce", state),
            "code_challenge": _text(
                hashlib.sha256(_drawn(browser, b"pkce", state).encode()).digest()
            ),
            "code_challenge_method": "S256",
        }
        if self._oidc.acr:
            asked["acr_values"] = self._oidc.acr
        if again:
            asked |= {"prompt": "login", "max_age": "0"}
        return f"{where}{'&' if '?' in where else '?'}{urlencode(asked)}"

    def finish(
        self, browser: Browser, visitor: Visitor | None, back: str, *, state: str, code: str
    ) -> str | None:
        """End a flow: return the secret of the session's cookie, None when a visitor was confirmed.

        Raises `NotAuthenticated`, `Unavailable`.
        """
        nobody = person("unknown", browser.address)
        try:
            found = self._vouched(browser, back, state, code)
            self._rates.give_back(_flows(browser))
            if visitor is not None and visitor.is_signed_in:
                self._confirm(visitor, found)
                return None
            return self._let_in(browser, found)
        except NotAuthenticated:
            SIGN_INS.labels("refused").inc()
            event = Event(kind="login", outcome="refused", detail={"factor": "federation"})
            with self._database.transaction() as tx:
                self._audit.write(tx, nobody, [event])
            raise

    def _vouched(self, browser: Browser, back: str, state: str, code: str) -> Who:
        """Exchange the code, and believe what is signed, meant for us, and of this flow."""
        provider = self._known_provider()
        with self._database.transaction() as tx:  # gone, whatever comes of it
            row = tx.execute(
                _ACCESS.take_challenge, (digest(browser.secret or ""), _PURPOSE)
            ).fetchone()
        kept = bytes(row[0]) if row is not None and row[1] else b""
        if not kept or not hmac.compare_digest(_text(kept).encode(), state.encode()):
            raise NotAuthenticated(_OVER)
        form = {
            "grant_type": "authorization_code",
            "code": code[:2048],
            "redirect_uri": back,
            "client_id": self._oidc.client_id,
            "code_verifier": _drawn(browser, b"pkce", kept),
        }
        answer = provider.post(provider.endpoints().token, form, self._secret())
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise NotAuthenticated(marked("The identity provider named nobody."))
        claims = provider.verified(token.encode("utf-8", "replace"))
        subject = valid_subject(claims, self._oidc.client_id, time.time())
        self._check(claims, _drawn(browser, b"nonce", kept))
        return Who(subject=subject, claims=self._more(claims, answer.get("access_token")))

    def _more(self, claims: dict[str, Any], access: object) -> dict[str, Any]:
        """Ask for claims that are wanted and do not stand in the token (OpenID Connect 5.3)."""
        provider = self._known_provider()
        wanted = {self._oidc.login_claim, self._oidc.roles_claim} - {""}
        where = provider.endpoints().userinfo
        if wanted <= set(claims) or not where or not isinstance(access, str):
            return claims
        told = provider.told(where, access)
        if told.get("sub") != claims.get("sub"):
            raise NotAuthenticated(marked("The identity provider tells of somebody else."))
        return {**{name: told[name] for name in wanted & set(told)}, **claims}

    def _check(self, claims: dict[str, Any], nonce: str) -> None:
        said = claims.get("nonce")
        if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
            raise NotAuthenticated(
                marked("The identity provider answered somebody else's question.")
            )
        if claims.get("azp", self._oidc.client_id) != self._oidc.client_id:
            raise NotAuthenticated(marked("The token is meant for somebody else."))
        if self._oidc.acr and claims.get("acr") != self._oidc.acr:
            raise NotAuthenticated(marked("The identity provider did not ask for enough factors."))

    def _confirm(self, visitor: Visitor, found: Who) -> None:
        """Take it as a second factor of just now, if it is the same person and was asked anew."""
        at = found.claims.get("auth_time")
        is_recent = isinstance(at, int | float) and time.time() - at < FRESH_S
        with self._database.transaction() as tx:
            row = tx.execute(_SQL.find_subject, self._named(found)).fetchone()
            if row is None or row[0] != visitor.account_id or not is_recent:
                raise NotAuthenticated(
                    marked("The identity provider named somebody else, or from before.")
                )
            tx.execute(_ACCESS.prove_session, (visitor.session_id,))
            detail = {"factor": "federation", "again": "yes"}
            self._tell(tx, visitor.principal, "login.factor", detail)

    def _let_in(self, browser: Browser, found: Who) -> str:
        login = fold(str(found.claims.get(self._oidc.login_claim, "")))[:64]
        roles = self._claimed(found)
        with self._database.transaction() as tx:
            row = tx.execute(_SQL.find_subject, self._named(found)).fetchone()
            if row is None:
                self._bind(tx, login, found, roles)
                row = tx.execute(_SQL.find_subject, self._named(found)).fetchone()
            if row is None or row[3] != PERSON:
                raise NotAuthenticated(
                    marked("The identity provider knows you, this archive does not.")
                )
            account_id, name = row[0], row[1]
            who = person(name, browser.address)
            tx.execute(_SQL.enrol_federated, (account_id,))
            if roles is not None:
                self._keep_roles(tx, who, account_id, roles)
            secret = self._sessions.open(tx, account_id, Level.SIGNED_IN, browser)
            self._tell(tx, who, "login", {"factor": "federation"})
        SIGN_INS.labels("done").inc()
        return secret

    def _bind(self, tx: Connection, login: str, found: Who, roles: list[str] | None) -> None:
        """Find who is expected under this login; make an account where the settings say so."""
        asked = {
            "login": login, "subject": found.subject, "issuer": self._known_provider().issuer
        }  # fmt: skip
        if tx.execute(_SQL.bind_subject, asked).fetchone() is not None:
            return
        if not (self._oidc.provision and roles):
            return
        account_id = self._accounts.provide(tx, login, roles)
        if account_id is not None:
            tx.execute(_SQL.federate, (account_id,))
            tx.execute(_SQL.name_subject, (account_id, asked["issuer"], found.subject))

    def _keep_roles(
        self, tx: Connection, who: Principal, account_id: int, roles: list[str]
    ) -> None:
        row = tx.execute(
            _SQL.keep_claimed_roles, {"roles": roles, "account": account_id}
        ).fetchone()
        if row is not None:
            detail = {"account": who.name, "before": list(row[0]), "after": roles}
            self._tell(tx, who, "account.roles", detail)

    def _claimed(self, found: Who) -> list[str] | None:
        """Say which roles the groups of a claim mean; None when roles are given here."""
        if not self._oidc.roles_claim:
            return None
        said = found.claims.get(self._oidc.roles_claim, [])
        groups = said if isinstance(said, list) else [said]
        roles = sorted(
            {self._roles_of[g] for g in groups if isinstance(g, str) and g in self._roles_of}
        )
        if not roles:
            raise NotAuthenticated(marked("None of your groups has a role in this archive."))
        return roles

    def _named(self, found: Who) -> tuple[str, str]:
        return self._known_provider().issuer, found.subject

    def _known_provider(self) -> Remote:
        if self._provider is None:
            raise NotPermitted("No identity provider is named in the settings: oidc.issuer.")
        return self._provider

    def _secret(self) -> tuple[str, str] | None:
        if not self._oidc.client_secret_file:
            return None
        try:
            secret = Path(self._oidc.client_secret_file).read_text(encoding="utf-8").strip()
        except OSError as exc:
            raise ConfigError("oidc.client_secret_file cannot be read.") from exc
        return quote_plus(self._oidc.client_id), quote_plus(secret)  # RFC 6749 2.3.1

    def _tell(self, tx: Connection, who: Principal, kind: str, detail: dict[str, Any]) -> None:
        self._audit.write(tx, who, [Event(kind=kind, outcome="done", detail=detail)])

    # ---- bearer tokens -------------------------------------------------------------------------

    def bearer(self, token: str, where: str | None) -> Principal | None:
        """Say whose token of the issuer this is; None when it is nobody's. Raises `Unavailable`."""
        if self._issuer is None:
            return None
        try:
            claims = self._issuer.verified(token.encode("utf-8", "replace"))
            subject = valid_subject(claims, self._jwt.audience, time.time())
        except NotAuthenticated:
            return None
        with self._database.reading() as conn:
            row = conn.execute(_SQL.find_subject, (self._issuer.issuer, subject)).fetchone()
        if row is None or row[3] != SERVICE:
            return None
        account_id, login, roles, *_ = row
        return self._tokens.service(account_id, login, roles, self._scopes(claims), where)

    def _scopes(self, claims: dict[str, Any]) -> list[str] | None:
        """Name the actions the scopes of a token allow; None for all of the account's."""
        prefix = self._jwt.scope_prefix
        if not prefix:
            return None
        said = claims.get("scope", "")
        words = said.split() if isinstance(said, str) else []
        return [word.removeprefix(prefix) for word in words if word.startswith(prefix)]


def _provider(settings: Oidc, outbound: Outbound) -> Remote | None:
    if not settings.issuer:
        return None
    if not settings.client_id:
        raise ConfigError("oidc.issuer needs oidc.client_id.")
    return Remote(settings.issuer, outbound, ca=settings.ca)


def _issuer(settings: Jwt, outbound: Outbound) -> Remote | None:
    if not settings.issuer:
        return None
    if not settings.audience:
        raise ConfigError("jwt.issuer needs jwt.audience: a token for another must not open this.")
    return Remote(settings.issuer, outbound, jwks=settings.jwks, ca=settings.ca)


def _roles_of(settings: Oidc, roles: Roles) -> dict[str, str]:
    """Read `oidc.roles_of`. Raises `ConfigError`."""
    found: dict[str, str] = {}
    for pair in settings.roles_of.split(","):
        group, equals, role = pair.strip().rpartition("=")
        if equals and role in roles.by_name:
            found[group] = role
        elif pair.strip():
            raise ConfigError("oidc.roles_of is written GROUP=role, with roles there are.")
    return found


def _flows(browser: Browser) -> tuple[Limit, ...]:
    """Limit what is begun and not ended: a house behind one address signs in all morning."""
    return address(browser.address, "federation", _FLOWS)


def _drawn(browser: Browser, what: bytes, state: bytes) -> str:
    mac = hmac.digest((browser.secret or "").encode("utf-8", "replace"), what + state, "sha256")
    return _text(mac)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
