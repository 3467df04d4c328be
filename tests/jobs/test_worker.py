"""The worker: what handlers answer is what becomes of their jobs, and it stops gently."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.archive import Archive
from tests.dimse.edge import wait_for
from tests.jobs.conftest import WHO, entry, states, worker_of
from vna.access.principal import Kind, Principal
from vna.db import work
from vna.db.outbox import Subject, enqueue
from vna.db.pool import Connection
from vna.db.work import Job, Settled, State
from vna.errors import Conflict, NotFound, NotPermitted, Unavailable
from vna.jobs import worker as worker_module
from vna.jobs.board import Board
from vna.jobs.task import DONE, LEFT, Ending, How, Task
from vna.jobs.worker import Worker

KIND = "forward"
SUBJECTS = [Subject(sop_class="1.2", instance=f"1.2.{n}", study="1") for n in (1, 2, 3)]


def ask(archive: Archive, remote: str | None = None, kind: str = KIND) -> int:
    with archive.database.transaction() as tx:
        job_id = enqueue(tx, kind, {}, requested_by="test", remote=remote, subjects=SUBJECTS)
    assert job_id is not None
    return job_id


@contextmanager
def running(worker: Worker) -> Iterator[None]:
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join(30)
        assert not thread.is_alive()


def raising(error: Exception) -> Callable[[Task], Ending]:
    def handler(task: Task) -> Ending:
        raise error

    return handler


@pytest.mark.parametrize(
    ("handler", "state", "cause"),
    [
        (lambda task: DONE, State.DONE, None),
        (lambda task: Ending(how=How.FAILED, cause="No."), State.FAILED, "No."),
        (lambda task: Ending(how=How.LATER, cause="Not now."), State.WAITING, "Not now."),
        (lambda task: LEFT, State.WAITING, LEFT.cause),
        (raising(Unavailable("Away.")), State.WAITING, "Away."),
        (raising(NotFound("Gone.")), State.FAILED, "Gone."),
        (raising(ZeroDivisionError()), State.WAITING, None),
    ],
    ids=["done", "failed", "later", "left", "unavailable", "refused", "fault"],
)
def test_what_a_handler_answers_is_what_becomes_of_the_job(
    archive: Archive,
    board: Board,
    handler: Callable[[Task], Ending],
    state: State,
    cause: str | None,
) -> None:
    job_id = ask(archive)
    assert worker_of(archive, {KIND: handler}).do_one()
    found = entry(board, job_id)
    assert found.state is state
    assert found.cause == (cause or found.cause)
    assert "ZeroDivisionError" not in (found.cause or "")


def test_there_is_nothing_to_do_without_a_job(archive: Archive) -> None:
    assert not worker_of(archive, {KIND: lambda task: DONE}).do_one()


def test_only_attempts_that_were_made_count(archive: Archive, board: Board) -> None:
    job_id = ask(archive)
    endings = iter([LEFT, LEFT, Ending(how=How.LATER), Ending(how=How.LATER), DONE])
    worker = worker_of(archive, {KIND: lambda task: next(endings)})
    for _ in range(5):
        assert worker.do_one()
    found = entry(board, job_id)
    assert (found.state, found.attempts) == (State.DONE, 3)


def test_a_job_tried_for_too_long_has_failed(archive: Archive, board: Board) -> None:
    job_id = ask(archive)
    with archive.database.transaction() as tx:
        tx.execute("UPDATE job SET asked_at = now() - interval '4 days'")
    worker = worker_of(archive, {KIND: raising(Unavailable("Away."))})
    assert worker.do_one()
    assert (entry(board, job_id).state, entry(board, job_id).cause) == (State.FAILED, "Away.")
    board.retry(WHO, job_id)  # counts from then on
    assert worker.do_one()
    assert entry(board, job_id).state is State.WAITING


def test_what_follows_is_asked_for_with_the_end(archive: Archive, board: Board) -> None:
    first = ask(archive)

    def handler(task: Task) -> Ending:
        return Ending(
            how=How.DONE,
            follow=lambda tx: enqueue(tx, "next", {}, requested_by="test") and None,
        )

    worker_of(archive, {KIND: handler}).do_one()
    listed = board.entries(WHO, state=None, most=10)
    assert [(one.kind, one.state) for one in listed] == [
        ("next", State.WAITING),
        (KIND, State.DONE),
    ]
    assert listed[1].job_id == first


def test_an_end_that_cannot_be_written_down_ends_no_worker(archive: Archive, board: Board) -> None:
    """Each hand that took such a job was gone, and with the last nothing was done any more."""

    def follow(tx: Connection) -> None:
        raise ZeroDivisionError

    done = threading.Event()

    def other(task: Task) -> Ending:
        done.set()
        return DONE

    bad = ask(archive)
    worker = worker_of(
        archive, {KIND: lambda task: Ending(how=How.DONE, follow=follow), "other": other}
    )
    with running(worker):
        wait_for(lambda: entry(board, bad).attempts >= 3)  # there are two hands
        assert entry(board, bad).state is not State.DONE
        ask(archive, kind="other")
        assert done.wait(20)


def test_a_hand_outlives_a_fault_of_ours(
    archive: Archive, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a job is claimed or its end is written down, too."""
    monkeypatch.setattr(worker_module, "_AWAY_S", 0.0)
    claims, left = work.claim, [ZeroDivisionError()] * 2

    def claim(*args: Any, **named: Any) -> Job | None:
        if left:
            raise left.pop()
        return claims(*args, **named)

    monkeypatch.setattr(work, "claim", claim)
    job_id = ask(archive)
    with running(worker_of(archive, {KIND: lambda task: DONE})):
        wait_for(lambda: entry(board, job_id).state is State.DONE, within_s=20)


