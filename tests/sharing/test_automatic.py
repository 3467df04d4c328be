"""What a consent lets go out: once, when the study came to rest, and nothing that is not meant."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from tests.factories import ct
from tests.sharing.asked import asking, consent, hers, no, plan, yes
from tests.sharing.conftest import CLERK, MAIL, OTHER, B, Desk, study
from vna.delivery.channels import Channel
from vna.errors import Conflict, NotFound
from vna.ingest.outcome import Stored
from vna.sharing.automatic import Automatic, night
from vna.sharing.plans import Lane
from vna.sharing.values import Protection, Purpose, Tab


@pytest.fixture
def desk(own_desk: Desk) -> Desk:
    """A desk of the test alone: its studies must be those that come in it."""
    return own_desk


@pytest.fixture(autouse=True)
def at_rest(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a study be at rest at once, and look for what was added at every turn."""
    monkeypatch.setattr("vna.sharing.automatic._REOPEN_S", 0.0)
    rest(desk, 0.0)


def rest(desk: Desk, seconds: float) -> None:
    """Say how long a study must be left alone: the settings are frozen, and this test's alone."""
    object.__setattr__(desk.engine._rooms.settings.sharing, "settle_s", seconds)


def take(desk: Desk, *args: int, **differs: str) -> str:
    made = hers(*args, **differs)
    assert isinstance(desk.archive.take(made.part10()), Stored)
    return made.study


def only(desk: Desk) -> Automatic:
    (found,) = desk.engine.automatic.listed(CLERK)
    return found


def consented(desk: Desk, **changed: object) -> int:
    kiosks = desk.engine.kiosks
    return kiosks.answer(kiosks.begin(CLERK, asking(**changed)), yes())


def links(desk: Desk) -> list[Channel]:
    return [one.to for one in desk.archive.posted.messages if one.template == "invitation"]


def test_a_study_goes_out_minutes_after_it_came(desk: Desk) -> None:
    number = consented(desk)
    assert desk.engine.automatic.turn() == 0
    take(desk)
    rest(desk, 60.0)
    assert desk.engine.automatic.turn() == 0  # something may still come
    assert only(desk).state == "waiting"
    rest(desk, 0.0)
    assert desk.engine.automatic.turn() == 1
    assert links(desk) == [MAIL]
    (share,) = desk.engine.shares(CLERK, tab=Tab.ALL)
    assert (share.owner, share.purpose) == ("consent", Purpose.PATIENT_REQUEST)
    assert desk.engine.detail(CLERK, share.share_id).consent_id == number
    found = only(desk)
    assert (found.state, found.share_id, found.number) == ("shared", share.share_id, share.number)
    assert desk.engine.automatic.turn() == 0
    assert links(desk) == [MAIL]
    _, guest = desk.proven()
    assert guest.share.forward
    assert desk.archive.posted.last("opened").to == MAIL  # they are told that it was opened
    assert "shared" not in {one.template for one in desk.archive.posted.messages}


def test_a_study_that_is_there_before_the_consent_goes_out_too(desk: Desk) -> None:
    take(desk)
    consented(desk)
    assert desk.engine.automatic.turn() == 1


def test_a_no_sends_nothing_and_stands_in_the_way_of_staff(desk: Desk) -> None:
    kiosks = desk.engine.kiosks
    kiosks.answer(kiosks.begin(CLERK, asking()), no())
    made = hers()
    desk.archive.take(made.part10())
    assert desk.engine.automatic.turn() == 0
    assert desk.engine.automatic.listed(CLERK) == []
    with pytest.raises(Conflict, match="does not want"):
        desk.offer(studies=frozenset({study(made)}), purpose=Purpose.PATIENT_REQUEST)


def test_another_order_stays(desk: Desk) -> None:
    consented(desk)
    take(desk, x0080050="A-78")
    assert desk.engine.automatic.listed(CLERK) == []


def test_one_consent_for_all_takes_what_comes_and_nothing_of_old(desk: Desk) -> None:
    take(desk, 92, x0080050="A-1")
    desk.run("UPDATE study_state SET first_us = 1000")
    kiosks = desk.engine.kiosks
    kiosks.answer(kiosks.begin(CLERK, asking()), yes(is_wide=True))
    take(desk, 91)
    take(desk, 93, x0080050="A-3")
    assert desk.engine.automatic.turn() == 2
    assert {one.study for one in desk.engine.automatic.listed(CLERK)} == {
        ct(91).study,
        ct(93).study,
    }


