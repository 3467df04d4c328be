"""From an offer to the images: link, code, passcode, print-out, and what stands in between."""

from __future__ import annotations

import pytest

from tests.sharing.conftest import CLERK, B, Desk, in_days
from vna.access.principal import Kind
from vna.access.sessions import Browser
from vna.crypto import shares
from vna.crypto.credentials import new_secret
from vna.dicom.matching import Query
from vna.dicom.refs import UID, StudyRef
from vna.dicom.refs import Level as QueryLevel
from vna.errors import NotAuthenticated, TooMany
from vna.sharing.values import Guest, Level, Protection, Reason, Refused, Wrong


def test_a_shared_study_is_opened_by_link_and_code(desk: Desk) -> None:
    offered = desk.offer()
    assert offered.secret is None
    session, guest = desk.opened()
    assert (guest.level, guest.needs) == (Level.OPENED, (Protection.SMS,))
    assert not guest.principal.actions
    assert guest.share.person is None
    sent = desk.engine.send_code(session, Protection.SMS)
    assert sent.masked == "…18"
    proven = desk.engine.prove(session, Protection.SMS, desk.archive.posted.code())
    assert isinstance(proven, Guest)
    assert proven.is_proven
    assert proven.principal.kind is Kind.SHARE
    assert proven.share.person is not None
    assert proven.share.person.name == "Canary Patient"
    assert proven.principal.scope.studies == {UID(desk.made[0].study)}
    found = desk.archive.query.find(proven.principal, Query(level=QueryLevel.IMAGE, keys=())).rows
    assert {str(row.instance) for row in found} == {one.instance for one in desk.made[:4]}


def test_a_passcode_is_part_of_the_key(desk: Desk) -> None:
    offered = desk.offer(proof=frozenset({Protection.PASSCODE}), by=None)
    assert offered.passcode is not None
    session, _ = desk.opened()
    wrong = desk.engine.prove(session, Protection.PASSCODE, "AAAA-AAAA-AA")
    assert wrong == Wrong(19)
    typed = offered.passcode.lower().replace("-", " ")
    assert isinstance(desk.engine.prove(session, Protection.PASSCODE, typed), Guest)
    resumed = desk.engine.resume(session)
    assert resumed is not None
    assert resumed.is_proven


def test_a_printed_code_opens_too(desk: Desk) -> None:
    offered = desk.offer(to=None, printed=True)
    assert offered.printed_code is not None
    found = desk.engine.open_printed(offered.printed_code.lower(), B)
    assert isinstance(found, tuple)
    wrong = offered.printed_code[:-4] + "0000"
    assert desk.engine.open_printed(wrong, B) == Refused(reason=Reason.UNKNOWN)
    assert offered.secret is not None
    assert isinstance(desk.engine.open(offered.secret, B), tuple)


def test_revoked_is_out_at_once(desk: Desk) -> None:
    offered = desk.offer()
    session, _ = desk.proven()
    capability = desk.engine.capability(session)
    assert desk.engine.by_capability(capability) is not None
    desk.engine.revoke(CLERK, offered.share_id, reason="sent to the wrong one")
    desk.a_second_later()
    assert desk.engine.resume(session) is None
    assert desk.engine.by_capability(capability) is None
    again = desk.engine.open(desk.archive.posted.secret(), B)
    assert again == Refused(reason=Reason.REVOKED, number=offered.number)


def test_what_ended_by_itself_is_out_by_every_way_in(desk: Desk) -> None:
    desk.offer()
    half, _ = desk.opened()
    session, _ = desk.proven()
    capability = desk.engine.capability(session)
    assert desk.engine.by_capability(capability) is not None
    desk.engine.send_code(half, Protection.SMS)
    desk.run("UPDATE share_grant SET created_at = created_at - interval '9 days', ends_at = now()")
    desk.a_second_later()
    assert desk.engine.resume(session) is None
    assert desk.engine.by_capability(capability) is None
    for act in (
        lambda: desk.engine.send_code(half, Protection.SMS),
        lambda: desk.engine.prove(half, Protection.SMS, desk.archive.posted.code()),
    ):
        with pytest.raises(NotAuthenticated, match="over"):
            act()


@pytest.mark.parametrize("is_printed", [False, True], ids=["links", "codes off paper"])
def test_an_address_that_tries_what_opens_nothing_is_slowed_down(
    desk: Desk, is_printed: bool
) -> None:
    """A code off paper is short, so that fewer may be tried."""
    secret = shares.new_printed if is_printed else new_secret
    enter = desk.engine.open_printed if is_printed else desk.engine.open
    for _ in range(20 if is_printed else 60):
        assert isinstance(enter(secret(), B), Refused)
    with pytest.raises(TooMany):
        enter(secret(), B)
    assert isinstance(enter(secret(), Browser(address="198.51.100.8")), Refused)


