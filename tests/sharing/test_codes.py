"""One-time codes and what people type: grammar, age, number, and the messages they go in."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.archive import CHEAP
from tests.sharing.conftest import MAIL, OTHER, PHONE, Desk
from vna.crypto import shares
from vna.errors import InvalidRequest, TooMany, WrongKey
from vna.sharing.values import Guest, Protection, Wrong

LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LOOKS = {"0": "0Oo", "1": "1IiLl"}
BETWEEN = st.sampled_from(["", " ", "-", "  ", "\u00a0", "\u2011", "\n", "."])


@st.composite
def typed(draw: st.DrawFn) -> tuple[str, str]:
    """A code, and one of the ways in which people type it."""
    letters = draw(st.text(LETTERS, min_size=1, max_size=16))
    found = ""
    for letter in letters:
        looks = LOOKS.get(letter, letter + letter.lower())
        found += draw(st.sampled_from(looks)) + draw(BETWEEN)
    return letters, found


@given(typed())
def test_a_code_is_read_however_it_is_typed(pair: tuple[str, str]) -> None:
    letters, as_typed = pair
    assert shares.plain(as_typed) == letters


ZEROS = (0x660, 0x6F0, 0x966, 0xFF10)  # Arabic, Persian, Devanagari, full-width


@pytest.mark.parametrize("zero", ZEROS)
def test_digits_of_any_keyboard_are_digits(zero: int) -> None:
    there = str.maketrans({str(n): chr(zero + n) for n in range(10)})
    assert shares.plain("7K2Q-90".translate(there)) == "7K2Q90"
    assert shares.plain("\uff21\uff42\uff0d\uff11") == "AB1"
    right = shares.code_mac(b"k", 7, "01234567")
    assert shares.code_mac(b"k", 7, "0123 4567".translate(there)) == right


@given(typed())
def test_the_first_letters_find_and_the_others_open(pair: tuple[str, str]) -> None:
    letters, as_typed = pair
    assert "".join(shares.printed_parts(as_typed)) == letters
    assert shares.printed_parts(as_typed)[0] == letters[:4]


@settings(max_examples=40)
@given(st.text(max_size=200))
def test_nothing_that_is_typed_breaks_the_reading(text: str) -> None:
    assert len(shares.locator(text)) == len(shares.link_root(text)) == 32
    shares.plain(text).encode("utf-8", "replace")
    assert len(shares.code_mac(b"k" * 32, 1, text)) == 32


@given(st.integers(0, 10**8 - 1), BETWEEN, BETWEEN)
def test_of_a_one_time_code_only_the_digits_count(code: int, one: str, two: str) -> None:
    plain = f"{code:08}"
    as_typed = f"{one}{plain[:4]}{two}{plain[4:]}{one}"
    assert shares.code_mac(b"k", 7, as_typed) == shares.code_mac(b"k", 7, plain)
    assert shares.code_mac(b"k", 8, plain) != shares.code_mac(b"k", 7, plain)


def test_what_is_drawn_has_its_form_and_never_comes_twice() -> None:
    for make, form in (
        (shares.new_number, (4, 4)),
        (shares.new_passcode, (4, 4, 2)),
        (shares.new_printed, (4, 4, 4, 4)),
    ):
        drawn = {make() for _ in range(50)}
        assert len(drawn) == 50
        assert {tuple(map(len, one.split("-"))) for one in drawn} == {form}
        assert all(set(one) <= set(LETTERS + "-") for one in drawn)
    assert all(len(shares.new_code()) == 8 for _ in range(50))


def test_a_share_key_opens_with_everything_or_not_at_all() -> None:
    share_key, root, pepper = shares.new_key(), shares.new_key(), shares.new_key()
    stretched = shares.stretch("ABCD-EFGH-JK", b"s" * 16, CHEAP)
    wrapped = shares.wrap(shares.kek(root, stretched, pepper), share_key)
    assert shares.unwrap(shares.kek(root, stretched, pepper), wrapped) == share_key
    assert stretched == shares.stretch("abcd efgh jk", b"s" * 16, CHEAP)
    other = shares.new_key()
    for parts in ((other, stretched, pepper), (root, b"", pepper), (root, stretched, other)):
        with pytest.raises(WrongKey):
            shares.unwrap(shares.kek(*parts), wrapped)


# ---- sending -----------------------------------------------------------------------------------


def test_a_code_is_good_once(desk: Desk) -> None:
    desk.offer()
    desk.proven()
    code = desk.archive.posted.code()
    session, _ = desk.opened()
    assert desk.engine.prove(session, Protection.SMS, code) == Wrong(20)
    desk.codes_age(1)
    desk.engine.send_code(session, Protection.SMS)
    assert desk.engine.prove(session, Protection.SMS, code) == Wrong(19)


def test_a_code_is_good_for_ten_minutes(desk: Desk) -> None:
    desk.offer()
    session, _ = desk.opened()
    desk.engine.send_code(session, Protection.SMS)
    desk.codes_age(10)
    assert desk.engine.prove(session, Protection.SMS, desk.archive.posted.code()) == Wrong(20)


def test_a_code_takes_five_wrong_tries(desk: Desk) -> None:
    desk.offer()
    session, _ = desk.opened()
    desk.engine.send_code(session, Protection.SMS)
    code = desk.archive.posted.code()
    wrong = f"{(int(code) + 1) % 10**8:08}"
    for left in (19, 18, 17, 16, 15):
        assert desk.engine.prove(session, Protection.SMS, wrong) == Wrong(left)
    assert desk.engine.prove(session, Protection.SMS, code) == Wrong(15)
    assert desk.rows("SELECT state, tries FROM one_time_code") == [("burned", 5)]


def test_a_new_code_makes_the_old_one_void_and_comes_after_half_a_minute(desk: Desk) -> None:
    desk.offer()
    session, _ = desk.opened()
    first = desk.engine.send_code(session, Protection.SMS)
    code = desk.archive.posted.code()
    again = desk.engine.send_code(session, Protection.SMS)
    assert 0 < again.wait_s <= 30
    assert again.until == first.until
    assert sum(m.template == "code" for m in desk.archive.posted.messages) == 1
    desk.codes_age(1)
    desk.engine.send_code(session, Protection.SMS)
    assert isinstance(desk.engine.prove(session, Protection.SMS, code), Wrong)
    code = desk.archive.posted.code()
    assert isinstance(desk.engine.prove(session, Protection.SMS, code), Guest)


def test_nobody_is_sent_codes_without_end(desk: Desk) -> None:
    desk.offer()
    session, _ = desk.opened()
    for _ in range(3):
        desk.engine.send_code(session, Protection.SMS)
        desk.codes_age(1)
    with pytest.raises(TooMany):  # three to a telephone in ten minutes
        desk.engine.send_code(session, Protection.SMS)
    desk.codes_age(10)
    for _ in range(2):
        desk.engine.send_code(session, Protection.SMS)
        desk.codes_age(11)
    with pytest.raises(TooMany):  # five for a grant in an hour
        desk.engine.send_code(session, Protection.SMS)
    desk.codes_age(60)
    desk.engine.send_code(session, Protection.SMS)


def test_a_code_goes_only_the_way_that_was_agreed(desk: Desk) -> None:
    desk.offer()
    session, _ = desk.opened()
    for way in (Protection.EMAIL, Protection.PASSCODE):
        with pytest.raises(InvalidRequest):
            desk.engine.send_code(session, way)
    unasked = desk.engine.prove(session, Protection.EMAIL, "12345678")
    assert isinstance(unasked, Guest)
    assert not unasked.is_proven


def test_what_goes_out_names_nobody(desk: Desk) -> None:
    offered = desk.offer(notify=OTHER)
    desk.proven()
    posted = desk.archive.posted.messages
    assert [(m.template, m.to) for m in posted] == [
        ("invitation", MAIL),
        ("shared", OTHER),
        ("code", PHONE),
        ("opened", OTHER),
    ]
    for message in posted:
        text = repr(dataclasses.asdict(message))
        for canary in ("Canary", "Kim", "Doe", "P-0001", "Chest", "2.25.4711"):
            assert canary not in text.replace("kim@", "")
    assert posted[0].values["link"].startswith("https://images.example.org/s#")
    assert posted[0].values["way"] == "…18"
    assert posted[0].values["number"] == offered.number
    assert posted[2].values["host"] == "images.example.org"


def test_opening_proves_the_first_channel_and_the_code_the_second(desk: Desk) -> None:
    desk.offer()
    states = "SELECT kind, state, verified_by FROM contact_channel ORDER BY kind"
    assert desk.rows(states) == [("email", "unverified", None), ("sms", "unverified", None)]
    session, _ = desk.opened()
    assert desk.rows(states)[0] == ("email", "verified", "code")
    desk.engine.send_code(session, Protection.SMS)
    desk.engine.prove(session, Protection.SMS, desk.archive.posted.code())
    assert desk.rows(states)[1] == ("sms", "verified", "code")
    desk.offer()
    assert len(desk.rows(states)) == 2
