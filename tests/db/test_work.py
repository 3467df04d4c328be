"""The queue: asked for with the act, claimed by one, held by its lease and epoch, done once more
after whoever held it is gone.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from vna.db import work
from vna.db.bell import Bell
from vna.db.outbox import Subject, enqueue
from vna.db.pool import Database
from vna.db.work import Job, Settled, Standing, State
from vna.errors import Conflict

KIND = "forward"
SUBJECTS = [Subject(sop_class="1.2", instance=f"1.2.{n}", study="1") for n in (1, 2, 3)]


def ask(database: Database, remote: str | None = None, **more: object) -> int:
    with database.transaction() as tx:
        job_id = enqueue(tx, KIND, {"n": 1}, requested_by="test", remote=remote, **more)  # type: ignore[arg-type]
    assert job_id is not None
    return job_id


def take(database: Database, node: str = "here", lease_s: float = 60.0) -> Job | None:
    with database.transaction() as tx:
        return work.claim(tx, [KIND], node, lease_s=lease_s)


def taken(database: Database, node: str = "here", lease_s: float = 60.0) -> Job:
    job = take(database, node, lease_s)
    assert job is not None
    return job


def state(database: Database, job_id: int) -> str:
    with database.reading() as conn:
        row = conn.execute("SELECT state FROM job WHERE job_id = %s", (job_id,)).fetchone()
    assert row is not None
    return str(row[0])


def hold(database: Database, job: Job) -> Standing:
    with database.transaction() as tx:
        return work.hold(tx, job)


def test_a_job_is_undone_with_the_act_that_asked_for_it(database: Database) -> None:
    def fail() -> None:
        with database.transaction() as tx:
            enqueue(tx, KIND, {}, requested_by="test")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert take(database) is None


def test_a_job_is_claimed_with_all_that_was_said(database: Database) -> None:
    job_id = ask(database, "PACS", token="1.2.3", subjects=SUBJECTS)
    job = taken(database)
    assert (job.job_id, job.kind, job.remote, job.token) == (job_id, KIND, "PACS", "1.2.3")
    assert (job.payload, job.requested_by, job.attempts, job.epoch) == ({"n": 1}, "test", 1, 1)
    with database.reading() as conn:
        items = work.items(conn, job_id)
    assert [(i.number, i.instance, i.study, i.state) for i in items] == [
        (1, "1.2.1", "1", "waiting"),
        (2, "1.2.2", "1", "waiting"),
        (3, "1.2.3", "1", "waiting"),
    ]


def test_other_kinds_are_left_alone(database: Database) -> None:
    ask(database)
    with database.transaction() as tx:
        assert work.claim(tx, ["other"], "here", lease_s=60) is None


def test_many_claim_each_job_once(database: Database) -> None:
    jobs = {ask(database) for _ in range(40)}
    with ThreadPoolExecutor(4) as pool:
        found = [job.job_id for job in pool.map(lambda _: take(database), range(50)) if job]
    assert sorted(found) == sorted(jobs)


def test_a_remote_is_called_for_one_job_of_a_kind_at_a_time(database: Database) -> None:
    first, _, third = ask(database, "A"), ask(database, "A"), ask(database, "B")
    assert taken(database).job_id == first
    assert taken(database).job_id == third
    assert take(database) is None


def test_what_was_left_behind_is_taken_by_its_kind_and_one_of_a_remote_at_a_time(
    database: Database,
) -> None:
    first, _ = ask(database, "A"), ask(database, "A")
    with database.transaction() as tx:
        tx.execute(
            "UPDATE job SET state = 'running', epoch = 1, leased_until = now() - interval '1 s'"
        )
        assert work.claim(tx, ["other"], "here", lease_s=60) is None
    assert taken(database).job_id == first
    assert take(database) is None


def test_what_is_held_is_looked_for_when_its_lease_ends(database: Database) -> None:
    ask(database)
    taken(database, lease_s=60)
    with database.reading() as conn:
        due_s = work.next_due_s(conn, [KIND])
        assert work.next_due_s(conn, ["other"]) is None
    assert due_s is not None
    assert 0 < due_s <= 60


def test_a_token_names_one_job_of_a_remote(database: Database) -> None:
    job_id = ask(database, "A", token="1")
    with database.transaction() as tx:
        assert enqueue(tx, KIND, {}, requested_by="test", remote="A", token="1") is None
        assert work.find_named(tx, KIND, "A", "1") == job_id
        assert work.find_named(tx, KIND, "B", "1") is None
        assert enqueue(tx, KIND, {}, requested_by="test", remote="B", token="1") is not None


def test_a_job_claimed_at_birth_is_nobody_elses_until_its_time_is_over(database: Database) -> None:
    job_id = ask(database, held_s=60.0)
    assert take(database) is None
    with database.transaction() as tx:
        tx.execute("UPDATE job SET leased_until = now() - interval '1 s'")
    job = taken(database)
    assert (job.job_id, job.epoch) == (job_id, 2)


def test_whoever_lost_its_lease_can_write_nothing_more(database: Database) -> None:
    ask(database, subjects=SUBJECTS)
    old = taken(database, lease_s=0.0)
    new = taken(database)
    assert (old.job_id, old.epoch, new.epoch) == (new.job_id, 1, 2)
    with database.transaction() as tx:
        assert work.settle(tx, old, [Settled(1, "done", 0)]) is Standing.LOST
        assert not work.finish(tx, old, State.DONE)
        assert not work.put_off(tx, old, 1.0)
        assert not work.name(tx, old, "1.2")
        assert work.beat(tx, [old], lease_s=60) == {old.job_id: Standing.LOST}
        assert work.beat(tx, [old, new], lease_s=60) == {new.job_id: Standing.HELD}
        assert {item.state for item in work.items(tx, new.job_id)} == {"waiting"}
    assert state(database, new.job_id) == "running"


def test_a_beat_keeps_a_claim(database: Database) -> None:
    ask(database)
    job = taken(database, lease_s=0.0)
    with database.transaction() as tx:
        assert work.beat(tx, [job], lease_s=60.0) == {job.job_id: Standing.HELD}
    assert take(database) is None


def test_instances_are_settled_one_by_one(database: Database) -> None:
    ask(database, subjects=SUBJECTS)
    job = taken(database)
    with database.transaction() as tx:
        went = [Settled(1, "done", 0), Settled(3, "failed", 0xA900, "Not taken.")]
        assert work.settle(tx, job, went) is Standing.HELD
        found = [(i.state, i.status, i.cause, i.attempts) for i in work.items(tx, job.job_id)]
    assert found == [
        ("done", 0, None, 1),
        ("waiting", None, None, 0),
        ("failed", 0xA900, "Not taken.", 1),
    ]


def test_what_is_put_off_comes_back_when_it_is_due(database: Database) -> None:
    ask(database)
    job = taken(database)
    with database.transaction() as tx:
        assert work.put_off(tx, job, 3600.0, "Away.")
    assert take(database) is None
    with database.reading() as conn:
        due_s = work.next_due_s(conn, [KIND])
    assert due_s is not None
    assert 3590 < due_s <= 3600
    with database.transaction() as tx:
        tx.execute("UPDATE job SET due_at = now()")
    again = taken(database)
    assert (again.attempts, again.epoch) == (2, 2)


def test_an_attempt_that_was_not_one_is_not_counted(database: Database) -> None:
    ask(database)
    with database.transaction() as tx:
        job = work.claim(tx, [KIND], "here", lease_s=60)
        assert job is not None
        work.put_off(tx, job, 0.0, counts=False)
    assert taken(database).attempts == 1


def test_what_ended_is_over(database: Database) -> None:
    for end in (State.DONE, State.FAILED, State.CANCELLED):
        job_id = ask(database)
        job = taken(database)
        with database.transaction() as tx:
            assert work.finish(tx, job, end, "Because.")
        assert state(database, job_id) == end.value
        assert hold(database, job) is Standing.LOST
    assert take(database) is None


def test_a_place_that_starts_anew_has_its_jobs_back(database: Database) -> None:
    mine, other = ask(database), ask(database)
    assert taken(database, "here").job_id == mine
    assert taken(database, "there").job_id == other
    with database.transaction() as tx:
        assert work.free(tx, "here") == 1
    assert taken(database, "here").job_id == mine
    assert take(database) is None


def test_one_asked_for_by_its_token_is_taken_from_whoever_has_it(database: Database) -> None:
    ask(database, "A", token="1")
    old = taken(database)
    with database.transaction() as tx:
        job = work.claim_named(tx, KIND, "A", "1", lease_s=60)
        assert job is not None
        assert work.claim_named(tx, KIND, "B", "1", lease_s=60) is None
        assert work.finish(tx, job, State.DONE)
        assert work.claim_named(tx, KIND, "A", "1", lease_s=60) is None
        assert work.is_named(tx, KIND, "A", "1")
    assert hold(database, old) is Standing.LOST


def test_nobody_takes_a_job_over_from_who_is_writing_of_it(database: Database) -> None:
    ask(database, "A", token="1")
    job = taken(database)
    with database.transaction() as tx:
        assert work.hold(tx, job) is Standing.HELD
        with database.transaction() as other:
            other.execute("SET LOCAL lock_timeout = '50ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                work.claim_named(other, KIND, "A", "1", lease_s=60)
        assert work.finish(tx, job, State.DONE)


def test_what_ended_long_ago_is_forgotten(database: Database) -> None:
    job_id = ask(database, subjects=SUBJECTS)
    job = taken(database)
    with database.transaction() as tx:
        work.finish(tx, job, State.DONE)
        assert work.prune(tx, 60.0, most=9) == 0
        tx.execute("UPDATE job SET finished_at = now() - interval '2 min'")
        assert work.prune(tx, 60.0, most=9) == 1
        assert work.items(tx, job_id) == []


def test_what_ended_long_ago_is_forgotten_some_at_a_time_the_oldest_first(
    database: Database,
) -> None:
    """All of a bulk migration at once takes longer than a statement may: then nothing goes."""
    for _ in range(3):
        ask(database)
    with database.transaction() as tx:
        tx.execute("UPDATE job SET state = 'done', finished_at = now() - job_id * interval '1 h'")
        assert work.prune(tx, 60.0, most=2) == 2
        (left,) = tx.execute(
            "SELECT count(*) FROM job WHERE now() - finished_at < '2 h'"
        ).fetchall()
        assert left == (1,)
        assert work.prune(tx, 60.0, most=2) == 1


@pytest.mark.parametrize(
    "change",
    [
        "state = 'resting'",
        "state = 'running'",
        "state = 'done'",
        "finished_at = now()",
        "leased_until = now()",
        "attempts = -1",
        "token = '1'",
        "kind = 'Two words'",
    ],
)
def test_the_table_holds_no_nonsense(database: Database, change: str) -> None:
    ask(database)
    with pytest.raises(Conflict), database.transaction() as tx:
        tx.execute(f"UPDATE job SET {change}")  # type: ignore[call-overload] # noqa: S608 -- of our own


class Ringing:
    """A bell, and whoever waits at it in a thread."""

    def __init__(self, dsn: str) -> None:
        self.bell = Bell(dsn, "vna_jobs")
        self.inside, self.outside = socket.socketpair()

    def wait(self, seconds: float) -> float:
        begun = time.monotonic()
        self.bell.wait(seconds, stop_fd=self.inside.fileno())
        return time.monotonic() - begun


@pytest.fixture
def ringing(database: Database) -> Iterator[Ringing]:
    ringing = Ringing(database.dsn)
    yield ringing
    ringing.bell.close()
    ringing.inside.close()
    ringing.outside.close()


def soon(ringing: Ringing, act: Callable[[], object]) -> None:
    """Act while somebody waits; the wait must end long before its time."""
    ringing.wait(0.0)  # hangs it
    timer = threading.Timer(0.1, act)
    timer.start()
    assert ringing.wait(60.0) < 30
    timer.join()


def test_the_bell_is_rung_by_whoever_asks_for_work(database: Database, ringing: Ringing) -> None:
    soon(ringing, lambda: ask(database))


def test_the_bell_is_rung_when_a_remote_is_free_again(database: Database, ringing: Ringing) -> None:
    ask(database, "A")
    job = taken(database)

    def end() -> None:
        with database.transaction() as tx:
            work.finish(tx, job, State.DONE)

    soon(ringing, end)


def test_who_waits_can_be_told_to_stop(ringing: Ringing) -> None:
    soon(ringing, lambda: ringing.outside.send(b"s"))


def test_who_waits_without_a_bell_looks_again_soon(
    database: Database, ringing: Ringing, postgres_admin: psycopg.Connection[tuple[object, ...]]
) -> None:
    def cut() -> None:
        postgres_admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE query LIKE 'LISTEN%%'"
        )

    soon(ringing, cut)
    soon(ringing, lambda: ask(database))
