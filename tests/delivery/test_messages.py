"""Messages stand in the transaction of their act, sealed; boards show masks and states."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.archive import Archive, open_archive
from vna.access.principal import Kind, Principal
from vna.db.pool import Database
from vna.delivery.channels import email, phone
from vna.delivery.messages import State
from vna.errors import Conflict, NotFound, NotPermitted

INVITATION = {
    "link": "https://images.example.org/s#c2VjcmV0",
    "way": "…42",
    "until": "2026-12-20",
    "number": "7KQ2-M4",
}
TO = email("Kim.Canary@example.org")


class Undone(Exception):
    """Takes a transaction back."""


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database) as opened:
        yield opened


def posted(archive: Archive, **named: object) -> int:
    with archive.database.transaction() as tx:
        return archive.messages.post(tx, to=TO, template="invitation", values=INVITATION, **named)  # type: ignore[arg-type]


def test_a_message_is_there_if_and_only_if_its_act_is(archive: Archive) -> None:
    def undone() -> None:
        with archive.database.transaction() as tx:
            archive.messages.post(tx, to=TO, template="invitation", values=INVITATION)
            raise Undone

    with pytest.raises(Undone):
        undone()
    assert archive.messages.listed(archive.who) == []
    message_id = posted(archive, share_id=7, grant_id=8)
    (found,) = archive.messages.listed(archive.who)
    assert (found.message_id, found.state, found.share_id) == (message_id, State.QUEUED, 7)
    assert found.masked == "K…@example.org"


def test_nothing_of_address_or_contents_stands_in_the_database(archive: Archive) -> None:
    posted(archive)
    with archive.database.reading() as conn:
        rows = conn.execute("SELECT m::text, encode(m.sealed, 'escape') FROM message m").fetchall()
        rows += conn.execute("SELECT j::text, '' FROM job j").fetchall()
    for text in (part for row in rows for part in row):
        assert "Canary" not in text
        assert "c2VjcmV0" not in text


@pytest.mark.parametrize(
    "values",
    [
        {},
        {**INVITATION, "name": "Canary^Kim"},
        {**INVITATION, "number": "Canary, Kim"},
        {**INVITATION, "link": "javascript:alert(1)"},
        {**INVITATION, "way": "kim@example.org"},
        {**INVITATION, "until": "soon"},
    ],
)
def test_only_values_of_the_form_get_in_and_an_error_tells_none(
    archive: Archive, values: dict[str, str]
) -> None:
    with (
        archive.database.transaction() as tx,
        pytest.raises(ValueError, match="invitation") as caught,
    ):
        archive.messages.post(tx, to=TO, template="invitation", values=values)
    assert "Canary" not in str(caught.value)


def test_a_grant_that_ends_takes_back_what_was_not_sent(archive: Archive) -> None:
    first, other = posted(archive, grant_id=8), posted(archive, grant_id=9)
    with archive.database.transaction() as tx:
        assert archive.messages.cancel_grant(tx, 8) == 1
    states = {m.message_id: m.state for m in archive.messages.listed(archive.who)}
    assert states == {first: State.CANCELLED, other: State.QUEUED}
    with pytest.raises(Conflict):
        archive.messages.retry(archive.who, first)


def test_lists_are_by_state_and_share_and_go_on_before_one(archive: Archive) -> None:
    ids = [posted(archive, share_id=n % 2 + 1) for n in range(4)]
    listed = archive.messages.listed
    assert [m.message_id for m in listed(archive.who, share_id=1)] == [ids[2], ids[0]]
    assert [m.message_id for m in listed(archive.who, before=ids[2], most=1)] == [ids[1]]
    assert listed(archive.who, states=[State.DEAD]) == []
    assert archive.messages.counts(archive.who)[State.QUEUED] == 4


def test_who_may_not_look_sees_nothing(archive: Archive) -> None:
    nobody = Principal(kind=Kind.PERSON, name="nobody", actions=frozenset())
    for ask in (
        lambda: archive.messages.listed(nobody),
        lambda: archive.messages.listed(nobody, share_id=1),
        lambda: archive.messages.one(nobody, 1),
        lambda: archive.messages.retry(nobody, 1),
        lambda: archive.messages.retry_all(nobody),
        lambda: archive.messages.counts(nobody),
    ):
        with pytest.raises(NotPermitted):
            ask()
    with pytest.raises(NotFound):
        archive.messages.one(archive.who, 1)


def test_contents_that_are_of_no_use_any_more_are_forgotten(archive: Archive) -> None:
    message_id = posted(archive)
    with archive.database.transaction() as tx:
        tx.execute("UPDATE message SET until_at = now() - interval '2 hours'")
    assert archive.messages.sweep() == 1
    found = archive.messages.one(archive.who, message_id)
    assert (found.state, found.cause) == (State.DEAD, "expired")
    assert archive.messages.sweep() == 0


def test_a_number_is_masked_but_for_its_end(archive: Archive) -> None:
    with archive.database.transaction() as tx:
        archive.messages.post(tx, to=phone("+49 30 1234567"), template="test", values={})
    assert archive.messages.listed(archive.who)[0].masked == "…67"
