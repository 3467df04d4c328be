"""`vna import`: what cannot be read is a line with its reason, and the rest is taken."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from tests.cli.conftest import Vna
from tests.cli.serving import WAIT_S, command
from tests.factories import ct
from vna.ingest.files import members

_NAME = "IM1"


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_NAME, ct(1, 1, 1).part10())
    return out.getvalue()


def changed(data: bytes, at: int, by: bytes) -> bytes:
    return data[:at] + by + data[at + len(by) :]


def no_directory() -> bytes:
    whole = zipped()
    return changed(whole, whole.index(b"PK\x01\x02"), b"XXXX")


def no_name() -> bytes:
    """A name that says it is UTF-8 (bit 11 of its flags) and is not."""
    whole = zipped()
    entry = whole.index(b"PK\x01\x02")
    return changed(changed(whole, entry + 9, b"\x08"), entry + 46, b"\xff\xfe")


def nameless() -> bytes:
    return zipped().replace(_NAME.encode(), b"\0M1")


def no_deflate() -> bytes:
    return changed(zipped(), 30 + len(_NAME) + 20, b"\xff" * 60)


@pytest.mark.usefixtures("held")
def test_damaged_archives_are_refused_and_what_is_beside_them_is_taken(
    vna: Vna, archive: Path, tmp_path: Path
) -> None:
    for name, damaged in (("a", no_directory()), ("b", no_name()), ("c", no_deflate())):
        (tmp_path / f"{name}.zip").write_bytes(damaged)
    (tmp_path / "d.dcm").write_bytes(ct(1, 1, 2).part10())
    done = vna("import", tmp_path, "--data", archive)
    assert done.returncode == 1
    assert done.stdout == "1 stored, 0 known already, 3 refused\n"
    lines = done.stderr.splitlines()
    assert [line.split(".zip")[0] for line in lines] == [
        f"refused  {tmp_path}/{name}" for name in "abc"
    ]
    assert all("It cannot be read: " in line for line in lines)


@pytest.mark.usefixtures("held")
def test_names_no_text_has_keep_nothing_from_being_taken(
    vna: Vna, archive: Path, tmp_path: Path
) -> None:
    """An entry of an archive without a name, and a file's in another character set than ours."""
    folder = tmp_path / "disc"
    folder.mkdir()
    (folder / "a.zip").write_bytes(nameless())
    (folder / os.fsdecode(b"M\xfcller.dcm")).write_bytes(b"no object")
    (folder / os.fsdecode(b"M\xfcller")).write_bytes(ct(1, 1, 2).part10())
    done = vna("import", folder, "--data", archive)
    assert done.returncode == 1
    assert done.stdout == "2 stored, 0 known already, 1 refused\n"
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.usefixtures("held")
def test_what_a_file_of_a_disc_is_called_does_nothing_to_a_terminal(
    vna: Vna, archive: Path, tmp_path: Path
) -> None:
    damaged = ct(1, 1, 3).part10()[:300]
    (tmp_path / "a\x1b]0;title\x07\n1 stored").write_bytes(damaged)
    done = vna("import", tmp_path, "--data", archive)
    assert done.stdout == "0 stored, 0 known already, 1 refused\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"refused  {tmp_path}/a\ufffd]0;title\ufffd\ufffd1 stored: ")


@pytest.mark.usefixtures("held")
def test_a_disc_is_taken_in_whatever_lies_beside_its_objects(
    vna: Vna, archive: Path, tmp_path: Path
) -> None:
    disc = tmp_path / "disc"
    (disc / "DICOM").mkdir(parents=True)
    (disc / "DICOM" / "IM1").write_bytes(ct(1, 1, 1).part10())
    shutil.copy(get_testdata_file("DICOMDIR"), disc / "DICOMDIR")  # type: ignore[arg-type]  # there
    (disc / "README.TXT").write_text("Start VIEWER.EXE to look at your pictures.")
    (disc / "VIEWER.EXE").write_bytes(b"MZ" + bytes(range(256)) * 8)
    done = vna("import", disc, "--data", archive)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "1 stored, 0 known already, 0 refused\n3 files are no DICOM objects: passed over\n"
    )

    (disc / "DICOM" / "IM2").write_bytes(ct(1, 1, 2).part10()[:-20])
    (disc / "DICOM" / "IM3").write_bytes(bytes(4096))
    cut = vna("import", disc, "--data", archive)
    assert cut.returncode == 1
    assert "0 stored, 1 known already, 2 refused\n" in cut.stdout


