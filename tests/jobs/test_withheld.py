"""A sending under way stops at the next instance once its study may not go out any more."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from tests.archive import Archive
from tests.dimse.edge import Edge
from tests.dimse.holding import fill
from tests.dimse.shelf import STORED, Shelf
from tests.dimse.shelf import served as shelved
from tests.factories import ct
from tests.jobs.conftest import WHO, register, worker_of
from vna.access import labels
from vna.access.principal import Label
from vna.access.routes import Route
from vna.db.work import State
from vna.dicom.refs import StudyRef, uid
from vna.ingest.outcome import Outcome
from vna.jobs import reading
from vna.jobs.board import Board
from vna.retrieve import retrieval

Serve = Callable[..., Edge]
Happens = Callable[[Archive], object]

STUDY = uid(ct(1).study)
HELD = [ct(1, 1, number) for number in range(1, 7)]
TAKEN_AWAY = "The instance was taken away while others were sent."


@pytest.fixture(autouse=True)
def looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is half a second old at most is always new here."""
    for module in (labels, reading, retrieval):
        monkeypatch.setattr(module, "LOOK_S", -1.0)


def labelled(label: Label, days: int | None = None) -> Happens:
    def put(archive: Archive) -> None:
        until = None if days is None else dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        archive.labels.put(WHO, STUDY, label, reason="a test", until=until)

    return put


def deleted(archive: Archive) -> None:
    archive.lifecycle.delete(WHO, StudyRef(STUDY))


HAPPENS: dict[str, tuple[Happens, str]] = {
    "sensitive": (labelled(Label.SENSITIVE), reading.WITHHELD),
    "embargoed": (labelled(Label.EMBARGOED, 3), reading.WITHHELD),
    "disputed": (labelled(Label.DISPUTED), reading.WITHHELD),
    "deleted": (deleted, TAKEN_AWAY),
}


def shelf_at(archive: Archive, serve: Serve, after: int, happens: Happens) -> Shelf:
    """Register DEST, where something happens while one instance is taken in."""

    def answer() -> Outcome:
        if len(shelf.taken) == after:
            happens(archive)
        return STORED

    shelf = Shelf(answer)
    register(archive, "DEST", serve(shelved(ingest=shelf)).port)
    return shelf


def by_hand(archive: Archive, board: Board) -> int:
    fill(archive, *HELD)
    return board.send(WHO, STUDY, "DEST", commit=False)


def by_rule(archive: Archive, board: Board) -> int:
    archive.routes.add(WHO, Route(name="all", remote="DEST"))
    fill(archive, *HELD)
    (job,) = board.entries(WHO, state=None, most=10)
    board.retry(WHO, job.job_id)  # it gathers for a while
    return job.job_id


@pytest.mark.parametrize(
    ("asked", "what"),
    [*((by_hand, what) for what in HAPPENS), (by_rule, "sensitive"), (by_rule, "deleted")],
)
def test_what_is_withheld_or_gone_meanwhile_stops_going_out(
    archive: Archive,
    board: Board,
    serve: Serve,
    asked: Callable[[Archive, Board], int],
    what: str,
) -> None:
    happens, cause = HAPPENS[what]
    shelf = shelf_at(archive, serve, 2, happens)
    job_id = asked(archive, board)
    worker_of(archive).do_one()
    found, items = board.entry(WHO, job_id)
    assert len(shelf.taken) == 2
    assert [item.state for item in items].count("done") == 2
    assert {item.cause for item in items if item.state == "failed"} == {cause}
    assert found.state is State.FAILED
    assert found.cause == f"4 of 6 instances were not taken. {cause}"


def test_what_aes_are_cleared_for_a_rule_goes_on_with(
    archive: Archive, board: Board, serve: Serve
) -> None:
    shelf = shelf_at(archive, serve, 2, labelled(Label.DISPUTED))
    job_id = by_rule(archive, board)
    worker_of(archive).do_one()
    assert (board.entry(WHO, job_id)[0].state, len(shelf.taken)) == (State.DONE, 6)


def test_it_goes_on_once_the_label_is_gone_and_not_before(
    archive: Archive, board: Board, serve: Serve
) -> None:
    shelf = shelf_at(archive, serve, 2, labelled(Label.SENSITIVE))
    job_id = by_hand(archive, board)
    worker = worker_of(archive)
    worker.do_one()
    board.retry(WHO, job_id)
    worker.do_one()
    assert (board.entry(WHO, job_id)[0].state, len(shelf.taken)) == (State.FAILED, 2)
    archive.labels.take(WHO, STUDY, Label.SENSITIVE)
    board.retry(WHO, job_id)
    worker.do_one()
    assert board.entry(WHO, job_id)[0].state is State.DONE
    assert {t.expected.sop_instance for t in shelf.taken} == {one.instance for one in HELD}


def test_what_somebody_asks_for_who_sees_its_label_goes_out(
    archive: Archive, board: Board, serve: Serve
) -> None:
    labelled(Label.SENSITIVE)(archive)
    shelf = shelf_at(archive, serve, 0, lambda _: None)
    job_id = by_hand(archive, board)
    worker_of(archive).do_one()
    assert (board.entry(WHO, job_id)[0].state, len(shelf.taken)) == (State.DONE, 6)


def test_one_instance_that_is_deleted_keeps_no_other(
    archive: Archive, board: Board, serve: Serve
) -> None:
    def delete(archive: Archive) -> None:
        sent = {taken.expected.sop_instance for taken in shelf.taken}
        left = archive.retrieve.instances(WHO, StudyRef(STUDY))
        archive.lifecycle.delete(WHO, next(x.ref for x in left if x.ref.instance not in sent))

    shelf = shelf_at(archive, serve, 2, delete)
    job_id = by_hand(archive, board)
    worker_of(archive).do_one()
    assert sorted(item.state for item in board.entry(WHO, job_id)[1]) == ["done"] * 5 + ["failed"]
    assert len(shelf.taken) == 5
