"""What an identity provider says is believed when it is signed, of this flow, and meant for us."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from joserfc.jwk import ECKey

from tests.access.conftest import SHELL, House, keyring
from tests.access.issuer import CLIENT, Issuer, issuing
from tests.access.test_passkeys import SITE, registered, signed_in
from tests.archive import CHEAP
from vna.access.audit import Audit
from vna.access.people import people
from vna.access.sessions import Browser, Visitor
from vna.config import Oidc, Settings
from vna.db.pool import Database
from vna.errors import NotAuthenticated, NotPermitted

HERE = Browser(address="10.0.0.1", agent="a browser", secret="B" * 43)
BACK = "https://archive.example/login/sso/return"


@dataclass(slots=True)
class Joined:
    """An archive that knows a provider, which names `ada`."""

    house: House
    issuer: Issuer

    def come(self, visitor: Visitor | None = None, browser: Browser = HERE) -> str | None:
        """Go there and come back."""
        federation = self.house.people.federation
        where = federation.begin(browser, BACK, again=visitor is not None)
        state = self.issuer.asked(where)
        return federation.finish(browser, visitor, BACK, state=state, code="c")

    def named(self) -> str:
        secret = self.come()
        assert secret is not None
        return self.house.visitor(secret).login


@pytest.fixture
def joined(database: Database) -> Iterator[Joined]:
    with issuing() as issuer:
        audit = Audit(database)
        settings = Settings(oidc=Oidc(issuer=issuer.url, client_id=CLIENT, acr="mfa"))
        found = people(
            database=database, audit=audit, keyring=keyring(), settings=settings, cost=CHEAP
        )
        house = House(found, database)
        found.accounts.add(SHELL, "ada", ["radiologist"])
        found.federation.expect(SHELL, "ada")
        issuer.says["acr"] = "mfa"
        yield Joined(house, issuer)
        audit.close()


def test_who_is_expected_and_vouched_for_comes_in(joined: Joined) -> None:
    assert joined.named() == "ada"
    joined.issuer.says |= {"aud": ["other", CLIENT], "azp": CLIENT, "preferred_username": "eve"}
    assert joined.named() == "ada"  # by the subject from then on


NOW = time.time()


@pytest.mark.parametrize(
    "says",
    [
        {"nonce": "of another flow"},
        {"nonce": None},
        {"nonce": 7},
        {"aud": "another program"},
        {"aud": None},
        {"azp": "another program"},
        {"acr": "password"},
        {"acr": None},
        {"iss": "https://idp.example"},
        {"exp": NOW - 120},
        {"exp": None},
        {"nbf": NOW + 7200},
        {"sub": ""},
        {"sub": None},
        {"sub": 7},
        {"preferred_username": "eve"},
        {"preferred_username": None},
    ],
    ids=lambda says: next(iter(says)),
)
def test_a_token_that_is_not_of_this_flow_or_not_for_us_lets_nobody_in(
    joined: Joined, says: dict[str, Any]
) -> None:
    joined.house.people.accounts.add(SHELL, "eve", ["radiologist"])  # nobody expects her there
    joined.issuer.says |= says
    with pytest.raises(NotAuthenticated):
        joined.come()
    assert ("login", "refused", "unknown") in joined.house.audited()
    with joined.house.database.reading() as conn:
        assert conn.execute("SELECT count(*) FROM session").fetchone() == (0,)


def test_a_token_signed_by_another_key_lets_nobody_in(joined: Joined) -> None:
    joined.issuer.signing = ECKey.generate_key("P-256", {"kid": "one"})
    with pytest.raises(NotAuthenticated):
        joined.come()


def test_a_flow_ends_once_in_its_browser_with_its_state(joined: Joined) -> None:
    federation = joined.house.people.federation
    elsewhere = Browser(address="10.0.0.2", agent="another", secret="C" * 43)
    state = joined.issuer.asked(federation.begin(HERE, BACK, again=False))
    with pytest.raises(NotAuthenticated):
        federation.finish(elsewhere, None, BACK, state=state, code="c")
    assert federation.finish(HERE, None, BACK, state=state, code="c") is not None
    for said in (state, ""):
        with pytest.raises(NotAuthenticated):
            federation.finish(HERE, None, BACK, state=said, code="c")
    joined.issuer.asked(federation.begin(HERE, BACK, again=False))
    with pytest.raises(NotAuthenticated):
        federation.finish(HERE, None, BACK, state=state, code="c")


def test_what_is_told_of_somebody_else_is_not_believed(joined: Joined) -> None:
    """OpenID Connect Core 5.3.2: the subject must be that of the ID token."""
    joined.issuer.says["preferred_username"] = None
    joined.issuer.tells = {"sub": "s-2", "preferred_username": "ada"}
    with pytest.raises(NotAuthenticated):
        joined.come()
    joined.issuer.tells["sub"] = "s-1"
    assert joined.named() == "ada"


@pytest.mark.parametrize(
    "says",
    [{"sub": "s-2"}, {"auth_time": NOW - 3600}, {"auth_time": None}, {"auth_time": "now"}],
    ids=["somebody else", "from before", "unknown when", "no number"],
)
def test_who_confirms_is_the_same_person_asked_just_now(
    joined: Joined, says: dict[str, Any]
) -> None:
    cookie = joined.come()
    assert cookie is not None
    with joined.house.database.transaction() as tx:
        tx.execute("UPDATE session SET proven_at = now() - interval '1 hour'")
    joined.issuer.says |= says
    with pytest.raises(NotAuthenticated):
        joined.come(joined.house.visitor(cookie))
    assert not joined.house.visitor(cookie).is_fresh
    for name in says:
        del joined.issuer.says[name]
    assert joined.come(joined.house.visitor(cookie)) is None
    assert joined.house.visitor(cookie).is_fresh


def test_a_disabled_account_stays_out_whoever_vouches_for_it(joined: Joined) -> None:
    assert joined.named() == "ada"
    joined.house.people.accounts.disable(SHELL, "ada")
    with pytest.raises(NotAuthenticated):
        joined.come()


def test_each_who_is_expected_is_bound_once_to_their_own_account(joined: Joined) -> None:
    accounts = joined.house.people.accounts
    for login in ("eve", "kim"):
        accounts.add(SHELL, login, ["radiologist"])
        joined.house.people.federation.expect(SHELL, login)
    accounts.disable(SHELL, "kim")
    for subject, login in (("s-3", "eve"), ("s-1", "ada")):
        joined.issuer.says |= {"sub": subject, "preferred_username": login}
        assert joined.named() == login
    for subject, login in (("s-4", "ada"), ("s-5", "kim")):  # bound already; disabled
        joined.issuer.says |= {"sub": subject, "preferred_username": login}
        with pytest.raises(NotAuthenticated):
            joined.come()
    accounts.enable(SHELL, "kim")
    assert joined.named() == "kim"


def test_who_signs_in_elsewhere_has_no_way_of_their_own_here(joined: Joined) -> None:
    """Who left there would come in by it, with the roles of their last day."""
    cookie = joined.come()
    assert cookie is not None
    signing, visitor = joined.house.people.signing, joined.house.visitor(cookie)
    assert visitor.is_fresh
    for act in (
        lambda: signing.offer_app(visitor),
        lambda: signing.offer_passkey(visitor, HERE, SITE),
        lambda: signing.add_passkey(visitor, HERE, SITE, b"{}"),
        lambda: signing.renew_recovery_codes(visitor),
        lambda: signing.prove(visitor, "123456"),
    ):
        with pytest.raises(NotPermitted):
            act()


def test_a_passkey_of_who_signs_in_elsewhere_opens_nothing(joined: Joined) -> None:
    house = joined.house
    key, signing = registered(house, "eve"), house.people.signing
    assert signed_in(house, key.sign(signing.passkey_challenge(HERE, SITE), SITE.origin)) == "eve"
    with house.database.transaction() as tx:  # as one that was added when it could be
        tx.execute("UPDATE account SET federated = true, passphrase = NULL WHERE login = 'eve'")
    with pytest.raises(NotAuthenticated):
        signed_in(house, key.sign(signing.passkey_challenge(HERE, SITE), SITE.origin))
