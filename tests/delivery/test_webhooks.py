"""Other programs are told of acts, signed, if and only if they were done; each call can be seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.archive import open_archive
from tests.delivery.conftest import Opening, Post
from tests.delivery.gateway import Gateway, serving
from vna.access.audit import Event
from vna.access.principal import Kind, Principal
from vna.db import outbox
from vna.delivery import sending
from vna.delivery.messages import State
from vna.delivery.notifier import Failed, Taken
from vna.delivery.signing import SIGNATURE, is_signed
from vna.delivery.webhooks import PASSED_ON, pass_on
from vna.errors import InvalidRequest, NotFound, NotPermitted

OPENED = Event(
    kind="grant.opened",
    outcome="done",
    study="1.2.3",
    detail={"share": 1 << 60, "grant": 7, "name": "Canary^Kim", "printed": False},
)


@pytest.fixture
def gateway(ca: tuple[trustme.CA, Path]) -> Iterator[Gateway]:
    with serving(ca[0]) as gateway:
        yield gateway


@pytest.fixture
def office(opening: Opening, ca: tuple[trustme.CA, Path]) -> Post:
    return opening(outbound={"allow": "127.0.0.1", "ca": str(ca[1])})


def done(post: Post, *events: Event) -> None:
    with post.archive.database.transaction() as tx:
        post.archive.audit.write(tx, post.archive.who, events)


def added(post: Post, gateway: Gateway, *events: str) -> tuple[int, str]:
    return post.archive.messages.webhooks.add(post.archive.who, f"{gateway.url}/hook?k=v", events)


def test_an_act_is_told_of_signed_and_with_numbers_only(office: Post, gateway: Gateway) -> None:
    _, secret = added(office, gateway)
    done(office, OPENED)
    assert office.work() == 1
    (call,) = gateway.calls
    assert call.path == "/hook?k=v"
    assert is_signed(secret, call.body, call.headers[SIGNATURE.lower()])
    said = json.loads(call.body)
    assert set(said) == {"id", "event", "outcome", "at", "share", "grant"}
    assert (said["event"], said["share"], said["grant"]) == ("grant.opened", str(1 << 60), "7")
    assert b"Canary" not in call.body
    (message,) = office.archive.messages.listed(office.archive.who)
    assert (message.state, message.via, message.masked) == (State.ACCEPTED, "webhook", "127.0.0.1")
    assert (message.template, message.share_id) == ("grant-opened", 1 << 60)


def test_what_a_process_without_the_secrets_saw_is_told_of_by_another(
    office: Post, gateway: Gateway
) -> None:
    added(office, gateway, "grant")
    with office.archive.database.transaction() as tx:
        pass_on(tx, [OPENED, Event(kind="login.done", outcome="done")])
        forged = {"acts": [["grant.opened'; --", "done", {}], ["grant.opened", "a lie", {}]]}
        outbox.enqueue(tx, PASSED_ON, forged, requested_by="archive")
        outbox.enqueue(tx, PASSED_ON, {"acts": [[1]]}, requested_by="archive")
    office.work()
    (call,) = gateway.calls
    said = json.loads(call.body)
    assert (said["event"], said["share"], said["grant"]) == ("grant.opened", str(1 << 60), "7")
    assert office.sql("SELECT state FROM job WHERE kind = 'tell' ORDER BY job_id") == [
        ("done",),
        ("done",),
        ("failed",),
    ]


def test_an_act_that_was_undone_is_not_told_of(office: Post, gateway: Gateway) -> None:
    added(office, gateway)

    def undone() -> None:
        with office.archive.database.transaction() as tx:
            office.archive.audit.write(tx, office.archive.who, [OPENED])
            raise LookupError

    with pytest.raises(LookupError):
        undone()
    assert office.work() == 0


def test_only_what_was_asked_for_is_told(office: Post, gateway: Gateway) -> None:
    added(office, gateway, "grant.opened", "consent")
    kinds = ("grant.opened", "grant.renewed", "consent.withdrawn", "share.revoked", "login.done")
    done(office, *(Event(kind=kind, outcome="done") for kind in kinds))
    office.work()
    told = [json.loads(call.body)["event"] for call in gateway.calls]
    assert sorted(told) == ["consent.withdrawn", "grant.opened"]


def test_a_call_that_fails_is_made_again_under_the_same_id(office: Post, gateway: Gateway) -> None:
    added(office, gateway)
    gateway.answers = [(503, {}, b""), (200, {}, b"")]
    done(office, OPENED)
    office.work()
    (message,) = office.archive.messages.listed(office.archive.who)
    assert (message.state, message.cause, message.told) == (State.FAILED, "not-now", "503")
    office.later()
    office.work()
    first, second = (json.loads(call.body)["id"] for call in gateway.calls)
    assert first == second
    assert office.seen(message.message_id).state is State.ACCEPTED


def test_a_program_that_wants_to_hear_nothing_more_is_believed(
    office: Post, gateway: Gateway
) -> None:
    added(office, gateway)
    gateway.answers = [(410, {}, b"")]
    done(office, OPENED)
    office.work()
    (message,) = office.archive.messages.listed(office.archive.who)
    assert (message.state, message.cause) == (State.DEAD, "address")


def test_a_program_that_is_removed_is_told_nothing_more(office: Post, gateway: Gateway) -> None:
    number, _ = added(office, gateway)
    done(office, OPENED)
    office.archive.messages.webhooks.remove(office.archive.who, number)
    done(office, OPENED)
    office.work()
    assert gateway.calls == []
    rows = office.sql("SELECT kind, detail FROM audit WHERE kind LIKE 'webhook.%' ORDER BY id")
    assert rows == [
        ("webhook.added", {"webhook": number, "host": "127.0.0.1"}),
        ("webhook.removed", {"webhook": number}),
    ]
    (message,) = office.archive.messages.listed(office.archive.who)
    assert message.state is State.CANCELLED
    with pytest.raises(NotFound):
        office.archive.messages.webhooks.remove(office.archive.who, number)


def test_a_program_that_is_removed_while_it_is_called_is_not_called_again(
    office: Post, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, _ = added(office, gateway)
    done(office, OPENED)
    gateway.answers = [(503, {}, b""), (200, {}, b"")]
    usual = sending.call

    def call(*given: Any) -> Taken | Failed:
        office.archive.messages.webhooks.remove(office.archive.who, number)
        return usual(*given)

    monkeypatch.setattr(sending, "call", call)
    office.work()
    office.later()
    office.work()
    assert len(gateway.calls) == 1
    (message,) = office.archive.messages.listed(office.archive.who)
    assert message.state is State.CANCELLED


def test_an_act_is_done_though_a_program_that_would_hear_of_it_was_just_removed(
    office: Post, gateway: Gateway, tmp_path: Path
) -> None:
    """Another process removed it, and this one believes for two seconds that it is there."""
    gone, _ = added(office, gateway)
    added(office, gateway)
    done(office, OPENED)
    with open_archive(tmp_path, office.archive.database) as other:
        other.messages.webhooks.remove(other.who, gone)
    done(office, OPENED)
    office.work()
    assert len(gateway.calls) == 3 - 1


def test_address_and_key_stand_nowhere_in_plain(office: Post, gateway: Gateway) -> None:
    _, secret = added(office, gateway)
    done(office, OPENED)
    rows = office.sql("SELECT w::text FROM webhook w UNION ALL SELECT m::text FROM message m")
    rows += office.sql("SELECT a::text FROM audit a UNION ALL SELECT j::text FROM job j")
    for (row,) in rows:
        assert secret not in row
        assert "/hook" not in row
    (found,) = office.archive.messages.webhooks.all(office.archive.who)
    assert secret not in repr(found)


def test_nobody_inside_the_house_is_called_unless_named(opening: Opening) -> None:
    post = opening()
    for url in ("https://127.0.0.1/", "https://169.254.169.254/latest", "https://[::1]/"):
        with pytest.raises(NotPermitted):
            post.archive.messages.webhooks.add(post.archive.who, url, ())


@pytest.mark.parametrize(
    ("url", "events"),
    [
        ("http://93.184.216.34/", ()),
        ("https://user:secret@93.184.216.34/", ()),
        ("https://93.184.216.34/", ("login",)),
        ("https://93.184.216.34/", ("share.",)),
    ],
)
def test_what_is_no_address_or_event_is_refused(
    office: Post, url: str, events: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidRequest):
        office.archive.messages.webhooks.add(office.archive.who, url, events)
    assert office.archive.messages.webhooks.all(office.archive.who) == []


def test_who_may_not_manage_may_not_have_others_told(office: Post, gateway: Gateway) -> None:
    nobody = Principal(kind=Kind.PERSON, name="nobody", actions=frozenset())
    webhooks = office.archive.messages.webhooks
    for ask in (
        lambda: webhooks.add(nobody, gateway.url, ()),
        lambda: webhooks.all(nobody),
        lambda: webhooks.remove(nobody, 1),
    ):
        with pytest.raises(NotPermitted):
            ask()
