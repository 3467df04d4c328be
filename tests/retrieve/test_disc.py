"""Discs: what is written can be read back, and is what the archive holds; what is not is said."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pycdlib import PyCdlib
from pydicom.data import get_testdata_file

from tests.archive import Archive, open_archive
from tests.factories import ct
from tests.jobs.conftest import worker_of
from vna.access.principal import Principal, Scope
from vna.blobs.derived import Derivates
from vna.db.pool import Database
from vna.db.work import State
from vna.dicom.refs import SeriesRef, StudyRef, uid
from vna.errors import Conflict, Corrupt, Gone, NotFound, NotPermitted, TooLarge, VNAError
from vna.retrieve.payload import Stretch, ready
from vna.retrieve.volume import LONGEST_FILE, File, check, volume

NAME = "Canary^Clara"


class Held:
    """An image in memory, as a reader gives it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.payload_len = len(data)

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


def bytes_of(content: Stretch) -> bytes:
    return b"".join(bytes(piece) for piece in content.walk(0, content.length))


def sample(name: str = "CT_small.dcm") -> bytes:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return Path(path).read_bytes()


def extracted(image: bytes, folder: Path) -> list[str]:
    """Take every file out of a disc by its Joliet names."""
    disc = PyCdlib()
    disc.open_fp(io.BytesIO(image))
    names = []
    for above, _, files in disc.walk(joliet_path="/"):
        for file in files:
            path = f"{above.rstrip('/')}/{file}"
            target = folder / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as out:
                disc.get_file_from_iso_fp(out, joliet_path=path)
            names.append(path.lstrip("/"))
    disc.close()
    return sorted(names)


def listed(folder: Path) -> dict[str, Path]:
    """Say where the DICOMDIR of a disc has each instance."""
    directory = pydicom.dcmread(folder / "DICOMDIR")
    return {
        str(record.ReferencedSOPInstanceUIDInFile): folder.joinpath(*record.ReferencedFileID)
        for record in directory.DirectoryRecordSequence
        if "ReferencedFileID" in record
    }


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database, jobs={"first_retry_s": 0.0}) as found:
        yield found


def filled(archive: Archive) -> str:
    """Store one study of two series and a report; return its UID."""
    for series in (1, 2):
        for number in (1, 2):
            assert archive.take(ct(1, series, number, patient_name=NAME).part10())
    return ct(1).study


def made(archive: Archive, job_id: int) -> State:
    """Let the worker do what is due; return how the disc ended."""
    while worker_of(archive).do_one():
        pass
    return archive.discs.one(archive.who, job_id)[0].state


def test_a_volume_is_read_back_by_every_file_system() -> None:
    files = [File(f"DICOM/ST000001/IM{n:06}", ready(os.urandom(1 + 997 * n))) for n in range(40)]
    files += [File("INDEX.HTM", ready(b"<p>")), File("IHE_PDI/ST000001/SE000001.HTM", ready(b"x"))]
    image = bytes_of(volume(files, "TEST"))
    expected = [(f.path, hashlib.sha256(bytes_of(f.content)).digest()) for f in files]
    check(Held(image), expected)
    with pytest.raises(Corrupt):
        check(Held(image), expected[1:])
    at = image.rindex(bytes_of(files[39].content))
    broken = bytearray(image)
    broken[at] ^= 1
    with pytest.raises(Corrupt, match="not what was written"):
        check(Held(bytes(broken)), expected)
    with pytest.raises(Corrupt):
        check(Held(image[:40_000]), expected)


def test_any_part_of_a_volume_can_be_walked() -> None:
    image = volume([File("INDEX.HTM", ready(b"<p>" * 5000)), File("README.TXT", ready(b"r"))], "T")
    whole = bytes_of(image)
    assert len(whole) == image.length
    for start, end in ((0, 10), (32768, 40000), (image.length - 3, image.length)):
        assert b"".join(bytes(p) for p in image.walk(start, end)) == whole[start:end]


def test_a_file_too_long_for_a_disc_is_refused() -> None:
    endless = Stretch(LONGEST_FILE + 1, lambda _start, _end: iter(()))
    with pytest.raises(TooLarge, match="4 GiB"):
        volume([File("DICOM/IM000001", endless)], "TEST")


