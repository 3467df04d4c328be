"""Many writers at once: right counts, one new instance a UID, and no deadlock."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.index.samples import registration, store
from vna.db.pool import Database
from vna.dicom.refs import UID, StudyRef
from vna.index import locate
from vna.index.register import Registration, Verdict, register_version


@pytest.fixture
def writers(database: Database) -> Iterator[Database]:
    pool = Database(database.dsn, schema=database.schema, connections=28)  # eight of them change
    yield pool
    pool.close()


def at_once(work: Callable[[int], list[Verdict]], threads: int = 8) -> list[Verdict]:
    start = threading.Barrier(threads)

    def one(number: int) -> list[Verdict]:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return [verdict for found in pool.map(one, range(threads)) for verdict in found]


def instance(number: int, copy: int) -> Registration:
    study, series = f"1.{number % 3}", f"1.{number % 3}.{number % 5}"
    uid = f"{series}.{number}"
    modality = ["CT", "MR", "PT"][number % 5 % 3]
    attributes = {"00080060": modality, "00081030": f"d{number % 4}", "00100020": study}
    return registration(
        number + 1000 * copy, study, series, uid, attributes=attributes, content=uid
    )


_WRONG = """
    SELECT study_uid FROM study s JOIN study_state t USING (study_pk)
    WHERE ROW(t.instances, t.series, t.size, t.modalities)::text IS DISTINCT FROM (
        SELECT ROW(count(*), count(DISTINCT series_pk), COALESCE(sum(i.size), 0), COALESCE(
                   array_agg(DISTINCT e.modality ORDER BY e.modality), '{}'))::text
        FROM series e JOIN instance i USING (series_pk)
        WHERE e.study_pk = s.study_pk AND i.current)
    OR t.instances > 0 AND ROW(t.first_blob, s.variant)::text IS DISTINCT FROM (
        SELECT ROW(i.blob_id, i.study_variant)::text FROM series e JOIN instance i USING (series_pk)
        WHERE e.study_pk = s.study_pk AND i.current
        ORDER BY i.created_us, i.blob_id LIMIT 1)
    UNION
    SELECT series_uid FROM series e JOIN series_state r USING (series_pk)
    WHERE r.instances <> (
        SELECT count(*) FROM instance i WHERE i.series_pk = e.series_pk AND i.current)
"""


def test_eight_writers_of_the_same_studies_leave_right_counts(
    database: Database, writers: Database
) -> None:
    """Batches of mixed studies in random order; every instance comes twice."""
    items = [instance(number, copy) for number in range(150) for copy in (0, 1)]
    random.Random(7).shuffle(items)
    batches = [items[at : at + 6] for at in range(0, len(items), 6)]

    verdicts = at_once(
        lambda n: [d.verdict for batch in batches[n::8] for d in store(writers, batch)]
    )

    assert sorted(v.name for v in verdicts) == ["NEW"] * 150 + ["SAME"] * 150
    with database.reading() as conn:
        assert conn.execute(_WRONG).fetchall() == []


def test_one_uid_from_many_writers_is_new_exactly_once(writers: Database) -> None:
    verdicts = at_once(
        lambda n: [d.verdict for d in store(writers, [registration(n, "1.1", "1.2", "1.3")])]
    )

    assert sorted(v.name for v in verdicts) == ["DIFFERS"] * 7 + ["NEW"]


def test_versions_of_one_uid_from_many_writers_leave_one_current(
    database: Database, writers: Database
) -> None:
    store(database, [registration(1, "1.1", "1.2", "1.3")])

    def version(number: int) -> list[Verdict]:
        item = registration(number + 2, "1.1", "1.2", "1.3")
        with writers.transaction() as tx:
            return [register_version(tx, item, reason="content", policy="newest").verdict]

    assert set(at_once(version)) == {Verdict.VERSION}
    with database.reading() as conn:
        (row,) = locate.instances(conn, StudyRef(UID("1.1")), within=None)
        assert conn.execute(_WRONG).fetchall() == []
    assert row.blob_id == (9).to_bytes(16, "big")


def test_uids_that_wander_between_studies_end_no_writer(
    database: Database, writers: Database
) -> None:
    """Each UID comes in every study; the studies change each other's counts."""

    def wander(number: int) -> list[Verdict]:
        found: list[Verdict] = []
        for uid in range(6):
            study = f"1.{(uid + number) % 4}"
            item = registration(number * 10 + uid, study, f"{study}.1", f"9.{uid}")
            found += [d.verdict for d in store(writers, [item])]
        return found

    at_once(wander)

    with database.reading() as conn:
        assert conn.execute(_WRONG).fetchall() == []
