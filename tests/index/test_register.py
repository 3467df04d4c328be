"""Registration: what becomes visible, and what is counted, recorded or kept aside."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.index.samples import CT, MR, dump, registration, store, store_all
from vna.db.pool import Database
from vna.dicom.matching import Query
from vna.dicom.refs import UID, InstanceRef, Level, SeriesRef, StudyRef
from vna.index import locate, metadata
from vna.index.register import Verdict, clear, digests, known, register, register_version
from vna.index.search import search


def state(database: Database) -> list[tuple[object, ...]]:
    with database.reading() as conn:
        return conn.execute(
            "SELECT study_uid, instances, series, size, modalities, sop_classes "
            "FROM study JOIN study_state USING (study_pk) ORDER BY study_uid"
        ).fetchall()


def blob(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_a_new_instance_is_found_and_counted(database: Database) -> None:
    (done,) = store(database, [registration(1, "1.1", "1.1.1", "1.1.1.1")])

    assert (done.verdict, done.current, done.elsewhere) == (Verdict.NEW, True, False)
    assert state(database) == [("1.1", 1, 1, 2000, ["CT"], [CT])]


def test_a_batch_counts_series_instances_and_modalities(database: Database) -> None:
    items = [registration(n, "1.1", "1.1.1", f"1.1.1.{n}") for n in range(1, 6)]
    mr = {"00080060": "MR", "00080016": MR}
    items.append(registration(6, "1.1", "1.1.2", "1.1.2.1", attributes=mr))
    items.append(registration(7, "1.2", "1.2.1", "1.2.1.1", attributes={"00080060": []}))
    store(database, items)

    assert state(database) == [
        ("1.1", 6, 2, 12000, ["CT", "MR"], [CT, MR]),
        ("1.2", 1, 1, 2000, [], [CT]),
    ]


def test_the_same_content_again_changes_nothing(database: Database) -> None:
    store(database, [registration(1, "1.1", "1.1.1", "1.1.1.1", content="x")])
    before = dump(database)

    (again,) = store(database, [registration(2, "1.1", "1.1.1", "1.1.1.1", content="x")])

    assert (again.verdict, again.blob_id) == (Verdict.SAME, blob(1))
    assert dump(database) == before


def test_other_content_is_reported_and_not_inserted(database: Database) -> None:
    store(database, [registration(1, "1.1", "1.1.1", "1.1.1.1", content="x")])
    before = dump(database)

    (other,) = store(database, [registration(2, "1.1", "1.1.1", "1.1.1.1", content="y")])

    assert other.verdict is Verdict.DIFFERS
    assert [e.blob_id for e in other.existing] == [blob(1)]
    assert dump(database) == before


def test_several_contents_of_one_uid_in_a_batch_make_one_new(database: Database) -> None:
    done = store(
        database,
        [
            registration(2, "1.1", "1.1.1", "1.1.1.1", content="y"),
            registration(1, "1.1", "1.1.1", "1.1.1.1", content="x"),
            registration(3, "1.1", "1.1.1", "1.1.1.1", content="x"),
        ],
    )

    assert [d.verdict for d in done] == [Verdict.DIFFERS, Verdict.NEW, Verdict.SAME]


def test_a_uid_of_another_study_is_kept_but_not_found(database: Database) -> None:
    store(database, [registration(1, "1.1", "1.1.1", "1.1.1.1")])

    (done,) = store(database, [registration(2, "1.2", "1.2.1", "1.1.1.1")])

    assert (done.verdict, done.elsewhere, done.current) == (Verdict.NEW, True, False)
    assert [row[:2] for row in state(database)] == [("1.1", 1), ("1.2", 0)]
    with database.reading() as conn:
        assert locate.instances(conn, StudyRef(UID("1.2")), within=None) == []
        found = search(conn, Query(level=Level.STUDY), within=None, limit=10)
    assert [row.study for row in found] == ["1.1"]


def test_an_older_blob_of_a_uid_moves_it_to_its_series(database: Database) -> None:
    store(database, [registration(2, "1.1", "1.1.1", "1.1.1.1")])

    (done,) = store(database, [registration(1, "1.2", "1.2.1", "1.1.1.1")])

    assert done.current
    assert [r[:5] for r in state(database)] == [("1.1", 0, 0, 0, []), ("1.2", 1, 1, 2000, ["CT"])]


@pytest.mark.parametrize(
    ("policy", "reason", "current"),
    [
        ("first", "content", 1),
        ("first", "encoding", 1),
        ("newest", "content", 2),
        ("newest", "encoding", 1),
        ("reject", "encoding", 1),
    ],
)
def test_a_version_stands_beside_the_first(
    database: Database, policy: str, reason: str, current: int
) -> None:
    store(database, [registration(1, "1.1", "1.1.1", "1.1.1.1")])
    second = registration(2, "1.1", "1.1.1", "1.1.1.1", size=7)

    with database.transaction() as tx:
        done = register_version(tx, second, reason=reason, policy=policy)

    assert (done.verdict, done.current) == (Verdict.VERSION, current == 2)
    assert state(database)[0][1:4] == (1, 1, 2000 if current == 1 else 7)
    ref = InstanceRef(UID("1.1"), UID("1.1.1"), UID("1.1.1.1"))
    with database.reading() as conn:
        (located,) = locate.instances(conn, ref, within=None)
        assert located.blob_id == blob(current)
        assert locate.version(conn, ref, second.blob_id) is not None


def test_a_version_whose_digest_is_there_is_the_same(database: Database) -> None:
    store(database, [registration(1, "1.1", "1.1.1", "1.1.1.1", content="x")])
    again = registration(2, "1.1", "1.1.1", "1.1.1.1", content="x")

    with database.transaction() as tx:
        done = register_version(tx, again, reason="content", policy="first")

    assert (done.verdict, done.blob_id) == (Verdict.SAME, blob(1))


def test_differences_are_recorded_and_the_first_instance_is_shown(database: Database) -> None:
    def named(number: int, name: str) -> object:
        attributes = {"00100010": name}
        return registration(number, "1.1", "1.1.1", f"1.1.1.{number}", attributes=attributes)

    store(database, [named(2, "Roe^Ann")])  # type: ignore[list-item]
    done = store(database, [named(3, "Poe^Eve"), named(1, "Doe^Jane")])  # type: ignore[list-item]

    assert all(one.unlike_study for one in done)
    with database.reading() as conn:
        (row,) = search(conn, Query(level=Level.STUDY), within=None, limit=2)
    assert row.attributes["00100010"]["Value"] == [{"Alphabetic": "Doe^Jane"}]
    assert len(dump(database)["study_difference"]) == 2


def test_a_blank_patient_id_is_an_identity_of_its_own(database: Database) -> None:
    ids: list[tuple[object, str]] = [([], "LOCAL"), ([], "LOCAL"), ("7", "LOCAL"), ("7", "OTHER")]
    ids.append(("7", "LOCAL"))
    store(
        database,
        [
            registration(
                n, f"1.{n}", f"1.{n}.1", f"1.{n}.1.1", attributes={"00100020": id_}, issuer=issuer
            )
            for n, (id_, issuer) in enumerate(ids)
        ],
    )

    assert dump(database)["patient"] == [
        "('LOCAL', '', '1.0')",
        "('LOCAL', '', '1.1')",
        "('LOCAL', '7', '')",
        "('OTHER', '7', '')",
    ]


IDENTITIES: list[tuple[object, str]] = [
    *((["7"], "LOCAL"), (["7"], "OTHER"), (["8"], "LOCAL"), (["8"], "OTHER")),
    *(([], "LOCAL"), ([], "OTHER"), ([], "LOCAL")),
]


def test_a_study_is_of_the_identity_with_its_issuer_and_its_patient_id(database: Database) -> None:
    """One Patient ID of two issuers is two patients; one that is blank is each study's own."""
    items = [
        registration(
            n, f"1.{n}", f"1.{n}.1", f"1.{n}.1.1", attributes={"00100020": id_}, issuer=issuer
        )
        for n, (id_, issuer) in enumerate(IDENTITIES)
    ]
    store(database, items)

    with database.reading() as conn:
        found = conn.execute(
            "SELECT s.study_uid, p.issuer, p.patient_id, p.study_uid "
            "FROM study s JOIN patient p USING (patient_pk) ORDER BY s.study_uid"
        ).fetchall()
    assert found == [
        *(("1.0", "LOCAL", "7", ""), ("1.1", "OTHER", "7", "")),
        *(("1.2", "LOCAL", "8", ""), ("1.3", "OTHER", "8", "")),
        *(("1.4", "LOCAL", "", "1.4"), ("1.5", "OTHER", "", "1.5"), ("1.6", "LOCAL", "", "1.6")),
    ]


