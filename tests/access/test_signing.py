"""Signing in and enrolling: both factors, the limits, and what is written down of it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pyotp
import pytest

from tests.access.conftest import PASSPHRASE, B, House
from tests.together import together
from vna.access import signing
from vna.access.factors import RECOVERY_CODES
from vna.access.passkeys import Passkeys, Site
from vna.access.sessions import Browser, Level, Visitor
from vna.access.signing import Change, SignIn, check_passphrase
from vna.errors import Conflict, InvalidRequest, NotAuthenticated, NotPermitted, TooMany


def test_a_person_enrols_by_a_link_and_is_signed_in(house: House) -> None:
    signing = house.people.signing
    house.people.accounts.add(house.who, "Ada", ["radiologist"])
    visitor = house.visitor(signing.follow_link(house.people.accounts.invite(house.who, "ada"), B))
    assert (visitor.login, visitor.level) == ("ada", Level.ENROLLING)
    assert not visitor.principal.actions
    signing.choose_passphrase(visitor, PASSPHRASE)
    with pytest.raises(NotPermitted):
        signing.finish(visitor, B)
    signing.confirm_app(visitor, pyotp.TOTP(signing.offer_app(visitor).secret).now())
    cookie, codes = signing.finish(visitor, B)
    assert house.visitor(cookie).is_signed_in
    assert len(set(codes)) == 10
    assert house.people.accounts.find("ada").state == "active"


def test_a_link_is_good_once(house: House) -> None:
    accounts, signing = house.people.accounts, house.people.signing
    accounts.add(house.who, "ada", ["radiologist"])
    first = accounts.invite(house.who, "ada")
    second = accounts.invite(house.who, "ada")
    with pytest.raises(NotAuthenticated):
        signing.follow_link(first, B)
    visitor = house.visitor(signing.follow_link(second, B))
    signing.choose_passphrase(visitor, PASSPHRASE)
    signing.confirm_app(visitor, pyotp.TOTP(signing.offer_app(visitor).secret).now())
    signing.finish(visitor, B)
    with pytest.raises(NotAuthenticated):
        signing.follow_link(second, B)


def test_who_opened_a_link_before_its_owner_can_add_nothing(house: House) -> None:
    accounts, signing = house.people.accounts, house.people.signing
    accounts.add(house.who, "ada", ["radiologist"])
    link = accounts.invite(house.who, "ada")
    thief = signing.follow_link(link, B)
    stale = house.visitor(thief)
    signing.choose_passphrase(stale, "known to the thief")
    signing.confirm_app(stale, pyotp.TOTP(signing.offer_app(stale).secret).now())
    owner = house.visitor(signing.follow_link(link, B))
    account = accounts.find("ada")
    assert (account.has_totp, account.passkeys) == (False, 0)
    assert house.people.sessions.visitor(thief, None) is None
    for act in (
        lambda: signing.choose_passphrase(stale, "known to the thief"),
        lambda: signing.finish(stale, B),
    ):
        with pytest.raises(NotAuthenticated):
            act()
    signing.choose_passphrase(owner, PASSPHRASE)
    signing.confirm_app(owner, pyotp.TOTP(signing.offer_app(owner).secret).now())
    signing.finish(owner, B)
    with pytest.raises(NotAuthenticated):
        signing.choose_passphrase(owner, "after the end of it")


def test_of_two_who_open_a_link_at_once_one_enrols(house: House) -> None:
    """The later one ends what the earlier one began, though neither had when both came."""
    accounts, signing = house.people.accounts, house.people.signing
    accounts.add(house.who, "ada", ["radiologist"])
    link = accounts.invite(house.who, "ada")
    with ThreadPoolExecutor(2) as pool:
        with house.database.transaction() as tx:  # both come as far as they can
            tx.execute("SELECT FROM account WHERE login = 'ada' FOR UPDATE")
            came = [pool.submit(signing.follow_link, link, B) for _ in range(2)]
            until_waiting(house, 2)
        cookies = [one.result() for one in came]
    found = [house.people.sessions.visitor(cookie, None) for cookie in cookies]
    assert sorted(one is not None for one in found) == [False, True]


def test_who_opens_a_link_while_its_owner_ends_enrolling_takes_nothing_away(house: House) -> None:
    accounts, signing = house.people.accounts, house.people.signing
    accounts.add(house.who, "ada", ["radiologist"])
    link = accounts.invite(house.who, "ada")
    owner = house.visitor(signing.follow_link(link, B))
    signing.choose_passphrase(owner, PASSPHRASE)
    signing.confirm_app(owner, pyotp.TOTP(signing.offer_app(owner).secret).now())
    with ThreadPoolExecutor(2) as pool:
        with house.database.transaction() as tx:
            tx.execute("SELECT FROM account WHERE login = 'ada' FOR UPDATE")
            ends = pool.submit(signing.finish, owner, B)
            until_waiting(house, 1)
            thief = pool.submit(signing.follow_link, link, B)
            until_waiting(house, 2)
        assert house.visitor(ends.result()[0]).is_signed_in
        with pytest.raises(NotAuthenticated):
            thief.result()
    account = accounts.find("ada")
    assert (account.state, account.has_totp) == ("active", True)
    signing.passphrase("ada", PASSPHRASE, B)


def until_waiting(house: House, count: int) -> None:
    """Wait until so many others wait for a lock of ours."""
    asked = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with house.database.reading() as conn:
            row = conn.execute(asked).fetchone()
        if row is not None and row[0] >= count:
            return
        time.sleep(0.02)
    pytest.fail("they do not wait")


def test_an_enrolling_browser_is_out_when_its_link_is_void(house: House) -> None:
    accounts, signing = house.people.accounts, house.people.signing
    accounts.add(house.who, "ada", ["radiologist"])
    cookie = signing.follow_link(accounts.invite(house.who, "ada"), B)
    accounts.disable(house.who, "ada")
    accounts.enable(house.who, "ada")
    assert house.people.sessions.visitor(cookie, None) is None


def test_a_code_of_the_app_is_good_once(house: House) -> None:
    secret, _ = house.enrolled("ada")
    later = pyotp.TOTP(secret).at(int(time.time()) + 30)  # the present one enrolled
    first = house.visitor(house.people.signing.passphrase("ada", PASSPHRASE, B))
    assert house.visitor(house.people.signing.code(first, later, B)).is_signed_in
    second = house.visitor(house.people.signing.passphrase("ada", PASSPHRASE, B))
    with pytest.raises(NotAuthenticated):
        house.people.signing.code(second, later, B)


def test_a_recovery_code_is_good_once_however_it_is_typed(house: House) -> None:
    _, code = house.enrolled("ada")
    signing = house.people.signing
    visitor = house.visitor(signing.passphrase("ada", PASSPHRASE, B))
    assert house.visitor(signing.code(visitor, code.lower().replace("-", " "), B)).is_signed_in
    again = house.visitor(signing.passphrase("ada", PASSPHRASE, B))
    with pytest.raises(NotAuthenticated):
        signing.code(again, code, B)


def test_the_passphrase_alone_lets_nobody_in(house: House) -> None:
    house.enrolled("ada")
    visitor = house.visitor(house.people.signing.passphrase("ada", PASSPHRASE, B))
    assert not visitor.is_signed_in
    assert not visitor.principal.actions
    assert not visitor.principal.scope.everything
    with pytest.raises(NotPermitted):
        house.people.signing.renew_recovery_codes(visitor)


def test_each_step_begins_a_session_anew(house: House) -> None:
    _, code = house.enrolled("ada")
    signing, sessions = house.people.signing, house.people.sessions
    planted = Browser(address="10.0.0.1", secret="A" * 43)
    first = signing.passphrase("ada", PASSPHRASE, planted)
    assert first != planted.secret
    visitor = house.visitor(first)
    second = signing.code(visitor, code, Browser(address="10.0.0.1", secret=first))
    assert sessions.visitor(first, None) is None
    assert sessions.visitor("A" * 43, None) is None
    assert house.visitor(second).is_signed_in


def test_a_wrong_name_and_a_wrong_passphrase_are_answered_alike(house: House) -> None:
    house.enrolled("ada")
    told = []
    for login, passphrase in (("ada", "wrong " * 4), ("eve", PASSPHRASE), ("\0", "x")):
        with pytest.raises(NotAuthenticated) as refused:
            house.people.signing.passphrase(login, passphrase, B)
        told.append(str(refused.value))
    assert len(set(told)) == 1
    assert [row for row in house.audited() if row[1] == "refused"] == [
        ("login", "refused", "ada"),
        ("login", "refused", "unknown"),
        ("login", "refused", "unknown"),
    ]


def test_five_wrong_passphrases_lock_a_name_from_there_but_not_its_owner(house: House) -> None:
    house.enrolled("ada")
    elsewhere = Browser(address="192.0.2.7")
    for _ in range(5):
        with pytest.raises(NotAuthenticated):
            house.people.signing.passphrase("ada", "not this one at all", elsewhere)
    for _ in range(3):
        with pytest.raises(TooMany):
            house.people.signing.passphrase("ada", PASSPHRASE, elsewhere)
    assert house.people.signing.passphrase("ada", PASSPHRASE, B)
    assert [row[1] for row in house.audited() if row[0] == "login"].count("limited") == 1


def test_sixty_wrong_names_end_the_trying_of_an_address_and_of_no_other(house: House) -> None:
    def guess(number: int, address: str) -> None:
        house.people.signing.passphrase(f"name{number}", "wrong", Browser(address=address))

    for number in range(60):
        with pytest.raises(NotAuthenticated):
            guess(number, "192.0.2.7")
    with pytest.raises(TooMany):
        guess(60, "192.0.2.7")
    with pytest.raises(NotAuthenticated):
        guess(61, "192.0.2.8")


def test_thirty_wrong_passphrases_from_anywhere_lock_a_name(house: House) -> None:
    house.enrolled("ada")

    def guess(login: str, number: int) -> None:
        where = Browser(address=f"192.0.2.{number // 5}")  # five from each: the most there is
        house.people.signing.passphrase(login, "wrong", where)

    for number in range(30):
        with pytest.raises(NotAuthenticated):
            guess("ada", number)
    with pytest.raises(TooMany):
        guess("ada", 30)
    with pytest.raises(NotAuthenticated):
        guess("eve", 30)


def test_all_addresses_of_an_ipv6_network_guess_together(house: House) -> None:
    """Who has one address of a /64 has all of them (RFC 6177): each would be five guesses more."""
    house.enrolled("ada")
    signing = house.people.signing
    for number in range(5):
        with pytest.raises(NotAuthenticated):
            signing.passphrase("ada", "wrong", Browser(address=f"2001:db8:0:1::{number}"))
    with pytest.raises(TooMany):
        signing.passphrase("ada", "wrong", Browser(address="2001:db8:0:1:ffff::9"))
    with pytest.raises(NotAuthenticated):
        signing.passphrase("ada", "wrong", Browser(address="2001:db8:0:2::1"))


def test_a_name_that_does_not_exist_is_locked_alike(house: House) -> None:
    for _ in range(5):
        with pytest.raises(NotAuthenticated):
            house.people.signing.passphrase("nobody", "x", B)
    with pytest.raises(TooMany):
        house.people.signing.passphrase("nobody", "x", B)


def test_guesses_at_once_do_not_pass_the_limit_together(house: House) -> None:
    house.enrolled("ada")

    def guess(number: int) -> type[Exception] | None:
        try:
            house.people.signing.passphrase("ada", f"guess number {number}", B)
        except (NotAuthenticated, TooMany) as exc:
            return type(exc)
        return None

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(guess, range(20)))
    assert found.count(NotAuthenticated) == 5
    assert found.count(TooMany) == 15


def test_five_wrong_codes_end_the_trying(house: House) -> None:
    _, code = house.enrolled("ada")
    visitor = house.visitor(house.people.signing.passphrase("ada", PASSPHRASE, B))
    for _ in range(5):
        with pytest.raises(NotAuthenticated):
            house.people.signing.code(visitor, "000000", B)
    with pytest.raises(TooMany):
        house.people.signing.code(visitor, code, B)


def later(house: House) -> None:
    """A quarter of an hour passes for the counters."""
    with house.database.transaction() as tx:
        tx.execute(
            "UPDATE rate SET ends_at = ends_at - interval '16 minutes'"
            " WHERE ends_at < now() + interval '1 hour'"
        )


def test_twenty_wrong_codes_a_day_end_the_trying_of_that_day(house: House) -> None:
    """Five each quarter of an hour find a code of six digits within the year, as likely as not."""
    _, code = house.enrolled("ada")
    here = house.people.signing
    visitor = house.visitor(here.passphrase("ada", PASSPHRASE, B))
    for _ in range(4):
        for _ in range(5):
            with pytest.raises(NotAuthenticated):
                here.code(visitor, "000000", B)
        later(house)
    with pytest.raises(TooMany):
        here.code(visitor, code, B)
    with house.database.transaction() as tx:
        tx.execute("UPDATE rate SET ends_at = ends_at - interval '1 day'")
    assert here.code(visitor, code, B)


def test_right_codes_do_not_count_for_the_day(house: House) -> None:
    _, code = house.enrolled("ada")
    here = house.people.signing
    visitor = house.visitor(here.passphrase("ada", PASSPHRASE, B))
    cookie = here.code(visitor, code, B)
    for one in here.renew_recovery_codes(house.visitor(cookie)):
        here.prove(house.visitor(cookie), one)
    with house.database.reading() as conn:
        row = conn.execute(
            "SELECT max(taken) FROM rate WHERE ends_at > now() + interval '1 hour'"
        ).fetchone()
    assert row == (0,)


def test_who_guesses_codes_is_told_of_once(house: House) -> None:
    """The passphrase is known to whoever comes so far: its owner had better choose another."""
    house.enrolled("ada")
    told: list[tuple[int, Change]] = []
    here = house.people.signing
    here._changed = lambda _, account, change: told.append((account, change))
    visitor = house.visitor(here.passphrase("ada", PASSPHRASE, B))
    for number in range(8):
        with pytest.raises(NotAuthenticated if number < 5 else TooMany):
            here.code(visitor, "000000", B)
    assert told == [(visitor.account_id, Change.GUESSED)]


def test_right_tries_do_not_count(house: House) -> None:
    house.enrolled("ada")
    for _ in range(8):
        assert house.people.signing.passphrase("ada", PASSPHRASE, B)


@pytest.mark.parametrize(
    "passphrase", ["short", "a" * 12, "ababababababab", "ada.lovelace ada", "x" * 257]
)
def test_what_is_easy_to_guess_is_refused(passphrase: str) -> None:
    with pytest.raises(InvalidRequest):
        check_passphrase(passphrase, "ada.lovelace")


def test_the_last_second_factor_stays(house: House) -> None:
    _, visitor = house.signed_in("ada")
    with house.database.transaction() as tx:
        tx.execute("DELETE FROM totp")
    with pytest.raises(NotPermitted):
        house.people.signing.drop_passkey(visitor, 1)


def two_browsers(house: House) -> tuple[Visitor, Visitor]:
    """Somebody who is in at two browsers, by a second factor of just now."""
    _, code = house.enrolled("ada")
    codes = house.people.signing.renew_recovery_codes(_in(house, code))
    return _in(house, codes[0]), _in(house, codes[1])


def _in(house: House, code: str) -> Visitor:
    signing = house.people.signing
    first = house.visitor(signing.passphrase("ada", PASSPHRASE, B))
    return house.visitor(signing.code(first, code, B))


def test_of_the_last_two_passkeys_one_stays_when_both_are_forgotten_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each browser saw two passkeys, and let one of them go."""
    here, there = two_browsers(house)
    added = (
        "INSERT INTO passkey (account_id, credential_id, public_key, sign_count, site)"
        " VALUES (%s, %s, %s, 0, 'localhost') RETURNING passkey_id"
    )
    with house.database.transaction() as tx:
        tx.execute("DELETE FROM totp")
        keys = [
            tx.execute(added, (here.account_id, letter * 16, letter)).fetchone()
            for letter in (b"a", b"b")
        ]
    one, other = (int(row[0]) for row in keys if row is not None)
    drop = house.people.signing.drop_passkey
    with together(house.database, monkeypatch) as meanwhile:
        second = meanwhile(SignIn, "_factor", lambda: drop(there, other))
        drop(here, one)
        with pytest.raises(NotPermitted):
            second.result()
    assert house.people.accounts.find("ada").passkeys == 1


