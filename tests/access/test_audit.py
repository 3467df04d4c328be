"""The audit trail: in the act's transaction, before the first byte, append-only."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest

from tests.conftest import TestPostgres
from tests.dimse.edge import wait_for
from vna.access import audit as audit_module
from vna.access.audit import Audit, Event
from vna.access.principal import developer, system
from vna.db.pool import Connection, Database
from vna.errors import Unavailable

DEV = developer(address="127.0.0.1")
STORED = Event(
    kind="instance.stored", outcome="stored", study="1.2", series="1.2.3", instance="1.2.3.4"
)


@pytest.fixture
def audit(database: Database) -> Iterator[Audit]:
    audit = Audit(database)
    yield audit
    audit.close()


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The background thread never runs in the time of a test."""
    monkeypatch.setattr(audit_module, "FLUSH_S", 3600.0)


def rows(database: Database, columns: str = "kind, outcome") -> list[tuple[Any, ...]]:
    with database.reading() as conn:
        return conn.execute(f"SELECT {columns} FROM audit ORDER BY id").fetchall()  # noqa: S608 -- columns of our own naming


def test_an_act_is_written_with_its_change(database: Database, audit: Audit) -> None:
    with database.transaction() as tx:
        audit.write(tx, DEV, [STORED, Event(kind="other", outcome="done", detail={"n": 1})])
    columns = "kind, outcome, principal, actor_kind, address, study, series, instance, detail"
    who = ("dev", "developer", "127.0.0.1")
    assert rows(database, columns) == [
        ("instance.stored", "stored", *who, "1.2", "1.2.3", "1.2.3.4", {}),
        ("other", "done", *who, None, None, None, {"n": 1}),
    ]


def test_an_act_is_undone_with_its_change(database: Database, audit: Audit) -> None:
    def fail() -> None:
        with database.transaction() as tx:
            audit.write(tx, DEV, [STORED])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert rows(database) == []


def test_the_acts_of_several_principals_are_written_in_order(
    database: Database, audit: Audit
) -> None:
    acts = [(system(f"job {n}"), STORED) for n in range(50)]
    with database.transaction() as tx:
        audit.write_all(tx, acts)
        audit.write_all(tx, [])
    assert rows(database, "principal") == [(f"job {n}",) for n in range(50)]


def test_the_first_read_is_committed_before_it_goes_on(
    database: Database, audit: Audit, late: None
) -> None:
    audit.read(DEV, "1.2", "frames", count=1, size=100)
    assert rows(database, "kind, outcome, study, detail") == [
        ("read", "first", "1.2", {"what": "frames", "count": 1, "size": 100})
    ]


def test_later_reads_are_added_up(database: Database, audit: Audit, late: None) -> None:
    for _ in range(4):
        audit.read(DEV, "1.2", "frames", count=2, size=100)
    assert len(rows(database)) == 1
    audit.flush()
    assert rows(database, "outcome, detail")[1:] == [
        ("more", {"what": "frames", "count": 6, "size": 300})
    ]
    audit.flush()
    assert len(rows(database)) == 2


@pytest.mark.parametrize(
    "other",
    [
        (system("a job"), "1.2", "frames"),
        (developer(address="127.0.0.2"), "1.2", "frames"),
        (DEV, "1.3", "frames"),
        (DEV, "1.2", "metadata"),
    ],
    ids=["principal", "address", "study", "what"],
)
def test_each_principal_study_and_sort_has_a_first_read(
    database: Database, audit: Audit, late: None, other: tuple[Any, str, str]
) -> None:
    audit.read(DEV, "1.2", "frames", count=1, size=0)
    audit.read(*other, count=1, size=0)
    assert rows(database, "outcome") == [("first",), ("first",)]


