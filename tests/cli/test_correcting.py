"""`vna correct`: done, shown and undone, with the archive stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Vna
from tests.factories import ct

WHY = ("--reason", "Wrong worklist entry")


@pytest.mark.usefixtures("held")
def test_corrected_moved_listed_and_undone(vna: Vna, archive: Path, tmp_path: Path) -> None:
    at = ("--data", archive)
    for number, name in ((1, "Doe^Jane"), (2, "Roe^Rita")):
        file = tmp_path / f"{number}.dcm"
        file.write_bytes(ct(number, patient_id=f"P-{number}", patient_name=name).part10())
    assert vna("import", tmp_path, *at).returncode == 0
    study = ct(1).study
    done = vna("correct", "study", study, "--set", "AccessionNumber=A-2", *WHY, *at)
    assert (done.returncode, done.stdout[:11]) == (0, "corrected, ")
    moved = vna("correct", "move", study, "P-2", *WHY, *at)
    assert (moved.returncode, moved.stdout[:7]) == (0, "moved, ")
    (listed,) = json.loads(vna("correct", "list", "--json", *at).stdout)
    assert (listed["study"], listed["changes"]["PatientName"]) == (study, "Roe^Rita")
    assert listed["changes"]["AccessionNumber"] == "A-2"
    nobody = vna("correct", "move", study, "NOBODY", *WHY, *at)
    assert (nobody.returncode, "no study of such a patient" in nobody.stderr) == (1, True)
    undone = vna("correct", "undo", moved.stdout.split()[1], *WHY, *at)
    assert undone.stdout == "undone\n"
    first, second = json.loads(vna("correct", "list", study, "--json", *at).stdout)
    assert ("undone" in first, "undone" in second) == (False, True)
    assert "(undone)" in vna("correct", "list", study, *at).stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["study", "1.2.3", "--set", "PatientID=1", *WHY], "nothing here"),
        (["study", "1.2.3", "--set", "PatientID", *WHY], "ATTRIBUTE=VALUE"),
        (["study", "1.2.3", "--set", "Rows=1", *WHY], "What can be corrected"),
        (["study", "1.2.3", "--set", "PatientID=1", "--reason", " "], "Say why"),
        (["move", "1.2.3", "NOBODY", *WHY], "nothing here"),
        (["undo", "zz", *WHY], "digits"),
        (["undo", "00", *WHY], "no such correction"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    vna: Vna, standing: Path, words: list[str], says: str
) -> None:
    done = vna("correct", *words, "--data", standing)
    assert done.returncode in (1, 2)
    assert says in done.stderr
