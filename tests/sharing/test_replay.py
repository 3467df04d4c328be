"""What was shared outlives the database: it comes back from the journal with the same secrets."""

from __future__ import annotations

import pytest

from tests.sharing.conftest import CLERK, B, Desk, in_days
from tests.sharing.test_consents import consent
from vna.blobs.journal import Journal
from vna.dicom.refs import StudyRef, uid
from vna.errors import Conflict, Unavailable, VNAError
from vna.sharing.values import GrantState, Guest, Protection, Reason, Refused

TABLES = (
    "contact_channel",
    "consent",
    "share",
    "share_item",
    "share_later_key",
    "share_sending",
    "share_grant",
    "one_time_code",
    "share_session",
    "capability",
    "consent_text",
    "consent_plan",
    "kiosk",
    "auto_share",
    "share_notice",
    "share_draft",
    "patient_request",
    "own_contact",
    "share_second",
    "former_channel",
    "own_contact_change",
)
END = {
    "grants": [1],
    "state": "revoked",
    "ended_at": {"at": "2026-01-01T00:00:00+00:00"},
    "ended_by": "guest",
    "reason": "x",
}
KEPT = {
    "contact_channel": "channel_id, kind, sealed, value_mac, masked",
    "consent": "consent_id, issuer, patient_id, purpose, allowed, signature, state, ended_by",
    "consent_plan": "consent_id, lane, sealed",
    "consent_text": "purpose, revision, language, title, body, made_by, made_at",
    "share": (
        "share_id, number, owner, person, studies, items_sha256, ends_at, owner_key, consent_id, "
        "notify, language, max_opens, purpose, legal_basis, reports, download, forward"
    ),
    "patient_request": (
        "request_id, number, owner, kind, studies, share_id, person, words, notify, language, "
        "made_at, due_at, state, refusal, answer, ended_at, ended_by"
    ),
    "share_item": "share_id, instance_uid, study_uid, series_uid, blob_id, data_key, size",
    "share_grant": (
        "grant_id, share_id, parent_id, depth, recipient, locator, link_wrap, printed, proof, "
        "to_channel, by_channel, language, only_parts, reports, download, forward, ends_at"
    ),
}


def kept(desk: Desk) -> dict[str, list[tuple[object, ...]]]:
    return {
        table: desk.rows(f"SELECT {columns} FROM {table} ORDER BY 1, 2")  # noqa: S608 -- ours
        for table, columns in KEPT.items()
    }


def lose(desk: Desk) -> None:
    """Lose the database; what it was rebuilt into knows nothing of sharing."""
    desk.run("TRUNCATE " + ", ".join(TABLES))
    desk.a_second_later()


def test_a_lost_database_comes_back_with_every_link_as_it_was(own_desk: Desk) -> None:
    desk, engine, posted = own_desk, own_desk.engine, own_desk.archive.posted
    allowed = engine.consents.record(CLERK, consent())
    withdrawn = engine.consents.record(CLERK, consent(purpose="research"))
    plain = desk.offer(consent_id=allowed, forward=True)
    link = posted.secret()
    session, _ = desk.proven()
    child = engine.forward(session, desk.forward_of())
    child_link = posted.secret()
    phrase = desk.offer(proof=frozenset({Protection.PASSCODE}), by=None)
    phrase_link = posted.secret()
    revoked = desk.offer()
    revoked_link = posted.secret()
    engine.revoke(CLERK, revoked.share_id, reason="recalled")
    renewed = desk.offer(until=in_days(3))
    old_link = posted.secret()
    engine.renew(CLERK, renewed.grant_id)
    engine.extend(CLERK, renewed.share_id, in_days(20))
    renewed_link = posted.secret()
    refused = desk.offer()
    refused_link = posted.secret()
    engine.not_me(desk.opened()[0])
    engine.consents.withdraw(CLERK, withdrawn)
    before = kept(desk)
    lose(desk)
    desk.archive.recovery.reindex()
    assert kept(desk) == before
    for secret, offered in ((link, plain), (child_link, child), (renewed_link, renewed)):
        found = engine.open(secret, B)
        assert isinstance(found, tuple)
        assert found[1].grant_id == offered.grant_id
    session, _ = desk.opened(phrase_link)
    assert phrase.passcode is not None
    guest = engine.prove(session, Protection.PASSCODE, phrase.passcode)
    assert isinstance(guest, Guest)
    assert guest.principal.scope.covers(StudyRef(uid(desk.made[0].study)))
    for secret, offered, reason in (
        (revoked_link, revoked, Reason.REVOKED),
        (refused_link, refused, Reason.REFUSED),
    ):
        assert engine.open(secret, B) == Refused(reason=reason, number=offered.number)
    assert engine.open(old_link, B) == Refused(reason=Reason.UNKNOWN)


