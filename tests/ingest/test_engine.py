"""The way in, from bytes to outcome, on real stores."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import factories
from tests.archive import Archive, open_archive
from vna.access.principal import Action, Kind, Principal
from vna.cli import doctor
from vna.cli.finding import FAIL
from vna.db.pool import Database
from vna.dicom.refs import StudyRef, uid
from vna.errors import NotFound, NotPermitted
from vna.ingest import engine, receiving
from vna.ingest.outcome import AlreadyStored, Cause, Caution, Refused, Source, Stored
from vna.ingest.versions import Comparison, compare
from vna.telemetry import Spell


def blobs(archive: Archive) -> list[bytes]:
    return list(archive.store.blob_ids())


def dataset_of(archive: Archive, made: factories.Instance) -> bytes:
    """The current instance's data set as it is stored."""
    ref = StudyRef(uid(made.study))
    (located,) = [
        one
        for one in archive.retrieve.instances(archive.who, ref)
        if one.ref.instance == made.instance
    ]
    return b"".join(archive.retrieve.forms.dataset(located, located.transfer_syntax).chunks)


def test_a_stored_object_comes_back_byte_for_byte(archive: Archive) -> None:
    made = factories.ct(rows=300, columns=300)
    outcome = archive.take(made.part10())
    assert isinstance(outcome, Stored)
    assert outcome.caution is None
    assert outcome.ref.instance == made.instance
    assert dataset_of(archive, made) == made.dataset()


@pytest.mark.parametrize(
    "syntax",
    [factories.IMPLICIT, factories.EXPLICIT, factories.BIG_ENDIAN, factories.DEFLATED],
)
def test_every_native_syntax_is_stored_as_it_came(archive: Archive, syntax: str) -> None:
    made = factories.ct(transfer_syntax=syntax)
    assert isinstance(archive.take_dataset(made.dataset(), syntax), Stored)
    assert dataset_of(archive, made) == made.dataset()


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(chunk=st.integers(1, 3000), number=st.integers(1, 1 << 30))
def test_any_chunking_gives_the_same_object(archive: Archive, chunk: int, number: int) -> None:
    made = factories.ct(1, 1, number)
    archive.take(made.part10(), chunk=chunk)
    assert dataset_of(archive, made) == made.dataset()


def test_the_same_object_again_is_a_success_and_nothing_new(archive: Archive) -> None:
    made = factories.ct()
    archive.take(made.part10())
    assert isinstance(archive.take(made.part10()), AlreadyStored)
    assert isinstance(archive.take_dataset(made.dataset(), made.transfer_syntax), AlreadyStored)
    assert len(blobs(archive)) == 1


def test_the_same_object_in_another_byte_order_is_known(archive: Archive) -> None:
    little = factories.ct()
    big = dataclasses.replace(little, transfer_syntax=factories.BIG_ENDIAN)
    big_pixels = bytearray(little.rows * little.columns * 2)
    little_pixels = (bytes(range(256)) * 8)[: len(big_pixels)]
    big_pixels[0::2], big_pixels[1::2] = little_pixels[1::2], little_pixels[0::2]
    archive.take(little.part10())
    outcome = archive.take(dataclasses.replace(big, pixels=bytes(big_pixels)).part10())
    assert isinstance(outcome, AlreadyStored)
    assert len(blobs(archive)) == 1


def test_padding_at_the_end_is_no_other_content(archive: Archive) -> None:
    made = factories.ct()
    archive.take(made.part10())
    padded = dataclasses.replace(made, extra=[("FFFCFFFC", "OB", bytes(300))])
    body = padded.dataset()
    assert isinstance(archive.take_dataset(body, made.transfer_syntax), AlreadyStored)
    assert len(blobs(archive)) == 1


def test_other_content_under_a_known_uid_keeps_both_and_says_so(archive: Archive) -> None:
    first = factories.ct()
    second = dataclasses.replace(first, patient_name="Other^Name")
    archive.take(first.part10())
    outcome = archive.take(second.part10())
    assert isinstance(outcome, Stored)
    assert outcome.caution is Caution.DIFFERS
    assert len(blobs(archive)) == 2
    assert dataset_of(archive, first) == first.dataset()