def test_a_running_worker_begins_when_it_is_asked(archive: Archive, board: Board) -> None:
    done = threading.Semaphore(0)

    def handler(task: Task) -> Ending:
        done.release()
        return DONE

    with running(worker_of(archive, {KIND: handler})):
        for _ in range(20):
            ask(archive)
            assert done.acquire(timeout=20)  # far sooner than it would look by itself
        wait_for(lambda: all(one.state is State.DONE for one in listed(board)))


def listed(board: Board) -> list[object]:
    return list(board.entries(WHO, state=None, most=100))  # type: ignore[return-value]


def test_a_remote_that_is_slow_keeps_only_its_own_waiting(archive: Archive, board: Board) -> None:
    release, begun = threading.Event(), threading.Event()

    def handler(task: Task) -> Ending:
        if task.job.remote == "SLOW":
            begun.set()
            release.wait(30)
        return DONE

    with running(worker_of(archive, {KIND: handler})):
        slow = [ask(archive, "SLOW"), ask(archive, "SLOW")]
        assert begun.wait(20)
        quick = ask(archive, "QUICK")
        wait_for(lambda: entry(board, quick).state is State.DONE)
        assert [entry(board, one).state for one in slow] == [State.RUNNING, State.WAITING]
        release.set()
        wait_for(lambda: all(entry(board, one).state is State.DONE for one in slow))


def test_two_claims_at_the_same_time_take_no_two_jobs_of_one_remote(archive: Archive) -> None:
    first = ask(archive, "SLOW")
    ask(archive, "SLOW")
    quick = ask(archive, "QUICK")

    def claim() -> int | None:
        with archive.database.transaction() as tx:
            job = work.claim(tx, [KIND], "there", lease_s=60)
            return None if job is None else job.job_id

    def is_waited_for() -> bool:
        with archive.database.reading() as conn:
            rows = conn.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            return bool(rows.fetchall())

    with ThreadPoolExecutor(1) as other:
        with archive.database.transaction() as tx:
            held = work.claim(tx, [KIND], "here", lease_s=60)
            assert held is not None
            beside = other.submit(claim)
            wait_for(lambda: beside.done() or is_waited_for())
        assert (held.job_id, beside.result()) == (first, quick)
    assert claim() is None


