"""Whose a study is decides whether it is shared: moved, parted or in doubt, nobody is let in."""

from __future__ import annotations

import dataclasses

import pytest

from tests import factories
from tests.sharing.conftest import Desk, study
from vna.errors import Conflict
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
    archive = desk.archive
    moved = {"PatientName": "Other^One"}
    archive.corrections.move(
        archive.who, study(desk.made[0]).study, patient_id="P-9", more=moved, reason=WHY
    )
    desk.a_second_later()
    assert states(desk) == ["suspended"]
    assert not isinstance(desk.engine.resume(session), Guest)


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
