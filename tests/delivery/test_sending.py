"""What is asked for goes out, is tried again with growing waits, and its state can be seen."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from tests.delivery.conftest import INVITATION, Opening, Post
from vna.delivery.channels import phone
from vna.delivery.forms import FORMS
from vna.delivery.messages import State
from vna.delivery.notifier import Failed, Outgoing, Taken
from vna.delivery.sending import BACK_OFF_S, Sender
from vna.delivery.smtp import Smtp
from vna.errors import Conflict


def test_a_message_goes_out_and_what_stood_in_it_is_forgotten(post: Post) -> None:
    message_id = post.posted()
    assert post.work() == 1
    assert post.relay.mails[0].recipients == ["Kim.Canary@example.org"]
    found = post.seen(message_id)
    assert (found.state, found.via, found.told) == (State.ACCEPTED, "smtp", "250 2.0.0")
    assert post.sql("SELECT sealed FROM message") == [(None,)]
    assert post.sql("SELECT state FROM job") == [("done",)]
    assert post.work() == 0


def test_waits_grow_to_the_last_then_it_is_given_up_and_a_person_tries_again(post: Post) -> None:
    post.relay.to_rcpt = "451 4.7.1 come again"
    message_id = post.posted()
    for attempt, wait_s in enumerate(BACK_OFF_S, 1):
        assert post.work() == 1
        found = post.seen(message_id)
        assert (found.state, found.attempts) == (State.FAILED, attempt)
        assert (found.cause, found.told) == ("not-now", "451 4.7.1")
        assert found.next_at is not None
        assert (found.next_at - found.changed_at).total_seconds() == wait_s
        post.later()
    post.work()
    assert post.seen(message_id).state is State.DEAD
    assert post.sql("SELECT state, cause FROM job") == [
        ("failed", "The other side asks to come again.")
    ]
    post.relay.to_rcpt = None
    post.archive.messages.retry(post.archive.who, message_id)
    assert post.work() == 1
    assert post.seen(message_id).state is State.ACCEPTED
    with pytest.raises(Conflict):
        post.archive.messages.retry(post.archive.who, message_id)


def test_an_address_nobody_has_is_not_tried_again_of_itself(post: Post) -> None:
    post.relay.to_rcpt = "550 5.1.1 no such user"
    message_id = post.posted()
    post.work()
    found = post.seen(message_id)
    assert (found.state, found.cause, found.next_at) == (State.DEAD, "address", None)


def test_one_that_failed_is_tried_again_at_once_when_a_person_says_so(post: Post) -> None:
    post.relay.to_rcpt = "451 4.3.0 not now"
    ids = [post.posted(), post.posted()]
    post.work()
    post.relay.to_rcpt = None
    assert post.archive.messages.retry_all(post.archive.who) == 2
    post.work()
    assert [post.seen(one).state for one in ids] == [State.ACCEPTED] * 2
    post.later()
    post.work()
    assert len(post.relay.mails) == 2  # the jobs that waited find nothing to do
    audited = post.sql("SELECT kind FROM audit WHERE kind = 'message.retried'")
    assert len(audited) == 2


def test_a_job_that_waited_sends_nothing_while_the_one_a_person_asked_for_does(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are due at once: the relay takes its time with the later one."""
    post.relay.to_rcpt = "451 4.3.0 not now"
    message_id = post.posted()
    post.work()
    post.relay.to_rcpt = None
    post.archive.messages.retry(post.archive.who, message_id)
    usual = Smtp.send

    def send(smtp: Smtp, outgoing: Outgoing) -> Taken | Failed:
        monkeypatch.setattr(Smtp, "send", usual)
        post.later()
        assert post.worker.do_one()
        return usual(smtp, outgoing)

    monkeypatch.setattr(Smtp, "send", send)
    post.work()
    assert len(post.relay.mails) == 1
    assert (post.seen(message_id).state, post.seen(message_id).attempts) == (State.ACCEPTED, 1)