def test_a_session_that_is_over_gets_no_code_and_proves_nothing(desk: Desk) -> None:
    both = frozenset({Protection.SMS, Protection.PASSCODE})
    offered = desk.offer(proof=both)
    session, _ = desk.opened()
    desk.engine.send_code(session, Protection.SMS)
    code, sent = desk.archive.posted.code(), len(desk.archive.posted.messages)
    desk.run("UPDATE share_session SET seen_at = now() - interval '1 day'")
    for act in (
        lambda: desk.engine.send_code(session, Protection.SMS),
        lambda: desk.engine.prove(session, Protection.SMS, code),
        lambda: desk.engine.prove(session, Protection.PASSCODE, offered.passcode or ""),
    ):
        with pytest.raises(NotAuthenticated, match="over"):
            act()
    assert len(desk.archive.posted.messages) == sent
    assert desk.rows("SELECT proven FROM share_session") == [([],)]


def test_both_a_code_and_a_passcode_may_be_asked(desk: Desk) -> None:
    both = frozenset({Protection.SMS, Protection.PASSCODE})
    offered = desk.offer(proof=both)
    assert offered.passcode is not None
    session, guest = desk.opened()
    assert set(guest.needs) == both
    half = desk.engine.prove(session, Protection.PASSCODE, offered.passcode)
    assert isinstance(half, Guest)
    assert half.needs == (Protection.SMS,)
    assert half.principal.scope.touches(StudyRef(UID(desk.made[0].study))) is False
    desk.engine.send_code(session, Protection.SMS)
    whole = desk.engine.prove(session, Protection.SMS, desk.archive.posted.code())
    assert isinstance(whole, Guest)
    assert whole.is_proven


def test_forwarded_and_tested_and_listed(desk: Desk) -> None:
    offered = desk.offer(forward=True)
    preview = desk.engine.test(CLERK, offered.share_id)
    assert preview.studies[0].images == 4
    session, _ = desk.proven()
    child = desk.engine.forward(session, desk.forward_of())
    _, guest = desk.proven()
    assert guest.grant_id == child.grant_id
    detail = desk.engine.detail(CLERK, offered.share_id)
    assert [one.grant_id for one in detail.grants] == [offered.grant_id, child.grant_id]
    assert [one.share_id for one in desk.engine.shares(CLERK)] == [offered.share_id]
    assert desk.engine.renew(CLERK, offered.grant_id).grant_id == offered.grant_id
    desk.engine.extend(CLERK, offered.share_id, in_days(60))


def test_what_ends_later_is_one_share_and_not_what_was_given_on(desk: Desk) -> None:
    other, offered = desk.offer(), desk.offer(forward=True)
    session, _ = desk.proven()
    child = desk.engine.forward(session, desk.forward_of())
    ends = "SELECT grant_id, ends_at FROM share_grant UNION ALL SELECT share_id, ends_at FROM share"
    before = dict(desk.rows(ends))
    desk.engine.extend(CLERK, offered.share_id, in_days(60))
    later = {key for key, at in desk.rows(ends) if at > before[key]}
    assert later == {offered.grant_id, offered.share_id}
    assert before.keys() - later == {other.grant_id, other.share_id, child.grant_id}


def test_a_print_out_and_its_passcode_on_another_sheet(desk: Desk) -> None:
    both = frozenset({Protection.SMS, Protection.PASSCODE})
    offered = desk.offer(to=None, printed=True, proof=both)
    assert offered.printed_code is not None
    assert offered.passcode is not None
    opened = desk.engine.open_printed(offered.printed_code, B)
    assert isinstance(opened, tuple)
    session, guest = opened
    assert set(guest.needs) == both
    desk.engine.send_code(session, Protection.SMS)
    desk.engine.prove(session, Protection.SMS, desk.archive.posted.code())
    assert desk.engine.prove(session, Protection.PASSCODE, offered.printed_code) == Wrong(19)
    proven = desk.engine.prove(session, Protection.PASSCODE, offered.passcode)
    assert isinstance(proven, Guest)
    assert proven.is_proven


def test_several_recipients_are_told_apart_in_the_trail(desk: Desk) -> None:
    """Each disclosure names its grant, its study and nobody."""
    offered = desk.offer(forward=True)
    session, guest = desk.proven()
    desk.engine.forward(session, desk.forward_of())
    _, other = desk.proven()
    rows = desk.rows(
        "SELECT principal, study, detail FROM audit WHERE kind = 'export.opened' "
        "AND detail ->> 'share' = %s ORDER BY id",
        str(offered.share_id),
    )
    assert [row[0] for row in rows] == [guest.principal.name, other.principal.name]
    assert {row[1] for row in rows} == {desk.made[0].study}
    assert [row[2]["grant"] for row in rows] == [guest.grant_id, other.grant_id]