def test_a_disc_holds_what_the_archive_holds(archive: Archive, tmp_path: Path) -> None:
    filled(archive)
    original = sample()
    assert archive.take(original)
    other = str(pydicom.dcmread(io.BytesIO(original), stop_before_pixels=True).StudyInstanceUID)
    refs = [StudyRef(uid(ct(1).study)), StudyRef(uid(other))]
    job_id = archive.discs.ask(archive.who, refs)
    assert made(archive, job_id) is State.DONE
    disc = archive.discs.one(archive.who, job_id)[0]
    assert (disc.objects, disc.read, disc.failed, disc.is_ready) == (5, 5, 0, True)

    image = archive.discs.fetch(archive.who, job_id)
    assert image.content.length == disc.size
    out = tmp_path / "out"
    names = extracted(bytes_of(image.content), out)
    assert {"DICOMDIR", "INDEX.HTM", "README.TXT", "SHA256.TXT"} <= set(names)
    assert sum(name.startswith("DICOM/") for name in names) == 5
    assert not [name for name in names if name.upper().endswith((".EXE", ".INF", ".BAT"))]
    for line in (out / "SHA256.TXT").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
        names.remove(name)
    assert names == ["SHA256.TXT"]

    held = listed(out)
    assert len(held) == 5
    for instance, path in held.items():
        assert pydicom.dcmread(path).SOPInstanceUID == instance
    theirs = pydicom.dcmread(io.BytesIO(original))
    ours = pydicom.dcmread(held[str(theirs.SOPInstanceUID)])
    assert ours.PixelData == theirs.PixelData
    assert ours == theirs


def test_the_pages_of_a_disc_show_pictures_and_reports(archive: Archive, tmp_path: Path) -> None:
    for name in ("CT_small.dcm", "reportsi.dcm"):
        assert archive.take(sample(name))
    studies = [
        StudyRef(uid(str(pydicom.dcmread(io.BytesIO(sample(name))).StudyInstanceUID)))
        for name in ("CT_small.dcm", "reportsi.dcm")
    ]
    job_id = archive.discs.ask(archive.who, studies)
    assert made(archive, job_id) is State.DONE
    out = tmp_path / "out"
    extracted(bytes_of(archive.discs.fetch(archive.who, job_id).content), out)
    first = (out / "INDEX.HTM").read_text()
    assert "CompressedSamples, CT1" in first
    assert "<script" not in first
    pages = sorted((out / "IHE_PDI").glob("*/*.HTM"))
    assert len(pages) == 2
    pictures = list((out / "IHE_PDI").rglob("*.JPG"))
    assert [p.read_bytes()[:2] for p in pictures] == [b"\xff\xd8"]
    reports = list((out / "IHE_PDI").glob("*/*/*.HTM"))
    assert len(reports) == 1
    for page in pages:
        assert "not for diagnosis" in page.read_text()
        assert page.relative_to(out).as_posix() in first


def test_names_cannot_become_markup(archive: Archive, tmp_path: Path) -> None:
    evil = {"0008103E": "<img src=x onerror=alert(1)>", "00081030": "<script>"}
    assert archive.take(ct(1, patient_name="<b>Eve", values=evil).part10())
    job_id = archive.discs.ask(archive.who, [StudyRef(uid(ct(1).study))])
    assert made(archive, job_id) is State.DONE
    out = tmp_path / "out"
    extracted(bytes_of(archive.discs.fetch(archive.who, job_id).content), out)
    for page in out.rglob("*.HTM"):
        text = page.read_text()
        assert "<script" not in text
        assert "<img src=x" not in text
        assert "<b>" not in text


def test_nothing_of_a_disc_rests_in_plain(archive: Archive, tmp_path: Path) -> None:
    filled(archive)
    job_id = archive.discs.ask(archive.who, [StudyRef(uid(ct(1).study))])
    assert made(archive, job_id) is State.DONE
    image = bytes_of(archive.discs.fetch(archive.who, job_id).content)
    assert b"Canary" in image
    for path in tmp_path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"Canary" not in data
            assert b"CD001" not in data


