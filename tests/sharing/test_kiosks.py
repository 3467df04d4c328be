"""A tablet asks one person once; what they say is a consent, and what goes out by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sharing.asked import ADA, asking, no, yes
from tests.sharing.conftest import CLERK, MAIL, OTHER, PHONE, Desk
from vna.access.principal import EVERYTHING, Action, Kind, Principal
from vna.errors import Conflict, InvalidRequest, NotAuthenticated, NotFound, NotPermitted
from vna.sharing.values import Confirmed, Recipient

NOBODY = Principal(kind=Kind.PERSON, name="n", actions=frozenset(), scope=EVERYTHING)
EDITOR = replace(CLERK, actions=frozenset({Action.SHARE, Action.MANAGE}))


def test_a_yes_is_a_consent_by_kiosk_with_its_text_and_a_plan(desk: Desk) -> None:
    kiosks = desk.engine.kiosks
    secret = kiosks.begin(CLERK, asking())
    kiosk = kiosks.find(secret)
    assert kiosk is not None
    assert (kiosk.asking, kiosk.begun_by, kiosk.is_answered) == (asking(), "clerk", False)
    number = kiosks.answer(secret, yes())
    (found,) = desk.engine.consents.of_person(CLERK, "LOCAL", "P-9")
    assert (found.consent_id, found.allowed, found.way) == (number, True, "kiosk")
    assert (found.text_version, found.recorded_by) == ("patient-request.own-1", "kiosk:clerk")
    assert found.limits.accession == "A-77"
    assert desk.engine.consents.lanes(CLERK, "LOCAL", "P-9") == {number: asking().lane}
    after = kiosks.find(secret)
    assert after is not None
    assert after.is_answered


def test_it_is_answered_once(desk: Desk) -> None:
    kiosks = desk.engine.kiosks
    secret = kiosks.begin(CLERK, asking())
    kiosks.answer(secret, no())
    with pytest.raises(Conflict):
        kiosks.answer(secret, yes())
    (found,) = desk.engine.consents.of_person(CLERK, "LOCAL", "P-9")
    assert not found.allowed


def test_nobody_signs_a_text_that_was_changed_while_they_read_another(desk: Desk) -> None:
    kiosks, texts = desk.engine.kiosks, desk.engine.texts
    secret = kiosks.begin(CLERK, asking())
    read = texts.latest("patient-request", "en").version
    now = texts.add(EDITOR, "patient-request", {"en": ("Send more?", "All of it.")})
    with pytest.raises(InvalidRequest, match="changed while you read"):
        kiosks.answer(secret, yes(text=read))
    assert desk.engine.consents.of_person(CLERK, "LOCAL", "P-9") == []
    kiosks.answer(secret, yes(text=now))
    (found,) = desk.engine.consents.of_person(CLERK, "LOCAL", "P-9")
    assert found.text_version == now


def test_a_wide_yes_is_of_every_examination_and_a_no_of_this_one(desk: Desk) -> None:
    kiosks = desk.engine.kiosks
    kiosks.answer(kiosks.begin(CLERK, asking()), yes(is_wide=True))
    kiosks.answer(kiosks.begin(CLERK, asking()), no(is_wide=True))
    refused, wide = desk.engine.consents.of_person(CLERK, "LOCAL", "P-9")
    assert (refused.allowed, refused.limits.accession) == (False, "A-77")
    assert (wide.allowed, wide.limits.accession, wide.state) == (True, None, "active")


def test_a_tablet_taken_back_or_out_of_time_asks_nothing(desk: Desk) -> None:
    kiosks = desk.engine.kiosks
    ended, late = kiosks.begin(CLERK, asking()), kiosks.begin(CLERK, asking())
    kiosks.end(ended)
    desk.run("UPDATE kiosk SET begun_at = now() - interval '2 hours', ends_at = now()")
    for secret in (ended, late, "never"):
        assert kiosks.find(secret) is None
        with pytest.raises(NotAuthenticated):
            kiosks.answer(secret, yes())
    desk.run("UPDATE kiosk SET begun_at = '2020-01-01', ends_at = '2020-01-01 01:00'")
    kiosks.sweep()
    assert desk.rows("SELECT count(*) FROM kiosk") == [(0,)]


def test_what_the_desk_types_is_sealed(desk: Desk) -> None:
    kiosks = desk.engine.kiosks
    kiosks.answer(kiosks.begin(CLERK, asking()), yes())
    kept = b"".join(
        bytes(row[0])
        for row in desk.rows("SELECT sealed FROM kiosk UNION ALL SELECT sealed FROM consent_plan")
    )
    for canary in (b"Adams", b"P-9", b"example.org", PHONE.value.encode()):
        assert canary not in kept


@pytest.mark.parametrize(
    "wrong",
    [
        asking(patient_id=" "),
        asking(purpose="fun"),
        asking(person=replace(ADA, name=" ")),
        asking(person=replace(ADA, confirmed=frozenset({Confirmed.NAME}))),
        asking(about="x" * 201),
        asking(recipient=Recipient(name="Dr Kim")),
    ],
    ids=range(6),
)
def test_what_cannot_be_asked_is_refused(desk: Desk, wrong: object) -> None:
    with pytest.raises(InvalidRequest):
        desk.engine.kiosks.begin(CLERK, wrong)  # type: ignore[arg-type]  # an Asking


@pytest.mark.parametrize(
    "wrong",
    [yes(to=None), yes(by=None), yes(by=MAIL), yes(signed_by=" "), yes(language="tlh")],
    ids=range(5),
)
def test_an_answer_that_could_not_be_carried_out_records_nothing(desk: Desk, wrong: object) -> None:
    kiosks = desk.engine.kiosks
    secret = kiosks.begin(CLERK, asking())
    with pytest.raises(InvalidRequest):
        kiosks.answer(secret, wrong)  # type: ignore[arg-type]  # an Answer
    assert desk.engine.consents.of_person(CLERK, "LOCAL", "P-9") == []
    assert kiosks.find(secret) is not None


def test_only_who_may_share_begins_one(desk: Desk) -> None:
    with pytest.raises(NotPermitted):
        desk.engine.kiosks.begin(NOBODY, asking())


def test_whom_the_desk_names_gets_it_and_the_person_is_told(desk: Desk) -> None:
    kiosks = desk.engine.kiosks
    named = asking(recipient=Recipient(name="Dr Lee"), to=OTHER, by=PHONE, purpose="treatment")
    kiosks.answer(kiosks.begin(CLERK, named), yes(by=None))
    assert desk.rows("SELECT lane FROM consent_plan") == [("now",)]


def test_texts_come_in_versions_and_a_consent_keeps_its_own(desk: Desk) -> None:
    texts = desk.engine.texts
    assert texts.latest("research", "de").title == "Darf die Forschung Ihre Bilder nutzen?"
    first = texts.add(EDITOR, "research", {"en": ("Research?", "One.\r\n\r\nTwo.")})
    assert first == "research.1"
    found = texts.latest("research", "de")
    assert (found.version, found.language, found.paragraphs) == (first, "en", ["One.", "Two."])
    second = texts.add(EDITOR, "research", {"en": ("Again?", "Three."), "de": ("Noch?", "Vier.")})
    assert texts.latest("research", "de").title == "Noch?"
    assert [one.title for one in texts.of(first)] == ["Research?"]
    assert [one.version for one in texts.all(CLERK, "research")][:3] == [second, second, first]
    kiosks = desk.engine.kiosks
    kiosks.answer(kiosks.begin(CLERK, asking(purpose="research")), no())
    (given,) = desk.engine.consents.of_person(CLERK, "LOCAL", "P-9")
    assert given.text_version == second


def test_the_text_of_one_purpose_is_asked_for_no_other(desk: Desk) -> None:
    texts = desk.engine.texts
    texts.add(EDITOR, "research", {"en": ("Research?", "One.")})
    texts.add(EDITOR, "patient-request", {"en": ("Send it?", "Two."), "de": ("Senden?", "Zwei.")})
    found = texts.latest("research", "de")  # there is none in German: it is asked in English
    assert (found.purpose, found.title) == ("research", "Research?")
    assert texts.latest("patient-request", "de").title == "Senden?"


@pytest.mark.parametrize(
    "texts",
    [{}, {"en": ("", "x")}, {"en": ("x", " ")}, {"en": ("x\ny", "z")}, {"tlh": ("x", "y")}],
    ids=range(5),
)
def test_a_text_that_is_none_is_refused(desk: Desk, texts: dict[str, tuple[str, str]]) -> None:
    with pytest.raises(InvalidRequest):
        desk.engine.texts.add(EDITOR, "research", texts)


def test_texts_are_written_by_those_who_manage(desk: Desk) -> None:
    with pytest.raises(NotPermitted):
        desk.engine.texts.add(CLERK, "research", {"en": ("x", "y")})
    for version in ("research.9", "research.x", "fun.1", ""):
        with pytest.raises(NotFound):
            desk.engine.texts.of(version)