def test_reads_of_several_studies_are_written_together(
    database: Database, audit: Audit, late: None
) -> None:
    audit.read(DEV, "1.2", "move", count=1, size=10)
    audit.read_all(DEV, "move", [("1.2", 2, 20), ("1.3", 3, 30), ("1.4", 4, 40)])
    assert rows(database, "outcome, study, detail->>'count'") == [
        ("first", "1.2", "1"),
        ("first", "1.3", "3"),
        ("first", "1.4", "4"),
    ]
    audit.flush()
    assert rows(database, "outcome, study, detail->>'count'")[3:] == [("more", "1.2", "2")]


def test_an_act_that_is_over_is_noted_and_written_in_the_background(
    database: Database, audit: Audit
) -> None:
    audit.note(DEV, Event(kind="sent", outcome="done", study="1.2", detail={"to": "PACS"}))
    audit.flush()
    assert rows(database, "kind, outcome, study, detail->>'to'") == [
        ("sent", "done", "1.2", "PACS")
    ]


def test_a_read_long_after_the_first_is_a_first_one(
    database: Database, audit: Audit, late: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit.read(DEV, "1.2", "frames", count=1, size=0)
    monkeypatch.setattr(audit_module, "AGAIN_S", 0.0)
    audit.read(DEV, "1.2", "frames", count=1, size=0)
    assert rows(database, "outcome") == [("first",), ("first",)]


def test_what_is_remembered_is_bounded(
    database: Database, audit: Audit, late: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "_REMEMBERED", 2)
    for study in ("1.1", "1.2", "1.3", "1.3", "1.1"):
        audit.read(DEV, study, "frames", count=1, size=0)
    assert rows(database, "study") == [("1.1",), ("1.2",), ("1.3",), ("1.1",)]


def test_searches_are_written_in_the_background(
    database: Database, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "FLUSH_S", 0.001)
    with psycopg.connect(database.dsn, autocommit=True) as conn:
        conn.execute(
            f"""CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql
                AS 'BEGIN NOTIFY audited; RETURN NULL; END';
                CREATE TRIGGER tell AFTER INSERT ON {database.schema}.audit EXECUTE FUNCTION tell();
                LISTEN audited"""  # type: ignore[arg-type]  # a schema of our own naming
        )
        audit.asked(DEV, "STUDY", ["PatientName", "StudyDate"], 17)
        assert list(conn.notifies(timeout=30, stop_after=1))
    detail = {"level": "STUDY", "keys": ["PatientName", "StudyDate"], "rows": 17}
    assert rows(database, "kind, principal, detail") == [("query", "dev", detail)]


def test_a_search_carries_the_time_it_was_made(
    database: Database, audit: Audit, late: None
) -> None:
    audit.asked(DEV, "STUDY", [], 0)
    with database.reading() as conn:
        conn.execute("SELECT pg_sleep(0.01)")
    audit.flush()
    with database.reading() as conn:
        assert conn.execute("SELECT at < now() - interval '10 ms' FROM audit").fetchone() == (True,)


def test_closing_writes_what_is_left(database: Database, late: None) -> None:
    audit = Audit(database)
    audit.asked(DEV, "STUDY", [], 0)
    audit.close()
    assert rows(database) == [("query", "done")]


def test_more_than_one_statement_s_worth_is_written(
    database: Database, audit: Audit, late: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "_BATCH", 3)
    for n in range(10):
        audit.asked(DEV, "STUDY", [], n)
    audit.flush()
    assert rows(database, "detail->>'rows'") == [(str(n),) for n in range(10)]


def test_text_postgresql_does_not_hold_blocks_nothing(
    database: Database, audit: Audit, late: None
) -> None:
    audit.asked(developer("A\0E\udc80"), "STUDY", ["key\0\udc80"], 0)
    audit.flush()
    assert rows(database, "principal, detail->'keys'") == [("A\ufffdE?", ["key\ufffd?"])]


def test_a_fault_of_ours_does_not_end_the_writing_in_the_background(
    database: Database,
    audit: Audit,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With its thread gone all reading was refused a moment later, until a restart."""
    monkeypatch.setattr(audit_module, "FLUSH_S", 0.01)
    failed = threading.Event()
    does = audit_module._insert

    def fails(tx: Connection, acts: Sequence[Any]) -> None:
        monkeypatch.setattr(audit_module, "_insert", does)
        failed.set()
        raise ZeroDivisionError

    monkeypatch.setattr(audit_module, "_insert", fails)
    audit.note(DEV, Event(kind="sent", outcome="done", study="1.2"))
    assert failed.wait(30)
    wait_for(lambda: rows(database) == [("sent", "done")], within_s=10)
    (told,) = caplog.records
    assert told.getMessage() == "audit not written"
    assert vars(told)["why"].endswith("ZeroDivisionError")


def test_the_writing_in_the_background_begins_as_soon_as_there_is_a_thread_for_it(
    database: Database, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that had not started counted as there: all reading was refused until a restart."""
    monkeypatch.setattr(audit_module, "FLUSH_S", 0.01)
    monkeypatch.setattr(audit_module, "REFUSE_S", 0.0)

    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        audit.note(DEV, Event(kind="sent", outcome="done", study="1.2"))
    with pytest.raises(Unavailable):
        audit.require_writable()
    wait_for(lambda: rows(database) == [("sent", "done")], within_s=10)


def test_without_evidence_nothing_is_read_until_it_can_be_written(
    database: Database,
    postgres: TestPostgres,
    late: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    audit = Audit(database)
    audit.read(DEV, "1.2", "frames", count=1, size=1)
    audit.asked(DEV, "STUDY", [], 0)
    allow(postgres, database, "false")
    with pytest.raises(Unavailable):
        audit.flush()
    audit.asked(DEV, "STUDY", [], 1)  # within the five seconds
    monkeypatch.setattr(audit_module, "REFUSE_S", 0.0)
    with pytest.raises(Unavailable, match="audit trail"):
        audit.asked(DEV, "STUDY", [], 2)
    with pytest.raises(Unavailable, match="audit trail"):
        audit.read(DEV, "1.2", "frames", count=1, size=1)
    allow(postgres, database, "true")
    audit.flush()
    audit.asked(DEV, "STUDY", [], 3)
    audit.close()
    assert rows(database, "detail->>'rows'") == [(None,), ("0",), ("1",), ("3",)]


def test_a_first_read_that_cannot_be_written_is_refused(
    database: Database, postgres: TestPostgres, late: None
) -> None:
    audit = Audit(database)
    allow(postgres, database, "false")
    with pytest.raises(Unavailable):
        audit.read(DEV, "1.2", "frames", count=1, size=1)
    allow(postgres, database, "true")
    audit.close()
    assert rows(database) == []


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit SET kind = 'x'", "DELETE FROM audit", "TRUNCATE audit"],
    ids=["update", "delete", "truncate"],
)
@pytest.mark.parametrize("superuser", [False, True])
def test_the_trail_is_append_only(
    database: Database, audit: Audit, postgres: TestPostgres, statement: str, *, superuser: bool
) -> None:
    with database.transaction() as tx:
        audit.write(tx, DEV, [STORED])
    name = psycopg.conninfo.conninfo_to_dict(database.dsn)["dbname"]
    dsn = postgres.cluster.admin_dsn(str(name)) if superuser else database.dsn
    with psycopg.connect(dsn, options=f"-c search_path={database.schema}") as conn:
        text = "append-only" if superuser else "permission denied"
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=text):
            conn.execute(statement)  # type: ignore[call-overload]  # one of three above
    assert len(rows(database)) == 1


def allow(postgres: TestPostgres, database: Database, allowed: str) -> None:
    """Open or close the database to connections, and end those there are."""
    name = psycopg.conninfo.conninfo_to_dict(database.dsn)["dbname"]
    postgres.admin(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}")
    postgres.terminate(name)