def test_of_recovery_codes_made_twice_at_once_one_list_is_good(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = two_browsers(house)
    renew = house.people.signing.renew_recovery_codes
    with together(house.database, monkeypatch) as meanwhile:
        second = meanwhile(SignIn, "_factor", lambda: renew(there))
        old = renew(here)
        assert not set(old) & set(second.result())
    assert house.people.accounts.find("ada").recovery_codes == RECOVERY_CODES


def test_nobody_ends_enrolling_without_a_passphrase(house: House) -> None:
    house.people.accounts.add(house.who, "ada", ["radiologist"])
    signing = house.people.signing
    visitor = house.visitor(signing.follow_link(house.people.accounts.invite(house.who, "ada"), B))
    signing.confirm_app(visitor, pyotp.TOTP(signing.offer_app(visitor).secret).now())
    with pytest.raises(NotPermitted):
        signing.finish(visitor, B)
    assert house.people.accounts.find("ada").state == "invited"
    signing.choose_passphrase(visitor, PASSPHRASE)  # the link is as good as it was
    signing.finish(visitor, B)
    assert house.people.accounts.find("ada").state == "active"


def test_a_page_that_is_loaded_twice_at_once_shows_one_secret(house: House) -> None:
    """Whoever reads it off the first page and types a code at the second is not refused."""
    house.people.accounts.add(house.who, "ada", ["radiologist"])
    signing = house.people.signing
    visitor = house.visitor(signing.follow_link(house.people.accounts.invite(house.who, "ada"), B))
    with ThreadPoolExecutor(1) as pool:
        with house.database.transaction() as tx:  # the first page, which is not answered yet
            first = pyotp.random_base32()
            ours = signing._vault.seal(visitor.account_id, first.encode())
            tx.execute(
                "INSERT INTO totp (account_id, sealed) VALUES (%s, %s)", (visitor.account_id, ours)
            )
            second = pool.submit(signing.offer_app, visitor)
            until_waiting(house, 1)
        assert second.result().secret == first


def test_the_secret_of_an_app_that_is_in_use_is_shown_to_nobody(house: House) -> None:
    _, visitor = house.signed_in("ada")
    with pytest.raises(Conflict):
        house.people.signing.offer_app(visitor)


def test_a_session_that_ended_a_moment_ago_changes_nothing_and_uses_no_code_up(
    house: House,
) -> None:
    _, code = house.enrolled("ada")
    signing = house.people.signing
    believed = house.visitor(signing.passphrase("ada", PASSPHRASE, B))
    with house.database.transaction() as tx:
        tx.execute("UPDATE session SET ends_at = now()")
    with pytest.raises(NotAuthenticated, match="over"):
        signing.code(believed, code, B)
    fresh = house.visitor(signing.passphrase("ada", PASSPHRASE, B))
    assert house.visitor(signing.code(fresh, code, B)).is_signed_in


def test_what_was_done_stands_in_the_trail_without_a_secret(house: House) -> None:
    cookie, visitor = house.signed_in("ada")
    house.people.sessions.sign_out(visitor)
    assert house.people.sessions.visitor(cookie, None) is None
    kinds = [row[0] for row in house.audited()]
    assert kinds == [
        "account.added", "account.invited", "factor.added", "factor.added", "account.enrolled",
        "login", "login.factor", "logout",
    ]  # fmt: skip
    with house.database.reading() as conn:
        everything = str(conn.execute("SELECT a::text FROM audit a").fetchall())
    assert PASSPHRASE not in everything
    assert cookie not in everything


def test_who_signs_in_by_a_passkey_does_not_count_with_those_who_only_begin(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "_CEREMONIES", 2)
    people, site = house.people.signing, Site(name="a.example", origin="https://a.example")
    _, visitor = house.signed_in("ada")
    monkeypatch.setattr(Passkeys, "recognise", lambda *_: visitor.account_id)
    for _ in range(4):
        people.passkey_challenge(B, site)
        people.passkey(B, site, b"{}")
    for _ in range(4):
        people.passkey_challenge(B, site)
        people.prove_passkey(visitor, B, site, b"{}")
    for _ in range(2):
        people.passkey_challenge(B, site)
    with pytest.raises(TooMany):
        people.passkey_challenge(B, site)
