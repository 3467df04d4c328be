"""`vna export`: whoever leaves takes everything along, and can show that it is everything."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import prepared
from tests.cli.conftest import Vna
from tests.factories import Instance, ct, multi_frame
from vna.backup.exported import STUDIES, SUMMARY, SUMS, TABLE
from vna.backup.leaving import Export, File
from vna.dicom.refs import InstanceRef, uid
from vna.errors import ConfigError, Corrupt, Unavailable, VNAError

ARCHIVE = "0193f0c4-0000-7000-8000-000000000001"
HELD = [
    *(ct(study, series, n) for study in (1, 2) for series in (1, 2) for n in (1, 2)),
    multi_frame(study=3, patient_id="P-3", patient_name="Müller^Jürgen", charset="ISO_IR 100"),
]


def filled(vna: Vna, data: Path, folder: Path) -> Path:
    """Import what is held into an archive."""
    folder.mkdir()
    for number, made in enumerate(HELD):
        (folder / f"{number}.dcm").write_bytes(made.part10())
    done = vna("import", folder, "--data", data)
    assert done.returncode == 0, done.stderr
    return data


def lines(export: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (export / STUDIES).read_text().splitlines()]


def table(export: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((export / TABLE).read_text())))


def digests(export: Path) -> dict[str, str]:
    """SOP Instance UID -> digest of its file, as the lists say."""
    sums = dict(reversed(line.split("  ", 1)) for line in (export / SUMS).read_text().splitlines())
    return {row["SOPInstanceUID"]: sums[row["file"]] for row in table(export)}


def test_an_archive_that_takes_over_finds_all_of_it_as_it_was(
    vna: Vna, held: Path, made: Path, reachable_tmp: Path, tmp_path: Path
) -> None:
    filled(vna, held, tmp_path / "in")
    done = vna("export", tmp_path / "out", "--data", held)
    assert done.returncode == 0, done.stderr
    assert "3 studies, 9 instances" in done.stdout

    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", SUMS], cwd=tmp_path / "out", check=True
    )
    rows = table(tmp_path / "out")
    assert {row["SOPInstanceUID"] for row in rows} == {one.instance for one in HELD}
    for row in rows:
        file = tmp_path / "out" / row["file"]
        (one,) = (one for one in HELD if one.instance == row["SOPInstanceUID"])
        assert file.read_bytes().endswith(one.dataset())
        assert (file.stat().st_size, file.stat().st_mode & 0o777) == (int(row["bytes"]), 0o600)

    again = tmp_path / "again"
    with tempfile.TemporaryDirectory(dir=reachable_tmp) as top:
        Path(top).chmod(0o755)
        other = prepared.copy(made, Path(top) / "data")
        taken = vna("import", tmp_path / "out" / "DICOM", "--data", other)
        assert taken.returncode == 0, taken.stderr
        assert vna("export", again, "--data", other).returncode == 0
    assert digests(again) == digests(tmp_path / "out")
    by_study = {one["study"]: one["attributes"] for one in lines(again)}
    assert by_study == {one["study"]: one["attributes"] for one in lines(tmp_path / "out")}
    assert by_study[HELD[-1].study]["00100010"]["Value"] == [{"Alphabetic": "Müller^Jürgen"}]


def test_a_complete_one_is_left_as_it_is_and_damage_is_found(
    vna: Vna, held: Path, tmp_path: Path
) -> None:
    filled(vna, held, tmp_path / "in")
    out = tmp_path / "out"
    assert vna("export", out, "--data", held).returncode == 0
    assert vna("export", out, "--check").returncode == 0
    done = vna("export", out, "--data", held)
    assert (done.returncode, "is complete" in done.stderr) == (2, True)

    first, second = (out / row["file"] for row in table(out)[:2])
    first.write_bytes(first.read_bytes()[:-1] + b"x")
    second.unlink()
    found = vna("export", out, "--check")
    assert found.returncode == 1
    assert "2 damaged" in found.stdout
    for file, why in ((first, "is not what was written"), (second, "is missing")):
        assert f"damaged  {file.relative_to(out)}: {why}" in found.stderr


def test_what_is_written_out_leaves_its_row_in_the_trail(
    vna: Vna, held: Path, tmp_path: Path
) -> None:
    filled(vna, held, tmp_path / "in")
    assert vna("export", tmp_path / "out", "--data", held).returncode == 0
    told = vna("audit", "search", "--kind", "archive.exported", "--json", "--data", held)
    assert '"instances":9' in told.stdout.replace(" ", "")


def test_a_damaged_instance_is_left_out_and_told(vna: Vna, held: Path, tmp_path: Path) -> None:
    filled(vna, held, tmp_path / "in")
    largest = max((held / "blobs" / "b").rglob("*.vnb"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[400] ^= 1  # of its first segment
    largest.write_bytes(content)
    done = vna("export", tmp_path / "out", "--data", held)
    assert done.returncode == 1
    assert "3 studies, 8 instances" in done.stdout
    assert done.stderr.count("left out  ") == 1
    assert vna("export", tmp_path / "out", "--check").returncode == 0


@pytest.mark.parametrize("where", [".", "below", ".."])
def test_it_does_not_lie_in_the_data_folder(vna: Vna, archive: Path, where: str) -> None:
    done = vna("export", archive / where, "--data", archive)
    assert (done.returncode, "data folder" in done.stderr) == (2, True)


def file_of(made: Instance, content: bytes, fails: BaseException | None = None) -> File:
    def chunks() -> Iterator[bytes]:
        yield content
        if fails is not None:
            raise fails

    return File(
        name=("SE000001", f"IM{made.number:06}.dcm"),
        ref=InstanceRef(uid(made.study), uid(made.series), uid(made.instance)),
        sop_class=made.sop_class,
        transfer_syntax=made.transfer_syntax,
        chunks=chunks(),
    )


def written(folder: Path, studies: int, fails: BaseException | None = None) -> Export:
    """Write studies of two instances each; the last one fails in its second."""
    export = Export(folder, ARCHIVE)
    with contextlib.closing(export):
        for number in range(1, studies + 1):
            made = [ct(number, 1, 1), ct(number, 1, 2)]
            if not export.has(made[0].study):
                last = fails if number == studies else None
                files = [file_of(made[0], b"a" * number), file_of(made[1], b"b" * number, last)]
                export.add(made[0].study, {"n": number}, files, lambda *_: None)
        export.finish()
    return export


@pytest.mark.parametrize("fails", [KeyboardInterrupt(), Unavailable(), OSError(28, "full")])
def test_one_that_was_cut_off_goes_on_and_is_the_same_in_the_end(
    tmp_path: Path, fails: BaseException
) -> None:
    with pytest.raises(type(fails)):
        written(tmp_path / "cut", 2, fails)
    assert json.loads((tmp_path / "cut" / SUMMARY).read_text()).get("ended") is None
    with (tmp_path / "cut" / STUDIES).open("ab") as torn:
        torn.write(b'{"folder": "DICOM/ST0')
    written(tmp_path / "cut", 3)
    written(tmp_path / "whole", 3)
    for name in (SUMS, TABLE, STUDIES):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    files = [
        {str(path.relative_to(tmp_path / one)) for path in (tmp_path / one / "DICOM").rglob("*")}
        for one in ("cut", "whole")
    ]
    assert files[0] == files[1]


def test_what_cannot_be_read_is_counted_and_leaves_no_file(tmp_path: Path) -> None:
    missed: list[VNAError] = []
    export = Export(tmp_path / "out", ARCHIVE)
    with contextlib.closing(export):
        file = file_of(ct(), b"some", Corrupt())
        counts = export.add(ct().study, {}, [file], lambda _, exc: missed.append(exc))
        export.finish()
    assert (counts.instances, counts.missing, len(missed)) == (0, 1, 1)
    assert list((tmp_path / "out").rglob("*.dcm")) == []


@pytest.mark.parametrize("spoilt", ["{}\n", "[]\n", '{"lists": [0]}\n', "no json\n"])
def test_a_list_that_was_changed_is_not_gone_on_with(tmp_path: Path, spoilt: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "out", 2, KeyboardInterrupt())
    (tmp_path / "out" / STUDIES).write_text(spoilt)
    with pytest.raises(Corrupt, match="damaged"):
        Export(tmp_path / "out", ARCHIVE)


def test_a_list_that_was_shortened_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "out", 2, KeyboardInterrupt())
    (tmp_path / "out" / TABLE).write_bytes(b"")
    with pytest.raises(Corrupt, match=TABLE):
        Export(tmp_path / "out", ARCHIVE)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    with pytest.raises(ConfigError, match="something else"):
        Export(tmp_path / "full", ARCHIVE)
    Export(tmp_path / "other", ARCHIVE[:-1] + "2").close()
    with pytest.raises(ConfigError, match="another archive"):
        Export(tmp_path / "other", ARCHIVE)
