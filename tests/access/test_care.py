"""Who treats whom: what accounts of granted reach see, and when they stop to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.access.conftest import SHELL, House
from vna.access.care import MOST_DAYS, Whom
from vna.access.sessions import person
from vna.dicom.refs import UID
from vna.errors import InvalidRequest, NotFound, NotPermitted

OWN, OTHER = UID("1.2.3"), UID("1.2.4")
ANNE = Whom(patient_id="A1", issuer="LOCAL")


@pytest.fixture
def ward(house: House) -> Iterator[House]:
    """A house that knows two patients of one id, of two issuers, with a study each."""
    with house.database.transaction() as tx:
        for issuer, study in (("LOCAL", OWN), ("ELSEWHERE", OTHER)):
            row = tx.execute(
                "INSERT INTO patient (issuer, patient_id) VALUES (%s, 'A1') RETURNING patient_pk",
                (issuer,),
            ).fetchone()
            assert row is not None
            add_study(tx, row[0], study)
    return house


def add_study(tx, patient_pk, study):  # type: ignore[no-untyped-def]  # of psycopg
    tx.execute(
        "INSERT INTO study (study_uid, patient_pk, variant, fold_version, terms, answer)"
        " VALUES (%s, %s, 1, 1, '{}', '{}')",
        (study, patient_pk),
    )


def seen(house: House, cookie: str) -> frozenset[UID]:
    return house.visitor(cookie).principal.scope.studies


def test_nothing_is_seen_that_was_not_given(ward: House) -> None:
    cookie, visitor = ward.signed_in("ref", "referring")
    assert not visitor.principal.scope.everything
    assert seen(ward, cookie) == frozenset()


def test_a_study_given_is_seen_until_it_ends(ward: House) -> None:
    cookie, _ = ward.signed_in("ref", "referring")
    number = ward.people.care.give(SHELL, "ref", Whom(study=OWN), ground="referring", days=7)
    assert seen(ward, cookie) == {OWN}
    ward.people.care.end(SHELL, number)
    assert seen(ward, cookie) == frozenset()
    with pytest.raises(NotFound):
        ward.people.care.end(SHELL, number)


def test_what_ends_is_one_person_s_and_the_trail_says_whose(ward: House) -> None:
    care, numbers = ward.people.care, {}
    for login in ("ref", "doc", "who"):
        ward.people.accounts.add(SHELL, login, ["referring"])
        numbers[login] = care.give(SHELL, login, Whom(study=OWN), ground="referring", days=7)
    for login in ("doc", "who"):
        care.end(SHELL, numbers[login])
    assert [one.login for one in care.all(SHELL)] == ["ref"]
    with ward.database.reading() as conn:
        told = conn.execute(
            "SELECT detail ->> 'account' FROM audit WHERE kind = 'care.ended' ORDER BY id"
        ).fetchall()
    assert told == [("doc",), ("who",)]


def test_a_patient_given_is_all_their_studies_also_later_ones_and_nobody_else_s(
    ward: House,
) -> None:
    cookie, _ = ward.signed_in("ref", "referring")
    ward.people.care.give(SHELL, "ref", ANNE, ground="treating", days=7)
    assert seen(ward, cookie) == {OWN}
    with ward.database.transaction() as tx:
        row = tx.execute("SELECT patient_pk FROM patient WHERE issuer = 'LOCAL'").fetchone()
        assert row is not None
        add_study(tx, row[0], UID("1.2.5"))
    assert seen(ward, cookie) == {OWN, UID("1.2.5")}


def test_a_relation_ends_with_its_time(ward: House) -> None:
    cookie, _ = ward.signed_in("ref", "referring")
    ward.people.care.give(SHELL, "ref", ANNE, ground="treating", days=7)
    with ward.database.transaction() as tx:
        tx.execute(
            "UPDATE care_relation SET begins_at = now() - interval '8 days',"
            " ends_at = now() - interval '1 second'"
        )
    assert seen(ward, cookie) == frozenset()
    assert ward.people.care.all(SHELL) == []


def test_a_service_of_granted_reach_sees_what_it_was_given(ward: House) -> None:
    ward.people.accounts.add(SHELL, "feed", ["referring"], kind="service")
    _, secret = ward.people.tokens.add(SHELL, "feed", name="t", days=1)
    ward.people.care.give(SHELL, "feed", Whom(study=OTHER), ground="own", days=1)
    who = ward.people.tokens.principal(secret, None)
    assert who is not None
    assert who.scope.studies == {OTHER}


def test_who_reaches_everything_needs_no_relation(ward: House) -> None:
    _, visitor = ward.signed_in("rad", "radiologist")
    assert visitor.principal.scope.everything


@pytest.mark.parametrize(
    "whom",
    [
        Whom(),
        Whom(study=OWN, patient_id="A1", issuer="LOCAL"),
        Whom(patient_id="A1"),
        Whom(issuer="LOCAL"),
        Whom(study=OWN, issuer="LOCAL"),
    ],
)
def test_a_relation_is_to_one_study_or_one_patient(ward: House, whom: Whom) -> None:
    ward.people.accounts.add(SHELL, "ref", ["referring"])
    with pytest.raises(InvalidRequest):
        ward.people.care.give(SHELL, "ref", whom, ground="treating", days=1)


@pytest.mark.parametrize(
    ("ground", "days"), [("friend", 1.0), ("own", 0.0), ("own", MOST_DAYS + 1)]
)
def test_a_relation_has_a_ground_and_an_end(ward: House, ground: str, days: float) -> None:
    ward.people.accounts.add(SHELL, "ref", ["referring"])
    with pytest.raises(InvalidRequest):
        ward.people.care.give(SHELL, "ref", ANNE, ground=ground, days=days)


def test_relations_are_given_by_who_may_and_written_down(ward: House) -> None:
    ward.people.accounts.add(SHELL, "ref", ["referring"])
    nobody = person("ref", None)
    for act in (
        lambda: ward.people.care.give(nobody, "ref", ANNE, ground="own", days=1),
        lambda: ward.people.care.end(nobody, 1),
        lambda: ward.people.care.all(nobody),
    ):
        with pytest.raises(NotPermitted):
            act()
    number = ward.people.care.give(SHELL, "ref", ANNE, ground="own", days=1)
    ward.people.care.end(SHELL, number)
    told = [kind for kind, *_ in ward.audited() if kind.startswith("care")]
    assert told == ["care.given", "care.ended"]
    with ward.database.reading() as conn:  # which patient stands in the table, not in the trail
        details = conn.execute(
            "SELECT detail::text FROM audit WHERE kind = 'care.given'"
        ).fetchall()
    assert "A1" not in details[0][0]