def test_what_differs_is_of_the_identity_it_names_itself(database: Database) -> None:
    store(database, [registration(0, "1.1", "1.1.1", "1.1.1.0")])
    for n, (id_, issuer) in enumerate(IDENTITIES, 1):
        attributes = {"00100020": id_, "00100010": f"Roe^{n}"}
        one = registration(n, "1.1", "1.1.1", f"1.1.1.{n}", attributes=attributes, issuer=issuer)
        store(database, [one])

    with database.reading() as conn:
        found = conn.execute(
            "SELECT d.patient_name, p.issuer, p.patient_id, p.study_uid FROM study_difference d "
            "JOIN patient p ON p.patient_pk = d.patient_pk ORDER BY d.patient_name"
        ).fetchall()
    assert [row[1:] for row in found] == [
        *(("LOCAL", "7", ""), ("OTHER", "7", ""), ("LOCAL", "8", ""), ("OTHER", "8", "")),
        *(("LOCAL", "", "1.1"), ("OTHER", "", "1.1"), ("LOCAL", "", "1.1")),
    ]


def test_text_no_database_can_hold_is_registered_without_it(database: Database) -> None:
    odd = {"00081030": "a\0b", "00100020": "x" * 70_000, "00080050": "\0", "00081090": "q\0"}

    (done,) = store(database, [registration(1, "1.1", "1.1.1", "1.1.1.1", attributes=odd)])

    assert done.verdict is Verdict.NEW
    with database.reading() as conn:
        (row,) = search(conn, Query(level=Level.SERIES), within=None, limit=2)
    assert row.attributes["00081030"]["Value"] == ["ab"]