def test_a_rebuilt_index_leaves_what_stands_alone(own_desk: Desk) -> None:
    desk = own_desk
    offered = desk.offer()
    locked = desk.offer(proof=frozenset({Protection.PASSCODE}), by=None)
    session, _ = desk.opened()
    for _ in range(20):
        desk.engine.prove(session, Protection.PASSCODE, "0")
    desk.engine.unlock(CLERK, locked.grant_id)
    held = desk.engine.suspend_study(CLERK, StudyRef(uid(desk.made[0].study)), "mix-up")
    assert len(held) == 2
    desk.engine.reinstate(CLERK, offered.share_id)
    everything = "SELECT * FROM share ORDER BY share_id"
    grants = "SELECT * FROM share_grant ORDER BY grant_id"
    before = desk.rows(everything), desk.rows(grants)
    desk.archive.recovery.reindex()
    assert (desk.rows(everything), desk.rows(grants)) == before
    lose(desk)
    desk.archive.recovery.reindex()
    states = desk.rows("SELECT state FROM share ORDER BY share_id")
    assert states == [("sent",), ("suspended",)]
    assert desk.rows("SELECT state FROM share_grant ORDER BY grant_id") == [("invited",)] * 2


def test_a_lock_and_a_withdrawal_come_back(own_desk: Desk) -> None:
    desk = own_desk
    number = desk.engine.consents.record(CLERK, consent())
    desk.offer(consent_id=number)
    desk.engine.consents.withdraw(CLERK, number)
    locked = desk.offer(proof=frozenset({Protection.PASSCODE}), by=None)
    session, _ = desk.opened()
    for _ in range(20):
        desk.engine.prove(session, Protection.PASSCODE, "0")
    lose(desk)
    desk.archive.recovery.reindex()
    assert desk.rows("SELECT state FROM share ORDER BY share_id") == [("suspended",), ("sent",)]
    detail = desk.engine.detail(CLERK, locked.share_id)
    assert [one.state for one in detail.grants] == [GrantState.LOCKED]


def test_an_act_a_crash_kept_from_the_tables_is_brought_in(own_desk: Desk) -> None:
    """The journal is durable, the transaction after it was lost."""
    desk = own_desk
    offered = desk.offer()
    desk.engine.revoke(CLERK, offered.share_id, reason="recalled")
    desk.run("UPDATE share SET state = 'sent', ended_at = NULL, ended_by = NULL, reason = NULL")
    desk.run("DELETE FROM journal_entry WHERE op = 'share-end'")
    assert desk.engine.catch_up(older_s=60) == 0
    assert desk.engine.catch_up(older_s=0) == 1
    assert desk.engine.catch_up(older_s=0) == 0
    answer = desk.engine.open(desk.archive.posted.secret(), B)
    assert answer == Refused(reason=Reason.REVOKED, number=offered.number)


GUEST = "share/0000-0000/1"
FORGED: dict[str, tuple[str, dict[str, object]]] = {
    "nothing": ("grant-end", {}),
    "a lack": ("grant", {"share_id": 1}),
    "no number": ("grant", {"share_id": "x"}),
    "no bytes": ("channel", {"sealed": {"bytes": "!"}}),
    "no list": ("grant-end", {**END, "grants": "all"}),
    "no moment": ("grant-end", {**END, "ended_at": 7}),
    "a day without a date": ("grant-end", {**END, "ended_at": {"day": 7}}),
    "a thing": ("grant-end", {**END, "reason": {"a": [1]}}),
    "a zero byte": ("grant-end", {**END, "reason": "a\0b"}),
    "a list": ("channel", {"channel_id": [1], "notify": [1]}),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_is_forged_in_a_guests_name_keeps_nothing_else_from_coming_back(
    own_desk: Desk, name: str
) -> None:
    """Who has taken over the process of guests has such acts written down (decision 11)."""
    desk = own_desk
    offered = desk.offer()
    op, args = FORGED[name]
    Journal(desk.archive.store).append(op, {}, args, GUEST)
    desk.engine.revoke(CLERK, offered.share_id, reason="recalled")
    desk.run("UPDATE share SET state = 'sent', ended_at = NULL, ended_by = NULL, reason = NULL")
    desk.run("DELETE FROM journal_entry WHERE op = 'share-end'")
    assert desk.engine.catch_up(older_s=0) == 2
    assert desk.engine.catch_up(older_s=0) == 0
    before = kept(desk)
    lose(desk)
    desk.archive.recovery.reindex()
    assert kept(desk) == before
    assert desk.rows("SELECT state FROM share") == [("revoked",)]


def test_what_staff_did_is_not_passed_over(own_desk: Desk) -> None:
    Journal(own_desk.archive.store).append("grant-end", {}, {}, "alice")
    with pytest.raises(VNAError):
        own_desk.engine.catch_up(older_s=0)


def test_what_is_refused_on_its_way_leaves_nothing(own_desk: Desk) -> None:
    desk = own_desk
    desk.offer()
    desk.run("UPDATE contact_channel SET state = 'revoked' WHERE kind = 'sms'")
    counts = "SELECT (SELECT count(*) FROM share), (SELECT count(*) FROM message)"
    before = desk.rows(counts), list(desk.archive.store.ids("j/"))
    with pytest.raises(Conflict, match="given up"):
        desk.offer()
    assert (desk.rows(counts), list(desk.archive.store.ids("j/"))) == before
    assert desk.engine.catch_up(older_s=0) == 0


def test_without_the_journal_nothing_is_shared(
    own_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = own_desk

    def full(*_: object, **__: object) -> bytes:
        raise Unavailable

    monkeypatch.setattr(desk.engine._rooms.journal, "append", full)
    with pytest.raises(Unavailable):
        desk.offer()
    assert desk.rows("SELECT 1 FROM share") == []
    assert desk.rows("SELECT 1 FROM message") == []