@pytest.mark.parametrize("policy", ["first", "newest", "reject"])
def test_an_object_that_comes_compressed_is_kept_beside_without_a_warning(
    tmp_path: Path, database: Database, policy: str
) -> None:
    """Nobody can say without decoding whether it is another, so no sender is alarmed."""
    with open_archive(tmp_path, database, versions={"policy": policy}) as archive:
        first = factories.ct()
        packed = factories.encapsulated([[bytes(64)]])
        second = dataclasses.replace(
            first, transfer_syntax=factories.RLE, pixel_element=packed, pixels=None
        )
        archive.take(first.part10())
        outcome = archive.take(second.part10())
        assert isinstance(outcome, Stored)
        assert outcome.caution is None
        assert len(blobs(archive)) == 2
        assert dataset_of(archive, first) == first.dataset()


def test_the_policy_reject_keeps_no_second_content(tmp_path: Path, database: Database) -> None:
    with open_archive(tmp_path, database, versions={"policy": "reject"}) as archive:
        first = factories.ct()
        archive.take(first.part10())
        outcome = archive.take(dataclasses.replace(first, patient_name="Other^Name").part10())
        assert isinstance(outcome, Refused)
        assert outcome.cause is Cause.DUPLICATE
        assert len(blobs(archive)) == 1


@pytest.mark.parametrize(
    ("policy", "changes"),
    [
        ("first", {"patient_name": "Other^Name"}),
        ("newest", {"patient_name": "Other^Name"}),
        ("reject", {"patient_name": "Other^Name"}),
        ("newest", {"transfer_syntax": factories.IMPLICIT}),
    ],
)
def test_what_recovery_adopted_while_contents_were_compared_keeps_its_blob(
    tmp_path: Path,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    changes: dict[str, str],
) -> None:
    """Comparing took longer than `ingest.adopt_s`, or the clock was set forward meanwhile."""
    sections = {"versions": {"policy": policy}, "ingest": {"adopt_s": 0.0}}
    with open_archive(tmp_path, database, **sections) as archive:
        first = factories.ct()
        archive.take(first.part10())

        def slowly(*given: Any) -> Comparison:
            monkeypatch.setattr(engine, "compare", compare)
            archive.recovery.adopt(older_s=0)
            return compare(*given)

        monkeypatch.setattr(engine, "compare", slowly)
        archive.take(dataclasses.replace(first, **changes).part10())
        with archive.database.reading() as conn:
            rows = {bytes(blob) for (blob,) in conn.execute("SELECT blob_id FROM instance")}
        assert rows == set(blobs(archive))


def test_the_same_uid_in_another_series_is_kept_but_not_shown(archive: Archive) -> None:
    first = factories.ct()
    elsewhere = dataclasses.replace(first, series=factories.uid(1, 2))
    archive.take(first.part10())
    outcome = archive.take(elsewhere.part10())
    assert isinstance(outcome, Stored)
    assert outcome.caution in (Caution.ELSEWHERE, Caution.DIFFERS)
    found = archive.retrieve.instances(archive.who, StudyRef(uid(first.study)))
    assert [one.ref.series for one in found] == [first.series]


@pytest.mark.parametrize(
    ("keyword", "cause"),
    [
        ("StudyInstanceUID", Cause.MISSING_IDENTITY),
        ("SeriesInstanceUID", Cause.MISSING_IDENTITY),
        ("SOPInstanceUID", Cause.MISSING_IDENTITY),
    ],
)
def test_an_object_without_a_required_uid_is_refused(
    archive: Archive, keyword: str, cause: Cause
) -> None:
    made = factories.ct(values={keyword: None})
    outcome = archive.take_dataset(made.dataset(), made.transfer_syntax)
    assert isinstance(outcome, Refused)
    assert outcome.cause is cause
    assert blobs(archive) == []


