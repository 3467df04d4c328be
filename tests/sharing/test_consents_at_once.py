"""What a person says, and what rests on it, at the same moment: one of the two sees the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.archive import Archive, open_archive
from tests.sharing.conftest import CLERK, Desk, in_days
from tests.sharing.test_consents import consent
from tests.together import Begin, together
from vna.db.pool import Database
from vna.errors import Conflict
from vna.index import corrections
from vna.sharing import granting, renewals
from vna.sharing.rooms import Rooms

YES = consent(modalities=frozenset({"CT", "MR"}))
NO = consent(allowed=False)


@pytest.fixture
def elsewhere(desk: Desk) -> Iterator[Archive]:
    """The same archive in another process, as far as connections go."""
    here = desk.archive
    others = Database(here.database.dsn, schema=here.database.schema, connections=10)
    with open_archive(here.settings.data, others) as archive:
        yield archive
    others.close()


@pytest.fixture
def meanwhile(elsewhere: Archive, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    with together(elsewhere.database, monkeypatch) as begin:
        yield begin


def states(desk: Desk) -> list[str]:
    return [row[0] for row in desk.rows("SELECT state FROM share ORDER BY share_id")]


def suspended(desk: Desk) -> tuple[int, int]:
    """Share something by a consent, and suspend it; give the numbers of both."""
    yes = desk.engine.consents.record(CLERK, YES)
    offered = desk.offer(consent_id=yes, legal_basis=None)
    (one,) = desk.offer_of().studies
    desk.engine.suspend_study(CLERK, one, "looked at")
    return yes, offered.share_id


def test_a_no_that_is_said_while_something_is_shared_suspends_it(
    desk: Desk, elsewhere: Archive, meanwhile: Begin
) -> None:
    yes = desk.engine.consents.record(CLERK, YES)
    said = meanwhile(granting, "add", lambda: elsewhere.sharing.consents.record(CLERK, NO))
    desk.offer(consent_id=yes, legal_basis=None)
    assert said.result() > yes
    assert states(desk) == ["suspended"]


def test_what_is_shared_while_a_no_is_being_recorded_is_refused(
    desk: Desk, elsewhere: Archive, meanwhile: Begin
) -> None:
    yes = desk.engine.consents.record(CLERK, YES)
    offer = desk.offer_of(consent_id=yes, legal_basis=None)
    shared = meanwhile(Rooms, "tell", lambda: elsewhere.sharing.offer(CLERK, offer))
    desk.engine.consents.record(CLERK, NO)
    with pytest.raises(Conflict):
        shared.result()
    assert states(desk) == []


def test_a_share_that_is_let_go_on_while_a_no_is_said_does_not_go_on(
    desk: Desk, elsewhere: Archive, meanwhile: Begin
) -> None:
    _, share_id = suspended(desk)
    said = meanwhile(Rooms, "tell", lambda: elsewhere.sharing.consents.record(CLERK, NO))
    desk.engine.reinstate(CLERK, share_id)
    said.result()
    assert states(desk) == ["suspended"]


def test_a_share_that_is_let_go_on_while_its_consent_is_withdrawn_does_not_go_on(
    desk: Desk, elsewhere: Archive, meanwhile: Begin
) -> None:
    yes, share_id = suspended(desk)
    gone = meanwhile(Rooms, "tell", lambda: elsewhere.sharing.consents.withdraw(CLERK, yes))
    desk.engine.reinstate(CLERK, share_id)
    gone.result()
    assert states(desk) == ["suspended"]


def test_a_no_and_a_share_that_is_extended_wait_for_each_other_and_both_come_to_an_end(
    desk: Desk, elsewhere: Archive, meanwhile: Begin
) -> None:
    """The one holds the person and wants the share, the other the other way round."""
    yes = desk.engine.consents.record(CLERK, YES)
    offered = desk.offer(consent_id=yes, legal_basis=None)
    said = meanwhile(
        renewals, "require_not_refused", lambda: elsewhere.sharing.consents.record(CLERK, NO)
    )
    with contextlib.suppress(Conflict):  # whichever of the two was to begin anew
        desk.engine.extend(CLERK, offered.share_id, in_days(60))
    said.result()
    assert states(desk) == ["suspended"]


@pytest.mark.parametrize("first", [True, False])
def test_of_a_yes_and_a_no_at_once_the_later_one_stands_alone(
    desk: Desk, elsewhere: Archive, meanwhile: Begin, *, first: bool
) -> None:
    later = consent(allowed=not first)
    said = meanwhile(Rooms, "tell", lambda: elsewhere.sharing.consents.record(CLERK, later))
    desk.engine.consents.record(CLERK, consent(allowed=first))
    said.result()
    (last, *before) = desk.engine.consents.of_person(CLERK, "LOCAL", "P-0001")
    assert (last.allowed, last.state) == (not first, "active")
    assert [(one.allowed, one.state) for one in before] == [(first, "superseded")]


def test_what_is_sent_twice_at_once_is_recorded_once(
    desk: Desk, elsewhere: Archive, meanwhile: Begin
) -> None:
    again = meanwhile(
        Rooms, "tell", lambda: elsewhere.sharing.consents.record(CLERK, consent(), after=0)
    )
    desk.engine.consents.record(CLERK, consent(), after=0)
    with pytest.raises(Conflict, match="since you opened"):
        again.result()
    assert desk.rows("SELECT count(*) FROM consent") == [(1,)]


def test_a_no_counts_for_an_offer_that_was_begun_before_it(
    desk: Desk, elsewhere: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of a transaction is that of its beginning; the person spoke after it."""
    yes = desk.engine.consents.record(CLERK, YES)
    usual = corrections.hold_off

    def held(*given: Any) -> None:
        usual(*given)
        elsewhere.sharing.consents.record(CLERK, NO)

    monkeypatch.setattr(corrections, "hold_off", held)
    with pytest.raises(Conflict):
        desk.offer(consent_id=yes, legal_basis=None)
    assert states(desk) == []
