"""Patients share what shows them, and nothing else; they look after it, and stop it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.factories import ct
from tests.sharing.conftest import CLERK, MAIL, OTHER, B, Desk, report, study
from tests.sharing.own import BYSTANDER, PERSON, of_first, patient, wanted
from tests.sharing.test_consents import consent
from vna.access.principal import system
from vna.dicom.refs import SeriesRef, uid
from vna.errors import Conflict, InvalidRequest, NotFound, NotPermitted, TooMany
from vna.ingest.outcome import Stored
from vna.sharing.values import (
    Confirmed,
    GrantState,
    Person,
    Protection,
    Purpose,
    Refused,
    ShareState,
)


def test_a_patient_shares_what_shows_them_and_sees_that_it_was_opened(desk: Desk) -> None:
    own, who = desk.engine.own, of_first(desk)
    offered = own.offer(who, wanted(desk, notify=OTHER, purpose=Purpose.LEGAL, legal_basis=None))
    assert offered.secret is None  # it was sent: it is nobody else's
    preview = own.test(who, offered.share_id)
    assert [(one.images, one.reports) for one in preview.studies] == [(4, 0)]
    assert own.shares(who)[0].summary.state is ShareState.VERIFIED
    desk.proven(desk.archive.posted.secret())
    (found,) = own.shares(who)
    assert (found.is_own, found.summary.opens, found.grants[0].state) == (True, 1, GrantState.OPEN)
    told = own.detail(who, offered.share_id).happened
    assert [
        (one.kind, one.who) for one in told if one.kind in ("share.offered", "export.opened")
    ] == [
        ("export.opened", "guest"),
        ("share.offered", "you"),
    ]
    row = desk.rows("SELECT purpose, legal_basis, owner, consent_id FROM share")
    assert row == [("patient-request", "patient-request", who.name, None)]
    templates = [(one.to.value, one.template) for one in desk.archive.posted.messages]
    assert (OTHER.value, "shared") in templates
    assert (OTHER.value, "opened") in templates


def test_nobody_shares_what_they_do_not_see_nor_without_the_right(desk: Desk) -> None:
    own = desk.engine.own
    with pytest.raises(NotFound):
        own.offer(patient(BYSTANDER), wanted(desk))
    hidden = of_first(desk, withheld=frozenset({study(desk.made[0]).study}))
    with pytest.raises(NotFound):
        own.offer(hidden, wanted(desk))
    for nobody in (CLERK, system("a job")):
        with pytest.raises(NotPermitted):
            own.offer(nobody, wanted(desk))
    with pytest.raises(NotPermitted):  # and what staff do, a patient may not
        desk.engine.offer(of_first(desk), desk.offer_of())
    with pytest.raises(NotPermitted):
        desk.engine.shares(of_first(desk))
    with pytest.raises(NotPermitted):
        desk.engine.consents.of_person(of_first(desk), "LOCAL", "P-1")
    assert desk.rows("SELECT count(*) FROM share") == [(0,)]


def test_staff_cannot_say_that_an_account_stood_for_what_was_compared(desk: Desk) -> None:
    person = Person(name="Canary Patient", confirmed=frozenset({Confirmed.ACCOUNT}))
    with pytest.raises(InvalidRequest, match="account"):
        desk.offer(person=person)


def test_link_and_code_of_a_patient_never_end_up_in_one_mailbox(desk: Desk) -> None:
    twice = wanted(desk, by=MAIL, proof=frozenset({Protection.EMAIL}))
    with pytest.raises(InvalidRequest, match="same mailbox"):
        desk.engine.own.rehearse(of_first(desk), twice)
    with pytest.raises(InvalidRequest, match="no protection"):
        desk.engine.own.offer(of_first(desk), wanted(desk, proof=frozenset(), by=None))


def test_a_rehearsal_says_what_a_stranger_would_see_and_leaves_nothing(desk: Desk) -> None:
    made = ct(21, 1, 1)
    for one in (made, report(21, 2, 1)):
        assert isinstance(desk.archive.take(one.part10()), Stored)
    who, ref = patient(study(made).study), study(made)
    both = frozenset({Protection.SMS, Protection.PASSCODE})
    whole = wanted(desk, studies=frozenset({ref}), proof=both)
    (seen,) = desk.engine.own.rehearse(who, whole).studies
    assert (seen.series, seen.images, seen.reports) == (2, 1, 1)
    part = SeriesRef(ref.study, uid(made.series))
    alone = wanted(desk, studies=frozenset(), series=frozenset({part}), reports=False)
    (seen,) = desk.engine.own.rehearse(who, alone).studies
    assert (seen.series, seen.images, seen.reports) == (1, 1, 0)
    assert desk.rows("SELECT count(*) FROM share") == [(0,)]
    assert desk.archive.posted.messages == []


def test_a_no_of_their_own_stands_in_the_way_until_it_is_taken_back(desk: Desk) -> None:
    own, who = desk.engine.own, of_first(desk)
    said = desk.engine.consents.record(CLERK, consent(allowed=False, purpose="patient-request"))
    for attempt in (own.rehearse, own.offer):
        with pytest.raises(Conflict, match="says no"):
            attempt(who, wanted(desk))
    assert [one.consent_id for one in own.consents(who)] == [said]
    own.withdraw(who, said)
    own.offer(who, wanted(desk))


def test_stopping_lets_nobody_in_within_a_second_also_when_a_label_hides_it(desk: Desk) -> None:
    own, who = desk.engine.own, of_first(desk)
    offered = own.offer(who, wanted(desk))
    session, _ = desk.proven()
    with pytest.raises(NotFound):
        own.stop(patient(study(desk.made[0]).study, name="p-OTHER"), offered.share_id)
    hidden = of_first(desk, withheld=frozenset({study(desk.made[0]).study}))
    assert own.stop(hidden, offered.share_id) == 1
    desk.a_second_later()
    assert desk.engine.resume(session) is None
    assert isinstance(desk.engine.open(desk.archive.posted.secret(), B), Refused)
    assert own.shares(who)[0].summary.state is ShareState.REVOKED


def test_a_new_link_replaces_the_old_one(desk: Desk) -> None:
    own, who = desk.engine.own, of_first(desk)
    passcode = frozenset({Protection.PASSCODE})
    offered = own.offer(who, wanted(desk, to=None, by=None, proof=passcode, printed=True))
    assert offered.secret is not None
    again = own.renew(who, offered.share_id, offered.grant_id)
    assert again.secret not in (None, offered.secret)
    assert again.printed_code != offered.printed_code
    assert isinstance(desk.engine.open(offered.secret, B), Refused)
    assert isinstance(desk.engine.open(str(again.secret), B), tuple)
    with pytest.raises(NotFound):
        own.renew(who, offered.share_id, offered.grant_id + 1)


def test_new_links_are_sent_so_often_and_no_more(desk: Desk) -> None:
    own, who = desk.engine.own, of_first(desk)
    offered = own.offer(who, wanted(desk))
    for _ in range(20):
        own.renew(who, offered.share_id, offered.grant_id)
    with pytest.raises(TooMany):
        own.renew(who, offered.share_id, offered.grant_id)


def test_shares_of_staff_are_seen_and_not_touched(desk: Desk) -> None:
    own, who = desk.engine.own, of_first(desk)
    offered = desk.offer()
    (found,) = own.shares(who)
    assert (found.summary.share_id, found.is_own) == (offered.share_id, False)
    assert own.shares(patient(BYSTANDER)) == []
    for forbidden in (
        lambda: own.stop(who, offered.share_id),
        lambda: own.renew(who, offered.share_id, offered.grant_id),
        lambda: own.test(who, offered.share_id),
        lambda: own.detail(patient(BYSTANDER), offered.share_id),
    ):
        with pytest.raises(NotFound):
            forbidden()
    told = own.detail(who, offered.share_id).happened
    assert {one.who for one in told} == {"staff"}


def test_taking_a_consent_back_pauses_what_rests_on_it(desk: Desk) -> None:
    own, who = desk.engine.own, of_first(desk)
    said = desk.engine.consents.record(CLERK, consent(purpose="treatment"))
    offered = desk.offer(consent_id=said, legal_basis=None)
    session, _ = desk.proven()
    with pytest.raises(NotFound):
        own.withdraw(patient(BYSTANDER), said)
    assert own.withdraw(who, said).shares == (offered.number,)
    desk.a_second_later()
    assert desk.engine.resume(session) is None
    with pytest.raises(NotFound):
        own.withdraw(who, said)


def test_a_draft_that_is_over_or_another_s_becomes_no_share(desk: Desk) -> None:
    own, who = desk.engine.own, of_first(desk)
    draft = own.drafts.begin(who, {"recipient": "Dr Kim"})
    stranger = of_first(desk, name="p-OTHER")
    with pytest.raises(Conflict):
        own.offer(stranger, wanted(desk), draft=draft)
    with pytest.raises(NotFound):
        own.drafts.keep(stranger, draft, {})
    desk.run("UPDATE share_draft SET made_at = now() - interval '3 hours', ends_at = now()")
    with pytest.raises(Conflict):
        own.offer(who, wanted(desk), draft=draft)
    with pytest.raises(NotFound):
        own.drafts.read(who, draft)
    with pytest.raises(NotFound):
        own.drafts.keep(who, draft, {})
    assert desk.rows("SELECT 1 FROM share") == []


def test_a_draft_is_its_owner_s_and_becomes_one_share(desk: Desk) -> None:
    own, who = desk.engine.own, of_first(desk)
    draft = own.drafts.begin(who, {"recipient": "Canary Doctor"})
    assert b"Canary" not in desk.rows("SELECT sealed FROM share_draft")[0][0]
    own.drafts.keep(who, draft, {"recipient": "Dr Kim"})
    assert own.drafts.read(who, draft).fields == {"recipient": "Dr Kim"}
    with pytest.raises(NotFound):
        own.drafts.read(of_first(desk, name="p-OTHER"), draft)
    offered = own.offer(who, wanted(desk), draft=draft)
    assert own.drafts.read(who, draft).share_id == offered.share_id
    with pytest.raises(Conflict, match="sent before"):
        own.offer(who, wanted(desk), draft=draft)
    assert len(own.shares(who)) == 1
    desk.run("UPDATE share_draft SET made_at = now() - interval '3 hours', ends_at = now()")
    own.drafts.sweep()
    assert desk.rows("SELECT count(*) FROM share_draft") == [(0,)]


def test_an_account_shares_so_many_times_a_day(desk: Desk) -> None:
    own, who = desk.engine.own, of_first(desk)
    own.offer(who, wanted(desk))
    desk.run(
        "INSERT INTO share SELECT (jsonb_populate_record(s, jsonb_build_object("
        "'share_id', n, 'number', 'ZZZZ-' || lpad(n::text, 4, '0')))).* "
        "FROM share s, generate_series(1, 19) n"
    )
    with pytest.raises(Conflict):
        own.offer(who, wanted(desk))
    own.offer(of_first(desk, name="p-OTHER"), wanted(desk))


def test_shares_made_at_once_do_not_pass_the_day_s_number_together(desk: Desk) -> None:
    """Whoever holds a stolen session is no slower than that: each was let begin, one may end."""
    own, who = desk.engine.own, of_first(desk)
    own.offer(who, wanted(desk))
    desk.run(
        "INSERT INTO share SELECT (jsonb_populate_record(s, jsonb_build_object("
        "'share_id', n, 'number', 'ZZZZ-' || lpad(n::text, 4, '0')))).* "
        "FROM share s, generate_series(1, 18) n"
    )
    together = threading.Barrier(4)

    def share(_: int) -> bool:
        together.wait(30)
        try:
            own.offer(who, wanted(desk))
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(share, range(4)))
    assert sorted(made) == [False, False, False, True]
    lately = "SELECT count(*) FROM share WHERE owner = %s"
    assert desk.rows(lately, who.name) == [(20,)]


def test_two_identities_of_one_person_are_shared_together_until_they_part(own_desk: Desk) -> None:
    desk, own = own_desk, own_desk.engine.own
    here = ct(31, 1, 1, values={"00100020": "A-1", "00100010": "Adams^Ada"})
    there = ct(32, 1, 1, values={"00100020": "B-9", "00100010": "Adams^Ada"})
    for one in (here, there):
        assert isinstance(desk.archive.take(one.part10()), Stored)
    identities, clerk = desk.archive.identities, desk.archive.who
    identities.keep_up()
    who = patient(study(here).study, study(there).study)
    both = wanted(desk, studies=frozenset({study(here), study(there)}))
    with pytest.raises(Conflict, match="not of one patient"):
        own.offer(who, both)
    standings = [identities.standing(one.study) for one in (study(here), study(there))]
    first, second = (one.identity for one in standings if one is not None)
    desk.archive.join(first, second)
    offered = own.offer(who, both)
    no = consent(patient_id="B-9", allowed=False, purpose="patient-request")
    said = desk.engine.consents.record(CLERK, no)
    with pytest.raises(Conflict, match="says no"):  # of either identity
        own.rehearse(who, both)
    alone = wanted(desk, studies=frozenset({study(here)}))
    with pytest.raises(Conflict, match="says no"):  # though it is under the other one
        own.offer(who, alone)
    with pytest.raises(Conflict, match="says no"):
        own.renew(who, offered.share_id, offered.grant_id)
    assert [one.consent_id for one in own.consents(who)] == [said]
    identities.part(clerk, first, second, reason="two persons after all")
    assert own.detail(who, offered.share_id).share.summary.state is ShareState.SUSPENDED
    with pytest.raises(Conflict, match="not of one patient"):
        own.rehearse(who, both)
    own.offer(who, alone)  # who said no is somebody else


def test_a_person_is_shown_by_what_the_account_stands_for(desk: Desk) -> None:
    offered = desk.engine.own.offer(of_first(desk), wanted(desk))
    (told,) = desk.rows(
        "SELECT detail FROM audit WHERE kind = 'share.offered' AND detail ->> 'share' = %s",
        str(offered.share_id),
    )[0]
    assert told["confirmed"] == ["account"]
    assert desk.engine.own.shares(of_first(desk))[0].summary.person.name == PERSON.name
