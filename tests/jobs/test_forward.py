"""A study is sent to a remote AE: each instance has its state, and nothing is sent in vain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydicom import dcmread

from tests.archive import Archive
from tests.dimse import test_lying_peers as lying
from tests.dimse.edge import Edge
from tests.dimse.holding import datasets, fill, of_every_syntax
from tests.dimse.shelf import STORED, Shelf, refused
from tests.dimse.shelf import served as shelved
from tests.dimse.test_move_scp import storescp
from tests.factories import IMPLICIT, ct
from tests.flows.serving import free_port
from tests.jobs.conftest import WHO, entry, register, states, worker_of
from vna.access import labels as access_labels
from vna.access.principal import Kind, Label, Principal
from vna.access.remotes import Remote
from vna.access.routes import Route
from vna.db.work import State
from vna.dicom.refs import StudyRef, uid
from vna.errors import Conflict, NotFound, NotPermitted
from vna.ingest.outcome import Cause, Outcome
from vna.jobs.board import Board

Serve = Callable[..., Edge]
STUDY = uid(ct(1).study)


def send(board: Board, *, to: str = "DEST", commit: bool = False) -> int:
    return board.send(WHO, STUDY, to, commit=commit)


def shelf_at(
    archive: Archive, serve: Serve, answer: Callable[[], Outcome] = lambda: STORED, **differs: Any
) -> Shelf:
    """Register DEST, a Storage SCP that keeps the bytes it is sent."""
    shelf = Shelf(answer)
    register(archive, "DEST", serve(shelved(ingest=shelf)).port, **differs)
    return shelf


@pytest.mark.parametrize("parallel", [1, 4])
def test_a_study_arrives_bit_for_bit(
    archive: Archive, board: Board, serve: Serve, parallel: int
) -> None:
    made = of_every_syntax()
    fill(archive, *made)
    shelf = shelf_at(archive, serve, parallel=parallel)
    job_id = send(board)
    assert worker_of(archive).do_one()
    assert {t.expected.sop_instance: bytes(t.data) for t in shelf.taken} == datasets(made)
    assert len(shelf.taken) == 12
    assert {t.source.calling_ae for t in shelf.taken} == {"VNA"}
    found, items = board.entry(WHO, job_id)
    assert (found.state, found.done, found.failed, found.attempts) == (State.DONE, 12, 0, 1)
    assert {(item.state, item.status, item.attempts) for item in items} == {("done", 0, 1)}


def test_storescp_gets_a_study(archive: Archive, board: Board) -> None:
    fill(archive, ct(1, 1, 1), ct(1, 1, 2), ct(1, 2, 1))
    folder = archive.settings.data / "out"
    with storescp(folder, "-B") as port:
        register(archive, "DEST", port)
        job_id = send(board)
        worker_of(archive).do_one()
        assert entry(board, job_id).state is State.DONE
    found = {str(dcmread(path).SOPInstanceUID) for path in folder.iterdir()}
    assert found == {ct(1, *numbers).instance for numbers in [(1, 1), (1, 2), (2, 1)]}


def test_it_goes_out_in_what_the_remote_wants(archive: Archive, board: Board, serve: Serve) -> None:
    fill(archive, ct(1))
    shelf = shelf_at(archive, serve, transfer_syntaxes=(IMPLICIT,))
    send(board)
    worker_of(archive).do_one()
    assert [taken.transfer_syntax for taken in shelf.taken] == [IMPLICIT]


def test_a_remote_that_is_away_is_tried_again(archive: Archive, board: Board, serve: Serve) -> None:
    fill(archive, ct(1, 1, 1), ct(1, 1, 2))
    register(archive, "DEST", free_port())
    job_id, worker = send(board), worker_of(archive)
    worker.do_one()
    found = entry(board, job_id)
    assert (found.state, found.done, found.attempts) == (State.WAITING, 0, 1)
    assert found.cause == "2 of 2 instances wait. The remote AE cannot be reached."
    shelf = shelf_at(archive, serve)  # now at another port
    worker.do_one()
    assert (entry(board, job_id).state, entry(board, job_id).attempts) == (State.DONE, 2)
    assert len(shelf.taken) == 2


def test_only_what_was_not_taken_is_sent_again(
    archive: Archive, board: Board, serve: Serve
) -> None:
    fill(archive, *(ct(1, 1, number) for number in range(1, 6)))
    answers = iter([STORED, refused(Cause.OUT_OF_RESOURCES)] + [STORED] * 10)
    shelf = shelf_at(archive, serve, lambda: next(answers))
    job_id, worker = send(board), worker_of(archive)
    worker.do_one()
    assert sorted(states(board, job_id)) == ["done"] * 4 + ["waiting"]
    assert (entry(board, job_id).cause or "").startswith("1 of 5 instances wait.")
    worker.do_one()
    assert entry(board, job_id).state is State.DONE
    sent = [taken.expected.sop_instance for taken in shelf.taken]
    assert len(sent) == 6
    assert sent.count(sent[1]) == 2


def test_what_is_refused_for_good_is_not_sent_again(
    archive: Archive, board: Board, serve: Serve
) -> None:
    fill(archive, ct(1, 1, 1), ct(1, 1, 2))
    answers = iter([refused(Cause.MISMATCH), STORED])
    shelf = shelf_at(archive, serve, lambda: next(answers))
    job_id, worker = send(board), worker_of(archive)
    worker.do_one()
    found, items = board.entry(WHO, job_id)
    assert (found.state, found.done, found.failed) == (State.FAILED, 1, 1)
    assert (found.cause or "").startswith("1 of 2 instances were not taken.")
    assert sorted((item.state, item.status) for item in items) == [
        ("done", 0),
        ("failed", 0xA900),
    ]
    assert not worker.do_one()
    assert len(shelf.taken) == 2


def test_what_was_deleted_meanwhile_has_failed(
    archive: Archive, board: Board, serve: Serve
) -> None:
    fill(archive, ct(1))
    shelf = shelf_at(archive, serve)
    job_id = send(board)
    archive.lifecycle.delete(WHO, StudyRef(STUDY))
    worker_of(archive).do_one()
    found, items = board.entry(WHO, job_id)
    assert found.state is State.FAILED
    assert [item.cause for item in items] == ["It is no longer there."]
    assert shelf.taken == []


def test_what_a_label_withholds_from_aes_no_rule_sends_until_it_is_let_go(
    archive: Archive, board: Board, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_labels, "LOOK_S", -1.0)
    shelf = shelf_at(archive, serve)
    archive.routes.add(WHO, Route(name="all", remote="DEST"))
    archive.labels.put(WHO, STUDY, Label.SENSITIVE, reason="known to all")
    fill(archive, ct(1), ct(2))
    with archive.database.transaction() as tx:
        tx.execute("UPDATE job SET due_at = now()")  # they gather for a while
    while worker_of(archive).do_one():
        pass
    assert {t.expected.sop_instance for t in shelf.taken} == {ct(2).instance}
    kept = next(one for one in board.entries(WHO, state=State.FAILED, most=9))
    items = board.entry(WHO, kept.job_id)[1]
    assert "A label withholds it" in (items[0].cause or "")
    archive.labels.take(WHO, STUDY, Label.SENSITIVE)
    board.retry(WHO, kept.job_id)
    worker_of(archive).do_one()
    assert {t.expected.sop_instance for t in shelf.taken} == {ct(1).instance, ct(2).instance}


def test_it_needs_a_study_and_a_remote_and_the_right_to_ask(archive: Archive, board: Board) -> None:
    with pytest.raises(NotFound, match="remote AE"):
        send(board)
    register(archive, "DEST", 104)
    with pytest.raises(NotFound, match="study"):
        send(board)
    fill(archive, ct(1))
    modality = Principal(kind=Kind.AE, name="CT1", actions=frozenset())
    with pytest.raises(NotPermitted):
        board.send(modality, STUDY, "DEST", commit=False)


def test_a_remote_stays_known_as_long_as_there_is_work_for_it(
    archive: Archive, board: Board, serve: Serve
) -> None:
    fill(archive, ct(1))
    shelf_at(archive, serve)
    send(board)
    with pytest.raises(Conflict, match="vna jobs"):
        archive.remotes.remove(WHO, "DEST")
    worker_of(archive).do_one()
    archive.remotes.remove(WHO, "DEST")


def test_a_forwarding_is_in_the_trail(archive: Archive, board: Board, serve: Serve) -> None:
    fill(archive, ct(1))
    shelf_at(archive, serve)
    send(board)
    worker_of(archive).do_one()
    archive.audit.flush()
    with archive.database.reading() as conn:
        rows = conn.execute(
            "SELECT kind, principal, study, detail->>'to' FROM audit"
            " WHERE kind IN ('job.queued', 'read', 'sent') ORDER BY id"
        ).fetchall()
    assert rows == [
        ("job.queued", "test", STUDY, "DEST"),
        ("read", "test", STUDY, None),
        ("sent", "test", STUDY, "DEST"),
    ]


def test_what_breaks_the_association_keeps_nothing_else_waiting(
    archive: Archive, board: Board, serve: Serve
) -> None:
    made = [ct(1, 1, number) for number in range(1, 9)]
    fill(archive, *made)
    bad = {one.instance for one in made[:4]}
    shelf = shelf_at(archive, serve)

    def breaks() -> Outcome:
        if shelf.taken[-1].expected.sop_instance in bad:
            raise ConnectionAbortedError
        return STORED

    shelf.answer = breaks
    job_id, worker = send(board), worker_of(archive)
    for _ in range(4):
        worker.do_one()
    assert entry(board, job_id).state is State.WAITING
    assert sorted(states(board, job_id)) == ["done"] * 4 + ["waiting"] * 4


@pytest.mark.parametrize("host", ["pacs..example", "x" * 64 + ".example"])
def test_a_remote_of_a_name_nobody_can_have_is_told_as_one_that_is_away(
    archive: Archive, board: Board, host: str
) -> None:
    fill(archive, ct(1))
    archive.remotes.add(WHO, Remote(ae_title="DEST", host=host, port=104))
    job_id = send(board)
    worker_of(archive).do_one()
    found = entry(board, job_id)
    assert found.cause == "1 of 1 instances wait. The remote AE cannot be reached."


def test_what_a_remote_comments_is_noted_whatever_bytes_it_sends(
    archive: Archive, board: Board
) -> None:
    """PS3.7 Annex C: Error Comment is an LO, but some send their whole buffer, NUL and all."""
    fill(archive, ct(1))
    told = lying.STORED | {0x0900: 0xC000, 0x0902: "no\0 \x1b[2Jroom" + "\0\x7f" * 20000}
    with lying.Liar(lambda sock: lying.takes_objects(sock, told)) as port:
        register(archive, "DEST", port)
        job_id = send(board)
        worker_of(archive).do_one()
    (item,) = board.entry(WHO, job_id)[1]
    assert (item.state, item.status, item.cause) == ("failed", 0xC000, "no   [2Jroom")
