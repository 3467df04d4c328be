"""Accounts, sessions and tokens: who may change them, and that an end is an end."""

from __future__ import annotations

import psycopg
import pytest

from tests.access.conftest import PASSPHRASE, B, House
from vna.access import rates
from vna.access.accounts import SERVICE
from vna.access.principal import Action, Kind, Principal
from vna.config import Settings
from vna.errors import (
    Conflict,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    VNAError,
)

NOBODY = Principal(kind=Kind.PERSON, name="eve", actions=frozenset({Action.QUERY}))


def test_only_who_may_manage_accounts_does(house: House) -> None:
    accounts, tokens = house.people.accounts, house.people.tokens
    accounts.add(house.who, "pacs", ["service"], kind=SERVICE)
    for act in (
        lambda: accounts.add(NOBODY, "x", ["auditor"]),
        lambda: accounts.all(NOBODY),
        lambda: accounts.invite(NOBODY, "pacs"),
        lambda: accounts.disable(NOBODY, "pacs"),
        lambda: accounts.enable(NOBODY, "pacs"),
        lambda: accounts.reset(NOBODY, "pacs"),
        lambda: accounts.give_roles(NOBODY, "pacs", ["auditor"]),
        lambda: tokens.add(NOBODY, "pacs", name="x", days=1),
        lambda: tokens.all(NOBODY),
        lambda: tokens.revoke(NOBODY, 1),
    ):
        with pytest.raises(NotPermitted):
            act()


@pytest.mark.parametrize("login", ["", "-x", "a b", "a\nb", "ä", "x" * 65, "a;b", "a/b"])
def test_a_login_that_is_not_one_is_refused(house: House, login: str) -> None:
    with pytest.raises(InvalidRequest):
        house.people.accounts.add(house.who, login, ["auditor"])


def test_a_login_is_one_account_however_it_is_written(house: House) -> None:
    house.people.accounts.add(house.who, "Ada", ["auditor"])
    with pytest.raises(Conflict):
        house.people.accounts.add(house.who, " ADA ", ["auditor"])


@pytest.mark.parametrize("roles", [[], ["king"], ["auditor", "king"]])
def test_roles_must_exist(house: House, roles: list[str]) -> None:
    with pytest.raises(InvalidRequest):
        house.people.accounts.add(house.who, "ada", roles)


def test_a_disabled_account_lets_nobody_in(house: House) -> None:
    cookie, _ = house.signed_in("ada")
    house.people.accounts.disable(house.who, "ada")
    assert house.people.sessions.visitor(cookie, None) is None
    with pytest.raises(NotAuthenticated):
        house.people.signing.passphrase("ada", PASSPHRASE, B)
    house.people.accounts.enable(house.who, "ada")
    assert house.people.sessions.visitor(cookie, None) is None
    assert house.people.signing.passphrase("ada", PASSPHRASE, B)


def test_a_reset_account_begins_anew(house: House) -> None:
    cookie, _ = house.signed_in("ada")
    link = house.people.accounts.reset(house.who, "ada")
    assert house.people.sessions.visitor(cookie, None) is None
    with pytest.raises(NotAuthenticated):
        house.people.signing.passphrase("ada", PASSPHRASE, B)
    account = house.people.accounts.find("ada")
    assert (account.state, account.has_totp, account.recovery_codes) == ("invited", False, 0)
    assert house.visitor(house.people.signing.follow_link(link, B)).login == "ada"


def test_roles_are_those_of_now(house: House) -> None:
    cookie, visitor = house.signed_in("ada", "radiologist")
    assert Action.RETRIEVE in visitor.principal.actions
    house.people.accounts.give_roles(house.who, "ada", ["auditor"])
    assert house.visitor(cookie).principal.actions == {Action.AUDIT}


def test_a_session_ends_after_idleness_and_in_any_case(house: House) -> None:
    for change in ("seen_at = now() - interval '16 min'", "ends_at = now()"):
        cookie, visitor = house.signed_in(f"ada{len(change)}")
        with house.database.transaction() as tx:
            tx.execute(
                f"UPDATE session SET created_at = now() - interval '1 day', {change} "  # type: ignore[arg-type]  # noqa: S608 -- ours
                "WHERE session_id = %s",
                (visitor.session_id,),
            )
        assert house.people.sessions.visitor(cookie, None) is None


def test_who_uses_a_session_keeps_it_past_the_time_of_idleness(house: House) -> None:
    cookie, visitor = house.signed_in("ada")
    for _ in range(3):
        with house.database.transaction() as tx:
            tx.execute(
                "UPDATE session SET seen_at = seen_at - interval '14 min', "
                "created_at = created_at - interval '1 h' WHERE session_id = %s",
                (visitor.session_id,),
            )
        assert house.people.sessions.visitor(cookie, None) is not None


def test_a_step_of_signing_in_is_over_in_a_quarter_of_an_hour(house: House) -> None:
    whole, _ = house.signed_in("ada")
    step = house.people.signing.passphrase("ada", PASSPHRASE, B)
    with house.database.transaction() as tx:
        tx.execute(
            "UPDATE session SET ends_at = ends_at - interval '15 min', "
            "created_at = created_at - interval '1 h'"
        )
    assert house.people.sessions.visitor(step, None) is None
    assert house.people.sessions.visitor(whole, None) is not None


def test_one_may_end_one_s_own_sessions_only(house: House) -> None:
    first, ada = house.signed_in("ada")
    second, eve = house.signed_in("eve")
    with pytest.raises(NotFound):
        house.people.sessions.end(eve, ada.session_id)
    assert house.people.sessions.end_others(ada) == 2  # of the steps that led here
    assert house.people.sessions.visitor(first, None) is not None
    assert house.people.sessions.visitor(second, None) is not None
    house.people.sessions.end(ada, ada.session_id)
    assert house.people.sessions.visitor(first, None) is None


