"""`vna verify`: what is damaged and what is lost, each by the name of its file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Vna
from tests.factories import ct, uid
from vna.app import at_work
from vna.blobs.files import Files
from vna.loading import load
from vna.operate.purge import Purge

pytestmark = pytest.mark.usefixtures("held")


@pytest.fixture
def filled(vna: Vna, archive: Path, tmp_path: Path) -> Path:
    """An archive with two studies of three instances."""
    (tmp_path / "in").mkdir()
    for study in (1, 2):
        for number in (1, 2, 3):
            made = ct(study, 1, number).part10()
            (tmp_path / "in" / f"{study}{number}.dcm").write_bytes(made)
    done = vna("import", tmp_path / "in", "--data", archive, VNA_BLOBS_FREE_BYTES="0")
    assert done.returncode == 0, done.stderr
    return archive


def blobs(archive: Path) -> list[Path]:
    return sorted((archive / "blobs" / "b").rglob("*.vnb"), key=lambda path: path.name)


def study_keys(archive: Path) -> list[Path]:
    folder = archive / "blobs" / "k"
    return sorted(set(folder.rglob("*.json")) - set((folder / "archive").iterdir()))


def name(archive: Path, path: Path) -> str:
    return str(path.relative_to(archive / "blobs"))


@pytest.mark.parametrize("how", [(), ("--keyed",)])
def test_a_blob_that_is_gone_is_told_as_lost_by_its_name(
    vna: Vna, filled: Path, how: tuple[str, ...]
) -> None:
    whole = vna("verify", *how, "--data", filled)
    assert (whole.returncode, whole.stdout) == (0, "6 blobs checked, 0 damaged; keys whole\n")
    gone = blobs(filled)[4]
    gone.unlink()
    done = vna("verify", *how, "--data", filled)
    assert done.returncode == 1
    assert f"lost     {name(filled, gone)}: not in the store\n" in done.stdout + done.stderr
    assert done.stdout.endswith("5 blobs checked, 0 damaged; keys whole; 1 lost\n")


@pytest.mark.parametrize("how", [(), ("--keyed",)])
def test_keys_that_are_gone_are_told_with_how_much_hangs_by_each(
    vna: Vna, filled: Path, how: tuple[str, ...]
) -> None:
    gone = study_keys(filled)
    assert len(gone) == 2
    for path in gone:
        path.unlink()
    done = vna("verify", *how, "--data", filled)
    assert done.returncode == 1
    for path in gone:
        told = f"lost     {name(filled, path)}: not in the store; 3 objects need it\n"
        assert told in done.stdout + done.stderr


def test_each_damaged_key_and_blob_is_named_and_hinders_no_other(vna: Vna, filled: Path) -> None:
    keys, some = study_keys(filled), blobs(filled)
    for path in keys:
        os.truncate(path, 10)
    os.truncate(some[0], 0)
    done = vna("verify", "--data", filled)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    for path in keys:
        assert f"damaged  {name(filled, path)}: A key object is damaged.\n" in said
    assert f"damaged  {name(filled, some[0])}: The blob is cut off.\n" in said
    assert done.stdout.endswith("6 blobs checked, 1 damaged; keys: 2 damaged\n")


def test_a_blob_the_disk_cannot_read_is_named_and_the_others_are_looked_at(
    vna: Vna, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, flipped = blobs(filled)[0], blobs(filled)[5]
    sealed = bytearray(flipped.read_bytes())
    sealed[-1] ^= 1
    flipped.chmod(0o600)
    flipped.write_bytes(sealed)
    opening = Files.open

    def failing(self: Files, path: str) -> int:
        if path == str(bad):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return opening(self, path)

    monkeypatch.setattr(Files, "open", failing)
    done = vna("verify", "--data", filled)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"damaged  {name(filled, bad)}: " in said
    assert "Input/output error" in said
    assert f"damaged  {name(filled, flipped)}: " in said
    assert "6 blobs checked, 2 damaged" in done.stdout


def test_what_can_come_back_may_be_lost_and_what_was_purged_is_not(
    vna: Vna, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = blobs(filled)
    assert vna("delete", uid(1), "--data", filled).returncode == 0
    assert vna("verify", "--keyed", "--data", filled).returncode == 0
    monkeypatch.setenv("VNA_DELETION_GRACE_DAYS", "0")
    assert vna("delete", uid(2), "--data", filled).returncode == 0
    with at_work(load(None, flags={"data": filled}), "test") as archive:
        store, database, audit = archive.store, archive.database, archive.audit
        purged = Purge(store=store, database=database, audit=audit, rest_s=0).run()
    assert purged.blobs == 3
    done = vna("verify", "--keyed", "--data", filled)
    assert (done.returncode, done.stdout) == (0, "3 blobs checked, 0 damaged; keys whole\n")
    left = [path for path in kept if path.exists()]
    left[0].unlink()
    assert "; 1 lost\n" in vna("verify", "--data", filled).stdout


def test_a_journal_the_index_remembers_is_not_done_without(vna: Vna, filled: Path) -> None:
    assert vna("delete", uid(1), "--data", filled).returncode == 0
    (entry,) = (filled / "blobs" / "j").rglob("*.vnb")
    kept = entry.rename(filled / entry.name)
    done = vna("verify", "--data", filled)
    assert done.returncode == 1
    assert f"lost     {name(filled, entry)}: not in the store" in done.stdout + done.stderr
    refused = vna("reindex", "--data", filled)
    assert refused.returncode == 1
    assert "The journal has lost 1 of its entries" in refused.stderr
    assert "3 instances and" in vna("status", "--data", filled).stdout
    kept.rename(entry)
    again = vna("reindex", "--data", filled)
    assert (again.returncode, again.stdout) == (0, "3 instances indexed from 6 blobs\n")
