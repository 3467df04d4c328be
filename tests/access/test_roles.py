"""Roles: what they give, and that a file that is not sound is refused whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from vna.access.principal import Action, Label, Scope
from vna.access.roles import AE, FIRST, GUEST, load
from vna.errors import ConfigError, InvalidRequest

ROLES = load()


def test_the_roles_of_a_hospital_are_there() -> None:
    assert set(ROLES.by_name) == {
        "system-administrator", "archive-administrator", "radiologist", "technologist",
        "referring", "records-clerk", "privacy-officer", "auditor", "service", "patient",
    }  # fmt: skip
    ROLES.check(FIRST)


def test_who_has_no_account_has_a_role_no_account_may_have() -> None:
    assert ROLES.ae.actions == {Action.STORE, Action.QUERY, Action.RETRIEVE, Action.COMMIT}
    assert (ROLES.ae.scope.everything, ROLES.ae.clearances) == (True, frozenset())
    assert ROLES.guest.actions == {Action.QUERY, Action.RETRIEVE, Action.UPLOAD}
    assert (ROLES.guest.scope, ROLES.guest.clearances) == (Scope(), {Label.SENSITIVE})
    for name in (AE, GUEST):
        with pytest.raises(InvalidRequest):
            ROLES.check([name])
        assert ROLES.actions([name]) == frozenset()


def test_who_manages_people_sees_no_patient() -> None:
    role = ROLES.by_name["system-administrator"]
    assert not role.actions & {Action.QUERY, Action.RETRIEVE, Action.STORE, Action.DELETE}
    assert not role.scope.everything


def test_only_the_system_administrator_manages_people() -> None:
    assert ROLES.granting(Action.ACCOUNTS) == ["system-administrator"]
    assert ROLES.granting(Action.DELETE) == ["archive-administrator"]


def test_several_roles_add_up() -> None:
    both = ("auditor", "radiologist")
    assert ROLES.actions(both) == ROLES.actions(both[:1]) | ROLES.actions(both[1:])
    assert ROLES.scope(both).everything
    assert not ROLES.scope(["referring", "auditor"]).everything


def test_a_patient_has_no_other_role_and_what_is_there_beside_it_gives_nothing() -> None:
    role = ROLES.by_name["patient"]
    assert (role.is_own, role.scope.everything) == (True, False)
    assert role.actions == {Action.QUERY, Action.RETRIEVE, Action.SHARE_OWN}
    mixed = ["patient", "archive-administrator"]
    with pytest.raises(InvalidRequest):
        ROLES.check(mixed)
    assert ROLES.is_own(mixed)
    assert not ROLES.scope(mixed).everything
    assert ROLES.actions(mixed) == role.actions
    assert ROLES.clearances(mixed) == frozenset()


def test_a_role_that_is_gone_gives_nothing() -> None:
    assert ROLES.actions(["gone"]) == frozenset()
    assert not ROLES.scope(["gone"]).everything
    with pytest.raises(InvalidRequest):
        ROLES.check(["gone"])


AE_ROLE = '[ae]\ndescription = "x"\nactions = ["store"]\nreach = "all"\n'
GUEST_ROLE = '[share-guest]\ndescription = "x"\nactions = ["query"]\nreach = "shared"\n'
GOOD = '[a]\ndescription = "x"\nactions = ["accounts"]\nreach = "all"\n'


def test_a_file_that_leaves_them_out_has_them_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "roles.toml"
    file.write_text(GOOD)
    assert (load(str(file)).ae, load(str(file)).guest) == (ROLES.ae, ROLES.guest)
    quiet = GUEST_ROLE.replace("query", "upload")
    file.write_text(GOOD + AE_ROLE + quiet)
    assert load(str(file)).ae.actions == {Action.STORE}
    assert load(str(file)).guest.actions == {Action.UPLOAD}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        GOOD.replace("accounts", "acounts"),
        GOOD.replace('"all"', '"some"'),
        GOOD.replace('"all"', "[]"),
        GOOD.replace("[a]", "[A]"),
        GOOD.replace("reach", "scope"),
        GOOD + "more = 1\n",
        GOOD.replace('["accounts"]', '"accounts"'),
        GOOD.replace("accounts", "query"),
        "a = 1\n",
        GOOD + AE_ROLE.replace('"all"', '"granted"'),
        GOOD + AE_ROLE + 'clears = ["sensitive"]\n',
        GOOD + GUEST_ROLE.replace('"shared"', '"all"'),
        GOOD + GUEST_ROLE.replace("[share-guest]", "[b]"),
    ],
)
def test_a_file_that_is_not_sound_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "roles.toml"
    file.write_text(GOOD)
    assert load(str(file)).granting(Action.ACCOUNTS) == ["a"]
    file.write_text(text)
    with pytest.raises(ConfigError):
        load(str(file))
