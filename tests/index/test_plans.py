"""Plans over 20,000 studies: each shape of search uses the index that is there for it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import sql

from tests.conftest import TestPostgres
from tests.db.filling import filled
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.dicom.matching import (
    DateRange,
    Item,
    MatchingKey,
    MomentRange,
    Name,
    Query,
    Single,
    UidList,
    Wildcard,
)
from vna.dicom.refs import Level
from vna.index.arrays import Blobs, Texts
from vna.index.rows import Cursor
from vna.index.search import names_one, search, statement
from vna.index.select import STATEMENTS

_FILL = """
SET search_path = vna, public;
INSERT INTO patient (issuer, patient_id)
    SELECT 'LOCAL', 'P' || n FROM generate_series(0, 7999) n;
INSERT INTO modality VALUES ('CT'), ('MR'), ('PT');
INSERT INTO study (
    study_uid, patient_pk, variant, issuer, patient_id, patient_name, patient_codes, study_date,
    study_time, accession, study_id, referring, description, fold_version, terms, answer)
    SELECT '1.2.' || n, 1 + n % 8000, 1, 'LOCAL', 'P' || n % 8000,
           '=' || md5((n % 8000)::text) || '^anna===',
           ARRAY['0:' || left(md5((n % 8000)::text), 4)],
           '2016-01-01'::date + n % 3650, '10:00', 'A' || n, 'S' || n, '=' || md5((n % 2000)::text)
           || '===', 'Study ' || md5((n % 900)::text), 1, '{}', '{}'
    FROM generate_series(1, 20000) n;
INSERT INTO study_state (study_pk, instances, series, modalities)
    SELECT study_pk, 2, 2, CASE WHEN study_pk % 500 = 0 THEN ARRAY['PT'] WHEN study_pk % 2 = 0
           THEN ARRAY['CT'] ELSE ARRAY['MR'] END
    FROM study;
INSERT INTO series (study_pk, series_uid, variant, modality, series_number, step_date, fold_version,
                    terms, answer)
    SELECT study_pk, study_uid || '.' || n, 1, modalities[1], n, study_date, 1,
           jsonb_build_object('00400275', jsonb_build_array(jsonb_build_object(
               '00400009', jsonb_build_array('SPS' || study_pk)))), '{}'
    FROM study JOIN study_state USING (study_pk), generate_series(1, 2) n;
INSERT INTO series_state (series_pk, instances) SELECT series_pk, 1 FROM series;
INSERT INTO instance (
    series_pk, sop_instance_uid, current, created_us, blob_id, digest, key_id, key_version, size,
    study_variant, series_variant, sop_class_uid, transfer_syntax_uid, instance_number, answer)
    SELECT series_pk, series_uid || '.' || n, true, 1,
           decode(md5(series_uid || '.' || n), 'hex'), '', '', 1, 1, 1, 1, '1.2', '1.2', n, '{}'
    FROM series, generate_series(1, 1) n;
INSERT INTO instance (
    series_pk, sop_instance_uid, current, created_us, blob_id, digest, key_id, key_version, size,
    study_variant, series_variant, sop_class_uid, transfer_syntax_uid, instance_number, answer)
    SELECT 77, '9.' || n, true, 1, decode(md5('9.' || n), 'hex'), '', '', 1, 1, 1, 1, '1.2',
           '1.2', n, '{}'
    FROM generate_series(1, 2000) n;
INSERT INTO instance_blob (
    instance_pk, header, payload_len, checksum, group2, preamble, received_at, proto, charset)
    SELECT instance_pk, '', 1, '', '', '', now(), 'dimse', '' FROM instance;
INSERT INTO identity (identity_id, issuer, patient_id, variant, person_id, name, folded, family,
                      birth_date, sex, source)
    SELECT decode(md5(n::text), 'hex'), 'LOCAL', 'P' || n, 0, decode(md5(n::text), 'hex'), '', '',
           md5((n % 500)::text), '1950-01-01'::date + n % 9000, '', 'dicom'
    FROM generate_series(1, 8000) n;
