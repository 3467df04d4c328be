"""The sealed trail: nothing committed is skipped, and nothing sealed is changed unseen."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.access.sealed import ARCHIVE, ROOT, WHO, Trail, make_trail
from tests.conftest import TestPostgres
from vna.access import chain
from vna.access.audit import Event
from vna.crypto.keyring import Keyring
from vna.crypto.signing import is_signed
from vna.db.pool import Database
from vna.errors import Conflict, InvalidRequest, VNAError
from vna.operate.accepting import Acceptance
from vna.operate.evidence import Evidence
from vna.operate.sealing import CHECKPOINT_ROWS, Sealer

ROWS = 12


@pytest.fixture
def trail(database: Database, postgres: TestPostgres, tmp_path: Path) -> Iterator[Trail]:
    made = make_trail(database, postgres, tmp_path / "blobs")
    yield made
    made.audit.close()
    made.store.close()


@pytest.fixture
def sealed(trail: Trail) -> Trail:
    """A trail of a dozen rows, sealed and signed."""
    for _ in range(ROWS):
        trail.write(1, study="1.2")
    assert trail.sealer.seal() == ROWS
    assert trail.sealer.checkpoint()
    return trail


def test_a_whole_trail_is_found_whole(sealed: Trail) -> None:
    verdict = sealed.verify()
    assert verdict.findings == []
    assert (verdict.links, verdict.signed, verdict.waiting) == (ROWS, ROWS, 0)
    assert verdict.checkpoints == 2  # in the database and beside the blobs


def test_who_checks_hears_how_far_it_is(sealed: Trail) -> None:
    heard: list[int] = []
    Evidence(sealed.database, sealed.store.checkpoints).verify(heard.append)
    assert heard[-1] == ROWS
    assert heard == sorted(heard)


def test_a_link_is_the_hash_of_the_one_before_and_the_row(sealed: Trail) -> None:
    with sealed.database.reading() as conn:
        rows = conn.execute(
            "SELECT s.prev_hash, s.hash, audit_as_json(a)::text FROM audit_seal s"
            " JOIN audit a ON a.id = s.audit_id ORDER BY s.seal_seq"
        ).fetchall()
    digest = bytes(32)
    for prev, made, event in rows:
        assert bytes(prev) == digest
        digest = hashlib.sha256(digest + event.encode()).digest()
        assert bytes(made) == digest
    assert '"study": "1.2"' in rows[0][2]


def test_there_is_nothing_to_seal_twice(sealed: Trail) -> None:
    assert sealed.sealer.seal() == 0
    assert not sealed.sealer.checkpoint(now=True)


def test_a_row_that_commits_late_is_not_skipped(trail: Trail) -> None:
    with trail.database.transaction() as late:
        trail.audit.write(late, WHO, [Event(kind="late", outcome="done")])
        trail.write(3)  # drawn later, committed earlier
        trail.sealer.seal()
        trail.sealer.seal()
        assert trail.count("SELECT count(*) FROM audit_seal") == 0  # what is behind it waits
    trail.sealer.seal()
    trail.sealer.seal()
    assert trail.count("SELECT count(*) FROM audit_seal") == 4
    assert trail.verify().findings == []


def test_a_row_that_is_rolled_back_holds_nothing_up(trail: Trail) -> None:
    def fail() -> None:
        with trail.database.transaction() as tx:
            trail.audit.write(tx, WHO, [Event(kind="never", outcome="done")])
            trail.write(2)
            trail.sealer.seal()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    trail.sealer.seal()
    assert trail.count("SELECT count(*) FROM audit_seal") == 2
    assert trail.verify().findings == []


def test_concurrent_writers_are_never_skipped(trail: Trail) -> None:
    writers, each = 4, 40
    stop = threading.Event()

    def write(number: int) -> None:
        for _ in range(each):
            trail.write(1 + number % 3)

    def seal() -> None:
        other = Sealer(trail.database, trail.store.checkpoints)
        while not stop.is_set():
            other.seal()

    with ThreadPoolExecutor(writers + 2) as pool:
        sealers = [pool.submit(seal) for _ in range(2)]  # only one works at a time
        for done in [pool.submit(write, number) for number in range(writers)]:
            done.result()
        stop.set()
        for done in sealers:
            done.result()
    trail.sealer.seal()
    rows = trail.count("SELECT count(*) FROM audit")
    assert rows == trail.count("SELECT count(*) FROM audit_seal") == each * (1 + 2 + 3 + 1)
    assert trail.verify().findings == []


def test_a_killed_sealer_is_taken_over_where_it_stopped(
    sealed: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed.write(5)

    extend = chain.extend

    def extend_and_die(*values: Any) -> None:
        extend(*values)
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(chain, "extend", extend_and_die)  # after the links, before the commit
        with pytest.raises(SystemExit):
            sealed.sealer.seal()
    assert sealed.count("SELECT count(*) FROM audit_seal") == ROWS
    after = Sealer(sealed.database, sealed.store.checkpoints)
    assert after.seal() == 5
    assert after.checkpoint(now=True)
    assert sealed.verify().findings == []


def test_a_checkpoint_is_made_after_so_many_rows(sealed: Trail) -> None:
    sealed.write(CHECKPOINT_ROWS - 1)
    sealed.sealer.seal()
    assert not sealed.sealer.checkpoint()
    sealed.write(1)
    sealed.sealer.seal()
    assert sealed.sealer.checkpoint()


def test_the_sealer_signs_the_rest_when_it_stops(trail: Trail) -> None:
    trail.write(3)
    stop = threading.Event()
    stop.set()
    trail.sealer.run(stop)
    assert trail.verify().signed == 3


def test_anybody_with_the_public_key_can_check_a_checkpoint(sealed: Trail) -> None:
    (name,) = sealed.store.checkpoints.names()
    found = sealed.store.checkpoints.read(name)
    public = Keyring(ROOT, ARCHIVE)
    assert sealed.store.keyring.current.key_id.hex() in found.statement.replace("-", "")
    key = sealed.store.keyring.checkpoint_key(sealed.store.keyring.current.key_id)
    assert is_signed(key.public, found.signature, found.statement.encode())
    assert not is_signed(key.public, found.signature, found.statement.encode() + b" ")
    with pytest.raises(VNAError):
        public.checkpoint_key(bytes(16))


@pytest.mark.parametrize("table", ["audit", "audit_seal", "audit_checkpoint"])
@pytest.mark.parametrize("act", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_archive_itself_cannot_change_them(sealed: Trail, table: str, act: str) -> None:
    column = "kind" if table == "audit" else "seal_seq"
    with pytest.raises((VNAError, psycopg.Error)), sealed.database.transaction() as tx:
        tx.execute(act.format(table, column, column))  # type: ignore[call-overload]  # our own words
    with (
        psycopg.connect(sealed.superuser, options="-c search_path=vna") as conn,
        pytest.raises(psycopg.Error, match="append"),
    ):
        conn.execute(act.format(table, column, column))  # type: ignore[call-overload]  # as above


EDITS = [
    "at = at + interval '1 microsecond'",
    "kind = 'other'",
    "outcome = 'failed'",
    "principal = principal || ' '",
    "actor_kind = 'person'",
    "address = ''",
    "study = NULL",
    "study = '1.3'",
    "series = '1.2.3'",
    "detail = detail || '{\"n\": 1.0}'",
]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(row=st.integers(1, ROWS), data=st.data())
def test_any_change_of_one_row_is_found(sealed: Trail, row: int, data: st.DataObject) -> None:
    act = data.draw(st.sampled_from(["edit", "remove", "swap", "cut", "move", "unlink"]))
    with sealed.tampering() as conn:
        conn.execute("BEGIN")
        conn.execute("CREATE TEMP TABLE kept AS SELECT * FROM audit")
        conn.execute("CREATE TEMP TABLE links AS SELECT * FROM audit_seal")
        conn.execute("COMMIT")
        if act == "edit":
            edit = data.draw(st.sampled_from(EDITS))
            conn.execute(f"UPDATE audit SET {edit} WHERE id = {row}")  # type: ignore[call-overload]  # noqa: S608 -- our own words
            expected = {"edited"}
        elif act == "remove":
            conn.execute("DELETE FROM audit WHERE id = %s", (row,))
            expected = {"removed"}
        elif act == "swap":
            other = data.draw(st.integers(1, ROWS).filter(lambda n: n != row))
            swap = (
                "UPDATE audit a SET detail = k.detail, at = k.at FROM kept k"
                " WHERE (a.id, k.id) IN ((%s, %s), (%s, %s))"
            )
            conn.execute(swap, (row, other, other, row))
            expected = {"edited"}
        elif act == "cut":
            conn.execute("DELETE FROM audit WHERE id >= %s", (row,))
            if data.draw(st.booleans()):
                conn.execute("DELETE FROM audit_seal WHERE audit_id >= %s", (row,))
                conn.execute("DELETE FROM audit_checkpoint")
                expected = {"cut"}
            else:
                expected = {"removed"}
        elif act == "move":
            conn.execute("UPDATE kept SET id = 100 WHERE id = %s", (row,))
            conn.execute("DELETE FROM audit WHERE id = %s", (row,))
            conn.execute(
                "INSERT INTO audit OVERRIDING SYSTEM VALUE SELECT * FROM kept WHERE id = 100"
            )
            conn.execute("UPDATE kept SET id = %s WHERE id = 100", (row,))
            expected = {"removed"}
        else:
            conn.execute("DELETE FROM audit_seal WHERE seal_seq = %s", (row,))
            expected = {"cut"} if row == ROWS else {"link", "added"}
        try:
            verdict = sealed.verify()
            found = {finding.what for finding in verdict.findings}
            assert expected <= found
            if act in ("edit", "remove"):
                assert any(f.place == f"row {row} (link {row})" for f in verdict.findings)
        finally:
            conn.execute("DELETE FROM audit")
            conn.execute("DELETE FROM audit_seal")
            conn.execute("INSERT INTO audit OVERRIDING SYSTEM VALUE SELECT * FROM kept")
            conn.execute("INSERT INTO audit_seal SELECT * FROM links")


def test_a_row_slipped_in_among_sealed_ones_is_found(sealed: Trail) -> None:
    with sealed.tampering() as conn:
        conn.execute("DELETE FROM audit_seal WHERE audit_id = 5")
        conn.execute("UPDATE audit_seal SET seal_seq = seal_seq - 1 WHERE audit_id > 5")
    assert "added" in sealed.found()


def test_links_out_of_order_are_found(sealed: Trail) -> None:
    with sealed.tampering() as conn:
        conn.execute("UPDATE audit_seal SET seal_seq = 100 WHERE seal_seq = 3")
        conn.execute("UPDATE audit_seal SET seal_seq = 3 WHERE seal_seq = 4")
        conn.execute("UPDATE audit_seal SET seal_seq = 4 WHERE seal_seq = 100")
    assert {"reordered", "link"} <= sealed.found()


def test_a_trail_chained_anew_is_not_what_was_signed(sealed: Trail) -> None:
    with sealed.tampering() as conn:
        conn.execute("UPDATE audit SET principal = 'nobody' WHERE id = 2")
        conn.execute("DELETE FROM audit_seal")
        conn.execute("DELETE FROM audit_checkpoint")
    again = Sealer(sealed.database, sealed.store.checkpoints)
    assert again.seal() == ROWS
    assert sealed.found() == {"checkpoint"}


def test_a_database_put_back_is_found_by_what_stands_beside_the_blobs(sealed: Trail) -> None:
    sealed.write(3)
    sealed.sealer.seal()
    assert sealed.sealer.checkpoint(now=True)
    with sealed.tampering() as conn:
        conn.execute("DELETE FROM audit WHERE id > 12")
        conn.execute("DELETE FROM audit_seal WHERE audit_id > 12")
        conn.execute("DELETE FROM audit_checkpoint WHERE seal_seq > 12")
    (finding,) = sealed.verify().findings
    assert finding.what == "cut"
    assert "ends at link 12" in finding.place


def accept(sealed: Trail, reason: str = "restored from the copy of last night") -> int:
    accepting = Acceptance(
        database=sealed.database,
        audit=sealed.audit,
        checkpoints=sealed.store.checkpoints,
        sealer=sealed.sealer,
    )
    return accepting.accept(WHO, reason)


def put_back(sealed: Trail) -> None:
    """Put the database back to before its last checkpoint, as a restore does."""
    sealed.write(3)
    sealed.sealer.seal()
    assert sealed.sealer.checkpoint(now=True)
    with sealed.tampering() as conn:
        conn.execute("DELETE FROM audit WHERE id > 12")
        conn.execute("DELETE FROM audit_seal WHERE audit_id > 12")
        conn.execute("DELETE FROM audit_checkpoint WHERE seal_seq > 12")


def test_a_trail_put_back_goes_on_once_somebody_accepts_it(sealed: Trail) -> None:
    put_back(sealed)
    assert sealed.found() == {"cut"}
    assert accept(sealed) == 1
    verdict = sealed.verify()
    assert (verdict.findings, verdict.accepted) == ([], 1)
    # also when other rows have taken the place of those that were signed
    sealed.write(20)
    sealed.sealer.seal()
    assert sealed.sealer.checkpoint(now=True)
    assert sealed.found() == set()
    with sealed.database.reading() as conn:
        rows = conn.execute("SELECT detail FROM audit WHERE kind = 'audit.accepted'").fetchall()
    assert rows[0][0]["reason"] == "restored from the copy of last night"
    with pytest.raises(Conflict):
        accept(sealed)


def test_a_trail_that_grew_past_what_was_signed_is_accepted_too(sealed: Trail) -> None:
    put_back(sealed)
    sealed.write(9)
    sealed.sealer.seal()
    assert sealed.found() == {"checkpoint"}
    accept(sealed)
    assert sealed.found() == set()


def test_another_database_in_its_place_is_accepted(sealed: Trail) -> None:
    with sealed.tampering() as conn:
        conn.execute("UPDATE audit_trail SET trail_id = gen_random_uuid()")
    accept(sealed)
    assert sealed.found() == set()


def test_a_cut_after_the_acceptance_is_found_again(sealed: Trail) -> None:
    put_back(sealed)
    accept(sealed)
    with sealed.tampering() as conn:
        conn.execute("DELETE FROM audit WHERE id > 12")
        conn.execute("DELETE FROM audit_seal WHERE audit_id > 12")
        conn.execute("DELETE FROM audit_checkpoint WHERE seal_seq > 12")
    assert "cut" in sealed.found()


def test_what_was_edited_is_not_accepted(sealed: Trail) -> None:
    put_back(sealed)
    with sealed.tampering() as conn:
        conn.execute("UPDATE audit SET principal = 'somebody' WHERE id = 5")
    with pytest.raises(Conflict, match="edited"):
        accept(sealed)
    assert "edited" in sealed.found()


@pytest.mark.parametrize("reason", ["", "x" * 201])
def test_an_acceptance_says_why(sealed: Trail, reason: str) -> None:
    put_back(sealed)
    with pytest.raises(InvalidRequest):
        accept(sealed, reason)


def test_another_database_in_its_place_is_found(sealed: Trail) -> None:
    with sealed.tampering() as conn:
        conn.execute("UPDATE audit_trail SET trail_id = gen_random_uuid()")
    assert "other trail" in sealed.found()


def test_a_forged_checkpoint_is_found(sealed: Trail) -> None:
    with sealed.tampering() as conn:
        conn.execute("UPDATE audit_checkpoint SET statement = replace(statement, '12', '11')")
    assert sealed.found() == {"checkpoint"}


def test_rows_not_sealed_yet_are_told_and_no_fault(sealed: Trail) -> None:
    sealed.write(2)
    verdict = sealed.verify()
    assert (verdict.findings, verdict.waiting) == ([], 2)
