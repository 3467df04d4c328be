"""A backup is worth what comes back from it: taken under load, cut off, damaged, restored."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import factories, prepared
from tests.cli.serving import run
from tests.conftest import TestPostgres
from tests.flows.ledger import Ledger, Sender, agrees_with_find, digest_of, everything
from tests.flows.serving import ROOT, Serving, select_nothing
from vna import app
from vna.backup import manifest
from vna.backup.manifest import Summary
from vna.backup.needed import needed_in
from vna.backup.taking import Order, take
from vna.blobs.backends import connect
from vna.cli import restoring
from vna.cli.main import main
from vna.config import Settings
from vna.db import copies
from vna.errors import NotFound
from vna.loading import load

Vna = Callable[..., tuple[int, str, str]]
KEY = Path("keys", "root.key")


class CutError(Exception):
    """What ends a run at a point of the test's choice."""


@pytest.fixture(scope="module")
def top() -> Iterator[Path]:
    """A temporary folder another OS user can pass through."""
    found = Path(tempfile.mkdtemp(prefix="vna-backup-"))
    found.chmod(0o755)
    yield found
    shutil.rmtree(found)


@pytest.fixture(scope="module")
def full(top: Path) -> Path:
    """An archive of six instances in two studies and its backup, to be copied and never used."""
    made = top / "full"
    made.mkdir()
    write(made / "in", [factories.ct(s, 1, n) for s in (1, 2) for n in (1, 2, 3)])
    data = made / "data"
    prepared.lay(data)
    for words in (["init"], ["import", str(made / "in")], ["backup", str(made / "backup")]):
        assert main([*words, "--data", str(data)]) == 0
    return made


