"""Programs that show a client certificate: which account each certificate stands for.

The archive asks for none over HTTP itself. A reverse proxy that is named in the settings does,
makes sure that it is of whom it trusts, and passes it on; here it is only told whose it is.
"""

from __future__ import annotations

from vna.access.accounts import SERVICE, Accounts
from vna.access.api_tokens import ApiTokens
from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.crypto.certificates import current_fingerprint
from vna.db import statements
from vna.db.pool import Database
from vna.errors import Conflict, InvalidRequest

_SQL = statements.load("federation")

_ISSUER = "x509"  # no URL, as issuers of tokens are
_MOST_BYTES = 16_384


class ClientCertificates:
    """Certificates of services. One a process, shared by its threads."""

    def __init__(
        self, *, database: Database, audit: Audit, accounts: Accounts, tokens: ApiTokens
    ) -> None:
        self._database = database
        self._audit = audit
        self._accounts = accounts
        self._tokens = tokens

    def name(self, who: Principal, login: str, certificate: bytes) -> str:
        """Say that a certificate stands for a service, in place of one before.

        Returns its fingerprint. Raises `NotPermitted`, `NotFound`, `Conflict`, `InvalidRequest`.
        """
        require(who, Action.ACCOUNTS)
        account = self._accounts.find(login)
        if account.kind != SERVICE:
            raise Conflict("People sign in; only a service shows a certificate.")
        found = current_fingerprint(certificate[: _MOST_BYTES + 1])
        if found is None:
            raise InvalidRequest("This is no certificate in PEM that is good today.")
        with self._database.transaction() as tx:
            tx.execute(_SQL.name_subject, (account.account_id, _ISSUER, found))
            detail = {"account": account.login, "certificate": found}
            self._audit.write(
                tx, who, [Event(kind="account.certified", outcome="done", detail=detail)]
            )
        return found

    def principal(self, certificate: bytes, address: str | None) -> Principal | None:
        """Say whose certificate this is; None when nobody's, over, or of a disabled account."""
        if len(certificate) > _MOST_BYTES:
            return None
        found = current_fingerprint(certificate)
        if found is None:
            return None
        with self._database.reading() as conn:
            row = conn.execute(_SQL.find_subject, (_ISSUER, found)).fetchone()
        if row is None or row[3] != SERVICE:
            return None
        account_id, login, roles, *_ = row
        return self._tokens.service(account_id, login, roles, None, address)
