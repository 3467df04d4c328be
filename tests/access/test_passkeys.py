"""Passkeys: whose they are, at which site, answered once, by somebody who was verified."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from tests.access.authenticator import PRESENT, Authenticator
from tests.access.conftest import House
from vna.access import ceremonies
from vna.access.passkeys import Site
from vna.access.sessions import Browser
from vna.errors import Conflict, NotAuthenticated

SITE = Site(name="images.example.org", origin="https://images.example.org")
OTHER = Site(name="example.org", origin="https://example.org")
HERE = Browser(address="10.0.0.1", agent="a browser", secret="B" * 43)
ELSEWHERE = Browser(address="10.0.0.2", agent="another", secret="C" * 43)


def registered(house: House, login: str = "ada") -> Authenticator:
    """Give a person a passkey."""
    made = Authenticator()
    _, visitor = house.signed_in(login)
    signing = house.people.signing
    asked = signing.offer_passkey(visitor, HERE, SITE)
    signing.add_passkey(visitor, HERE, SITE, made.make(asked, SITE.origin))
    return made


def signed_in(house: House, answer: bytes, browser: Browser = HERE, site: Site = SITE) -> str:
    return house.visitor(house.people.signing.passkey(browser, site, answer)).login


def test_who_has_a_passkey_is_known_by_it_and_signed_in(house: House) -> None:
    ada, eve = registered(house), registered(house, "eve")
    signing = house.people.signing
    for login, key in (("ada", ada), ("eve", eve), ("ada", ada)):
        asked = signing.passkey_challenge(HERE, SITE)
        assert signed_in(house, key.sign(asked, SITE.origin)) == login


def test_a_challenge_is_answered_once_and_by_the_browser_that_has_it(house: House) -> None:
    key, signing = registered(house), house.people.signing
    stolen = key.sign(signing.passkey_challenge(HERE, SITE), SITE.origin)
    with pytest.raises(NotAuthenticated):
        signed_in(house, stolen, ELSEWHERE)
    signing.passkey_challenge(ELSEWHERE, SITE)
    with pytest.raises(NotAuthenticated):
        signed_in(house, stolen, ELSEWHERE)
    assert signed_in(house, stolen) == "ada"
    with pytest.raises(NotAuthenticated):
        signed_in(house, stolen)
    wrong = key.sign(signing.passkey_challenge(HERE, SITE), "https://evil.example")
    asked = signing.passkey_challenge(HERE, SITE)
    for answer in (wrong, key.sign(asked, SITE.origin)):  # a wrong one uses it up, too
        with pytest.raises(NotAuthenticated):
            signed_in(house, answer)


def test_a_challenge_is_good_for_five_minutes(house: House) -> None:
    key, signing = registered(house), house.people.signing
    asked = signing.passkey_challenge(HERE, SITE)
    with house.database.transaction() as tx:
        tx.execute("UPDATE ceremony SET ends_at = ends_at - interval '5 min'")
    with pytest.raises(NotAuthenticated, match="too long"):
        signed_in(house, key.sign(asked, SITE.origin))


def test_a_challenge_to_sign_in_makes_no_passkey_and_the_other_way_round(house: House) -> None:
    key, signing = registered(house), house.people.signing
    _, visitor = house.signed_in("eve")
    asked = json.loads(signing.offer_passkey(visitor, HERE, SITE))
    answer = key.sign(json.dumps({**asked, "rpId": SITE.name}), SITE.origin)
    with pytest.raises(NotAuthenticated):
        signed_in(house, answer)
    signing.passkey_challenge(ELSEWHERE, SITE)
    with pytest.raises(NotAuthenticated):
        signing.add_passkey(
            visitor, ELSEWHERE, SITE, Authenticator().make(json.dumps(asked), SITE.origin)
        )


@pytest.mark.parametrize(
    "answer",
    [
        lambda key, asked: key.sign(asked, SITE.origin, flags=PRESENT),  # nobody was verified
        lambda key, asked: key.sign(asked, SITE.origin, flags=0),
        lambda key, asked: key.sign(asked, OTHER.origin),
        lambda key, asked: key.sign(asked, SITE.origin, name=OTHER.name),
        lambda key, asked: dataclasses.replace(key, count=-1).sign(asked, SITE.origin),  # a copy
        lambda key, asked: dataclasses.replace(key, key=Authenticator().key).sign(
            asked, SITE.origin
        ),
        lambda key, asked: dataclasses.replace(key, handle=b"eve").sign(asked, SITE.origin),
        lambda key, asked: dataclasses.replace(key, credential_id=b"x").sign(asked, SITE.origin),
    ],
    ids=["present", "absent", "origin", "site", "copy", "key", "handle", "id"],
)
def test_what_does_not_verify_opens_nothing(
    house: House, answer: Callable[[Authenticator, str], bytes]
) -> None:
    key, signing = registered(house), house.people.signing
    key.count = 5
    assert signed_in(house, key.sign(signing.passkey_challenge(HERE, SITE), SITE.origin)) == "ada"
    asked = signing.passkey_challenge(HERE, SITE)
    with pytest.raises(NotAuthenticated):
        signed_in(house, answer(key, asked))
    asked = signing.passkey_challenge(HERE, SITE)
    assert signed_in(house, key.sign(asked, SITE.origin)) == "ada"


def test_a_passkey_of_one_site_is_of_no_use_at_another(house: House) -> None:
    key, signing = registered(house), house.people.signing
    asked = signing.passkey_challenge(HERE, OTHER)
    with pytest.raises(NotAuthenticated):
        signed_in(house, key.sign(asked, OTHER.origin), site=OTHER)


def test_a_passkey_of_a_disabled_account_or_of_one_begun_anew_opens_nothing(house: House) -> None:
    key, signing = registered(house), house.people.signing
    for act, undo in (
        (house.people.accounts.disable, house.people.accounts.enable),
        (house.people.accounts.reset, None),
    ):
        act(house.who, "ada")
        with pytest.raises(NotAuthenticated):
            signed_in(house, key.sign(signing.passkey_challenge(HERE, SITE), SITE.origin))
        if undo is not None:
            undo(house.who, "ada")


@pytest.mark.parametrize(
    "answer",
    [
        lambda key, asked: key.make(asked, SITE.origin, flags=PRESENT),
        lambda key, asked: key.make(asked, OTHER.origin),
        lambda key, asked: key.make(
            json.dumps({**json.loads(asked), "challenge": "AAAA"}), SITE.origin
        ),
        lambda key, asked: key.make(
            json.dumps({**json.loads(asked), "rp": {"id": OTHER.name}}), SITE.origin
        ),
    ],
    ids=["unverified", "origin", "challenge", "site"],
)
def test_a_passkey_that_does_not_verify_is_not_taken(
    house: House, answer: Callable[[Authenticator, str], bytes]
) -> None:
    _, visitor = house.signed_in("ada")
    signing = house.people.signing
    asked = signing.offer_passkey(visitor, HERE, SITE)
    with pytest.raises(NotAuthenticated):
        signing.add_passkey(visitor, HERE, SITE, answer(Authenticator(), asked))
    assert house.people.accounts.find("ada").passkeys == 0


def test_a_passkey_is_one_account_s_and_an_account_has_ten(house: House) -> None:
    key, signing = registered(house), house.people.signing
    _, eve = house.signed_in("eve")
    asked = signing.offer_passkey(eve, HERE, SITE)
    with pytest.raises(NotAuthenticated, match="known already"):
        signing.add_passkey(eve, HERE, SITE, key.make(asked, SITE.origin))
    for _ in range(10):
        asked = signing.offer_passkey(eve, HERE, SITE)
        signing.add_passkey(eve, HERE, SITE, Authenticator().make(asked, SITE.origin))
    with pytest.raises(Conflict, match="10"):
        signing.offer_passkey(eve, HERE, SITE)


OF_BROWSERS = ["id", "rawId", "type", "response", "clientExtensionResults"]
OF_ANSWERS = [
    *("clientDataJSON", "authenticatorData", "signature", "userHandle", "attestationObject"),
    *("transports", "publicKey"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=4), one, max_size=3),
    max_leaves=8,
)
BYTES = st.binary(max_size=80) | st.sampled_from([b"\x80" * 37, b"\xa0", b"\xbf", b"{}", b"[]"])


def refused(said: object, key: Authenticator) -> None:
    """Verify an answer in all ways: each may refuse it, and nothing else may come of it."""
    asked = ceremonies.Asked(challenge=b"x", name=SITE.name, origin="o")
    assert isinstance(said, dict)
    with contextlib.suppress(NotAuthenticated):
        ceremonies.identifier(said)
    with contextlib.suppress(NotAuthenticated):
        ceremonies.made(said, asked)
    with contextlib.suppress(NotAuthenticated):
        ceremonies.verified(said, asked, public_key=key.public_key(), count=0, handle=b"x")


KEY = Authenticator()
OPTIONS = json.dumps(
    {"challenge": "eA", "rpId": SITE.name, "rp": {"id": SITE.name}, "user": {"id": "eA"}}
)
ANSWERS = st.sampled_from([KEY.make(OPTIONS, "o"), KEY.sign(OPTIONS, "o")]).map(json.loads)


@given(said=ANSWERS, name=st.sampled_from(OF_BROWSERS), value=JSON)
def test_whatever_a_browser_answers_is_verified_or_refused(
    said: dict[str, Any], name: str, value: object
) -> None:
    refused({**said, name: value}, KEY)


@given(said=ANSWERS, name=st.sampled_from(OF_ANSWERS), value=JSON)
def test_whatever_stands_in_a_response_is_verified_or_refused(
    said: dict[str, Any], name: str, value: object
) -> None:
    refused({**said, "response": {**said["response"], name: value}}, KEY)


@given(said=ANSWERS, name=st.sampled_from(OF_ANSWERS), value=BYTES)
def test_whatever_bytes_an_authenticator_gives_are_verified_or_refused(
    said: dict[str, Any], name: str, value: bytes
) -> None:
    refused({**said, "response": {**said["response"], name: bytes_to_base64url(value)}}, KEY)


@given(said=ANSWERS, cut=st.integers(0, 300), name=st.sampled_from(OF_ANSWERS), more=BYTES)
def test_an_answer_that_is_cut_off_or_goes_on_is_verified_or_refused(
    said: dict[str, Any], cut: int, name: str, more: bytes
) -> None:
    whole = base64url_to_bytes(said["response"].get(name, ""))
    changed = bytes_to_base64url(whole[:cut] + more)
    refused({**said, "response": {**said["response"], name: changed}}, KEY)