HOSTILE = [
    "../../etc/passwd",
    "1.2.3/../../4",
    "1.2.3\n",
    "a.b.c",
    "1" * 65,
    "",
    "1.2\x00.3",
    "%2e",
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_a_hostile_uid_is_refused_and_touches_no_file(
    archive: Archive, keyword: str, value: str
) -> None:
    made = factories.ct(values={keyword: value})
    outcome = archive.take_dataset(made.dataset(), made.transfer_syntax)
    assert isinstance(outcome, Refused)
    assert outcome.cause in (Cause.MISSING_IDENTITY, Cause.CANNOT_UNDERSTAND)
    assert blobs(archive) == []
    assert "passwd" not in outcome.message


@pytest.mark.parametrize("count", ["9223372036854775808", "9" * 64])
def test_a_video_of_more_frames_than_there_are_numbers_is_stored(
    archive: Archive, count: str
) -> None:
    """An IS has 31 bits (PS3.5 Table 6.2-1); what is written may be longer."""
    made = factories.compressed(
        [[bytes(64)]],
        transfer_syntax="1.2.840.10008.1.2.4.102",
        values={"NumberOfFrames": count},
    )
    assert isinstance(archive.take(made.part10()), Stored)
    assert dataset_of(archive, made) == made.dataset()


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [("00100010", "US", 272), ("00080090", "FD", 1.5), ("00100020", "FD", 1e300)],
)
def test_what_identifies_in_a_vr_of_its_own_is_stored(
    archive: Archive, tag: str, vr: str, value: float
) -> None:
    made = factories.ct(values={tag: None}, extra=[(tag, vr, value)])
    assert isinstance(archive.take(made.part10()), Stored)
    assert dataset_of(archive, made) == made.dataset()


@pytest.mark.parametrize(
    ("expected", "cause"),
    [
        ({"sop_instance": "1.2.3"}, Cause.MISMATCH),
        ({"sop_class": "1.2.3"}, Cause.MISMATCH),
        ({"study": "1.2.3"}, Cause.MISMATCH),
    ],
)
def test_a_data_set_that_contradicts_its_command_is_refused(
    archive: Archive, expected: dict[str, str], cause: Cause
) -> None:
    made = factories.ct()
    outcome = archive.take_dataset(made.dataset(), made.transfer_syntax, **expected)
    assert isinstance(outcome, Refused)
    assert outcome.cause is cause
    assert blobs(archive) == []


@pytest.mark.parametrize(
    "data", [b"", b"garbage", bytes(200), b"\0" * 128 + b"DICM", b"%PDF-1.4 x"]
)
def test_what_is_no_dicom_is_refused_and_nothing_is_stored(archive: Archive, data: bytes) -> None:
    outcome = archive.take(data)
    assert isinstance(outcome, Refused)
    assert outcome.cause in (Cause.CANNOT_UNDERSTAND, Cause.MISSING_IDENTITY)
    assert blobs(archive) == []


def test_an_object_cut_off_inside_an_element_is_refused(archive: Archive) -> None:
    made = factories.ct(rows=4, columns=4)
    whole = made.part10()
    ends, at = set(), len(whole)
    for one in reversed(made.elements()):  # between two elements nothing tells of the cut
        ends.add(at)
        at -= len(factories.element(*one))
    for length in set(range(0, len(whole) - 1, 7)) - ends - {at}:
        assert isinstance(archive.take(whole[:length]), Refused), length
    assert blobs(archive) == []


def test_an_object_over_the_limit_is_refused(tmp_path: Path, database: Database) -> None:
    made = factories.ct(rows=64, columns=64)
    size = len(made.dataset())
    with open_archive(tmp_path, database, limits={"object_bytes": size}) as archive:
        assert isinstance(archive.take_dataset(made.dataset(), made.transfer_syntax), Stored)
        longer = factories.ct(1, 1, 2, rows=64, columns=65)
        outcome = archive.take_dataset(longer.dataset(), longer.transfer_syntax)
        assert isinstance(outcome, Refused)
        assert outcome.cause is Cause.TOO_LARGE


def test_a_deflate_bomb_is_refused_at_the_cap(tmp_path: Path, database: Database) -> None:
    with open_archive(tmp_path, database) as archive:
        outcome = archive.take_dataset(factories.deflate_bomb(), factories.DEFLATED)
        assert isinstance(outcome, Refused)
        assert outcome.cause is Cause.TOO_LARGE
        assert blobs(archive) == []