@pytest.mark.parametrize(
    ("differs", "told"),
    [({"x0100030": "19700103"}, "birth date"), ({"x0100010": "Brown^Bea"}, "name")],
)
def test_a_study_that_shows_somebody_else_is_held(
    desk: Desk, differs: dict[str, str], told: str
) -> None:
    consented(desk)
    take(desk, **differs)
    assert desk.engine.automatic.turn() == 0
    found = only(desk)
    assert found.state == "blocked"
    assert found.cause is not None
    assert told in found.cause
    assert links(desk) == []
    assert desk.engine.automatic.count_blocked(CLERK) == 1


def test_a_name_in_another_order_is_the_same(desk: Desk) -> None:
    consented(desk)
    take(desk, x0100010="ADÁMS^ada maria")
    assert desk.engine.automatic.turn() == 1


def test_what_is_withheld_waits(desk: Desk) -> None:
    consented(desk)
    uid = take(desk)
    desk.run(
        "INSERT INTO study_label (study_uid, label, reason, set_by)"
        " VALUES (%s, 'disputed', '', '')",
        uid,
    )
    assert desk.engine.automatic.turn() == 0
    assert (only(desk).state, only(desk).cause) == ("waiting", "The study is disputed.")
    desk.run("DELETE FROM study_label")
    assert desk.engine.automatic.turn() == 0  # it is looked at again in a while
    desk.engine.automatic.retry(CLERK, only(desk).consent_id, study(hers()), urgent=False)
    assert desk.engine.automatic.turn() == 1


def test_more_images_are_a_new_link_unless_the_old_one_is_in_use(desk: Desk) -> None:
    consented(desk)
    take(desk)
    assert desk.engine.automatic.turn() == 1
    first = desk.archive.posted.secret()
    take(desk, 91, 2)
    assert desk.engine.automatic.turn() == 1
    assert not isinstance(desk.engine.open(first, B), tuple)
    desk.proven()
    take(desk, 91, 3)
    assert desk.engine.automatic.turn() == 1
    assert len(links(desk)) == 3
    states = sorted(one.state.value for one in desk.engine.shares(CLERK, tab=Tab.ALL))
    assert states == ["active", "revoked", "sent"]


def test_a_share_that_is_known_again_is_not_made_twice(desk: Desk) -> None:
    consented(desk)
    take(desk)
    assert desk.engine.automatic.turn() == 1
    desk.run("UPDATE auto_share SET state = 'waiting', share_id = NULL")
    assert desk.engine.automatic.turn() == 0
    assert only(desk).state == "shared"
    assert links(desk) == [MAIL]


def test_a_withdrawn_consent_lets_nothing_out(desk: Desk) -> None:
    number = consented(desk)
    take(desk)
    desk.engine.consents.withdraw(CLERK, number)
    assert desk.engine.automatic.turn() == 0
    assert (only(desk).state, only(desk).cause) == ("left", "The consent is over.")


def test_documents_alone_wait_for_their_images(desk: Desk) -> None:
    consented(desk)
    document = "1.2.840.10008.5.1.4.1.1.104.1"
    report = ct(91, 9, 1, values=hers().values, sop_class=document, modality="DOC", rows=0)
    assert isinstance(desk.archive.take(report.part10()), Stored)
    assert desk.engine.automatic.turn() == 0
    assert only(desk).state == "blocked"
    take(desk)
    assert desk.engine.automatic.turn() == 1


def test_staff_may_leave_it(desk: Desk) -> None:
    number = consented(desk)
    take(desk)
    desk.engine.automatic.leave(CLERK, number, study(hers()))
    assert desk.engine.automatic.turn() == 0
    assert only(desk).state == "left"
    with pytest.raises(NotFound):
        desk.engine.automatic.leave(CLERK, number, study(hers()))


def test_what_staff_leave_or_let_go_at_once_is_one_study_of_one_consent(desk: Desk) -> None:
    kiosks = desk.engine.kiosks
    number = kiosks.answer(kiosks.begin(CLERK, asking()), yes(is_wide=True))
    for one in (91, 92, 93):
        take(desk, one, x0080050=f"A-{one}")
    rest(desk, 3600.0)
    assert desk.engine.automatic.turn() == 0
    desk.engine.automatic.leave(CLERK, number, study(ct(91)))
    with pytest.raises(NotFound):
        desk.engine.automatic.leave(CLERK, number + 1, study(ct(92)))
    desk.engine.automatic.retry(CLERK, number, study(ct(92)), urgent=True)
    found = {one.study: (one.state, one.lane) for one in desk.engine.automatic.listed(CLERK)}
    assert found == {
        ct(91).study: ("left", Lane.NOW),
        ct(92).study: ("waiting", Lane.URGENT),
        ct(93).study: ("waiting", Lane.NOW),
    }


