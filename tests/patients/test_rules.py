"""The matching rules as pure functions: what makes two patients one, and what never does."""

from __future__ import annotations

import datetime as dt
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vna.dicom.text import fold_name
from vna.errors import ConfigError
from vna.patients.demographics import Demographics, of_elements
from vna.patients.numbers import is_number, read_issuers
from vna.patients.resemblance import is_alike, is_same, is_sibling, jaro_winkler
from vna.patients.rules import Rule, evidence, is_after_death, of_one_id, of_two_ids

BORN = dt.date(1970, 1, 1)
NUMBER = frozenset(["NHS:9434765919"])


def said(
    name: str = "Doe^Jane", born: dt.date | None = BORN, sex: str = "F", **more: object
) -> Demographics:
    return Demographics(name=name, birth_date=born, sex=sex, **more)  # type: ignore[arg-type]  # fields of it


@pytest.mark.parametrize(
    ("other", "rule"),
    [
        (said(), Rule.R1),
        (said("DOE^JANE"), Rule.R1),
        (said("Dôe^Jane"), Rule.R1),
        (said("Do e^Jane"), Rule.R1),
        (said("Doee^Jane"), Rule.R1),
        (said("Jane^Doe"), Rule.R1),  # swapped
        (said("Doe-Miller^Jane"), Rule.R1),  # married
        (said("Doe^Jane=山田^花子"), Rule.R1),
        (said(born=None), Rule.R1),
        (said(born=dt.date(1900, 1, 1)), Rule.R1),  # a placeholder says nothing
        (said("", sex=""), Rule.R1),
        (said(sex="O"), Rule.R1),
        (said("Smith^Jane"), Rule.R2),
        (said(born=dt.date(1970, 1, 2)), Rule.R2),
        (said(sex="M"), Rule.R2),
    ],
)
def test_one_id_is_one_identity_until_something_clashes(other: Demographics, rule: Rule) -> None:
    assert of_one_id(said(), other) is rule
    assert of_one_id(other, said()) is rule


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (said(numbers=NUMBER), said("Roe^Rita", numbers=NUMBER), ("R3", "linked")),
        (said(numbers=NUMBER), said(sex="M", numbers=NUMBER), ("R4", "open")),
        (said(numbers=NUMBER), said(born=dt.date(1971, 1, 1), numbers=NUMBER), ("R4", "open")),
        (said(numbers=NUMBER), said(born=None, numbers=NUMBER), ("R4", "open")),
        (said(numbers=NUMBER), said(sex="", numbers=NUMBER), ("R4", "open")),
        (said(), said(), ("R5", "open")),
        (said(), said(sex=""), ("R6", "open")),
        (said(), said(sex="M"), None),
        (said(), said(born=None), None),
        (said(born=dt.date(1900, 1, 1)), said(born=dt.date(1900, 1, 1)), None),
        (said("Doe"), said("Doe"), None),  # half a name
        (said("", sex=""), said("", sex=""), None),
        (said(address=b"a"), said("Doe^John", sex="M", address=b"a"), ("R8", "apart")),
        (said(address=b"a"), said("Doe^John", address=b"b"), None),
        (said(), said("Doe^John", sex="M"), None),  # of neither an address is known
    ],
)
def test_two_ids_are_linked_by_a_number_alone(
    one: Demographics, other: Demographics, expected: tuple[str, str] | None
) -> None:
    for first, second in ((one, other), (other, one)):
        found = of_two_ids(first, second, by_patient=False)
        assert (found and (found.rule.value, found.state)) == expected
        assert of_two_ids(first, second, by_patient=True) is None


names = st.text(string.ascii_letters + " -äéøß^", max_size=20)
births = st.sampled_from([None, BORN, dt.date(1980, 5, 5), dt.date(1900, 1, 1)])
people = st.builds(
    Demographics,
    name=names,
    birth_date=births,
    sex=st.sampled_from(["", "M", "F", "O"]),
    numbers=st.sampled_from([frozenset(), NUMBER]),
    address=st.sampled_from([None, b"a"]),
)


@given(people, people)
def test_the_order_of_two_says_nothing(one: Demographics, other: Demographics) -> None:
    assert of_one_id(one, other) is of_one_id(other, one)
    assert of_two_ids(one, other, by_patient=False) == of_two_ids(other, one, by_patient=False)
    assert evidence(one, other) == evidence(other, one)


