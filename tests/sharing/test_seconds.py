"""What goes to a new address waits for a colleague: nothing is sent, nothing opens before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.archive import Archive, open_archive
from tests.operate.test_identities import take
from tests.sharing.asked import asking, consent, hers, plan, yes
from tests.sharing.conftest import CLERK, MAIL, OTHER, PHONE, B, in_days
from tests.sharing.test_telling import COLLEAGUE, KIM, PHONE_2, offer, patient_of, prove
from vna.access.principal import Kind, developer
from vna.access.sessions import Visitor
from vna.db.pool import Database
from vna.dicom.refs import StudyRef, uid
from vna.errors import Conflict, InvalidRequest, NotFound, NotPermitted
from vna.sharing.engine import SharingEngine
from vna.sharing.values import (
    Doubt,
    Offered,
    Protection,
    Reason,
    Recipient,
    Refused,
    ShareState,
    Tab,
)

HERS = Recipient(name="Jane Doe")


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database) as archive:
        yield archive


@pytest.fixture
def jane(archive: Archive) -> Visitor:
    return patient_of(archive)


def study_of(jane: Visitor) -> str:
    return next(iter(jane.principal.scope.studies))


def run(archive: Archive, statement: str) -> None:
    with archive.database.transaction() as tx:
        tx.execute(statement)  # type: ignore[arg-type]  # a literal of a test


def asked(archive: Archive, jane: Visitor, **changed: object) -> Offered:
    """Share with her, at a mailbox nobody knows."""
    return archive.sharing.offer(
        CLERK, offer(study_of(jane), **{"recipient": HERS, "by": PHONE, **changed})
    )


def went_out(archive: Archive) -> list[str]:
    return [one.template for one in archive.posted.messages]


def test_a_new_address_waits_for_a_colleague_and_nothing_is_sent_before(
    archive: Archive, jane: Visitor
) -> None:
    sharing, posted = archive.sharing, archive.posted
    made = asked(archive, jane, printed=True, notify=OTHER)
    assert made.doubt is Doubt.CHANGED
    assert went_out(archive) == []
    # whoever holds the print-out opens nothing by it
    assert made.secret is not None
    assert sharing.open(made.secret, B) == Refused(reason=Reason.SUSPENDED, number=made.number)
    with pytest.raises(Conflict):
        sharing.renew(CLERK, made.grant_id)
    sharing.remind()
    assert went_out(archive) == []
    (waits,) = sharing.seconds.waiting(COLLEAGUE)
    assert (waits.share_id, waits.asked_by, waits.why) == (made.share_id, "clerk", Doubt.CHANGED)
    assert sharing.shares(CLERK, tab=Tab.WAITING) == []
    sharing.seconds.agree(COLLEAGUE, made.share_id)
    # the link she gets is the one of the print-out
    assert (posted.last("invitation").to, posted.secret()) == (KIM, made.secret)
    assert sorted(went_out(archive)) == ["invitation", "shared", "shared-with-person"]
    assert isinstance(sharing.open(made.secret, B), tuple)
    assert sharing.seconds.waiting(COLLEAGUE) == []
    with pytest.raises(Conflict):
        sharing.seconds.agree(COLLEAGUE, made.share_id)
    second = sharing.seconds.of_share(CLERK, made.share_id)
    assert second is not None
    assert (second.asked_by, second.decided_by, second.agreed) == ("clerk", "colleague", True)
    kinds = [one.kind for one in sharing.detail(CLERK, made.share_id).happened]
    assert "share.agreed" in kinds


def test_nobody_agrees_to_what_somebody_forbade_while_it_waited(
    archive: Archive, jane: Visitor
) -> None:
    made = asked(archive, jane)
    with archive.database.reading() as conn:
        issuer, patient_id = conn.execute("SELECT issuer, patient_id FROM share").fetchone() or ""
    for purpose in ("treatment", "patient-request"):
        said = consent(
            issuer=issuer,
            patient_id=patient_id,
            purpose=purpose,
            allowed=False,
            accession=None,
        )
        archive.sharing.consents.record(CLERK, said)
    with pytest.raises(Conflict, match="says no"):
        archive.sharing.seconds.agree(COLLEAGUE, made.share_id)
    assert went_out(archive) == []
    archive.sharing.seconds.refuse(COLLEAGUE, made.share_id, "she says no")


def test_nobody_agrees_to_what_they_share_themselves(archive: Archive, jane: Visitor) -> None:
    seconds = archive.sharing.seconds
    made = asked(archive, jane)
    program = replace(CLERK, kind=Kind.SERVICE, name="program")
    for who in (CLERK, program, replace(COLLEAGUE, actions=frozenset())):
        with pytest.raises(NotPermitted):
            seconds.agree(who, made.share_id)
        with pytest.raises(NotPermitted):
            seconds.refuse(who, made.share_id, "no")
    elsewhere = replace(COLLEAGUE, scope=replace(COLLEAGUE.scope, everything=False))
    assert (seconds.waiting(elsewhere), seconds.count(elsewhere)) == ([], 0)
    with pytest.raises(NotFound):
        seconds.agree(elsewhere, made.share_id)
    of_dev = archive.sharing.offer(developer(), offer(study_of(jane), recipient=HERS, by=PHONE))
    with pytest.raises(NotPermitted):
        seconds.agree(developer(), of_dev.share_id)
    assert went_out(archive) == []
    assert seconds.count(COLLEAGUE) == 2


def test_a_colleague_refuses_and_says_why(archive: Archive, jane: Visitor) -> None:
    sharing = archive.sharing
    made = asked(archive, jane)
    with pytest.raises(InvalidRequest):
        sharing.seconds.refuse(COLLEAGUE, made.share_id, " ")
    sharing.seconds.refuse(COLLEAGUE, made.share_id, "She knows nothing of it")
    detail = sharing.detail(CLERK, made.share_id)
    assert (detail.summary.state, detail.reason) == (ShareState.REVOKED, "She knows nothing of it")
    with pytest.raises(Conflict):
        sharing.seconds.agree(COLLEAGUE, made.share_id)
    # who made one takes it back alone
    other = asked(archive, jane)
    sharing.revoke(CLERK, other.share_id, reason="a slip")
    assert sharing.seconds.waiting(COLLEAGUE) == []
    assert went_out(archive) == []


def test_what_a_share_rests_on_is_asked_again_when_a_colleague_agrees(
    archive: Archive, jane: Visitor
) -> None:
    sharing = archive.sharing
    late, held = asked(archive, jane, until=in_days(1)), asked(archive, jane)
    run(
        archive,
        "UPDATE share SET created_at = created_at - interval '9 days', "
        "ends_at = ends_at - interval '2 days' WHERE ends_at < now() + interval '2 days'",
    )
    with pytest.raises(Conflict):
        sharing.seconds.agree(COLLEAGUE, late.share_id)
    sharing.suspend_study(CLERK, StudyRef(uid(study_of(jane))), "mix-up")
    with pytest.raises(Conflict):
        sharing.seconds.agree(COLLEAGUE, held.share_id)
    sharing.reinstate(CLERK, held.share_id)
    assert went_out(archive) == []  # it goes on waiting
    sharing.seconds.agree(COLLEAGUE, held.share_id)
    assert archive.posted.last("invitation").grant_id == held.grant_id


def test_a_lost_database_comes_back_with_what_waits_waiting(
    archive: Archive, jane: Visitor
) -> None:
    sharing = archive.sharing
    waits, agreed, refused = (asked(archive, jane) for _ in range(3))
    sharing.seconds.agree(COLLEAGUE, agreed.share_id)
    secret = archive.posted.secret()
    sharing.seconds.refuse(COLLEAGUE, refused.share_id, "No")
    archive.posted.messages.clear()
    run(archive, "TRUNCATE share, share_item, share_grant, share_second, former_channel CASCADE")
    archive.recovery.reindex()
    states = {
        one.share_id: sharing.detail(CLERK, one.share_id).summary.state
        for one in (waits, agreed, refused)
    }
    assert states == {
        waits.share_id: ShareState.READY,
        agreed.share_id: ShareState.SENT,
        refused.share_id: ShareState.REVOKED,
    }
    assert isinstance(sharing.open(secret, B), tuple)
    assert went_out(archive) == []
    with pytest.raises(NotPermitted):
        sharing.seconds.agree(CLERK, waits.share_id)
    sharing.seconds.agree(COLLEAGUE, waits.share_id)
    assert isinstance(sharing.open(archive.posted.secret(), B), tuple)


def test_an_address_that_is_known_for_a_day_asks_nobody(archive: Archive, jane: Visitor) -> None:
    for changed in (
        {"to": MAIL},  # where she proved to be
        {"recipient": Recipient(name="Dr Kim", organisation="Elsewhere")},  # a house, not a person
        {"to": None, "by": None, "proof": frozenset({Protection.PASSCODE})},  # handed over
    ):
        assert asked(archive, jane, **changed).doubt is None
    # a new mailbox in the place of another: that was not there yesterday
    prove(archive, jane, KIM)
    assert asked(archive, jane).doubt is Doubt.CHANGED
    run(archive, "UPDATE own_contact_change SET takes_at = takes_at - interval '49 hours'")
    assert asked(archive, jane).doubt is None
    assert asked(archive, jane, to=MAIL).doubt is Doubt.CHANGED  # where she is no more


def test_what_was_opened_before_is_a_way_the_archive_knows(archive: Archive) -> None:
    sharing = archive.sharing
    study = take(archive, "P-5")
    first = sharing.offer(CLERK, offer(study, recipient=HERS, by=PHONE))
    assert first.doubt is None  # nobody knows another way to her
    session = sharing.open(archive.posted.secret(), B)
    assert isinstance(session, tuple)
    sharing.send_code(session[0], Protection.SMS)
    sharing.prove(session[0], Protection.SMS, archive.posted.code())
    assert sharing.offer(CLERK, offer(study, recipient=HERS, by=PHONE)).doubt is None
    assert sharing.offer(CLERK, offer(study, recipient=HERS, by=PHONE_2)).doubt is Doubt.CHANGED
    # a doctor who opened theirs is no way to her
    sharing.offer(CLERK, offer(study, to=OTHER, by=PHONE_2))
    run(
        archive,
        "UPDATE share_grant SET issued_at = issued_at - interval '25 hours', "
        "last_open_at = now(), opens = 1",
    )
    assert sharing.offer(CLERK, offer(study, recipient=HERS, by=PHONE)).doubt is None
    assert sharing.offer(CLERK, offer(study, recipient=HERS, to=OTHER)).doubt is Doubt.CHANGED


@pytest.mark.parametrize(("setting", "doubt"), [("unknown", Doubt.UNKNOWN), ("off", None)])
def test_a_site_chooses_when_a_colleague_is_asked(
    tmp_path: Path, database: Database, setting: str, doubt: Doubt | None
) -> None:
    with open_archive(tmp_path, database, sharing={"second_person": setting}) as archive:
        study = take(archive, "P-5")
        made = archive.sharing.offer(CLERK, offer(study, recipient=HERS))
        assert made.doubt is doubt
        assert went_out(archive) == ([] if doubt else ["invitation"])


def test_what_goes_out_by_a_consent_waits_for_somebody_who_did_not_record_it(
    tmp_path: Path, database: Database
) -> None:
    settings = {"second_person": "unknown", "settle_s": 0.0}
    with open_archive(tmp_path, database, sharing=settings) as archive:
        sharing: SharingEngine = archive.sharing
        sharing.consents.record(CLERK, consent(), plan=plan())
        archive.take(hers().part10())
        archive.identities.keep_up()
        assert sharing.automatic.turn() == 1
        (waits,) = sharing.seconds.waiting(CLERK)
        assert (waits.asked_by, waits.why) == ("clerk", Doubt.UNKNOWN)
        with pytest.raises(NotPermitted):
            sharing.seconds.agree(CLERK, waits.share_id)
        assert "invitation" not in went_out(archive)
        sharing.seconds.agree(COLLEAGUE, waits.share_id)
        assert archive.posted.last("invitation").to == MAIL


def test_nobody_agrees_to_what_they_had_a_tablet_ask(tmp_path: Path, database: Database) -> None:
    """Who began the tablet may have answered it, too: with an address of their own."""
    settings = {"second_person": "unknown", "settle_s": 0.0}
    with open_archive(tmp_path, database, sharing=settings) as archive:
        sharing: SharingEngine = archive.sharing
        sharing.kiosks.answer(sharing.kiosks.begin(CLERK, asking()), yes())
        archive.take(hers().part10())
        archive.identities.keep_up()
        assert sharing.automatic.turn() == 1
        (waits,) = sharing.seconds.waiting(CLERK)
        assert (waits.asked_by, waits.why) == ("clerk", Doubt.UNKNOWN)
        # as rows of before have it, and the journal
        for asked_by in ("clerk", "kiosk:clerk"):
            run(archive, f"UPDATE share_second SET asked_by = '{asked_by}'")  # noqa: S608 -- ours
            for decide in (
                lambda: sharing.seconds.agree(CLERK, waits.share_id),
                lambda: sharing.seconds.refuse(CLERK, waits.share_id, "It is mine"),
            ):
                with pytest.raises(NotPermitted):
                    decide()
        assert "invitation" not in went_out(archive)
        sharing.seconds.agree(COLLEAGUE, waits.share_id)
        assert archive.posted.last("invitation").to == MAIL