def test_tonight_waits_for_the_night_and_urgent_does_not(desk: Desk) -> None:
    hour = dt.datetime.now(dt.UTC).hour
    sharing = desk.engine._rooms.settings.sharing
    object.__setattr__(sharing, "night_from", (hour + 3) % 24)
    object.__setattr__(sharing, "night_to", (hour + 4) % 24)
    number = desk.engine.consents.record(CLERK, consent(), plan=plan(lane=Lane.TONIGHT))
    take(desk)
    assert desk.engine.automatic.turn() == 0
    assert only(desk).due_at > dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    desk.engine.automatic.retry(CLERK, number, study(hers()), urgent=True)
    object.__setattr__(sharing, "urgent_s", 0.0)
    assert desk.engine.automatic.turn() == 1


@pytest.mark.parametrize(
    ("hour", "hours", "hence"),
    [(12, (22, 6), 10), (23, (22, 6), None), (3, (22, 6), None), (6, (22, 6), 16),
     (12, (1, 5), 13), (1, (1, 5), None), (5, (1, 5), 20)],
)  # fmt: skip
def test_the_night_is_from_hour_to_hour(
    hour: int, hours: tuple[int, int], hence: int | None
) -> None:
    at = dt.datetime(2026, 11, 20, hour, tzinfo=dt.UTC)
    found = night(at, ZoneInfo("UTC"), *hours)
    assert found == (None if hence is None else at + dt.timedelta(hours=hence))


def test_whom_the_desk_named_gets_it_and_the_person_is_told(desk: Desk) -> None:
    kept = consent(purpose="treatment", text_version="treatment.own-1")
    desk.engine.consents.record(CLERK, kept, plan=plan(to=OTHER, notify=MAIL))
    take(desk)
    assert desk.engine.automatic.turn() == 1
    assert links(desk) == [OTHER]
    assert desk.archive.posted.last("shared").to == MAIL


def test_the_journal_brings_it_all_back(desk: Desk) -> None:
    consented(desk)
    take(desk)
    assert desk.engine.automatic.turn() == 1
    desk.run("TRUNCATE consent, consent_text, share, contact_channel CASCADE")
    with desk.archive.database.transaction() as tx:
        desk.engine.lay(tx)
    assert only(desk).state == "waiting"
    assert desk.engine.automatic.turn() == 0
    assert only(desk).state == "shared"
    assert links(desk) == [MAIL]


def test_who_does_not_open_is_reminded_once_and_again_of_a_new_link(desk: Desk) -> None:
    offered = desk.offer()
    notices = desk.engine.notices
    assert notices.turn() == 0
    old = "UPDATE share_grant SET created_at = created_at - interval '8 days', issued_at = %s"
    desk.run(old, dt.datetime.now(dt.UTC) - dt.timedelta(days=8))
    assert notices.turn() == 1
    assert notices.turn() == 0
    posted = desk.archive.posted.last("unopened")
    assert (posted.to, posted.grant_id) == (MAIL, offered.grant_id)
    desk.engine.renew(CLERK, offered.grant_id)
    assert notices.turn() == 0
    desk.run(old, dt.datetime.now(dt.UTC) - dt.timedelta(days=9))
    assert notices.turn() == 1


def test_who_opened_it_or_was_handed_it_is_not_reminded(desk: Desk) -> None:
    desk.offer()
    desk.proven()
    desk.offer(to=None, proof=frozenset({Protection.PASSCODE}), by=None)
    waits = desk.offer()
    desk.run(
        "UPDATE share_grant SET created_at = created_at - interval '8 days',"
        " issued_at = issued_at - interval '8 days'"
    )
    assert desk.engine.notices.turn() == 1
    assert desk.archive.posted.last("unopened").grant_id == waits.grant_id


def test_what_ended_is_not_reminded_of(desk: Desk) -> None:
    offered = desk.offer()
    desk.run(
        "UPDATE share_grant SET created_at = created_at - interval '8 days',"
        " issued_at = issued_at - interval '8 days'"
    )
    desk.engine.revoke(CLERK, offered.share_id, reason="not wanted")
    assert desk.engine.notices.turn() == 0