def test_who_compares_two_is_told_what_differs_and_what_nobody_knows() -> None:
    """It is all they are shown of the comparison: two birth dates that differ are not one."""
    one = said(numbers=NUMBER, address=b"a")
    other = said("Roe^Anna", dt.date(1971, 1, 1), "M", address=b"b")
    assert evidence(one, one) == {
        "name": "equal", "birth date": "equal", "sex": "equal", "number": "equal",
        "address": "equal",
    }  # fmt: skip
    assert evidence(one, other) == {
        "name": "differs", "birth date": "differs", "sex": "differs", "number": "none",
        "address": "differs",
    }  # fmt: skip
    assert evidence(one, said("", None, "")) == {
        "name": "unknown", "birth date": "unknown", "sex": "unknown", "number": "none",
        "address": "unknown",
    }  # fmt: skip
    assert evidence(one, said("Doe^Janet"))["name"] == "alike"


@given(people, people)
def test_a_name_alone_is_never_enough(one: Demographics, other: Demographics) -> None:
    bare = Demographics(name=one.name), Demographics(name=one.name, sex=other.sex)
    assert of_two_ids(*bare, by_patient=False) is None


@given(people, people)
def test_nothing_is_linked_without_number_birth_date_and_sex(
    one: Demographics, other: Demographics
) -> None:
    found = of_two_ids(one, other, by_patient=False)
    if found is not None and found.state == "linked":
        assert one.numbers & other.numbers
        assert one.born == other.born is not None
        assert one.sex == other.sex != ""


@given(people)
def test_a_patient_is_alike_to_themself(one: Demographics) -> None:
    assert of_one_id(one, one) is Rule.R1


@pytest.mark.parametrize(
    ("one", "other", "about"),
    [("martha", "marhta", 0.9611), ("dwayne", "duane", 0.84), ("dixon", "dicksonx", 0.8133)],
)
def test_jaro_winkler_is_what_winkler_published(one: str, other: str, about: float) -> None:
    assert jaro_winkler(one, other) == pytest.approx(about, abs=1e-3)


@given(names, names)
def test_jaro_winkler_is_between_none_and_all(one: str, other: str) -> None:
    assert 0 <= jaro_winkler(one, other) <= 1
    assert jaro_winkler(one, one) == 1


def test_names_of_other_scripts_are_compared_where_both_have_one() -> None:
    one, other = fold_name("Yamada^Tarou=山田^太郎"), fold_name("Jamada^Taro=山田^太郎")
    assert is_alike(one, other)
    assert is_alike(fold_name("=山田^太郎"), fold_name("Yamada^Tarou")) is None
    assert is_same(fold_name("De La Cruz^Ana"), fold_name("DELACRUZ^ANA"))
    assert is_sibling(fold_name("Doe^Jane"), fold_name("Doe^John"))
    assert not is_sibling(fold_name("Doe^Jane"), fold_name("Doe"))


@pytest.mark.parametrize(
    ("check", "number", "is_one"),
    [
        ("mod11", "9434765919", True),
        ("mod11", "9434765918", False),
        ("mod11", "9434760070", True),  # what would be 11 is 0
        ("mod11", "9434760020", False),  # and what would be 10 is none
        ("luhn", "79927398713", True),
        ("luhn", "79927398710", False),
        ("mod97", "85073003328", True),
        ("mod97", "85073003329", False),
        ("luhn", "abc", False),
        ("mod97", "8507300332X", False),
        ("mod11", "", False),
        ("luhn", "7²27398713", False),
        ("other", "79927398713", False),
        ("mod11", "0000000000", False),  # what is filled in when nobody knows
        ("mod11", "9999999999", False),
        ("luhn", "0000000000", False),
    ],
)
def test_a_number_that_identifies_has_its_check_digit(
    check: str, number: str, is_one: bool
) -> None:
    assert is_number(check, number) is is_one


def test_numbers_are_read_from_other_patient_ids_of_issuers_that_identify() -> None:
    def lo(text: str) -> dict[str, object]:
        return {"vr": "LO", "Value": [text]}

    other = [
        {"00100020": lo("943 476 5919"), "00100021": lo("NHS")},
        {"00100020": lo("9434765918"), "00100021": lo("NHS")},  # no such number
        {"00100020": lo("9434765919"), "00100021": lo("CITY")},
        None,
    ]
    found = of_elements({"00101002": {"vr": "SQ", "Value": other}}, read_issuers("NHS:mod11"))
    assert found.numbers == NUMBER


def test_the_setting_names_issuers_and_checks() -> None:
    assert read_issuers(" A:B:luhn , NHS:mod11") == {"A:B": "luhn", "NHS": "mod11"}
    for wrong in ("NHS", "NHS:none", ":luhn"):
        with pytest.raises(ConfigError):
            read_issuers(wrong)


def test_a_study_after_death_is_told() -> None:
    assert is_after_death(BORN, dt.date(1970, 1, 2))
    assert not is_after_death(BORN, BORN)
    assert not is_after_death(None, BORN)
    assert not is_after_death(BORN, None)
