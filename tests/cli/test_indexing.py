"""`vna index`: attributes made searchable at the shell, filled in there or by what serves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import factories
from tests.cli.conftest import Vna
from tests.cli.serving import serving


def imported(vna: Vna, archive: Path, folder: Path) -> None:
    """Store two studies that differ in their Admission ID."""
    folder.mkdir()
    for number in (1, 2):
        made = factories.ct(number, values={"AdmissionID": f"ADM{number}"})
        (folder / f"{number}.dcm").write_bytes(made.part10())
    assert vna("import", "--data", archive, folder, VNA_BLOBS_FREE_BYTES="0").returncode == 0


@pytest.mark.usefixtures("held")
def test_an_attribute_is_added_listed_filled_in_and_removed(
    vna: Vna, archive: Path, tmp_path: Path
) -> None:
    imported(vna, archive, tmp_path / "disc")
    added = vna("index", "add", "AdmissionID", "0008103F.CodeValue", "--data", archive)
    assert (added.returncode, added.stderr) == (0, "")
    assert added.stdout.splitlines() == [
        "AdmissionID  added, to be filled in",
        "SeriesDescriptionCodeSequence.CodeValue  added, to be filled in",
    ]
    again = vna("index", "add", "--wait", "00380010", "--data", archive)
    assert (again.returncode, again.stdout) == (1, "AdmissionID  is there already\n")
    listed = vna("index", "list", "--data", archive).stdout.splitlines()
    assert [line.split() for line in listed] == [
        ["SeriesDescriptionCodeSequence.CodeValue", "SH", "SERIES", "ready"],
        ["AdmissionID", "LO", "STUDY", "ready"],
    ]
    assert vna("index", "remove", "AdmissionID", "--data", archive).returncode == 0
    gone = vna("index", "remove", "AdmissionID", "--data", archive)
    assert (gone.returncode, gone.stdout) == (1, "AdmissionID  is not there\n")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["add", "NoSuchThing"], "is no keyword"),
        (["add", "PatientID"], "searched already"),
        (["add", "PixelData"], "nothing can be matched on"),
        (["add", "AdmissionID.PatientID"], "must be a sequence"),
        (["add", "00111001"], "say its creator"),
        (["add", "00111001", "--creator", "ACME"], "--vr"),
        (["add", "00110010", "--creator", "ACME"], "private creator"),
        (["add", "AdmissionID", "--vr", "DA"], "The VR of AdmissionID is LO"),
        (["add", "0038001"], "eight hexadecimal digits"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_the_reason(
    vna: Vna, tmp_path: Path, words: list[str], why: str
) -> None:
    done = vna("index", *words, "--data", tmp_path)
    assert done.returncode == 2
    assert why in done.stderr


def test_a_running_archive_fills_in_by_itself(vna: Vna, archive: Path, tmp_path: Path) -> None:
    imported(vna, archive, tmp_path / "disc")
    with serving(archive) as server:
        assert vna("index", "add", "AdmissionID", "--data", archive).returncode == 0
        server.wait_for("attributes ready")
        assert found(server.get("/dicom-web/studies?AdmissionID=ADM2")) == [factories.uid(2)]
        assert "ready" in vna("index", "list", "--data", archive).stdout


def found(answer: tuple[int, bytes]) -> list[str]:
    status, body = answer
    assert status == 200
    return [study["0020000D"]["Value"][0] for study in json.loads(body)]