@pytest.fixture
def here(full: Path, top: Path) -> Iterator[Path]:
    """A copy of that archive and its backup, of this test alone."""
    folder = Path(tempfile.mkdtemp(dir=top))
    folder.chmod(0o755)
    subprocess.run(["cp", "-a", f"{full}/.", folder], check=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def vna(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Vna:
    """Run a command in this process."""

    def invoke(*words: str | Path, **variables: str) -> tuple[int, str, str]:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            code = main([str(word) for word in words])
        return (code, *capfd.readouterr())

    return invoke


def write(folder: Path, instances: list[factories.Instance]) -> Path:
    folder.mkdir()
    for number, made in enumerate(instances):
        (folder / f"{number}.dcm").write_bytes(made.part10())
    return folder


def settings_of(data: Path) -> Settings:
    return dataclasses.replace(load(None, environ={}), data=data)


def objects_of(backup: Path) -> dict[str, tuple[int, int]]:
    """Name, inode and time of every object: what was written again has another inode."""
    found = [p for p in (backup / "blobs").rglob("*") if p.is_file()]
    return {
        str(p.relative_to(backup / "blobs")): (p.stat().st_ino, p.stat().st_mtime_ns) for p in found
    }


def taken(
    data: Path,
    backup: Path,
    *,
    after_database: Callable[[], None] = lambda: None,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Take a backup as the command does, with something of the test in the middle of it."""
    settings = settings_of(data)
    with app.index_of(settings) as index:
        cluster = index.cluster
        assert cluster is not None

        def copy_database(into: Path) -> tuple[str, str]:
            major = copies.copy_cluster(cluster.admin_dsn(), into)
            after_database()
            return manifest.CLUSTER, major

        database = app.connected(settings, index.dsn)
        try:
            backend = connect(app.blobs_at(settings))
            order = Order(
                archive_id=app.store_of(settings),
                schema="vna",
                copy_database=copy_database,
                backend=backend,
                needed=needed_in(database, backend),
            )
            take(backup, order, progress)
        finally:
            database.close()


def served(serving: Serving, count: int) -> dict[str, tuple[str, str]]:
    """Wait until that many instances are found, and return them."""
    for _ in range(600):
        found = everything(serving)
        if len(found) == count and "looked for orphaned blobs" in serving.log():
            return found
        select_nothing(0.1)
    raise AssertionError(f"{len(found)} instances are found and not {count}")


@pytest.mark.timeout(600)
def test_what_was_acknowledged_before_a_backup_comes_back_after_the_server_is_destroyed(
    top: Path,
) -> None:
    first = Serving(top / "first")
    first.start()
    ledger, stop = Ledger(), threading.Event()
    senders = [Sender(first, ledger, number, stop, pace_s=0.02) for number in (1, 3)]
    threads = [threading.Thread(target=sender.run) for sender in senders]
    for thread in threads:
        thread.start()
    try:
        while len(ledger.rows) < 40:
            select_nothing(0.05)
        before = dict(ledger.rows)
        command = [sys.executable, "-W", "error", "-m", "vna", "backup", str(top / "loaded")]
        done = subprocess.run(
            [*command, "--data", str(first.data)], cwd=ROOT, capture_output=True, text=True
        )
        after = len(ledger.rows)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    shutil.copy(first.data / KEY, top / "safe.key")
    first.kill_all()
    shutil.rmtree(first.data)
    assert done.returncode == 0, done.stderr
    assert "The root key is not in it" in done.stdout
    assert after > len(before), "nothing was stored while the backup ran"

    second = Serving(top / "second")
    words = ["restore", str(top / "loaded"), "--root-key", str(top / "safe.key")]
    assert main([*words, "--data", str(second.data)]) == 0
    second.start()
    try:
        blobs = sum(1 for _ in (second.data / "blobs" / "b").rglob("*.vnb"))
        found = served(second, blobs)
        assert set(before) <= set(found)
        for sop, (study, series) in found.items():
            assert ledger.rows[sop] == (study, series, digest_of(second, study, series, sop))
        agrees_with_find(second, found)
    finally:
        assert second.stop() == 0
    assert main(["verify", "--keyed", "--data", str(second.data)]) == 0
    assert main(["audit", "verify", "--data", str(second.data)]) == 0
    print(f"{len(before)} before, {after - len(before)} during, {len(found)} came back")


@pytest.mark.timeout(300)
def test_what_happens_after_the_copy_of_the_database_is_adopted_and_deleted_again(
    here: Path, vna: Vna
) -> None:
    more = write(here / "more", [factories.ct(3, 1, 1)])

    def go_on() -> None:
        assert vna("import", more, "--data", here / "data")[0] == 0
        assert vna("delete", factories.uid(2), "--data", here / "data")[0] == 0

    taken(here / "data", here / "backup", after_database=go_on)
    words = ("restore", here / "backup", "--root-key", here / "data" / KEY)
    code, _, err = vna(*words, "--data", here / "new")
    assert code == 0, err
    serving = Serving(here / "new")
    serving.start()
    try:
        found = served(serving, 4)
        assert {study for study, _ in found.values()} == {factories.uid(1), factories.uid(3)}
        assert serving.ask("GET", f"/dicom-web/studies/{factories.uid(2)}/metadata")[0] == 410
        assert "blob adopted" in serving.log()
    finally:
        assert serving.stop() == 0


def test_a_second_run_copies_only_what_is_new(here: Path, vna: Vna) -> None:
    before = objects_of(here / "backup")
    more = write(here / "more", [factories.ct(1, 1, 4), factories.ct(1, 1, 5)])
    assert vna("import", more, "--data", here / "data")[0] == 0
    code, out, err = vna("backup", here / "backup", "--data", here / "data")
    assert code == 0, err
    after = objects_of(here / "backup")
    assert {name: after[name] for name in before} == before
    new = set(after) - set(before)
    assert f"{len(new)} objects copied" in out
    assert f"{len(before)} there already" in out
    assert sum(name.startswith("b/") for name in new) == 2
    assert len(list((here / "backup").glob("postgres-*"))) == 1
    assert vna("backup", "--check", here / "backup")[0] == 0
    sums = next((here / "backup").glob("SHA256SUMS-*"))
    assert (
        subprocess.run(["sha256sum", "-c", "--quiet", sums.name], cwd=sums.parent).returncode == 0
    )


@pytest.mark.parametrize("what", ["blobs/b/**/*.vnb", "blobs/k/??/*.json", "postgres-*/base.tar"])
def test_a_flipped_byte_is_found_and_refused(here: Path, vna: Vna, what: str) -> None:
    path = next((here / "backup").glob(what))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    name = str(path.relative_to(here / "backup"))
    code, out, err = vna("backup", "--check", here / "backup")
    assert code == 1
    assert f"damaged  {name}: is not what was written" in err
    assert "1 damaged" in out

    words = ("restore", here / "backup", "--root-key", here / "data" / KEY, "--data", here / "new")
    code, _, err = vna(*words)
    assert code == 1
    assert "nothing is restored" in err
    assert not (here / "new").exists()

    code, out, _ = vna(*words, "--leave-out-damaged")
    assert code == 1
    assert (here / "new").exists() == what.startswith("blobs/b")
    if what.startswith("blobs/b"):
        assert "1 left out" in out
        assert not (here / "new" / name).exists()


def test_a_damaged_or_missing_list_is_refused(here: Path, vna: Vna) -> None:
    sums = next((here / "backup").glob("SHA256SUMS-*"))
    text = sums.read_bytes()
    sums.write_bytes(text.replace(b"blobs/b/", b"blobs/x/", 1))
    assert vna("backup", "--check", here / "backup")[0] == 1
    sums.unlink()
    code, _, err = vna("backup", "--check", here / "backup")
    assert code == 1
    assert "is missing" in err


def test_a_first_run_that_is_cut_off_is_no_backup_and_the_next_goes_on_from_it(
    here: Path, vna: Vna
) -> None:
    def cut(count: int) -> None:
        if count == 4:
            raise CutError

    with pytest.raises(CutError):
        taken(here / "data", here / "cut", progress=cut)
    with pytest.raises(NotFound, match="never finished"):
        Summary.read(here / "cut")
    assert vna("backup", "--check", here / "cut")[0] == 1
    words = ("restore", here / "cut", "--root-key", here / "data" / KEY, "--data", here / "new")
    code, _, err = vna(*words)
    assert code == 1
    assert "incomplete" in err
    assert not (here / "new").exists()

    done = objects_of(here / "cut")
    assert done
    victim = here / "cut" / "blobs" / next(name for name in done if name.startswith("b/"))
    victim.write_bytes(bytes(victim.stat().st_size))  # of the right size, and never synced
    code, out, err = vna("backup", here / "cut", "--data", here / "data")
    assert code == 0, err
    assert f"{len(done) - 1} there already" in out
    assert vna("backup", "--check", here / "cut")[0] == 0


def test_a_later_run_that_is_cut_off_leaves_the_backup_before_it_whole(
    here: Path, vna: Vna
) -> None:
    before = Summary.read(here / "backup")
    more = write(here / "more", [factories.ct(4, 1, 1)])
    assert vna("import", more, "--data", here / "data")[0] == 0

    def cut(count: int) -> None:
        if count == 9:
            raise CutError

    with pytest.raises(CutError):
        taken(here / "data", here / "backup", progress=cut)
    assert Summary.read(here / "backup") == before
    code, out, _ = vna("backup", "--check", here / "backup")
    assert code == 0
    assert "cut off" in out


def test_what_is_lost_is_kept_and_told_and_what_was_deleted_leaves_the_backup(
    here: Path, vna: Vna
) -> None:
    held = here / "backup" / "blobs"
    lost = next((here / "data" / "blobs" / "b").rglob("*.vnb"))
    kept = held / lost.relative_to(here / "data" / "blobs")
    lost.unlink()
    stray = held / "b" / "2024-01-01" / "00" / f"{uuid.UUID(int=1)}.vnb"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"of a run that was cut off, and purged in the archive since")
    code, out, _ = vna("backup", here / "backup", "--data", here / "data")
    assert code == 1
    assert "1 objects are missing" in out
    assert kept.exists()
    assert not stray.exists()
    assert vna("backup", "--check", here / "backup")[0] == 0

    assert vna("delete", factories.uid(1), "--data", here / "data")[0] == 0
    assert vna("delete", factories.uid(2), "--data", here / "data")[0] == 0
    settings = settings_of(here / "data")
    with app.at_work(settings, "test") as archive, archive.database.transaction() as tx:
        tx.execute("UPDATE deletion SET due_at = now() - interval '1 hour'")
    with app.at_work(settings, "test") as archive:
        assert archive.purge.run().deletions == 2
    code, _, err = vna("backup", here / "backup", "--data", here / "data")
    assert code == 0, err
    assert not kept.exists()
    assert not list(held.rglob("*.vnb"))[2:], "only the journal's two entries are left"


def test_places_and_keys_that_do_not_fit_are_refused_in_a_sentence(here: Path, vna: Vna) -> None:
    data, backup, key = here / "data", here / "backup", here / "data" / KEY
    other = here / "other.key"
    other.write_text("A" * 43 + "=\n")
    for words, code, said in (
        (("restore", backup, "--data", here / "new"), 2, "--root-key FILE"),
        (("restore", backup, "--root-key", other, "--data", here / "new"), 1, "does not open"),
        (("restore", backup, "--root-key", key, "--data", data), 2, "is not empty"),
        (("restore", here / "in", "--root-key", key, "--data", here / "new"), 1, "no backup"),
        (("backup", here / "in", "--data", data), 2, "something else"),
        (("backup", data / "backup", "--data", data), 2, "in the data folder"),
        (("backup", here, "--data", data), 2, "in the data folder"),
    ):
        found, _, err = vna(*words)
        assert (found, said in err) == (code, True), err
        assert not (here / "new").exists()
    assert vna("init", "--data", here / "another")[0] == 0
    code, _, err = vna("backup", backup, "--data", here / "another")
    assert (code, "another archive" in err) == (2, True)


def test_a_backup_with_the_root_key_needs_nothing_else(here: Path, vna: Vna) -> None:
    code, out, _ = vna("backup", here / "backup", "--with-root-key", "--data", here / "data")
    assert code == 0
    assert "can read everything" in out
    assert "ok    backup       taken" in vna("doctor", "--data", here / "data")[1]
    assert vna("restore", here / "backup", "--data", here / "new")[0] == 0
    assert "warn  backup       none" in vna("doctor", "--data", here / "new")[1]
    assert (here / "new" / KEY).read_bytes() == (here / "data" / KEY).read_bytes()
    assert vna("backup", here / "backup", "--data", here / "data")[0] == 0
    assert not (here / "backup" / KEY).exists()


@pytest.mark.parametrize("last", ["bring_cluster", "bring_objects"])
def test_a_restore_that_was_cut_off_is_not_taken_for_the_archive(
    here: Path, vna: Vna, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """It opened like any other once its objects were there, its accounts and trail or not."""
    words = ("restore", here / "backup", "--root-key", here / "data" / KEY, "--data")
    room = copies if last == "bring_cluster" else restoring
    with monkeypatch.context() as patch:
        patch.setattr(room, last, cut_after(getattr(room, last)))
        with pytest.raises(CutError):
            vna(*words, here / "new")
    anywhere = ("--http", "127.0.0.1:0", "--dicom", "127.0.0.1:0")
    # in another process: it takes the log of its own
    served = run("serve", *anywhere, "--data", here / "new")
    assert (served.returncode, "into an empty folder" in served.stderr) == (2, True)
    for command in ("init", "status", "reindex"):
        code, _, err = vna(command, "--data", here / "new")
        assert (code, "into an empty folder" in err or "is not: mount it" in err) == (2, True)
    code, out, _ = vna("doctor", "--data", here / "new")
    assert (code, "fail  folder       `vna restore` was cut off" in out) == (1, True)
    code, _, err = vna(*words, here / "again")
    assert code == 0, err
    assert "6 instances" in vna("status", "--data", here / "again")[1]


def cut_after(done: Callable[..., object]) -> Callable[..., None]:
    """Do it, and nothing after it."""

    def cut(*given: object, **named: object) -> None:
        done(*given, **named)
        raise CutError

    return cut


def test_a_server_of_ones_own_is_dumped_and_restored_into_the_embedded_one(
    top: Path, postgres: TestPostgres, vna: Vna
) -> None:
    folder = Path(tempfile.mkdtemp(dir=top))
    folder.chmod(0o755)
    url = {"VNA_DATABASE_URL": postgres.create()}
    source = write(folder / "in", [factories.ct(1, 1, n) for n in (1, 2, 3)])
    assert vna("init", "--data", folder / "data", **url)[0] == 0
    assert vna("import", source, "--data", folder / "data", **url)[0] == 0
    code, _, err = vna("backup", folder / "backup", "--data", folder / "data", **url)
    assert code == 0, err
    assert Summary.read(folder / "backup").database == manifest.DUMP
    words = ("restore", folder / "backup", "--root-key", folder / "data" / KEY)
    code, _, err = vna(*words, "--data", folder / "taken", **url)
    assert (code, "a schema vna already" in err) == (2, True)
    code, _, err = vna(*words, "--data", folder / "new")
    assert code == 0, err
    assert "3 instances" in vna("status", "--data", folder / "new")[1]
    empty = {"VNA_DATABASE_URL": postgres.create()}
    code, _, err = vna(*words, "--data", folder / "elsewhere", **empty)
    assert code == 0, err
    assert "3 instances" in vna("status", "--data", folder / "elsewhere", **empty)[1]
