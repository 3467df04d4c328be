"""The commands an administrator types: what changes something as a process of its own, questions in
this one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import factories, prepared
from vna.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder another OS user can pass through."""
    found = Path(tempfile.mkdtemp(prefix="vna-commands-"))
    found.chmod(0o755)
    yield found
    shutil.rmtree(found)


def vna(folder: Path, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vna", command, "--data", str(folder / "data"), *arguments],
        cwd=ROOT,
        env={**os.environ, "VNA_BLOBS_FREE_BYTES": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def asked(folder: Path, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask by the same command line, without a start of Python: it was to change nothing."""
    out, err = io.StringIO(), io.StringIO()
    words = [command, "--data", str(folder / "data"), *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def samples(folder: Path) -> Path:
    """A disc as patients bring it: objects, a ZIP archive, a readme, a link."""
    disc = folder / "disc"
    (disc / "DICOM" / "A").mkdir(parents=True)
    for number in range(1, 6):
        made = factories.ct(1, 1, number)
        (disc / "DICOM" / "A" / f"I{number:04}").write_bytes(made.part10())
    with zipfile.ZipFile(disc / "more.zip", "w") as archive:
        archive.writestr("../../outside.dcm", factories.ct(2, 1, 1).part10())
        archive.writestr("again.dcm", factories.ct(1, 1, 1).part10())
    (disc / "README.TXT").write_text("This disc needs a viewer.")
    (disc / "link.dcm").symlink_to("/etc/passwd")
    return disc


def counts(folder: Path) -> object:
    told = asked(folder, "status", "--json")
    assert told.returncode == 0, told.stderr
    held = json.loads(told.stdout)["holds"]
    return {name: count for name, count in held.items() if name != "index_bytes"}


@pytest.mark.timeout(300)
def test_import_verify_and_reindex_from_the_blobs_alone(folder: Path) -> None:
    assert vna(folder, "init").returncode == 0
    taken = vna(folder, "import", str(samples(folder)))
    assert taken.returncode == 0
    assert "6 stored, 1 known already, 0 refused" in taken.stdout
    assert "1 file is no DICOM object" in taken.stdout
    assert "link.dcm" not in taken.stderr
    assert not (folder / "outside.dcm").exists()
    assert vna(folder, "verify", "--keyed").returncode == 0
    before = counts(folder)

    shutil.rmtree(folder / "data" / "pg")
    assert vna(folder, "init").returncode == 0
    assert counts(folder) != before
    again = vna(folder, "reindex")
    assert again.returncode == 0, again.stderr
    assert "6 instances indexed from 6 blobs" in again.stdout
    assert counts(folder) == before

    blob = next((folder / "data" / "blobs" / "b").rglob("*.vnb"))
    sealed = bytearray(blob.read_bytes())
    sealed[len(sealed) // 2] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(sealed)
    found = vna(folder, "verify")
    assert found.returncode == 1
    assert "1 damaged" in found.stdout


@pytest.mark.timeout(300)
def test_deleted_stays_deleted_until_it_is_brought_back(folder: Path) -> None:
    prepared.lay(folder / "data")
    assert vna(folder, "init").returncode == 0
    vna(folder, "import", str(samples(folder)))
    before = counts(folder)
    study = factories.uid(1)

    gone = vna(folder, "delete", study)
    assert gone.returncode == 0, gone.stderr
    assert f"deleted  study {study}: 5 objects" in gone.stdout
    assert asked(folder, "delete", study).returncode == 1
    assert asked(folder, "delete", "1.2.3").returncode == 1
    told = asked(folder, "status")
    assert "1 studies" in told.stdout
    assert "5 objects" in told.stdout
    assert study in asked(folder, "undelete").stdout

    shutil.rmtree(folder / "data" / "pg")
    assert vna(folder, "init").returncode == 0
    again = vna(folder, "reindex")
    assert "1 instances indexed from 6 blobs" in again.stdout, again.stderr
    assert asked(folder, "verify", "--keyed").returncode == 0
    assert "journal      1 entries" in asked(folder, "doctor").stdout

    back = vna(folder, "undelete", study)
    assert back.returncode == 0, back.stderr
    assert "5 objects" in back.stdout
    assert counts(folder) == before
    assert asked(folder, "undelete", study).returncode == 1
    assert "nothing" in asked(folder, "undelete").stdout
