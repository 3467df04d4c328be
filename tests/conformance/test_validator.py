"""What the archive writes, read by a validator of IODs: dciodvfy finds nothing wrong with it."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from tests.conftest import TestPostgres
from tests.factories import uid
from tests.web.conftest import Site, serving
from tests.web.parts import COLOR, GREY, Elements, PartLike, json_part, metadata, one, pixels, post

EXPLICIT = "1.2.840.10008.1.2.1"
MADE = [  # Transfer Syntaxes the archive writes and the validator knows
    EXPLICIT,
    "1.2.840.10008.1.2.5",
    *(f"1.2.840.10008.1.2.4.{number}" for number in (70, 80, 90)),
]
SOURCES = ("CT_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "examples_ybr_color.dcm")


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("archive")) as found:
        yield found


def errors(file: bytes, folder: Path) -> Counter[str]:
    """Everything dciodvfy calls an error in a file, a line each."""
    assert shutil.which("dciodvfy"), "dciodvfy is missing: run `make tools`"
    path = folder / "file.dcm"
    path.write_bytes(file)
    done = subprocess.run(["dciodvfy", path], capture_output=True, timeout=60, check=False)
    assert done.returncode >= 0, "the validator was ended by a signal"
    lines = done.stderr.decode("latin-1").splitlines()
    return Counter(line for line in lines if "Error" in line)


def source(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert path is not None
    return Path(str(path)).read_bytes()


def back(site: Site, file: bytes, syntax: str) -> bytes:
    """Give an instance as it goes out in a Transfer Syntax."""
    ds = pydicom.dcmread(io.BytesIO(file), specific_tags=["StudyInstanceUID", "SeriesInstanceUID"])
    instance = ds.file_meta.MediaStorageSOPInstanceUID
    path = f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{instance}"
    accept = f"application/dicom; transfer-syntax={syntax}"
    answer = site.client.get(site.root + path, headers={"accept": accept})
    assert answer.status_code == 200, answer.text
    found = answer.content
    assert isinstance(found, bytes)
    return found


@pytest.mark.parametrize("name", SOURCES)
def test_what_was_converted_has_no_errors_it_did_not_have(
    site: Site, name: str, tmp_path: Path
) -> None:
    file = source(name)
    assert site.store(file).status_code in (200, 202)
    before = errors(file, tmp_path)
    for syntax in MADE:
        assert not errors(back(site, file, syntax), tmp_path) - before, syntax


def test_what_was_corrected_has_no_errors_it_did_not_have(
    postgres: TestPostgres, tmp_path: Path
) -> None:
    """The text, what is added, and the Original Attributes Sequence (PS3.3 C.12.1.1.9)."""
    (folder := tmp_path / "archive").mkdir()
    with serving(postgres, folder) as site:
        for name in SOURCES:
            file = source(name)
            assert site.store(file).status_code == 200
            study = pydicom.dcmread(io.BytesIO(file)).StudyInstanceUID
            changes = {"PatientName": "Müller^Jörg", "PatientID": "P-77", "AccessionNumber": "A-2"}
            archive = site.archive
            archive.corrections.correct(archive.who, study, changes, reason="Wrong")
            for syntax in ("*", EXPLICIT):
                found = back(site, file, syntax)
                assert pydicom.dcmread(io.BytesIO(found)).PatientName == "Müller^Jörg"
                assert not errors(found, tmp_path) - errors(file, tmp_path), (name, syntax)


def capture(study: int, **more: Elements) -> Elements:
    """Metadata of a Secondary Capture that lacks nothing but its pixels."""
    return metadata(
        study,
        x00080008=one("CS", "DERIVED", "SECONDARY"),
        x00080030=one("TM", "101112"),
        x00080050=one("SH"),
        x00080064=one("CS", "SYN"),
        x00080090=one("PN"),
        x00100030=one("DA", "19700101"),
        x00100040=one("CS", "F"),
        x00200010=one("SH", "1"),
        x00200011=one("IS", 1),
        x00200020=one("CS", "A", "F"),
        x00200060=one("CS", "R"),
        x00280301=one("CS", "NO"),
        **more,
    )


def encoded(form: str, array: Any) -> PartLike:
    out = io.BytesIO()
    Image.fromarray(array).save(out, form)
    return f"image/{form.lower()}", "pixels", out.getvalue()


@pytest.mark.parametrize(
    ("study", "form", "array"),
    [
        (9000, "JPEG", GREY),
        (9001, "JPEG", COLOR),
        (9002, "PNG", GREY),
        (9003, "PNG", COLOR),
        (9004, "GIF", GREY),
    ],
)
def test_what_was_put_together_from_a_picture_has_no_errors(
    site: Site, study: int, form: str, array: Any, tmp_path: Path
) -> None:
    elements = capture(study, **pixels())
    assert post(site, json_part(elements), encoded(form, array)).status_code == 200
    path = f"/studies/{uid(study)}/series/{uid(study, 1)}/instances/{uid(study, 1, 1)}"
    accept = {"accept": "application/dicom; transfer-syntax=*"}
    answer = site.client.get(site.root + path, headers=accept)
    assert not errors(answer.content, tmp_path)


def test_a_directory_has_no_errors(site: Site, tmp_path: Path) -> None:
    """PS3.3 F: of a study whose instances have every key a record demands."""
    file = source("CT_small.dcm")
    site.store(file)
    study = pydicom.dcmread(io.BytesIO(file)).StudyInstanceUID
    accept = {"accept": "application/zip; dicomdir=true"}
    answer = site.client.get(f"{site.root}/studies/{study}", headers=accept)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert not errors(archive.read("DICOMDIR"), tmp_path)
