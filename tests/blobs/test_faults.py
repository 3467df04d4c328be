"""Every file operation fails in turn, in every way: nothing half made is seen, nothing leaks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.blobs.conftest import ARCHIVE, ROOT
from tests.blobs.faults import FAULTS, FaultyFiles, Killed, PowerLoss
from vna.blobs.journal import Journal
from vna.blobs.layout import uuid7
from vna.blobs.local import LocalBackend
from vna.blobs.store import BlobStore
from vna.crypto.keyring import Keyring
from vna.errors import VNAError

PAYLOAD = bytes(range(256)) * 300
Act = Callable[[BlobStore], bytes]


def ingest(store: BlobStore) -> bytes:
    """A first object of a study: its key, then the blob, under names that need new folders."""
    with store.writer(store.keys.for_study("1.2.3")) as writer:
        writer.write(PAYLOAD)
        return writer.finish(b"{}").blob_id


def append(store: BlobStore) -> bytes:
    return Journal(store).append("delete", {"study": "1.2.3"}, {}, "somebody")


def require_sound(folder: Path, acknowledged: set[bytes]) -> set[bytes]:
    """Open the store as the next process does; everything visible verifies, nothing is missing."""
    with BlobStore.open(folder, Keyring(ROOT, ARCHIVE)) as store:
        store.keys.check()
        entries = list(Journal(store).replay())
        blobs = list(store.blob_ids())
        for blob_id in blobs:
            store.check(blob_id, keyed=False)
            store.check(blob_id, keyed=True)
            assert store.reader(blob_id).read(0, len(PAYLOAD)) == PAYLOAD
        seen = set(blobs) | {entry.id for entry in entries}
        assert acknowledged <= seen
        store.sweep_parts(older_s=0)
    assert os.listdir(folder / "tmp") == []
    return seen


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("act", [ingest, append])
def test_a_fault_at_any_operation_leaves_nothing_half_made(
    folder: Path, act: Act, fault: str
) -> None:
    acknowledged: set[bytes] = set()
    before: set[bytes] = set()
    for at in range(1, 200):
        files = FaultyFiles()
        store = BlobStore.open(folder, Keyring(ROOT, ARCHIVE), files=files)
        files.fault, files.at = fault, files.count + at
        failed = False
        try:
            acknowledged.add(act(store))
        except VNAError:
            failed = True
        except Killed:
            files.bury()
            failed = True
        if not files.is_dead:
            assert files.open_fds <= {store._backend._epoch_fd}  # type: ignore[attr-defined]
            files.fault = "none"
            store.close()
            assert files.open_fds == set()
        seen = require_sound(folder, acknowledged)
        if failed and fault in ("eio", "enospc", "failing sync"):
            assert seen == before | acknowledged, "a refused object is visible"
        before = seen
        if not files.struck:
            assert not failed
            assert at > 10
            return
    pytest.fail("the operations never came to an end")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_while_deleting_leaves_a_blob_whole_or_gone(folder: Path, fault: str) -> None:
    with BlobStore.open(folder, Keyring(ROOT, ARCHIVE)) as store:
        doomed = [ingest(store) for _ in range(6)]
    for at in range(1, 7):
        files = FaultyFiles()
        store = BlobStore.open(folder, Keyring(ROOT, ARCHIVE), files=files)
        files.fault, files.at = fault, files.count + at
        blob_id = doomed.pop()
        with suppress(VNAError, Killed):
            store.delete(blob_id)
            assert blob_id not in set(BlobStore.open(folder, Keyring(ROOT, ARCHIVE)).blob_ids())
        files.bury()
        require_sound(folder, set(doomed))
        if not files.struck:
            return
    pytest.fail("the operations never came to an end")


@pytest.mark.parametrize("keep_names", [True, False])
@pytest.mark.parametrize("act", [ingest, append])
def test_losing_power_at_any_operation_loses_nothing_acknowledged(
    folder: Path, act: Act, keep_names: bool
) -> None:
    acknowledged: set[bytes] = set()
    for at in range(1, 200):
        files = PowerLoss()
        store = BlobStore.open(folder, Keyring(ROOT, ARCHIVE), files=files)
        files.at = files.count + at
        with suppress(Killed):
            acknowledged.add(act(store))
        files.lose_power(keep_names=keep_names)
        require_sound(folder, acknowledged)
        if not files.struck:
            return
    pytest.fail("the operations never came to an end")


@pytest.mark.parametrize("deaf", ["sync_data", "sync_folder"])
def test_a_forgotten_sync_would_be_noticed(folder: Path, deaf: str) -> None:
    files = PowerLoss(deaf=deaf)
    store = BlobStore.open(folder, Keyring(ROOT, ARCHIVE), files=files)
    acknowledged = {ingest(store)}
    files.lose_power(keep_names=False)

    with pytest.raises((VNAError, AssertionError)):
        require_sound(folder, acknowledged)


def test_a_folder_made_by_another_process_is_not_trusted_to_be_durable(folder: Path) -> None:
    files = PowerLoss()
    store = BlobStore.open(folder, Keyring(ROOT, ARCHIVE), files=files)
    files.make_folder(str(folder / "b"))  # not synced yet by whoever made it
    acknowledged = {ingest(store)}
    files.lose_power(keep_names=False)

    require_sound(folder, acknowledged)


def test_a_store_that_was_set_up_survives_a_loss_of_power(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "er" / "blobs"
    files = PowerLoss()
    BlobStore.init(folder, ARCHIVE, ROOT, files=files)

    files.lose_power(keep_names=False)

    with BlobStore.open(folder, Keyring(ROOT, ARCHIVE)) as store:
        assert store.archive_id == ARCHIVE


def test_init_can_be_cut_off_anywhere_and_run_again(tmp_path: Path) -> None:
    for at in range(1, 200):
        folder = tmp_path / f"{at}" / "deep" / "blobs"
        files = FaultyFiles("killed after", at)
        try:
            BlobStore.init(folder, ARCHIVE, ROOT, files=files)
        except Killed:
            files.bury()
        BlobStore.init(folder, ARCHIVE, ROOT)
        with BlobStore.open(folder, Keyring(ROOT, ARCHIVE)) as store:
            ingest(store)
        require_sound(folder, set())
        if not files.struck:
            return
    pytest.fail("the operations never came to an end")


def test_parts_of_a_dead_process_are_swept_and_those_of_a_living_one_are_not(folder: Path) -> None:
    dead = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, sys\n"
            "from vna.blobs.files import Files\n"
            "from vna.blobs.local import LocalBackend\n"
            "part = LocalBackend(sys.argv[1], Files()).create('b/x')\n"
            "part.write(b'half')\n"
            "os._exit(9)\n",
            str(folder),
        ],
        check=False,
    )
    living = LocalBackend(str(folder), FaultyFiles())
    part = living.create("b/y")
    with BlobStore.open(folder, Keyring(ROOT, ARCHIVE)) as store:
        assert dead.returncode == 9
        assert store.sweep_parts(older_s=3600) == 0
        assert store.sweep_parts(older_s=0) == 1
        assert store.sweep_parts(older_s=0) == 0
    part.write(b"whole")
    part.commit()
    living.close()
    assert (folder / "b" / "y").read_bytes() == b"whole"
    assert os.listdir(folder / "tmp") == []


def test_a_link_in_the_place_of_a_part_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    backend = LocalBackend(str(folder), FaultyFiles())
    backend.create("first").abort()
    own = next((folder / "tmp").iterdir())
    (own / "x.part").symlink_to(tmp_path / "victim")

    with pytest.raises(VNAError):
        backend.create("x")
    backend.close()

    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_the_seam_is_the_only_way_to_the_disk() -> None:
    """No other module of the room calls the file system."""
    room = Path(sys.modules[LocalBackend.__module__].__file__ or "").parent
    call = re.compile(
        r"os\.(open|link|unlink|mkdir|rmdir|stat|fsync|fdatasync|replace|rename|listdir|scandir)\("
        r"|(?<!def )(?<![\w.])open\(|\.(read|write)_bytes\("
    )
    for module in room.glob("*.py"):
        if module.name != "files.py":
            assert call.search(module.read_text()) is None, module.name


def test_ids_of_a_store_and_its_epoch_are_its_own(folder: Path) -> None:
    with (
        BlobStore.open(folder, Keyring(ROOT, ARCHIVE)) as one,
        BlobStore.open(folder, Keyring(ROOT, ARCHIVE)) as two,
    ):
        assert one.epoch != two.epoch
        assert one.store_id == two.store_id
        assert len(uuid7()) == 16