@pytest.mark.parametrize("name", ["", "x" * 65, "ä", "a\nb"])
def test_a_token_has_a_name_that_can_be_printed(house: House, name: str) -> None:
    house.people.accounts.add(house.who, "pacs", ["service"], kind=SERVICE)
    with pytest.raises(InvalidRequest):
        house.people.tokens.add(house.who, "pacs", name=name, days=1)
    house.people.tokens.add(house.who, "pacs", name="x" * 64, days=1)


def test_a_token_lasts_as_long_as_the_setting_lets_it_and_no_longer(house: House) -> None:
    house.people.accounts.add(house.who, "pacs", ["service"], kind=SERVICE)
    most = Settings().access.token_days
    house.people.tokens.add(house.who, "pacs", name="long", days=most)
    for days in (most + 0.1, 0.0, -1.0):
        with pytest.raises(InvalidRequest):
            house.people.tokens.add(house.who, "pacs", name="bad", days=days)
    assert [token.name for token in house.people.tokens.all(house.who)] == ["long"]


def test_a_token_does_what_it_was_made_for_until_it_is_revoked(house: House) -> None:
    accounts, tokens = house.people.accounts, house.people.tokens
    accounts.add(house.who, "pacs", ["service"], kind=SERVICE)
    whole, secret = tokens.add(house.who, "pacs", name="all", days=1)
    _, narrow = tokens.add(house.who, "pacs", name="q", days=1, actions=["query"])
    found, less = tokens.principal(secret, None), tokens.principal(narrow, None)
    assert found is not None
    assert less is not None
    assert found.actions > less.actions == {Action.QUERY}
    assert found.name == f"pacs#{whole.token_id}"
    tokens.revoke(house.who, whole.token_id)
    assert tokens.principal(secret, None) is None
    assert tokens.principal(narrow, None) is not None
    with pytest.raises(NotFound):
        tokens.revoke(house.who, whole.token_id)
    assert sorted(token.state for token in tokens.all(house.who)) == ["good", "revoked"]


def test_a_token_ends(house: House) -> None:
    house.people.accounts.add(house.who, "pacs", ["service"], kind=SERVICE)
    _, secret = house.people.tokens.add(house.who, "pacs", name="x", days=1)
    with house.database.transaction() as tx:
        tx.execute(
            "UPDATE api_token SET created_at = now() - interval '2 days',"
            " ends_at = now() - interval '1 s'"
        )
    assert house.people.tokens.principal(secret, None) is None


def test_a_token_is_no_way_round_a_second_factor(house: House) -> None:
    house.people.accounts.add(house.who, "ada", ["radiologist"])
    with pytest.raises(Conflict):
        house.people.tokens.add(house.who, "ada", name="x", days=1)
    with pytest.raises(VNAError) as refused, house.database.reading() as conn:
        conn.execute(
            "INSERT INTO api_token (account_id, name, secret_hash, ends_at)"
            " SELECT account_id, 'x', sha256('x'), now() + interval '1 day' FROM account"
        )
    assert isinstance(refused.value.__cause__, psycopg.errors.ForeignKeyViolation)


@pytest.mark.parametrize(
    "wrong",
    [{"days": 0}, {"days": 400}, {"name": ""}, {"name": "a\nb"}, {"actions": ["delete"]},
     {"actions": []}],
)  # fmt: skip
def test_a_token_that_may_not_be_is_refused(house: House, wrong: dict[str, object]) -> None:
    house.people.accounts.add(house.who, "pacs", ["service"], kind=SERVICE)
    asked: dict[str, object] = {"name": "x", "days": 1, **wrong}
    with pytest.raises(VNAError):
        house.people.tokens.add(house.who, "pacs", **asked)  # type: ignore[arg-type]


def test_the_first_administrator_is_made_once(house: House) -> None:
    accounts = house.people.accounts
    assert not accounts.has_administrator()
    first, again = accounts.first_link(house.who), accounts.first_link(house.who)
    assert first is not None
    assert again is not None
    assert first[0] == again[0] == "admin"
    assert accounts.has_administrator()
    with pytest.raises(NotAuthenticated):
        house.people.signing.follow_link(first[1], B)
    house.enrolled("root", "system-administrator")
    assert accounts.first_link(house.who) is None


def test_what_was_typed_for_a_name_cannot_be_guessed_from_the_count_of_it(house: House) -> None:
    """People type their passphrase there: a plain hash of it would be guessed fast, at leisure."""
    with pytest.raises(NotAuthenticated):
        house.people.signing.passphrase(PASSPHRASE, "", B)
    with house.database.reading() as conn:
        counted = {bytes(row[0]) for row in conn.execute("SELECT bucket FROM rate").fetchall()}
    assert len(counted) == 3
    guesses = {limit.bucket for limit in rates.sign_in(PASSPHRASE, B.address)[1:]}
    assert counted.isdisjoint(guesses)


def test_no_secret_stands_in_the_database(house: House) -> None:
    app, code = house.enrolled("ada")
    house.people.accounts.add(house.who, "pacs", ["service"], kind=SERVICE)
    _, token = house.people.tokens.add(house.who, "pacs", name="x", days=1)
    cookie = house.people.signing.passphrase("ada", PASSPHRASE, B)
    with house.database.reading() as conn:
        text = "".join(
            str(conn.execute(f"SELECT t.* FROM {table} t").fetchall())  # type: ignore[arg-type]  # noqa: S608 -- ours
            for table in ("account", "totp", "recovery_code", "session", "api_token", "invitation")
        )
    for secret in (PASSPHRASE, app, code, code.replace("-", ""), token, cookie):
        assert secret not in text