def test_a_job_is_cancelled_while_it_runs(archive: Archive, board: Board) -> None:
    begun = threading.Event()

    def handler(task: Task) -> Ending:
        begun.set()
        while not task.must_leave:
            task.note([Settled(1, "done", 0)])
        return LEFT

    job_id = ask(archive)
    with running(worker_of(archive, {KIND: handler})):
        assert begun.wait(20)
        assert board.cancel(WHO, job_id) is State.RUNNING
        wait_for(lambda: entry(board, job_id).state is State.CANCELLED)
    assert states(board, job_id) == ["done", "waiting", "waiting"]


def test_a_heartbeat_brings_the_news_to_who_writes_nothing(archive: Archive, board: Board) -> None:
    policy = dataclasses.replace(archive.settings.jobs, lease_s=0.4)
    begun = threading.Event()

    def handler(task: Task) -> Ending:
        begun.set()
        while not task.must_leave:
            begun.wait(0.01)
        return LEFT

    job_id = ask(archive)
    worker = Worker(archive.database, {KIND: handler}, policy, node="here")
    with running(worker):
        assert begun.wait(20)
        board.cancel(WHO, job_id)
        wait_for(lambda: entry(board, job_id).state is State.CANCELLED)


def test_a_worker_that_stops_leaves_its_job_where_it_stands(archive: Archive, board: Board) -> None:
    begun = threading.Event()

    def handler(task: Task) -> Ending:
        task.note([Settled(1, "done", 0)])
        begun.set()
        while not task.must_leave:
            begun.wait(0.01)
        return LEFT

    job_id = ask(archive)
    with running(worker_of(archive, {KIND: handler})):
        assert begun.wait(20)
    found = entry(board, job_id)
    assert (found.state, found.attempts) == (State.WAITING, 0)
    assert states(board, job_id) == ["done", "waiting", "waiting"]
    worker_of(archive, {KIND: lambda task: DONE}).do_one()
    assert entry(board, job_id).state is State.DONE


def test_a_worker_begins_with_what_was_killed_at_its_place(archive: Archive, board: Board) -> None:
    job_id = ask(archive)
    with archive.database.transaction() as tx:
        assert work.claim(tx, [KIND], "here", lease_s=3600) is not None
    with running(worker_of(archive, {KIND: lambda task: DONE}, node="elsewhere")):
        other = ask(archive)
        wait_for(lambda: entry(board, other).state is State.DONE)
    assert entry(board, job_id).state is State.RUNNING
    with running(worker_of(archive, {KIND: lambda task: DONE}, node="here")):
        wait_for(lambda: entry(board, job_id).state is State.DONE)


def test_a_claim_that_was_taken_over_settles_nothing(archive: Archive, board: Board) -> None:
    job_id = ask(archive)

    def handler(task: Task) -> Ending:
        with archive.database.transaction() as tx:
            tx.execute("UPDATE job SET leased_until = now() - interval '1 s'")
        with archive.database.transaction() as tx:
            assert work.claim(tx, [KIND], "there", lease_s=60) is not None
        task.note([Settled(1, "done", 0)])
        assert task.must_leave
        return DONE

    worker_of(archive, {KIND: handler}).do_one()
    assert entry(board, job_id).state is State.RUNNING
    assert states(board, job_id) == ["waiting"] * 3


def test_a_claim_that_was_taken_over_names_nothing_and_asks_nobody(
    archive: Archive, board: Board
) -> None:
    """A remote AE that was asked by both knew the job by a name that nobody waits for."""
    job_id = ask(archive, remote="THERE")
    told: list[bool] = []

    def handler(task: Task) -> Ending:
        with archive.database.transaction() as tx:
            tx.execute("UPDATE job SET leased_until = now() - interval '1 s'")
        with archive.database.transaction() as tx:
            other = work.claim(tx, [KIND], "there", lease_s=60)
            assert other is not None
            assert work.name(tx, other, "2.25.2")
        task.name("2.25.1")
        told.append(task.must_leave)
        return DONE

    worker_of(archive, {KIND: handler}).do_one()
    assert told == [True]
    assert (entry(board, job_id).state, entry(board, job_id).token) == (State.RUNNING, "2.25.2")