VACUUM ANALYZE;
"""


@pytest.fixture(scope="module")
def large(postgres: TestPostgres) -> Iterator[Database]:
    with filled(postgres, _FILL) as database:
        yield database


def plan(conn: Connection, query: Query, after: Cursor | None = None) -> str:
    asked = statement(query, within=None, limit=100, after=after, offset=0)
    text = b"EXPLAIN " + asked.text.as_bytes(conn)
    return "\n".join(line for (line,) in conn.execute(text, asked.values).fetchall())


def key(tag: str, condition: object) -> MatchingKey:
    return MatchingKey(tag, condition)  # type: ignore[arg-type]


DAY = DateRange(dt.date(2020, 3, 4), dt.date(2020, 3, 4))
MORNING = MomentRange(*map(dt.datetime.fromisoformat, ("2020-03-04T08:00", "2020-03-04T12:00")))
SERIES = (key("0020000D", Single("1.2.39")), key("0020000E", Single("1.2.39.1")))
SHAPES: dict[str, tuple[Level, tuple[MatchingKey, ...], str]] = {
    "uid": (Level.STUDY, (key("0020000D", Single("1.2.77")),), "study_uid_once"),
    "uids": (Level.STUDY, (key("0020000D", UidList(("1.2.7", "1.2.8"))),), "study_uid_once"),
    "patient id": (Level.STUDY, (key("00100020", Single("P7")),), "study_by_patient_id"),
    "patient id*": (Level.STUDY, (key("00100020", Wildcard("P777*")),), "study_by_patient_id"),
    "accession": (Level.STUDY, (key("00080050", Single("A7")),), "study_by_accession"),
    "study id": (Level.STUDY, (key("00200010", Single("S7")),), "study_by_study_id"),
    "name*": (Level.STUDY, (key("00100010", Name("c4ca4*")),), "study_by_name"),
    "*name*": (Level.STUDY, (key("00100010", Name("*4238a0*")),), "study_by_name"),
    "sound": (Level.STUDY, (key("00100010", Name("xyzz", True)),), "study_by_name_codes"),
    "referring": (Level.STUDY, (key("00080090", Name("c4ca4238a0*")),), "study_by_referring"),
    "description": (Level.STUDY, (key("00081030", Wildcard("*c4ca42*")),), "study_by_description"),
    "day": (Level.STUDY, (key("00080020", DAY),), "study_by_date"),
    "moment": (Level.STUDY, (MatchingKey("00080020", MORNING, "00080030"),), "study_by_date"),
    "everything": (Level.STUDY, (), "study_by_date"),
    "rare modality": (Level.STUDY, (key("00080061", Single("PT")),), "study_state_by_modality"),
    "day and modality": (
        Level.STUDY,
        (key("00080020", DAY), key("00080061", Single("PT"))),
        "study_by_date",
    ),
    "series of a study": (Level.SERIES, (key("0020000D", Single("1.2.7")),), "study_uid_once"),
    "series alone": (Level.SERIES, (key("0020000E", Single("1.2.7.1")),), "series_by_uid"),
    "scheduled step": (
        Level.SERIES,
        (key("00400275", Item((key("00400009", Single("SPS7")),))),),
        "series_by_terms",
    ),
    "day of step": (Level.SERIES, (key("00400244", DAY),), "series_by_step_date"),
    "all series": (Level.SERIES, (), "study_by_date"),
    "instances of a series": (Level.IMAGE, SERIES, "instance_in_series"),
    "instance": (Level.IMAGE, (*SERIES, key("00080018", Single("9.7"))), "instance_current_once"),
    "instance alone": (Level.IMAGE, (key("00080018", Single("9.7")),), "instance_current_once"),
    "patient": (Level.PATIENT, (key("00100020", Single("P7")),), "study_by_patient_id"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_search_uses_the_index_made_for_it(large: Database, shape: str) -> None:
    level, keys, index = SHAPES[shape]

    with large.reading() as conn:
        found = plan(conn, Query(level=level, keys=keys))

    assert index in found, found
    assert "Seq Scan on study " not in found
    assert "Seq Scan on instance " not in found


POINTED = [
    name
    for name, (_, keys, _) in SHAPES.items()
    if names_one(Query(level=Level.STUDY, keys=keys), None)
]


@pytest.mark.parametrize("shape", POINTED)
def test_one_plan_for_all_values_uses_it_too(large: Database, shape: str) -> None:
    level, keys, index = SHAPES[shape]
    asked = statement(Query(level=level, keys=keys), within=None, limit=100, after=None, offset=0)

    with large.pointing() as conn:
        text = sql.SQL(asked.text.as_string(conn).replace("%s", "{}")).format(
            *(sql.SQL(f"${n}") for n in range(1, len(asked.values) + 1))
        )
        conn.execute("SET plan_cache_mode = force_generic_plan")
        conn.execute(sql.SQL("PREPARE pointed AS {}").format(text))
        try:
            values = sql.SQL(", ").join(sql.Literal(str(value)) for value in asked.values)
            rows = conn.execute(sql.SQL("EXPLAIN EXECUTE pointed({})").format(values)).fetchall()
        finally:
            conn.execute("DEALLOCATE pointed")
            conn.execute("SET plan_cache_mode = auto")
    found = "\n".join(line for (line,) in rows)
    assert index in found, found
    assert "$1" in found
    assert "Seq Scan on study " not in found
    assert "Seq Scan on instance " not in found


@pytest.mark.parametrize(
    ("level", "index"),
    [
        (Level.PATIENT, "study_by_patient_id"),
        (Level.STUDY, "study_uid_once"),
        (Level.SERIES, "series_by_uid"),
        (Level.IMAGE, "instance_current_once"),
    ],
)
def test_a_retrieval_uses_the_index_made_for_it(large: Database, level: Level, index: str) -> None:
    asked = {
        "patient": "P7",
        "studies": ["1.2.7", "1.2.8"],
        "series": ["1.2.7.1", "1.2.8.2"],
        "instances": ["9.7", "9.8"],
        "most": 1000,
    }
    with large.reading() as conn:
        rows = conn.execute(sql.SQL("EXPLAIN ") + STATEMENTS[level], asked).fetchall()
    found = "\n".join(line for (line,) in rows)
    assert index in found, found
    assert "Seq Scan on study " not in found
    assert "Seq Scan on instance " not in found


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("find_versions", [Texts(["9.7", "9.8"])]),
        ("lock_versions", ["9.7"]),
        ("find_digests", {"uids": Texts(["9.7", "9.8"]), "digests": Blobs([b"a", b"b"])}),
        ("lock_all_versions", [Blobs([bytes(16)])]),
    ],
)
def test_what_is_known_of_a_uid_is_found_by_it_however_many_there_are(
    large: Database, name: str, asked: Any
) -> None:
    """One that is sent again is looked up among all versions: the catalogue was read for it."""
    queries = statements.load("operate" if name == "lock_all_versions" else "index")
    with large.reading() as conn:
        text = f"EXPLAIN {getattr(queries, name)}".encode()
        found = "\n".join(line for (line,) in conn.execute(text, asked).fetchall())
    for index in ("instance_current_once", "instance_superseded"):
        assert f"Bitmap Index Scan on {index}" in found, found
    assert "Seq Scan on instance " not in found


@pytest.mark.parametrize("born", [None, dt.date(1960, 1, 1)])
def test_who_may_be_the_same_person_is_found_however_many_there_are(
    large: Database, born: dt.date | None
) -> None:
    asked = {
        "identity": b"", "birth_date": born, "family": "A", "numbers": ["NHS:1"], "most": 10,
    }  # fmt: skip
    with large.reading() as conn:
        text = f"EXPLAIN {statements.load('patients').alike}".encode()
        found = "\n".join(line for (line,) in conn.execute(text, asked).fetchall())
    assert "Bitmap Index Scan on identity_by_number" in found, found
    assert ("Bitmap Index Scan on identity_by_birth" in found) == (born is not None)


def test_a_page_begins_at_its_key(large: Database) -> None:
    query = Query(level=Level.STUDY)
    with large.reading() as conn:
        first = search(conn, query, within=None, limit=100)
        found = plan(conn, query, first[-1].cursor)
        second = search(conn, query, within=None, limit=100, after=first[-1].cursor)
        both = search(conn, query, within=None, limit=200)

    assert "Index Cond: (ROW(study_date, study_pk) < ROW(" in found, found
    assert [row.study for row in first + second] == [row.study for row in both]


def test_a_modality_that_no_study_has_ends_the_search_at_once(large: Database) -> None:
    query = Query(level=Level.STUDY, keys=(key("00080061", Single("XX")),))
    asked = statement(query, within=None, limit=100, after=None, offset=0)
    with large.reading() as conn:
        text = b"EXPLAIN (ANALYZE, TIMING off, COSTS off) " + asked.text.as_bytes(conn)
        found = "\n".join(line for (line,) in conn.execute(text, asked.values).fetchall())

    assert "One-Time Filter" in found
    assert "never executed" in found
