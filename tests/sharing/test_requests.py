"""What patients ask of the archive: sealed, with a clock, answered, told without a word of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest

from tests.archive import open_archive
from tests.sharing.conftest import CLERK, MAIL, Desk, study
from tests.sharing.own import BYSTANDER, of_first, patient, ref, wanted, wish
from tests.sharing.test_replay import kept, lose
from tests.together import together
from vna.access.principal import Action, Kind, Principal, Scope
from vna.db.pool import Database
from vna.errors import Conflict, InvalidRequest, NotFound, NotPermitted
from vna.sharing.requests import MOST_OPEN
from vna.sharing.rooms import Rooms
from vna.sharing.wishes import Answer, Refusal, State
from vna.sharing.wishes import Kind as Sort


def test_a_request_is_answered_and_the_patient_is_told_that_it_was(desk: Desk) -> None:
    requests, who = desk.engine.requests, of_first(desk)
    number = requests.ask(who, wish(studies=frozenset({study(desk.made[0])}), notify=MAIL))
    sealed = desk.rows("SELECT person, words FROM patient_request")[0]
    assert not any(b"Canary" in one or b"LEFT" in one for one in sealed)
    (waiting,) = requests.inbox(CLERK)
    assert (waiting.number, waiting.words, waiting.is_overdue) == (
        number, "It was the LEFT knee.", False,
    )  # fmt: skip
    assert round((waiting.due_at - waiting.made_at).days) == 10
    requests.answer(CLERK, waiting.request_id, Answer(words="Corrected today."))
    (found,) = requests.own(who)
    assert (found.state, found.answer, found.ended_by) == (
        State.DONE, "Corrected today.", CLERK.name,
    )  # fmt: skip
    (message,) = desk.archive.posted.messages
    assert (message.template, message.to.value) == ("request-answered", MAIL.value)
    assert message.values == {
        "number": number,
        "link": "https://images.example.org/my/requests",
    }
    with pytest.raises(Conflict):
        requests.answer(CLERK, waiting.request_id, Answer(words="Again."))
    assert requests.inbox(CLERK) == []
    assert [one.number for one in requests.inbox(CLERK, is_open=False)] == [number]
    kinds = desk.rows(
        "SELECT kind, study FROM audit WHERE detail ->> 'asked' = %s ORDER BY id", number
    )
    assert kinds == [
        ("patient.asked", study(desk.made[0]).study),
        ("patient.answered", None),
    ]


def test_a_refusal_has_a_code_and_a_sentence(desk: Desk) -> None:
    requests, who = desk.engine.requests, of_first(desk)
    requests.ask(who, wish())
    (one,) = requests.inbox(CLERK)
    with pytest.raises(InvalidRequest, match="why"):
        requests.answer(CLERK, one.request_id, Answer(refusal=Refusal.ACCURATE))
    requests.answer(CLERK, one.request_id, Answer(refusal=Refusal.ACCURATE, words="It is right."))
    (found,) = requests.own(who)
    assert (found.state, found.refusal) == (State.REFUSED, Refusal.ACCURATE)
    assert desk.archive.posted.messages == []  # no address, no message


def test_requests_made_at_once_do_not_pass_their_number_together(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests, who = desk.engine.requests, of_first(desk)
    for _ in range(MOST_OPEN - 1):
        requests.ask(who, wish())
    here = desk.archive
    others = Database(here.database.dsn, schema=here.database.schema, connections=10)
    with (
        open_archive(here.settings.data, others) as elsewhere,
        together(others, monkeypatch) as meanwhile,
    ):
        one_more = meanwhile(Rooms, "tell", lambda: elsewhere.sharing.requests.ask(who, wish()))
        requests.ask(who, wish())
        with pytest.raises(Conflict, match="wait for an answer"):
            one_more.result()
    others.close()
    assert desk.rows("SELECT count(*) FROM patient_request") == [(MOST_OPEN,)]


def test_what_waits_too_long_is_counted_and_comes_first(desk: Desk) -> None:
    requests, who = desk.engine.requests, of_first(desk)
    for _ in range(3):
        requests.ask(who, wish())
    late = requests.inbox(CLERK)[2]
    desk.run(
        "UPDATE patient_request SET made_at = made_at - interval '11 days', "
        "due_at = due_at - interval '11 days' WHERE request_id = %s",
        late.request_id,
    )
    assert requests.counts(CLERK) == (3, 1)
    assert [one.is_overdue for one in requests.inbox(CLERK)] == [True, False, False]
    table = list(csv.DictReader(io.StringIO(requests.report(CLERK))))
    assert [(row["state"], row["kind"]) for row in table] == [("open", "correct")] * 3
    assert max(float(row["days"]) for row in table) == 11.0
    assert "Canary" not in requests.report(CLERK)


def test_a_patient_takes_back_what_is_theirs_alone(desk: Desk) -> None:
    requests, who = desk.engine.requests, of_first(desk)
    requests.ask(who, wish(notify=MAIL))
    (one,) = requests.own(who)
    assert requests.own(of_first(desk, name="p-OTHER")) == []
    with pytest.raises(NotFound):
        requests.withdraw(of_first(desk, name="p-OTHER"), one.request_id)
    requests.withdraw(who, one.request_id)
    with pytest.raises(Conflict):
        requests.withdraw(who, one.request_id)
    assert requests.own(who)[0].state is State.WITHDRAWN
    assert desk.archive.posted.messages == []


def test_staff_are_asked_to_stop_what_they_shared(desk: Desk) -> None:
    requests, who = desk.engine.requests, of_first(desk)
    theirs, own = desk.offer(), desk.engine.own.offer(who, wanted(desk))
    requests.ask(who, wish(kind=Sort.STOP, share_id=theirs.share_id, words=""))
    assert requests.inbox(CLERK)[0].share_id == theirs.share_id
    with pytest.raises(Conflict, match="yours"):
        requests.ask(who, wish(kind=Sort.STOP, share_id=own.share_id))
    with pytest.raises(NotFound):
        requests.ask(patient(BYSTANDER), wish(kind=Sort.STOP, share_id=theirs.share_id))


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"words": " "}, InvalidRequest),
        ({"words": "x" * 2001}, InvalidRequest),
        ({"words": "a\x00b"}, InvalidRequest),
        ({"kind": Sort.STOP}, InvalidRequest),
        ({"share_id": 1}, InvalidRequest),
        ({"language": "tlh"}, InvalidRequest),
        ({"studies": frozenset({ref(BYSTANDER)})}, NotFound),
    ],
)
def test_what_cannot_be_asked_is_refused(
    desk: Desk, changed: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        desk.engine.requests.ask(of_first(desk), wish(**changed))
    assert desk.rows("SELECT count(*) FROM patient_request") == [(0,)]


def test_requests_are_for_their_patient_and_for_staff_of_the_whole_archive(desk: Desk) -> None:
    requests, who = desk.engine.requests, of_first(desk)
    requests.ask(who, wish())
    number = requests.inbox(CLERK)[0].request_id
    narrow = Principal(
        kind=Kind.PERSON, name="narrow", actions=frozenset({Action.SHARE}), scope=Scope()
    )
    acts: list[Callable[[Principal], object]] = [
        requests.inbox,
        requests.counts,
        requests.report,
        lambda one: requests.one(one, number),
        lambda one: requests.answer(one, number, Answer()),
    ]
    for act in acts:
        with pytest.raises(NotPermitted):
            act(who)
        with pytest.raises(NotFound):
            act(narrow)
    with pytest.raises(NotPermitted):
        requests.ask(CLERK, wish())


def test_only_so_many_wait_at_once(desk: Desk) -> None:
    requests, who = desk.engine.requests, of_first(desk)
    for _ in range(20):
        requests.ask(who, wish())
    with pytest.raises(Conflict):
        requests.ask(who, wish())
    requests.withdraw(who, requests.own(who)[0].request_id)
    requests.ask(who, wish())


def test_requests_and_answers_outlive_the_database(own_desk: Desk) -> None:
    desk, requests, who = own_desk, own_desk.engine.requests, of_first(own_desk)
    for _ in range(3):
        requests.ask(who, wish(notify=MAIL))
    first, second, _ = requests.inbox(CLERK)
    requests.answer(CLERK, first.request_id, Answer(words="Done."))
    requests.withdraw(who, second.request_id)
    desk.engine.own.offer(who, wanted(desk, notify=MAIL))
    before = kept(desk)
    lose(desk)
    with desk.archive.database.transaction() as tx:
        desk.engine.lay(tx)
    assert kept(desk) == before
    assert {one.state for one in requests.own(who)} == {State.OPEN, State.DONE, State.WITHDRAWN}
