"""Second factors people type: codes of an authenticator app (RFC 6238), and recovery codes.

A code is good once: the step it belongs to is used up in the statement that accepts it. Neither
secrets nor codes are ever shown again or logged.
"""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass, field

from vna.crypto.credentials import Vault, new_paper_code
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.errors import Conflict
from vna.texts import marked

_SQL = statements.load("access")

RECOVERY_CODES = 10
_STEP_S = 30
_DRIFT = 1  # steps a clock may be off, either way (RFC 6238 5.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What an authenticator app takes in: the secret, and the same as a URI for its camera."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


class Factors:
    """Keeps and checks what people type."""

    def __init__(self, *, database: Database, vault: Vault, issuer: str) -> None:
        self._database = database
        self._vault = vault
        self._issuer = issuer

    def offer(self, account_id: int, login: str) -> Offer:
        """Offer a secret to an authenticator app; the same one until a code confirms it.

        Raises `Conflict` when the account has an app already.
        """
        import pyotp  # with its HTTP handles: for the process somebody signs in at

        with self._database.transaction() as tx:
            fresh = self._vault.seal(account_id, pyotp.random_base32().encode())
            if tx.execute(_SQL.find_totp, (account_id,)).fetchone() is None:
                tx.execute(_SQL.keep_totp, (account_id, fresh))
            row = tx.execute(_SQL.find_totp, (account_id,)).fetchone()
        if row is None or row[1]:
            raise Conflict(marked("There is an authenticator app already."))
        secret = self._vault.open(account_id, row[0]).decode()
        uri = pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=self._issuer)
        return Offer(secret=secret, uri=uri)

    def is_app_code(
        self, tx: Connection, account_id: int, code: str, *, confirming: bool = False
    ) -> bool:
        """Check a code of the app, and use it up. An app that is not confirmed proves nothing."""
        import pyotp

        row = tx.execute(_SQL.find_totp, (account_id,)).fetchone()
        if row is None or row[1] == confirming:
            return False
        totp = pyotp.TOTP(self._vault.open(account_id, row[0]).decode())
        plain = "".join(code.split())
        now = int(time.time()) // _STEP_S
        steps = [
            step
            for step in range(now - _DRIFT, now + _DRIFT + 1)
            if hmac.compare_digest(totp.generate_otp(step).encode(), plain.encode("utf-8"))
        ]
        if not steps:
            return False
        used = tx.execute(_SQL.use_totp, {"account": account_id, "step": steps[0]}).fetchone()
        return used is not None

    def is_recovery_code(self, tx: Connection, account_id: int, code: str) -> bool:
        """Check a recovery code, and use it up."""
        hashed = self._vault.hash_paper_code(account_id, code)
        return tx.execute(_SQL.use_recovery_code, (account_id, hashed)).fetchone() is not None

    def renew_recovery_codes(self, tx: Connection, account_id: int) -> list[str]:
        """Make new recovery codes; the old ones are void. They are shown here and never again."""
        codes = [new_paper_code() for _ in range(RECOVERY_CODES)]
        hashes = [self._vault.hash_paper_code(account_id, code) for code in codes]
        tx.execute(_SQL.drop_recovery_codes, (account_id,))
        tx.execute(_SQL.add_recovery_codes, (account_id, hashes))
        return codes