def test_below_the_mark_of_free_space_nothing_is_taken_but_reads_go_on(
    tmp_path: Path, database: Database
) -> None:
    made = factories.ct()
    with open_archive(tmp_path, database) as archive:
        archive.take(made.part10())
    with open_archive(tmp_path, database, blobs={"free_bytes": 1 << 60}) as archive:
        outcome = archive.take(factories.ct(1, 1, 2).part10())
        assert isinstance(outcome, Refused)
        assert outcome.cause is Cause.OUT_OF_RESOURCES
        assert dataset_of(archive, made) == made.dataset()


def test_objects_refused_for_a_fault_of_ours_are_told_in_the_log_and_others_are_not(
    tmp_path: Path,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """C-STORE is answered A700 ten thousand times while a disk is full: that is one line."""
    monkeypatch.setattr(receiving, "_refusing", Spell(receiving.log, "objects refused"))
    with open_archive(tmp_path, database, blobs={"free_bytes": 1 << 60}) as archive:
        archive.take(b"no DICOM")
        for number in range(1, 4):
            archive.take(factories.ct(1, 1, number).part10())
    told = [one for one in caplog.records if one.getMessage() == "objects refused"]
    assert [vars(one)["why"] for one in told] == ["The archive is out of disk space."]
    caplog.clear()
    with open_archive(tmp_path, database) as archive:
        monkeypatch.setattr(Spell, "_QUIET_S", 0.0)
        archive.take(factories.ct().part10())
    over = [one for one in caplog.records if one.getMessage() == "objects refused: over"]
    assert [vars(one)["times"] for one in over] == [4]  # that it is no DICOM was not looked at
    caplog.clear()
    with open_archive(tmp_path, database) as archive:
        archive.take(b"no DICOM")
    assert not caplog.records


def test_on_a_disk_that_became_read_only_nothing_is_taken_and_probes_say_so(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux mounts a file system read-only after an error of its disk; it has free space still."""
    asked = os.statvfs

    def read_only(path: str) -> os.statvfs_result:
        found = asked(path)
        return os.statvfs_result((*found[:8], found.f_flag | os.ST_RDONLY, found.f_namemax))

    made = factories.ct()
    with open_archive(tmp_path, database) as archive:
        archive.take(made.part10())
        assert archive.ingest.has_space()
    monkeypatch.setattr(os, "statvfs", read_only)
    with open_archive(tmp_path, database, blobs={"free_bytes": 1}) as archive:
        assert not archive.ingest.has_space()
        outcome = archive.take(factories.ct(1, 1, 2).part10())
        assert isinstance(outcome, Refused)
        assert outcome.cause is Cause.OUT_OF_RESOURCES
        assert dataset_of(archive, made) == made.dataset()


def test_without_another_inode_nothing_is_taken_and_probes_say_so(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every object was refused while probes said ok: there were bytes, but no file could be."""
    asked = os.statvfs
    counted = 1000

    def crowded(path: str) -> os.statvfs_result:
        found = asked(path)
        return os.statvfs_result((*found[:5], counted, 0, 0, *found[8:]))

    monkeypatch.setattr(os, "statvfs", crowded)
    with open_archive(tmp_path, database, blobs={"free_bytes": 1}) as archive:
        assert not archive.ingest.has_space()
    counted = 0  # Btrfs does not count them
    with open_archive(tmp_path, database, blobs={"free_bytes": 1}) as archive:
        assert archive.ingest.has_space()


def test_the_disk_of_the_index_is_looked_at_where_the_index_lies(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun as root it may lie in /var/lib/vna: the disk of the blobs was asked twice."""
    elsewhere = tmp_path / "elsewhere" / "pg"
    elsewhere.mkdir(parents=True)
    asked = os.statvfs

    def full(path: str) -> os.statvfs_result:
        found = asked(path)
        return os.statvfs_result((*found[:4], 0, *found[5:])) if path == str(elsewhere) else found

    monkeypatch.setattr(os, "statvfs", full)
    nothing_kept = {"free_bytes": 0, "free_percent": 0.0}
    with open_archive(tmp_path, database, blobs=nothing_kept) as archive:
        (archive.settings.data / "pg").write_text(f"{elsewhere}\n", encoding="utf-8")
        assert not archive.ingest.has_space()
        (found,) = [one for one in doctor.CHECKS["space"](archive.settings) if one.state == FAIL]
        assert found.seen.startswith("index: 0 B free")


def test_who_may_not_store_is_told_so_before_a_byte_is_taken(archive: Archive) -> None:
    reader = Principal(kind=Kind.PERSON, name="reader", actions=frozenset({Action.RETRIEVE}))
    with pytest.raises(NotPermitted):
        archive.ingest.receive(reader, Source(proto="stow"))


def test_an_aborted_object_leaves_nothing(archive: Archive) -> None:
    made = factories.ct(rows=300, columns=300)
    receiving = archive.ingest.receive(archive.who, Source(proto="stow"))
    receiving.feed(made.part10()[:100_000])
    receiving.abort()
    assert blobs(archive) == []
    with pytest.raises(NotFound):
        archive.retrieve.instances(archive.who, StudyRef(uid(made.study)))


def test_many_senders_of_one_object_make_one_instance(archive: Archive) -> None:
    made = factories.ct()
    data, outcomes = made.part10(), []
    threads = [
        threading.Thread(target=lambda: outcomes.append(archive.take(data))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(o).__name__ for o in outcomes) == ["AlreadyStored"] * 7 + ["Stored"]
    assert len(blobs(archive)) == 1


def test_many_senders_of_many_objects_are_all_stored(archive: Archive) -> None:
    outcomes: list[object] = []

    def send(first: int) -> None:
        for number in range(first, first + 10):
            outcomes.append(archive.take(factories.ct(number % 3 + 1, 1, number).part10()))

    threads = [threading.Thread(target=send, args=(n * 10 + 1,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(o, Stored) for o in outcomes)
    assert len(blobs(archive)) == 60


def test_an_audit_row_stands_in_the_transaction_of_each_object(archive: Archive) -> None:
    made = factories.ct()
    archive.take(made.part10())
    with archive.database.reading() as conn:
        rows = conn.execute(
            "SELECT kind, instance FROM audit WHERE kind LIKE 'instance.%'"
        ).fetchall()
    assert rows == [("instance.stored", made.instance)]


@pytest.mark.parametrize(
    ("begins", "said"),
    [
        (b"MZ", "Windows"),
        (b"\x7fELF", "ELF"),
        (b"\xfe\xed\xfa\xce", "Mach-O"),
        (b"\xcf\xfa\xed\xfe", "Mach-O"),
        (b"\xca\xfe\xba\xbe", "Mach-O or Java"),
        (b"#!/bin/sh\n", "script"),
        (b"PK\3\4", "ZIP"),
        (b"PK\5\6", "ZIP"),
    ],
)
def test_an_object_that_is_a_program_as_well_is_an_alert(
    archive: Archive, begins: bytes, said: str
) -> None:
    """CVE-2019-11687: it is stored, and who reads the trail is told each time it comes."""
    made = factories.ct()
    program = begins.ljust(128, b"\x90") + made.part10()[128:]
    assert isinstance(archive.take(program), Stored)
    assert isinstance(archive.take(program), AlreadyStored)
    with archive.database.reading() as conn:
        rows = conn.execute(
            "SELECT instance, detail FROM audit WHERE kind = 'instance.program'"
        ).fetchall()
    assert rows == [(made.instance, {"preamble": said})] * 2


@pytest.mark.parametrize("begins", [b"", b"II*\0", b"MM\0*", b"DICM", b"any text"])
def test_a_preamble_that_is_no_program_is_no_alert(archive: Archive, begins: bytes) -> None:
    assert archive.take(begins.ljust(128, b"\0") + factories.ct().part10()[128:])
    with archive.database.reading() as conn:
        found = conn.execute("SELECT FROM audit WHERE kind = 'instance.program'").fetchall()
    assert found == []


def test_the_digest_of_the_data_set_is_kept(archive: Archive) -> None:
    made = factories.ct()
    archive.take(made.part10())
    (blob_id,) = blobs(archive)
    reader = archive.store.reader(blob_id)
    assert reader.payload_sha256 == hashlib.sha256(made.dataset()).digest()
