"""Mails that come back say so of their message, to who knows its token and to nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.delivery.conftest import Post
from vna.delivery import bounces
from vna.delivery.messages import State
from vna.delivery.notifier import Failed, Outgoing, Taken
from vna.delivery.smtp import Smtp
from vna.errors import InvalidRequest, TooLarge

TOKEN = bytes(range(16))


def bounce(
    *,
    to: str = f"images+{TOKEN.hex()}@example.org",
    action: str = "failed",
    status: str = "5.1.1",
    code: str = "smtp; 550 5.1.1 <kim.canary@example.org> unknown",
    returned: str = "",
) -> bytes:
    return (
        f"From: MAILER-DAEMON@relay.example\r\nTo: {to}\r\nSubject: Undelivered\r\n"
        "MIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; relay.example\r\n\r\n"
        "Final-Recipient: rfc822; kim.canary@example.org\r\n"
        f"Action: {action}\r\nStatus: {status}\r\nDiagnostic-Code: {code}\r\n\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\n{returned}\r\n--b--\r\n"
    ).encode()


def test_a_bounce_is_read_and_repeats_no_address() -> None:
    report = bounces.read(bounce())
    assert report == bounces.Report(token=TOKEN, is_lost=True, told="550 5.1.1")


@pytest.mark.parametrize(
    ("mail", "sent_to"),
    [
        (bounce(to="images@example.org"), f"images+{TOKEN.hex()}@example.org"),
        (bounce(to="x@example.org", returned=f"Message-ID: <{TOKEN.hex()}@example.org>"), ""),
    ],
)
def test_the_message_is_found_by_any_way_it_is_named(mail: bytes, sent_to: str) -> None:
    report = bounces.read(mail, sent_to=sent_to)
    assert report is not None
    assert report.token == TOKEN


@pytest.mark.parametrize(
    ("action", "has_arrived", "is_lost"),
    [
        ("delayed", False, False),
        ("delivered", True, False),
        ("relayed", True, False),
        ("FAILED", False, True),
        ("x", False, False),
    ],
)
def test_what_is_only_late_is_not_lost(action: str, has_arrived: bool, is_lost: bool) -> None:
    report = bounces.read(bounce(action=action))
    assert report is not None
    assert (report.has_arrived, report.is_lost) == (has_arrived, is_lost)


@pytest.mark.parametrize(
    "mail",
    [
        b"",
        b"Subject: I am away\r\n\r\nUntil Monday.",
        bounce(to="images@example.org"),
        bounce(to="images+tooshort@example.org"),
        bounce().replace(b"message/delivery-status", b"text/plain"),
    ],
)
def test_a_mail_that_reports_of_no_message_is_let_be(mail: bytes) -> None:
    assert bounces.read(mail) is None


def test_a_mail_without_end_or_depth_is_refused() -> None:
    with pytest.raises(TooLarge):
        bounces.read(b"x" * (bounces.MOST_BYTES + 1))
    nested = b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n)
        for n in range(3000)
    )
    with pytest.raises(InvalidRequest):
        bounces.read(nested)


@given(st.binary(max_size=2000))
def test_whatever_comes_it_is_a_report_or_none_or_refused(data: bytes) -> None:
    try:
        report = bounces.read(data)
    except InvalidRequest:
        return
    assert report is None or len(report.token) == 16


@given(st.data())
def test_a_bounce_that_is_damaged_anywhere_does_no_harm(data: st.DataObject) -> None:
    whole = bounce()
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + data.draw(st.binary(max_size=5)) + whole[at + 3 :]
    try:
        report = bounces.read(damaged)
    except InvalidRequest:
        return
    assert report is None or report.told is None or len(report.told) <= 20


def test_a_message_that_came_back_is_bounced_and_its_channel_is_told(post: Post) -> None:
    told: list[int] = []
    post.archive.messages.receipts.on_bounce = lambda tx, channel_id: told.append(channel_id)
    number = post.posted(channel_id=77, share_id=5)
    post.work()
    sent_to = post.relay.mails[0].sender
    report = post.archive.messages.receipts.came_back(bounce(to=sent_to))
    assert report is not None
    found = post.seen(number)
    assert (found.state, found.cause, found.told) == (State.BOUNCED, "bounced", "550 5.1.1")
    assert told == [77]
    post.archive.messages.receipts.came_back(bounce(to=sent_to))
    assert told == [77]
    (row,) = post.sql("SELECT outcome, detail FROM audit WHERE kind = 'message.bounced'")
    assert row == ("done", {"message": number, "share": 5})


@pytest.mark.parametrize(
    ("action", "state"), [("failed", State.BOUNCED), ("delivered", State.DELIVERED)]
)
def test_what_is_told_of_a_message_before_it_is_noted_that_it_was_taken_is_kept(
    post: Post, monkeypatch: pytest.MonkeyPatch, action: str, state: State
) -> None:
    """A provider is fast, and our database just then slow: nobody would tell it again."""
    told: list[int] = []
    post.archive.messages.receipts.on_bounce = lambda tx, channel_id: told.append(channel_id)
    number = post.posted(channel_id=77)
    usual = Smtp.send

    def send(smtp: Smtp, outgoing: Outgoing) -> Taken | Failed:
        taken = usual(smtp, outgoing)
        mail = bounce(to=post.relay.mails[0].sender, action=action)
        post.archive.messages.receipts.came_back(mail)
        return taken

    monkeypatch.setattr(Smtp, "send", send)
    post.work()
    post.later()
    assert post.work() == 0
    assert (post.seen(number).state, post.seen(number).via) == (state, "smtp")
    assert told == ([77] if state is State.BOUNCED else [])
    assert post.sql("SELECT count(*) FROM message WHERE sealed IS NOT NULL") == [(0,)]


def test_a_bounce_of_a_token_nobody_gave_out_changes_nothing(post: Post) -> None:
    number = post.posted()
    post.work()
    post.archive.messages.receipts.came_back(bounce())
    assert post.seen(number).state is State.ACCEPTED


def test_a_mail_that_arrived_is_delivered_and_may_still_come_back(post: Post) -> None:
    number = post.posted()
    post.work()
    sent_to = post.relay.mails[0].sender
    post.archive.messages.receipts.came_back(bounce(to=sent_to, action="delivered"))
    assert post.seen(number).state is State.DELIVERED
    post.archive.messages.receipts.came_back(bounce(to=sent_to))
    assert post.seen(number).state is State.BOUNCED


def test_an_address_that_sends_back_is_marked_until_it_is_proven_again(post: Post) -> None:
    post.sql(
        "INSERT INTO contact_channel (channel_id, kind, sealed, value_mac, masked, state,"
        " verified_at, verified_by) VALUES (77, 'email', '\\x00',"
        " decode(repeat('00', 32), 'hex'), 'k…@example.org', 'verified', now(), 'code')"
    )
    post.posted(channel_id=77)
    post.work()
    post.archive.messages.receipts.came_back(bounce(to=post.relay.mails[0].sender))
    assert post.sql("SELECT state FROM contact_channel") == [("bounced",)]