def test_a_person_who_tries_again_does_not_have_it_tried_twice_as_often(post: Post) -> None:
    post.relay.to_rcpt = "451 4.3.0 not now"
    message_id = post.posted()
    post.work()
    post.archive.messages.retry(post.archive.who, message_id)
    for attempt in (1, 2, 3):
        post.work()
        assert post.seen(message_id).attempts == attempt
        post.later()


def test_a_code_that_is_too_old_is_not_sent(post: Post) -> None:
    until = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    values = {"code": "12345678", "minutes": "10", "host": "images.example.org"}
    message_id = post.posted(template="code", values=values, until=until)
    post.work()
    found = post.seen(message_id)
    assert (found.state, found.cause) == (State.DEAD, "expired")
    assert post.relay.mails == []


def test_no_try_is_planned_past_the_use_of_a_message(post: Post) -> None:
    post.relay.to_rcpt = "451 4.3.0 not now"
    until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30)
    message_id = post.posted(until=until)
    post.work()
    found = post.seen(message_id)
    assert (found.state, found.cause) == (State.DEAD, "not-now")


def test_an_attempt_that_was_cut_off_is_made_again_and_bears_the_name_of_the_message(
    post: Post,
) -> None:
    message_id = post.posted()
    post.sql("UPDATE message SET state = 'sending', next_at = NULL, attempts = 1")
    post.work()
    assert (post.seen(message_id).state, post.seen(message_id).attempts) == (State.ACCEPTED, 2)
    ((token,),) = post.sql("SELECT encode(token, 'hex') FROM message")
    assert post.relay.mails[0].message["Message-ID"] == f"<{token}@example.org>"


def test_a_message_of_a_grant_that_ended_does_not_go_out(post: Post) -> None:
    message_id = post.posted(grant_id=3)
    with post.archive.database.transaction() as tx:
        post.archive.messages.cancel_grant(tx, 3)
    post.work()
    assert post.seen(message_id).state is State.CANCELLED
    assert post.relay.mails == []


def test_without_a_way_out_a_message_says_so_and_waits_for_a_person(opening: Opening) -> None:
    post = opening()
    settings = dataclasses.replace(post.archive.settings, dev=False)
    sender = Sender(
        database=post.archive.database, keyring=post.archive.store.keyring, settings=settings
    )
    message_id = post.posted()
    attempt = sender.attempt(message_id, most_s=1e9)
    assert attempt.again_s is None
    found = post.seen(message_id)
    assert (found.state, found.cause) == (State.DEAD, "not-set-up")


def test_under_dev_mails_and_short_messages_stay_in_the_house(opening: Opening) -> None:
    post = opening()
    mail, short = post.posted(), post.posted(to=phone("+49 30 1234567"))
    post.work()
    assert [post.seen(one).via for one in (mail, short)] == ["inbox", "inbox"]


def test_a_canary_gets_into_no_mail_and_into_no_log(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    post.relay.to_data = "554 5.7.1 Kim.Canary@example.org is not wanted"
    post.posted()
    post.work()
    assert "Canary" not in caplog.text
    rows = post.sql("SELECT m::text FROM message m UNION ALL SELECT j::text FROM job j")
    assert not any("Canary" in row[0] for row in rows)


SAMPLES = {
    **INVITATION,
    "code": "12345678",
    "minutes": "10",
    "host": "images.example.org",
    "when": "2026-12-20T14:05:00+00:00",
    "day": "2026-12-20",
    **dict.fromkeys(("shared", "waiting", "blocked", "left", "failed", "count"), "3"),
}


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_message_arrives_in_every_language(post: Post, language: str) -> None:
    for template, form in FORMS.items():
        values = {name: SAMPLES[name] for name in form.takes}
        post.posted(template=template, values=values, language=language)
    assert post.work() == len(FORMS) == len(post.relay.mails)
    for mailed in post.relay.mails:
        assert mailed.message["Content-Language"] == language
        for said in (mailed.message["Subject"], mailed.part("plain"), mailed.part("html")):
            assert "%(" not in said
            assert said.strip()