def test_a_worker_that_comes_back_ends_no_job_that_another_one_has_ended(
    archive: Archive, board: Board
) -> None:
    """Its lease ran out while it worked; what it found, and what was to follow, is the other's."""
    job_id, followed = ask(archive), list[str]()

    def slow(task: Task) -> Ending:
        with archive.database.transaction() as tx:
            tx.execute("UPDATE job SET leased_until = now() - interval '1 s'")
        quick = worker_of(archive, {KIND: lambda _: Ending(how=How.FAILED, cause="Refused.")})
        assert quick.do_one()
        return Ending(how=How.DONE, follow=lambda tx: followed.append("follow"))

    assert worker_of(archive, {KIND: slow}).do_one()
    assert (entry(board, job_id).state, entry(board, job_id).cause) == (State.FAILED, "Refused.")
    assert followed == []


def test_a_failed_job_begins_anew_when_it_is_told_to(archive: Archive, board: Board) -> None:
    job_id = ask(archive)

    def refuse(task: Task) -> Ending:
        task.note([Settled(1, "done", 0), Settled(2, "failed", 0xA900, "Not taken.")])
        return Ending(how=How.FAILED, cause="1 of 3.")

    other = ask(archive)
    worker = worker_of(archive, {KIND: refuse})
    assert worker.do_one()
    assert worker.do_one()
    assert states(board, job_id) == ["done", "failed", "waiting"]
    board.retry(WHO, job_id)
    assert states(board, other) == ["done", "failed", "waiting"]
    assert (entry(board, job_id).state, entry(board, job_id).attempts) == (State.WAITING, 0)
    assert states(board, job_id) == ["done", "waiting", "waiting"]


def test_what_waits_is_cancelled_at_once_and_can_be_asked_for_again(
    archive: Archive, board: Board
) -> None:
    job_id = ask(archive)
    assert board.cancel(WHO, job_id) is State.CANCELLED
    assert not worker_of(archive, {KIND: lambda task: DONE}).do_one()
    board.retry(WHO, job_id)
    assert worker_of(archive, {KIND: lambda task: DONE}).do_one()
    with pytest.raises(Conflict, match="done"):
        board.retry(WHO, job_id)
    with pytest.raises(Conflict, match="done"):
        board.cancel(WHO, job_id)


def test_there_is_nothing_to_change_in_a_job_that_is_not_there(board: Board) -> None:
    for act in (board.retry, board.cancel, board.entry):
        with pytest.raises(NotFound):
            act(WHO, 4711)


def test_only_who_manages_sees_and_changes_the_queue(archive: Archive, board: Board) -> None:
    job_id = ask(archive)
    guest = Principal(kind=Kind.AE, name="CT1", actions=frozenset())
    for act in (board.retry, board.cancel, board.entry):
        with pytest.raises(NotPermitted):
            act(guest, job_id)
    with pytest.raises(NotPermitted):
        board.entries(guest, state=None, most=1)


def test_what_an_administrator_does_is_in_the_trail(archive: Archive, board: Board) -> None:
    job_id = ask(archive)
    board.cancel(WHO, job_id)
    board.retry(WHO, job_id)
    with archive.database.reading() as conn:
        rows = conn.execute("SELECT kind, detail->>'job' FROM audit ORDER BY id").fetchall()
    assert rows == [("job.cancelled", str(job_id)), ("job.retried", str(job_id))]


def test_more_than_is_forgotten_at_once_is_forgotten_before_the_hour_is_over(
    archive: Archive,
) -> None:
    with archive.database.transaction() as tx:
        tx.execute(
            "INSERT INTO job (kind, requested_by, state, finished_at)"
            " SELECT 'forward', 'x', 'done', now() - interval '99 d' FROM generate_series(1, 250)"
        )

    def left() -> int:
        with archive.database.reading() as conn:
            ((count,),) = conn.execute("SELECT count(*) FROM job").fetchall()
        return int(count)

    with running(worker_of(archive, {})):
        wait_for(lambda: left() == 0)
