"""Emergency access: whom it is given to, what it lends, how it ends, and that it is reviewed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.access.conftest import SHELL, B, House
from tests.access.test_care import add_study
from vna.access.coding import coding
from vna.access.emergencies import Reason
from vna.access.sessions import Visitor, person
from vna.dicom.refs import UID
from vna.errors import InvalidRequest, NotAuthenticated, NotFound, NotPermitted, NotProven, TooMany

STUDY = UID("1.2.3")
WHY = Reason(code="treatment", note="Brought in by ambulance, no papers.")


@pytest.fixture
def ward(house: House) -> Iterator[House]:
    with house.database.transaction() as tx:
        row = tx.execute(
            "INSERT INTO patient (issuer, patient_id) VALUES ('LOCAL', 'E1') RETURNING patient_pk"
        ).fetchone()
        assert row is not None
        add_study(tx, row[0], STUDY)
        tx.execute("INSERT INTO patient (issuer, patient_id) VALUES ('LOCAL','T'), ('OTHER','T')")
    return house


def begin(house: House, visitor: Visitor, patient: str = "E1", issuer: str = "") -> None:
    house.people.emergencies.begin(visitor, patient, issuer, WHY)


def lent(house: House, cookie: str) -> frozenset[UID]:
    return house.visitor(cookie).principal.scope.lent


def age(house: House, visitor: Visitor) -> None:
    with house.database.transaction() as tx:
        tx.execute(
            "UPDATE session SET proven_at = now() - interval '6 minutes' WHERE session_id = %s",
            (visitor.session_id,),
        )


def test_it_lends_one_person_s_studies_to_this_session_alone(ward: House) -> None:
    cookie, visitor = ward.signed_in("ref", "referring")
    begin(ward, visitor)
    assert lent(ward, cookie) == {STUDY}
    until = ward.visitor(cookie).lent_until
    assert until is not None
    second = ward.people.signing.passphrase("ref", "seven green bicycles", B)
    assert lent(ward, second) == frozenset()
    ward.people.emergencies.end(visitor)
    assert (lent(ward, cookie), ward.visitor(cookie).lent_until) == (frozenset(), None)


def test_it_ends_with_its_time(ward: House) -> None:
    cookie, visitor = ward.signed_in("ref", "referring")
    begin(ward, visitor)
    with ward.database.transaction() as tx:
        tx.execute(
            "UPDATE emergency SET began_at = now() - interval '31 minutes',"
            " ends_at = now() - interval '1 minute'"
        )
    assert lent(ward, cookie) == frozenset()
    ward.people.emergencies.sweep()
    assert [k for k, *_ in ward.audited() if k.startswith("glass")] == [
        "glass.broken",
        "glass.ended",
    ]


def test_it_ends_with_its_session(ward: House) -> None:
    _, visitor = ward.signed_in("ref", "referring")
    begin(ward, visitor)
    ward.people.sessions.sign_out(visitor)
    ward.people.emergencies.sweep()
    (one,) = ward.people.emergencies.all(SHELL, unreviewed=True)
    assert not one.is_open


def test_one_person_at_a_time(ward: House) -> None:
    with ward.database.transaction() as tx:
        tx.execute("INSERT INTO patient (issuer, patient_id) VALUES ('LOCAL', 'E2')")
    cookie, visitor = ward.signed_in("ref", "referring")
    begin(ward, visitor)
    begin(ward, visitor, "E2")
    assert lent(ward, cookie) == frozenset()  # E2 has no study, and E1 is over
    found = ward.people.emergencies.all(SHELL, unreviewed=True)
    assert [(one.patient_id, one.is_open) for one in found] == [("E2", True), ("E1", False)]


def test_a_second_factor_of_just_now_is_asked_for(ward: House) -> None:
    secret, _ = ward.enrolled("ref", "referring")
    assert secret
    cookie, visitor = again(ward, "ref")
    age(ward, visitor)
    stale = ward.visitor(cookie)
    assert not stale.is_fresh
    with pytest.raises(NotProven):
        begin(ward, stale)
    # what the browser was believed to be for half a second does not help either
    with pytest.raises(NotProven):
        begin(ward, visitor)
    assert lent(ward, cookie) == frozenset()


def again(house: House, login: str) -> tuple[str, Visitor]:
    """Sign in with a recovery code made for it."""
    account = house.people.accounts.find(login)
    with house.database.transaction() as tx:
        code = house.people.signing._factors.renew_recovery_codes(tx, account.account_id)[0]
    first = house.people.signing.passphrase(login, "seven green bicycles", B)
    cookie = house.people.signing.code(house.visitor(first), code, B)
    return cookie, house.visitor(cookie)


def test_showing_the_factor_again_makes_it_fresh(ward: House) -> None:
    cookie, visitor = ward.signed_in("ref", "referring")
    codes = ward.people.signing.renew_recovery_codes(visitor)
    age(ward, visitor)
    with pytest.raises(NotAuthenticated):
        ward.people.signing.prove(ward.visitor(cookie), "000000")
    assert not ward.visitor(cookie).is_fresh
    ward.people.signing.prove(ward.visitor(cookie), codes[0])
    assert ward.visitor(cookie).is_fresh
    begin(ward, ward.visitor(cookie))


def test_guessing_the_factor_again_is_limited(ward: House) -> None:
    _, visitor = ward.signed_in("ref", "referring")
    for _ in range(5):
        with pytest.raises(NotAuthenticated):
            ward.people.signing.prove(visitor, "000000")
    with pytest.raises(TooMany):
        ward.people.signing.prove(visitor, "000000")


def test_factors_are_not_changed_by_who_finds_an_open_screen(ward: House) -> None:
    from vna.access.passkeys import Site

    cookie, visitor = ward.signed_in("rad", "radiologist")
    age(ward, visitor)
    stale, signing = ward.visitor(cookie), ward.people.signing
    site = Site(name="localhost", origin="http://localhost")
    for act in (
        lambda: signing.renew_recovery_codes(stale),
        lambda: signing.offer_passkey(stale, B, site),
        lambda: signing.add_passkey(stale, B, site, b"{}"),
        lambda: signing.drop_passkey(stale, 1),
        lambda: signing.offer_app(stale),
    ):
        with pytest.raises(NotProven):
            act()


def test_only_roles_that_may_use_it(ward: House) -> None:
    for role in ("auditor", "records-clerk"):
        _, visitor = ward.signed_in(f"x-{role}", role)
        with pytest.raises(NotPermitted):
            begin(ward, visitor)


@pytest.mark.parametrize(
    ("code", "note"), [("curiosity", "x" * 20), ("treatment", "short"), ("treatment", "x" * 501)]
)
def test_it_has_a_reason_in_words(ward: House, code: str, note: str) -> None:
    _, visitor = ward.signed_in("ref", "referring")
    with pytest.raises(InvalidRequest):
        ward.people.emergencies.begin(visitor, "E1", "", Reason(code=code, note=note))


def test_an_identifier_of_nobody_is_told_and_written_down(ward: House) -> None:
    _, visitor = ward.signed_in("ref", "referring")
    with pytest.raises(NotFound):
        begin(ward, visitor, "nobody")
    assert ("glass.broken", "refused", "ref") in ward.audited()


def test_an_identifier_of_two_issuers_asks_which(ward: House) -> None:
    _, visitor = ward.signed_in("ref", "referring")
    with pytest.raises(InvalidRequest, match="issuer"):
        begin(ward, visitor, "T")
    begin(ward, visitor, "T", "OTHER")


def test_it_is_an_alert_in_the_trail_without_the_patient(ward: House) -> None:
    _, visitor = ward.signed_in("ref", "referring")
    begin(ward, visitor)
    with ward.database.reading() as conn:
        rows = conn.execute("SELECT detail::text FROM audit WHERE kind = 'glass.broken'").fetchall()
    assert len(rows) == 1
    assert "E1" not in rows[0][0]
    assert "ambulance" not in rows[0][0]
    assert (coding("glass.broken").event, coding("glass.broken").type) == ("110113", "110127")
    assert coding("glass.ended").type == "110138"


def test_it_is_reviewed_once_and_by_somebody_else(ward: House) -> None:
    _, visitor = ward.signed_in("boss", "referring", "privacy-officer")
    begin(ward, visitor)
    (one,) = ward.people.emergencies.all(SHELL, unreviewed=True)
    emergencies = ward.people.emergencies
    with pytest.raises(NotFound):
        emergencies.review(visitor.principal, one.emergency_id, "ok", "I know myself")
    emergencies.review(SHELL, one.emergency_id, "not-ok", "no such ambulance")
    with pytest.raises(NotFound):
        emergencies.review(SHELL, one.emergency_id, "ok", "")
    assert emergencies.all(SHELL, unreviewed=True) == []
    (told,) = emergencies.all(SHELL, unreviewed=False)
    assert (told.verdict, told.reviewed_by) == ("not-ok", SHELL.name)


def test_a_verdict_is_of_one_emergency(ward: House) -> None:
    for login in ("ref", "doc"):
        begin(ward, ward.signed_in(login, "referring")[1])
    emergencies = ward.people.emergencies
    latest, first = emergencies.all(SHELL, unreviewed=True)
    for verdict, remark in (("maybe", ""), ("ok", "x" * 501)):
        with pytest.raises(InvalidRequest):
            emergencies.review(SHELL, first.emergency_id, verdict, remark)
    emergencies.review(SHELL, first.emergency_id, "ok", "")
    assert [one.login for one in emergencies.all(SHELL, unreviewed=True)] == [latest.login]


def test_one_under_way_stays_when_those_that_are_over_are_swept(ward: House) -> None:
    cookie, visitor = ward.signed_in("ref", "referring")
    begin(ward, visitor)
    ward.people.emergencies.sweep()
    assert lent(ward, cookie) == {STUDY}
    assert "glass.ended" not in {kind for kind, *_ in ward.audited()}


def test_its_end_is_told_once(ward: House) -> None:
    _, visitor = ward.signed_in("ref", "referring")
    begin(ward, visitor)
    ward.people.emergencies.end(visitor)
    ward.people.emergencies.end(visitor)
    ward.people.sessions.sign_out(visitor)
    ward.people.emergencies.sweep()
    assert [kind for kind, *_ in ward.audited()].count("glass.ended") == 1


def test_a_session_that_ended_a_moment_ago_begins_none_and_agrees_to_none(ward: House) -> None:
    label(ward)
    _, visitor = ward.signed_in("ref", "referring")
    _, second = ward.signed_in("rad", "radiologist")
    begin(ward, visitor)
    (one,) = ward.people.emergencies.all(SHELL, unreviewed=True)
    with ward.database.transaction() as tx:
        tx.execute("UPDATE session SET ends_at = now() WHERE session_id = %s", (second.session_id,))
    with pytest.raises(NotFound):
        ward.people.emergencies.agree(second, one.emergency_id)
    with pytest.raises(NotProven):
        begin(ward, second)
    assert len(ward.people.emergencies.all(SHELL, unreviewed=True)) == 1


def test_an_officer_ends_it_and_others_may_not_look(ward: House) -> None:
    cookie, visitor = ward.signed_in("ref", "referring")
    begin(ward, visitor)
    (one,) = ward.people.emergencies.all(SHELL, unreviewed=True)
    nobody = person("ref", None)
    for act in (
        lambda: ward.people.emergencies.stop(nobody, one.emergency_id),
        lambda: ward.people.emergencies.all(nobody, unreviewed=True),
        lambda: ward.people.emergencies.review(nobody, one.emergency_id, "ok", ""),
    ):
        with pytest.raises(NotPermitted):
            act()
    ward.people.emergencies.stop(SHELL, one.emergency_id)
    assert lent(ward, cookie) == frozenset()
    with pytest.raises(NotFound):
        ward.people.emergencies.stop(SHELL, one.emergency_id)


def label(house: House) -> None:
    with house.database.transaction() as tx:
        tx.execute(
            "INSERT INTO study_label (study_uid, label, reason, set_by)"
            " VALUES (%s, 'sensitive', 'a test', 'test')",
            (STUDY,),
        )


def test_what_is_sensitive_waits_for_a_second_person(ward: House) -> None:
    label(ward)
    cookie, visitor = ward.signed_in("ref", "referring")
    _, second = ward.signed_in("rad", "radiologist")
    emergencies = ward.people.emergencies
    assert emergencies.asking(second.principal) == []
    begin(ward, visitor)
    assert (lent(ward, cookie), emergencies.locked(visitor)) == (frozenset(), 1)
    (asking,) = emergencies.asking(second.principal)
    assert (asking.login, asking.patient_id, asking.note) == ("ref", "E1", WHY.note)
    emergencies.agree(second, asking.emergency_id)
    assert (lent(ward, cookie), emergencies.locked(visitor)) == ({STUDY}, 0)
    assert emergencies.asking(second.principal) == []
    (one,) = emergencies.all(SHELL, unreviewed=True)
    assert one.agreed_by == "rad"
    assert ("glass.agreed", "done", "rad") in ward.audited()
    with pytest.raises(NotFound):
        emergencies.agree(second, asking.emergency_id)


def test_a_second_person_agrees_to_one_emergency(ward: House) -> None:
    label(ward)
    _, second = ward.signed_in("rad", "radiologist")
    cookies = {}
    for login in ("ref", "doc"):
        cookies[login], visitor = ward.signed_in(login, "referring")
        begin(ward, visitor)
    first, later = ward.people.emergencies.asking(second.principal)
    ward.people.emergencies.agree(second, later.emergency_id)
    assert lent(ward, cookies[later.login]) == {STUDY}
    assert lent(ward, cookies[first.login]) == frozenset()
    assert ward.people.emergencies.asking(second.principal) == [first]


def test_nobody_is_their_own_second_person(ward: House) -> None:
    label(ward)
    cookie, visitor = ward.signed_in("ref", "referring")
    begin(ward, visitor)
    (one,) = ward.people.emergencies.all(SHELL, unreviewed=True)
    assert ward.people.emergencies.asking(visitor.principal) == []
    with pytest.raises(NotFound):
        ward.people.emergencies.agree(visitor, one.emergency_id)
    _, clerk = ward.signed_in("clerk", "records-clerk")
    with pytest.raises(NotPermitted):
        ward.people.emergencies.agree(clerk, one.emergency_id)
    assert lent(ward, cookie) == frozenset()


def test_a_second_person_shows_a_second_factor_of_just_now(ward: House) -> None:
    label(ward)
    cookie, visitor = ward.signed_in("ref", "referring")
    begin(ward, visitor)
    (one,) = ward.people.emergencies.all(SHELL, unreviewed=True)
    own, second = ward.signed_in("rad", "radiologist")
    age(ward, second)
    with pytest.raises(NotProven):
        ward.people.emergencies.agree(ward.visitor(own), one.emergency_id)
    with pytest.raises(NotFound):  # believed for half a second to be fresh, and is not
        ward.people.emergencies.agree(second, one.emergency_id)
    assert lent(ward, cookie) == frozenset()


def test_an_emergency_that_is_over_is_not_agreed_to(ward: House) -> None:
    label(ward)
    cookie, visitor = ward.signed_in("ref", "referring")
    begin(ward, visitor)
    (one,) = ward.people.emergencies.all(SHELL, unreviewed=True)
    _, second = ward.signed_in("rad", "radiologist")
    with ward.database.transaction() as tx:  # nobody has noted it yet
        tx.execute("UPDATE emergency SET began_at = now() - interval '1 h', ends_at = now()")
    with pytest.raises(NotFound):
        ward.people.emergencies.agree(second, one.emergency_id)
    ward.people.emergencies.end(visitor)
    with pytest.raises(NotFound):
        ward.people.emergencies.agree(second, one.emergency_id)
    assert lent(ward, cookie) == frozenset()