def test_an_object_that_cannot_be_read_is_named_and_can_be_left_out(archive: Archive) -> None:
    study = filled(archive)
    bad = archive.retrieve.instances(archive.who, StudyRef(uid(study)))[2]
    blob = next((archive.settings.data / "blobs" / "b").rglob(f"*{bad.blob_id.hex()[-12:]}.vnb"))
    whole = blob.read_bytes()
    blob.chmod(0o600)
    blob.write_bytes(whole[:300] + bytes([whole[300] ^ 1]) + whole[301:])
    job_id = archive.discs.ask(archive.who, [StudyRef(uid(study))])
    assert made(archive, job_id) is State.FAILED
    disc, items = archive.discs.one(archive.who, job_id)
    assert (disc.read, disc.failed) == (3, 1)
    assert disc.cause is not None
    assert disc.cause.startswith("1 of 4 objects could not be read.")
    failed = [item for item in items if item.state == "failed"]
    assert [item.instance for item in failed] == [bad.ref.instance]
    assert failed[0].cause
    with pytest.raises(Conflict):
        archive.discs.fetch(archive.who, job_id)

    smaller = archive.discs.without(archive.who, job_id)
    assert made(archive, smaller) is State.DONE
    assert archive.discs.one(archive.who, smaller)[0].objects == 3

    blob.write_bytes(whole)
    archive.discs.retry(archive.who, job_id)
    assert made(archive, job_id) is State.DONE
    assert archive.discs.one(archive.who, job_id)[0].read == 4


def test_what_was_deleted_is_on_no_disc_that_is_handed_out(archive: Archive) -> None:
    study = filled(archive)
    job_id = archive.discs.ask(archive.who, [StudyRef(uid(study))])
    assert made(archive, job_id) is State.DONE
    archive.lifecycle.delete(archive.who, SeriesRef(uid(study), uid(ct(1, 2).series)))
    with pytest.raises(Gone, match="deleted or corrected since"):
        archive.discs.fetch(archive.who, job_id)


def test_a_disc_of_the_wrong_patient_is_not_handed_out(archive: Archive, tmp_path: Path) -> None:
    study = filled(archive)
    job_id = archive.discs.ask(archive.who, [StudyRef(uid(study))])
    assert made(archive, job_id) is State.DONE
    changes = {"PatientName": "Right^Person"}
    archive.corrections.correct(archive.who, uid(study), changes, reason="Wrong worklist entry")
    with pytest.raises(Gone, match="corrected since"):
        archive.discs.fetch(archive.who, job_id)
    again = archive.discs.ask(archive.who, [StudyRef(uid(study))])
    assert made(archive, again) is State.DONE
    out = tmp_path / "out"
    extracted(bytes_of(archive.discs.fetch(archive.who, again).content), out)
    assert "Right, Person" in (out / "INDEX.HTM").read_text()
    assert "Canary" not in (out / "INDEX.HTM").read_text()
    for path in listed(out).values():
        assert pydicom.dcmread(path).PatientName == "Right^Person"


def test_a_disc_is_kept_for_some_days_only(archive: Archive) -> None:
    study = filled(archive)
    job_id = archive.discs.ask(archive.who, [StudyRef(uid(study))])
    assert made(archive, job_id) is State.DONE
    blob_id = archive.discs.one(archive.who, job_id)[0].blob_id
    assert blob_id is not None
    derivates = Derivates(archive.store)
    assert archive.discs.sweep() == 0
    assert derivates.sweep(-60.0) == 1
    with pytest.raises(Gone, match="made again"):
        archive.discs.fetch(archive.who, job_id)
    derivates.delete(blob_id)


def test_a_disc_of_days_past_has_expired(archive: Archive) -> None:
    study = filled(archive)
    job_id = archive.discs.ask(archive.who, [StudyRef(uid(study))])
    assert made(archive, job_id) is State.DONE
    with archive.database.transaction() as tx:
        tx.execute("UPDATE job SET finished_at = finished_at - interval '8 days'")
    assert archive.discs.one(archive.who, job_id)[0].is_expired
    with pytest.raises(Gone):
        archive.discs.fetch(archive.who, job_id)


