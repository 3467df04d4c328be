"""Consents: asked for at the offer and at every access; withdrawn with all that rests on them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sharing.conftest import CLERK, B, Desk, in_days, study
from vna.errors import Conflict, InvalidRequest, NotFound
from vna.sharing.consents import Consent
from vna.sharing.rules import Facts, Limits, covers
from vna.sharing.values import Purpose, Reason, Refused


def consent(**changed: Any) -> Consent:
    said: dict[str, Any] = {
        "issuer": "LOCAL",
        "patient_id": "P-0001",
        "purpose": "treatment",
        "allowed": True,
        "text_version": "2026-1",
        "signed_by": "Canary Patient",
        "way": "kiosk",
        **changed,
    }
    return Consent(**said)


def test_a_share_rests_on_a_consent_and_ends_with_it_for_who_is_looking(desk: Desk) -> None:
    consents = desk.engine.consents
    number = consents.record(CLERK, consent())
    offered = desk.offer(consent_id=number, legal_basis=None)
    other = desk.offer()
    desk.run("DELETE FROM one_time_code")
    session, _ = desk.proven(desk.archive.posted.messages[0].values["link"].partition("#")[2])
    assert consents.withdraw(CLERK, number).shares == (offered.number,)
    assert desk.rows("SELECT state FROM share ORDER BY share_id") == [("suspended",), ("sent",)]
    desk.a_second_later()
    assert desk.engine.resume(session) is None
    link = desk.archive.posted.messages[0].values["link"].partition("#")[2]
    assert desk.engine.open(link, B) == Refused(reason=Reason.SUSPENDED, number=offered.number)
    assert isinstance(desk.engine.open(desk.archive.posted.secret(), B), tuple)
    with pytest.raises(Conflict, match="consent"):
        desk.engine.reinstate(CLERK, offered.share_id)
    with pytest.raises(NotFound):
        consents.withdraw(CLERK, number)
    with pytest.raises(Conflict):
        desk.offer(consent_id=number)
    assert other.share_id != offered.share_id


def test_a_consent_that_ends_by_itself_ends_what_rests_on_it(desk: Desk) -> None:
    number = desk.engine.consents.record(CLERK, consent(valid_to=in_days(2)))
    offered = desk.offer(consent_id=number)
    session, guest = desk.proven()
    assert guest.share.until < in_days(2)
    desk.run(
        "UPDATE consent SET valid_from = now() - interval '2 days', "
        "valid_to = now() - interval '1 second'"
    )
    desk.a_second_later()
    assert desk.engine.resume(session) is None
    answer = desk.engine.open(desk.archive.posted.secret(), B)
    assert answer == Refused(reason=Reason.EXPIRED, number=offered.number)
    with pytest.raises(Conflict, match="rests on"):
        desk.engine.renew(CLERK, offered.grant_id)


NOT_NOW = pytest.mark.parametrize(
    "change",
    [
        "valid_from = now() - interval '2 days', valid_to = now() - interval '1 second'",
        "valid_from = now() + interval '1 day', valid_to = now() + interval '2 days'",
    ],
    ids=["over", "to come"],
)


@NOT_NOW
def test_a_yes_lets_out_what_is_shared_within_its_time_alone(desk: Desk, change: str) -> None:
    number = desk.engine.consents.record(CLERK, consent(valid_to=in_days(2)))
    desk.offer(consent_id=number, legal_basis=None)
    desk.run(f"UPDATE consent SET {change}")  # noqa: S608 -- ours
    with pytest.raises(Conflict):
        desk.offer(consent_id=number, legal_basis=None)


@NOT_NOW
def test_a_no_forbids_within_its_time_alone(desk: Desk, change: str) -> None:
    before = desk.offer()
    desk.engine.consents.record(CLERK, consent(allowed=False, valid_to=in_days(2)))
    with pytest.raises(Conflict, match="says no"):
        desk.engine.extend(CLERK, before.share_id, in_days(40))
    desk.run(f"UPDATE consent SET {change}")  # noqa: S608 -- ours
    desk.engine.extend(CLERK, before.share_id, in_days(40))
    desk.offer()


def test_a_no_blocks_with_a_reason_but_not_an_emergency(desk: Desk) -> None:
    desk.engine.consents.record(CLERK, consent(allowed=False))
    with pytest.raises(Conflict, match="says no"):
        desk.offer()
    assert desk.rows("SELECT 1 FROM share") == []
    desk.offer(purpose=Purpose.RESEARCH)  # it was not asked about
    desk.offer(purpose=Purpose.EMERGENCY, legal_basis="vital-interest")
    desk.engine.consents.record(CLERK, consent())
    desk.offer()


def test_a_later_no_to_the_same_question_takes_the_place_of_a_yes(desk: Desk) -> None:
    first = desk.engine.consents.record(CLERK, consent())
    desk.offer(consent_id=first)
    second = desk.engine.consents.record(CLERK, consent(allowed=False))
    found = desk.engine.consents.of_person(CLERK, "LOCAL", "P-0001")
    assert [(one.consent_id, one.state) for one in found] == [
        (second, "active"),
        (first, "superseded"),
    ]
    assert desk.rows("SELECT state FROM share") == [("suspended",)]


@pytest.mark.parametrize("is_taken_back", [True, False], ids=["withdrawn", "no"])
def test_what_rests_on_an_earlier_yes_ends_with_the_one_that_took_its_place(
    desk: Desk, is_taken_back: bool
) -> None:
    first = desk.engine.consents.record(CLERK, consent())
    offered = desk.offer(consent_id=first, legal_basis=None)
    session, _ = desk.proven()
    other = desk.engine.consents.record(CLERK, consent(modalities=frozenset({"CT"})))
    second = desk.engine.consents.record(CLERK, consent())
    if is_taken_back:
        assert desk.engine.consents.withdraw(CLERK, other).shares == ()  # another question
        assert desk.rows("SELECT state FROM share") == [("active",)]
        assert desk.engine.consents.withdraw(CLERK, second).shares == (offered.number,)
    else:
        desk.engine.consents.record(CLERK, consent(allowed=False))
    assert desk.rows("SELECT state FROM share") == [("suspended",)]
    desk.a_second_later()
    assert desk.engine.resume(session) is None


@pytest.mark.parametrize("limits", [{}, {"modalities": frozenset({"CT"})}], ids=["all", "ct"])
def test_what_somebody_forbade_since_is_not_sent_anew_prolonged_or_let_go_on(
    desk: Desk, limits: dict[str, Any]
) -> None:
    engine, ref = desk.engine, study(desk.made[0])
    offered = desk.offer()
    exempt = desk.offer(purpose=Purpose.EMERGENCY, legal_basis="vital-interest")
    held = desk.offer()
    engine.suspend_study(CLERK, ref, "whose is it?")
    engine.reinstate(CLERK, offered.share_id)
    engine.reinstate(CLERK, exempt.share_id)
    engine.consents.record(CLERK, consent(allowed=False, **limits))
    for act in (
        lambda: engine.renew(CLERK, offered.grant_id),
        lambda: engine.extend(CLERK, offered.share_id, in_days(60)),
        lambda: engine.reinstate(CLERK, held.share_id),
    ):
        with pytest.raises(Conflict, match="says no"):
            act()
    engine.renew(CLERK, exempt.grant_id)
    engine.extend(CLERK, exempt.share_id, in_days(60))
    number = engine.consents.record(CLERK, consent(**limits))
    engine.reinstate(CLERK, held.share_id)
    engine.consents.withdraw(CLERK, number)
    engine.renew(CLERK, offered.grant_id)


@pytest.mark.parametrize(
    ("given", "refused", "is_stopped"),
    [
        ({"modalities": frozenset({"CT"})}, {}, True),
        ({}, {"modalities": frozenset({"CT"})}, True),
        ({}, {"modalities": frozenset({"US"})}, False),
        ({}, {"purpose": "research"}, False),
    ],
    ids=["broader", "narrower", "of another modality", "of another purpose"],
)
def test_a_no_stops_what_rests_on_a_yes_to_another_question(
    desk: Desk, given: dict[str, Any], refused: dict[str, Any], is_stopped: bool
) -> None:
    number = desk.engine.consents.record(CLERK, consent(**given))
    offered = desk.offer(consent_id=number, legal_basis=None)
    session, _ = desk.proven()
    urgent = desk.offer(purpose=Purpose.EMERGENCY, consent_id=number, legal_basis="vital-interest")
    desk.engine.consents.record(CLERK, consent(allowed=False, **refused))
    states = dict(desk.rows("SELECT share_id, state FROM share"))
    assert states[offered.share_id] == ("suspended" if is_stopped else "active")
    assert states[urgent.share_id] != "suspended"
    desk.a_second_later()
    assert (desk.engine.resume(session) is None) == is_stopped


def test_a_no_of_something_else_is_in_nobodys_way(desk: Desk) -> None:
    offered = desk.offer()
    desk.engine.consents.record(CLERK, consent(allowed=False, modalities=frozenset({"US"})))
    desk.engine.consents.record(CLERK, consent(allowed=False, purpose="research"))
    desk.engine.renew(CLERK, offered.grant_id)
    desk.engine.extend(CLERK, offered.share_id, in_days(60))


@pytest.mark.parametrize(
    ("limits", "is_enough"),
    [
        ({"modalities": frozenset({"CT", "MR"})}, True),
        ({"modalities": frozenset({"MR"})}, False),
        ({"studied_from": dt.date(2024, 1, 2), "studied_to": dt.date(2024, 1, 2)}, True),
        ({"studied_from": dt.date(2024, 1, 3)}, False),
        ({"studied_to": dt.date(2024, 1, 1)}, False),
        ({"accession": "A-0001"}, True),
        ({"accession": "A-0002"}, False),
        ({"purpose": "research"}, False),
        ({"patient_id": "SOMEBODY-ELSE"}, False),
    ],
)
def test_what_a_consent_covers(desk: Desk, limits: dict[str, Any], is_enough: bool) -> None:
    number = desk.engine.consents.record(CLERK, consent(**limits))
    if is_enough:
        desk.offer(consent_id=number, legal_basis=None)
    else:
        with pytest.raises(Conflict):
            desk.offer(consent_id=number, legal_basis=None)


@pytest.mark.parametrize(
    "changed",
    [
        {"patient_id": ""},
        {"purpose": "fun"},
        {"way": "phone"},
        {"text_version": "<b>"},
        {"signed_by": " "},
        {"modalities": frozenset()},
        {"modalities": frozenset({"ct"})},
        {"studied_from": dt.date(2024, 1, 2), "studied_to": dt.date(2024, 1, 1)},
        {"valid_to": in_days(-1)},
    ],
)
def test_a_consent_that_says_nothing_is_refused(desk: Desk, changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        desk.engine.consents.record(CLERK, consent(**changed))


DATES = st.none() | st.dates(dt.date(2020, 1, 1), dt.date(2020, 1, 9))
MODALITIES = st.frozensets(st.sampled_from(["CT", "MR", "US"]))
STUDIES = st.builds(
    Facts,
    study=st.just("1"),
    date=DATES,
    accession=st.none() | st.sampled_from(["A", "B"]),
    modalities=MODALITIES,
)
LIMITS = st.builds(
    Limits,
    consent_id=st.just(1),
    purpose=st.just("treatment"),
    allowed=st.booleans(),
    modalities=st.none() | MODALITIES,
    studied_from=DATES,
    studied_to=DATES,
    accession=st.none() | st.sampled_from(["A", "B"]),
)


@given(LIMITS, STUDIES)
def test_a_yes_never_reaches_further_than_a_no_of_the_same_words(
    limits: Limits, study: Facts
) -> None:
    """What is in doubt is not allowed, and is forbidden."""
    yes = dataclasses.replace(limits, allowed=True)
    no = dataclasses.replace(limits, allowed=False)
    if covers(yes, study) and study.modalities:
        assert covers(no, study)


@given(LIMITS, STUDIES)
def test_a_limit_taken_away_never_narrows_a_yes(limits: Limits, study: Facts) -> None:
    yes = dataclasses.replace(limits, allowed=True)
    free = {"modalities": None, "studied_from": None, "studied_to": None, "accession": None}
    for name in free:
        if covers(yes, study):
            assert covers(dataclasses.replace(yes, **{name: None}), study)
    assert covers(dataclasses.replace(yes, **free), study)