@pytest.mark.usefixtures("held")
def test_what_is_named_by_itself_is_refused_and_a_folder_of_nothing_is_told(
    vna: Vna, archive: Path, tmp_path: Path
) -> None:
    (tmp_path / "letter.txt").write_text("Dear colleague")
    named = vna("import", tmp_path / "letter.txt", "--data", archive)
    assert (named.returncode, named.stderr.count("refused  ")) == (1, 1)
    found = vna("import", tmp_path, "--data", archive)
    assert (found.returncode, found.stderr) == (1, "")
    assert "1 file is no DICOM object: passed over" in found.stdout


@pytest.mark.usefixtures("held")
def test_an_archive_that_is_not_looked_into_is_refused_and_not_passed_over(
    vna: Vna, archive: Path, tmp_path: Path
) -> None:
    """What is in one that was cut off, inside another or of another sort would be missing."""
    (tmp_path / "one.dcm").write_bytes(ct(1, 1, 2).part10())
    (tmp_path / "cut.zip").write_bytes(zipped()[:-30])
    (tmp_path / "more.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(range(256)) * 8)
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.writestr("INNER.ZIP", zipped())
        outer.writestr("viewer.jar", zipped())
    done = vna("import", tmp_path, "--data", archive)
    assert done.returncode == 1
    assert done.stdout == (
        "1 stored, 0 known already, 3 refused\n1 file is no DICOM object: passed over\n"
    )
    lines = done.stderr.splitlines()
    assert {line.partition(": ")[0] for line in lines} == {
        f"refused  {tmp_path}/{name}" for name in ("cut.zip", "more.7z", "outer.zip!INNER.ZIP")
    }
    assert all(line.endswith("unpack it, and import what is in it.") for line in lines)


@pytest.mark.usefixtures("held")
def test_an_empty_folder_is_told_as_where_nothing_is_mounted(
    vna: Vna, archive: Path, tmp_path: Path
) -> None:
    done = vna("import", tmp_path, "--data", archive)
    assert done.returncode == 1
    assert "no file was found" in done.stdout


@pytest.mark.usefixtures("held")
def test_an_object_whose_last_bytes_could_end_an_archive_is_an_object(
    vna: Vna, archive: Path, tmp_path: Path
) -> None:
    """Compressed pixels hold any four bytes by chance, once in some 65,000 objects these."""
    padded = ct(1, 1, 1, values={"DataSetTrailingPadding": b"PK\x05\x06" + bytes(18)})
    (tmp_path / "one.dcm").write_bytes(padded.part10())
    assert zipfile.is_zipfile(tmp_path / "one.dcm")
    done = vna("import", tmp_path, "--data", archive)
    assert (done.stdout, done.returncode) == ("1 stored, 0 known already, 0 refused\n", 0)


@pytest.mark.usefixtures("held")
def test_nothing_of_the_bar_stands_in_a_pipe(vna: Vna, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "one.dcm").write_bytes(ct(1, 1, 1).part10())
    assert vna("import", tmp_path, "--data", archive).stderr == ""
    assert vna("verify", "--data", archive).stderr == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_ended_leaves_no_postgresql_behind(
    archive: Path, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "0.dcm").write_bytes(b"no object: said at once")
    for instance in range(1, 401):
        (tmp_path / f"{instance}.dcm").write_bytes(ct(1, 1, instance).part10())
    server = archive / "pg" / "postmaster.pid"
    with subprocess.Popen(
        command("import", tmp_path, "--data", archive),
        stderr=subprocess.PIPE,
    ) as importing:
        assert importing.stderr is not None
        assert b"0.dcm" in importing.stderr.readline()
        assert server.exists()
        importing.send_signal(number)
        assert importing.wait(WAIT_S) == 128 + number
    assert not server.exists()


def test_a_folder_that_cannot_be_read_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Root may read every folder, so the error is made here."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "one.dcm").write_bytes(b"x")
    scandir = os.scandir

    def refusing(path: str | Path) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = {member.name: member.problem for member in members([tmp_path])}
    assert found == {
        str(tmp_path / "open" / "one.dcm"): None,
        str(tmp_path / "closed"): "It cannot be read: Permission denied.",
    }


def test_links_and_what_is_no_file_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "one")
    (tmp_path / "round").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert [Path(member.name).name for member in members([tmp_path])] == ["one"]
    (only,) = members([tmp_path / "pipe"])
    assert only.problem == "It is not a file."


@pytest.mark.usefixtures("held")
def test_the_trail_names_the_user_and_not_a_variable(
    vna: Vna, archive: Path, tmp_path: Path
) -> None:
    (tmp_path / "one.dcm").write_bytes(ct(1, 1, 1).part10())
    vna("import", tmp_path, "--data", archive, LOGNAME="somebody-else")
    found = vna("audit", "search", "--kind", "instance.stored", "--json", "--data", archive)
    assert "somebody-else" not in found.stdout
    assert "import:" in found.stdout