def test_handing_out_is_written_down_before_the_first_byte(archive: Archive) -> None:
    study = filled(archive)
    job_id = archive.discs.ask(archive.who, [StudyRef(uid(study))])
    assert made(archive, job_id) is State.DONE
    archive.discs.fetch(archive.who, job_id)
    with archive.database.reading() as conn:
        rows = conn.execute(
            "SELECT kind, principal, study, detail FROM audit"
            " WHERE kind IN ('disc.asked', 'export') ORDER BY id"
        ).fetchall()
    assert [row[:3] for row in rows] == [
        ("disc.asked", "test", study),
        ("export", "test", study),
    ]
    assert rows[1][3]["count"] == 4


def narrowed(archive: Archive, scope: Scope) -> Principal:
    return dataclasses.replace(archive.who, scope=scope)


def test_a_disc_is_for_who_may_see_all_of_it(archive: Archive) -> None:
    study = filled(archive)
    part = narrowed(archive, Scope(series=frozenset([SeriesRef(uid(study), uid(ct(1, 1).series))])))
    nobody = narrowed(archive, Scope())
    with pytest.raises(NotPermitted):
        archive.discs.ask(part, [StudyRef(uid(study))])
    with pytest.raises(NotFound):
        archive.discs.ask(nobody, [StudyRef(uid(study))])
    lent = narrowed(archive, Scope(lent=frozenset([uid(study)])))
    with pytest.raises(NotPermitted, match="no copies"):  # an emergency shows, and no more
        archive.discs.ask(lent, [StudyRef(uid(study))])
    own = archive.discs.ask(part, [SeriesRef(uid(study), uid(ct(1, 1).series))])
    job_id = archive.discs.ask(archive.who, [StudyRef(uid(study))])
    assert made(archive, job_id) is State.DONE
    assert archive.discs.one(archive.who, own)[0].objects == 2
    assert archive.discs.all(nobody) == []
    for refused in (archive.discs.one, archive.discs.fetch, archive.discs.retry):
        with pytest.raises(VNAError):
            refused(nobody, job_id)


def test_more_than_a_medium_holds_is_refused_before_it_is_begun(
    tmp_path: Path, database: Database
) -> None:
    with open_archive(tmp_path, database, discs={"bytes": 1000}) as archive:
        study = filled(archive)
        with pytest.raises(TooLarge, match="A disc holds up to"):
            archive.discs.ask(archive.who, [StudyRef(uid(study))])


def test_a_disc_that_is_not_wanted_any_more_is_not_made(archive: Archive) -> None:
    study = filled(archive)
    job_id = archive.discs.ask(archive.who, [StudyRef(uid(study))])
    archive.discs.cancel(archive.who, job_id)
    assert made(archive, job_id) is State.CANCELLED
    with pytest.raises(Conflict):
        archive.discs.cancel(archive.who, job_id)
    archive.discs.retry(archive.who, job_id)
    assert made(archive, job_id) is State.DONE


def test_pictures_are_spread_over_the_series(tmp_path: Path, database: Database) -> None:
    with open_archive(tmp_path, database, discs={"pictures": 4}) as archive:
        for series in (1, 2):
            for number in range(1, 8):
                assert archive.take(picture(series, number))
        job_id = archive.discs.ask(archive.who, [StudyRef(uid(ct(1).study))])
        assert made(archive, job_id) is State.DONE
        out = tmp_path / "out"
        extracted(bytes_of(archive.discs.fetch(archive.who, job_id).content), out)
        names = sorted(p.name for p in (out / "IHE_PDI").rglob("*.JPG"))
        assert names == ["IM000001.JPG"] * 2 + ["IM000005.JPG"] * 2
        assert len(list((out / "DICOM").rglob("IM*"))) == 14


def picture(series: int, number: int) -> bytes:
    """A CT image that can be rendered, in a series of the study of the factory."""
    ds = pydicom.dcmread(io.BytesIO(sample()))
    like = ct(1, series, number)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = like.study, like.series
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = like.instance
    ds.InstanceNumber = number
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()