def test_known_and_digests_tell_what_is_there(database: Database) -> None:
    item = registration(1, "1.1", "1.1.1", "1.1.1.1")
    store(database, [item])

    with database.reading() as conn:
        assert known(conn, [item.blob_id, bytes(16)]) == {item.blob_id}
        pairs = [("1.1.1.1", item.digest), ("1.1.1.2", item.digest), ("1.1.1.1", bytes(32))]
        assert digests(conn, pairs) == {("1.1.1.1", item.digest)}


def test_sealed_json_comes_in_order_and_a_change_raises_the_revision(database: Database) -> None:
    items = [
        registration(n, "1.1", "1.1.1", f"1.1.1.{n}", attributes={"00200013": 10 - n})
        for n in range(1, 5)
    ]
    store(database, items)
    ref = SeriesRef(UID("1.1"), UID("1.1.1"))
    with database.reading() as conn:
        before = metadata.revision(conn, ref)
        found = metadata.sealed(conn, ref, within=None)

    with database.transaction() as tx:
        metadata.put(tx, items[0].blob_id, b"\x02anew", deriver=2)

    assert [one.sealed for one in found] == [item.metadata for item in reversed(items)]
    with database.reading() as conn:
        assert metadata.revision(conn, ref) != before
        assert metadata.sealed(conn, ref, within=None)[-1].sealed == b"\x02anew"
        assert metadata.revision(conn, StudyRef(UID("9"))) is None


def test_one_instance_is_located_with_its_frame_table(database: Database) -> None:
    pixel = ("7FE00010", "OW", 1234, 5678)
    item = registration(1, "1.1", "1.1.1", "1.1.1.1", frames=b"table", frame_count=3, pixel=pixel)
    store(database, [item])

    with database.reading() as conn:
        found = locate.with_frames(conn, item.ref, within=None)

    assert found is not None
    located, table = found
    assert table == b"table"
    assert (located.pixel, located.frame_count, located.header) == (pixel, 3, item.header)
    assert (located.payload_len, located.group2) == (item.payload_len, item.group2)


def test_an_empty_batch_does_nothing(database: Database) -> None:
    with database.transaction() as tx:
        assert register(tx, [], policy="first") == []


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    order=st.permutations(range(9)),
    cut=st.integers(1, 8),
    policy=st.sampled_from(["first", "newest"]),
)
def test_the_catalogue_does_not_depend_on_the_order_of_arrival(
    database: Database, order: list[int], cut: int, policy: str
) -> None:
    items = [
        registration(1, "1.1", "1.1.1", "1.1.1.1"),
        registration(2, "1.1", "1.1.1", "1.1.1.2", attributes={"00100010": "Roe^Ann"}),
        registration(3, "1.1", "1.1.2", "1.1.2.1", attributes={"00080060": "MR"}),
        registration(4, "1.1", "1.1.2", "1.1.2.2", attributes={"00080060": "PT", "00081030": "z"}),
        registration(5, "1.2", "1.2.1", "1.1.1.1"),  # the UID of the first, elsewhere
        registration(6, "1.2", "1.2.1", "1.2.1.1", attributes={"00100020": []}),
        registration(7, "1.3", "1.3.1", "1.1.2.1"),
        registration(8, "1.1", "1.1.1", "1.1.1.2", attributes={"00100010": "Poe^Eve"}, size=9),
        registration(9, "1.1", "1.1.1", "1.1.1.3"),
    ]
    with database.transaction() as tx:
        clear(tx)
    for item in items:
        store_all(database, [item], policy=policy)
    expected = dump(database)

    with database.transaction() as tx:
        clear(tx)
    mixed = [items[n] for n in order]
    store_all(database, mixed[:cut], policy=policy)
    store_all(database, mixed[cut:], policy=policy)

    assert dump(database) == expected
