"""Everything about people and programs that come in, put together: one value an edge is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from vna.access.accounts import Accounts
from vna.access.api_tokens import ApiTokens
from vna.access.audit import Audit
from vna.access.care import Care
from vna.access.client_certificates import ClientCertificates
from vna.access.emergencies import Emergencies, Told
from vna.access.factors import Factors
from vna.access.federation import Federation
from vna.access.labels import Labels
from vna.access.passkeys import Passkeys
from vna.access.principal import Principal
from vna.access.rates import Rates, Strangers
from vna.access.roles import Roles, clears, load
from vna.access.sessions import Sessions
from vna.access.signing import Changed, SignIn
from vna.config import Settings
from vna.crypto.credentials import TOKEN_PREFIX, Cost, Vault
from vna.crypto.keyring import Keyring
from vna.db.pool import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Accounts and the ways in."""

    roles: Roles
    accounts: Accounts
    tokens: ApiTokens
    sessions: Sessions
    passkeys: Passkeys
    signing: SignIn
    care: Care
    emergencies: Emergencies
    labels: Labels
    federation: Federation
    certificates: ClientCertificates
    strangers: Strangers

    def bearer(self, token: str, address: str | None) -> Principal | None:
        """Say whose bearer token this is: one of ours, or of the issuer. Raises `Unavailable`."""
        if token.startswith(TOKEN_PREFIX):
            return self.tokens.principal(token, address)
        return self.federation.bearer(token, address)


class _Kept(TypedDict):
    """What all of them stand on."""

    database: Database
    audit: Audit


def people(
    *,
    database: Database,
    audit: Audit,
    keyring: Keyring,
    settings: Settings,
    cost: Cost | None = None,
    told: Told | None = None,
    changed: Changed | None = None,
) -> People:
    """Put it together; `told` is what tells of emergencies, `changed` people of their account.

    Raises `ConfigError` when the roles are not sound.
    """
    access = settings.access
    kept = _Kept(database=database, audit=audit)
    roles = load(access.roles)
    clears(access.ae_clears)
    issuer = f"{settings.site.issuer} archive".strip()
    accounts = Accounts(**kept, roles=roles, settings=access)
    care = Care(**kept, roles=roles, accounts=accounts)
    labels = Labels(database)
    sessions = Sessions(**kept, roles=roles, care=care, labels=labels, settings=access)
    vault = Vault(keyring, cost)
    rates = Rates(database)
    passkeys = Passkeys(database=database, issuer=issuer)
    factors = Factors(database=database, vault=vault, issuer=issuer)
    tokens = ApiTokens(
        **kept, roles=roles, accounts=accounts, care=care, labels=labels, settings=access
    )
    return People(
        roles=roles,
        accounts=accounts,
        tokens=tokens,
        sessions=sessions,
        passkeys=passkeys,
        signing=SignIn(
            **kept,
            vault=vault,
            sessions=sessions,
            factors=factors,
            passkeys=passkeys,
            rates=rates,
            changed=changed,
        ),
        care=care,
        emergencies=Emergencies(**kept, told=told),
        labels=labels,
        strangers=Strangers(rates),
        certificates=ClientCertificates(**kept, accounts=accounts, tokens=tokens),
        federation=Federation(
            **kept,
            accounts=accounts,
            sessions=sessions,
            tokens=tokens,
            roles=roles,
            settings=settings,
        ),
    )
