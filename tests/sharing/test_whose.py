"""Whose a study is decides whether it is shared: moved, parted or in doubt, nobody is let in."""

from __future__ import annotations

import dataclasses
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests import factories
from tests.archive import Archive, open_archive
from tests.sharing.conftest import Desk, study
from vna.blobs.journal import Journal
from vna.db.pool import Database
from vna.errors import Conflict
from vna.operate.corrections import CORRECT
from vna.sharing import granting
from vna.sharing.offers import Offers, Prepared
from vna.sharing.values import Guest

WHY = "Wrong worklist entry"


@pytest.fixture
def desk(own_desk: Desk) -> Desk:
    """Each of these changes the catalogue."""
    return own_desk


def states(desk: Desk) -> list[str]:
    return [state for (state,) in desk.rows("SELECT state FROM share ORDER BY share_id")]


def test_a_study_that_is_moved_is_shared_no_more(desk: Desk) -> None:
    desk.offer()
    session, _ = desk.proven()
    move(desk)
    desk.a_second_later()
    assert states(desk) == ["suspended"]
    assert not isinstance(desk.engine.resume(session), Guest)


def test_what_is_shared_while_a_study_is_moved_is_suspended(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After what was shared was suspended, before the move has taken effect."""

    def append(journal: Journal, op: str, *given: Any) -> bytes:
        if op == CORRECT:
            desk.offer()
        return usual(journal, op, *given)

    usual = Journal.append
    monkeypatch.setattr(Journal, "append", append)
    move(desk)
    assert states(desk) == ["suspended"]


def test_what_was_looked_at_before_a_study_was_moved_is_not_shared(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(offers: Offers, *given: Any) -> Prepared:
        found = usual(offers, *given)
        move(desk)
        return found

    usual = Offers.prepare
    monkeypatch.setattr(Offers, "prepare", prepare)
    with pytest.raises(Conflict, match="meanwhile"):
        desk.offer()
    assert states(desk) == []


def test_a_move_waits_for_what_is_just_being_shared_and_suspends_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving: list[Future[None]] = []

    def add(*given: Any, **more: Any) -> None:
        moving.append(pool.submit(move, desk, elsewhere))
        while not moving[0].done() and not waits(desk):
            pass
        usual(*given, **more)

    usual = granting.add
    monkeypatch.setattr(granting, "add", add)
    here = desk.archive
    others = Database(here.database.dsn, schema=here.database.schema, connections=10)
    with (
        open_archive(here.settings.data, others) as elsewhere,
        ThreadPoolExecutor(1) as pool,
    ):
        desk.offer()
        moving[0].result()
    others.close()
    assert states(desk) == ["suspended"]


def move(desk: Desk, archive: Archive | None = None) -> None:
    """Find the shared study to be another patient's, in this process or in another one."""
    archive = archive or desk.archive
    moved = {"PatientName": "Other^One"}
    of = study(desk.made[0]).study
    archive.corrections.move(archive.who, of, patient_id="P-9", more=moved, reason=WHY)


def waits(desk: Desk) -> bool:
    """Whether some transaction waits for another's lock."""
    (found,) = desk.rows(
        "SELECT EXISTS (SELECT FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database())"
    )
    return bool(found[0])


def test_a_name_that_is_corrected_changes_nothing_for_who_was_let_in(desk: Desk) -> None:
    desk.offer()
    session, _ = desk.proven()
    archive = desk.archive
    name = {"PatientName": "Right^Name"}
    archive.corrections.correct(archive.who, study(desk.made[0]).study, name, reason=WHY)
    desk.a_second_later()
    assert isinstance(desk.engine.resume(session), Guest)


def test_an_undoing_of_a_move_suspends_what_was_shared_meanwhile(desk: Desk) -> None:
    archive = desk.archive
    moved = archive.corrections.correct(
        archive.who, study(desk.made[0]).study, {"PatientID": "P-9"}, reason=WHY
    )
    desk.offer()
    archive.corrections.undo(archive.who, moved.id, reason=WHY)
    assert states(desk) == ["suspended"]


def test_an_id_given_to_two_is_not_shared_before_somebody_has_looked(desk: Desk) -> None:
    archive = desk.archive
    other = dataclasses.replace(
        factories.ct(7), patient_name="Smith^Anna", values={"PatientBirthDate": "19900101"}
    )
    archive.take(other.part10())
    archive.identities.keep_up()
    shared = {"studies": frozenset({study(other)})}
    with pytest.raises(Conflict, match="settled"):
        desk.offer(**shared)
    desk.offer()  # of the one who had the id first
    (waiting,) = archive.identities.views.worklist(archive.who)
    archive.identities.part(archive.who, waiting.first.id, waiting.second.id, reason=WHY)
    desk.offer(**shared)
    assert states(desk) == ["sent", "sent"]


def test_what_was_shared_while_two_were_one_is_suspended_when_they_part(desk: Desk) -> None:
    archive = desk.archive
    archive.take(factories.ct(7, patient_id="P-7", patient_name="Roe^Rita").part10())
    archive.identities.keep_up()
    issuer = archive.settings.site.issuer
    (one,) = archive.identities.views.named(archive.who, issuer, "P-0001")
    (other,) = archive.identities.views.named(archive.who, issuer, "P-7")
    archive.join(one.id, other.id)
    desk.offer()
    archive.identities.part(archive.who, one.id, other.id, reason=WHY)
    assert states(desk) == ["suspended"]
