"""Many writers at once, threads and processes, without any agreement between them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

from tests.blobs.conftest import ARCHIVE, ROOT
from vna.blobs.journal import Journal
from vna.blobs.store import BlobStore
from vna.crypto.keyring import Keyring

WRITER = """
import os, sys
from vna.blobs.journal import Journal
from vna.blobs.store import BlobStore
from vna.crypto.keyring import Keyring, RootKey
root = RootKey(bytes(range(32)), "file")
archive = bytes.fromhex(sys.argv[2])
with BlobStore.open(sys.argv[1], Keyring(root, archive)) as store:
    journal = Journal(store)
    for n in range(10):
        with store.writer(store.keys.for_study(f"1.2.{n % 2}")) as writer:
            writer.write(os.urandom(70_000))
            print(writer.finish(b"{}").blob_id.hex())
    journal.append("first", {}, {}, "a process")
    journal.append("second", {}, {}, "a process")
"""


def test_threads_share_a_store(store: BlobStore) -> None:
    written: dict[bytes, bytes] = {}
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for n in range(6):
                payload = os.urandom(150_000 + n)
                with store.writer(store.keys.for_study(f"1.{n % 2}")) as writer:
                    for start in range(0, len(payload), 40_000):
                        writer.write(payload[start : start + 40_000])
                    blob = writer.finish(b"{}")
                assert blob.payload_sha256 == hashlib.sha256(payload).digest()
                got = store.read_range(blob.blob_id, blob.header, blob.payload_len, number, 99_999)
                assert got == payload[number : number + 99_999]
                written[blob.blob_id] = payload
        except BaseException as exc:
            failures.append(exc)
            raise

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert set(store.blob_ids()) == set(written)
    assert len(list(store.keys.ids())) == 2
    for blob_id, payload in written.items():
        assert b"".join(store.reader(blob_id).chunks()) == payload


def test_threads_read_one_blob_at_once(store: BlobStore) -> None:
    payload = os.urandom(600_000)
    with store.writer(store.keys.for_study("1.2.3")) as writer:
        writer.write(payload)
        blob = writer.finish(b"{}")
    wrong: list[int] = []

    def work(number: int) -> None:
        for n in range(60):
            start = (number * 7919 + n * 9973) % 500_000
            got = store.read_range(blob.blob_id, blob.header, blob.payload_len, start, 90_000)
            if got != payload[start : start + 90_000]:
                wrong.append(start)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_processes_share_a_folder(folder: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(folder), ARCHIVE.hex()]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=60)[0].split() for process in running]

    assert [process.returncode for process in running] == [0, 0, 0]
    with BlobStore.open(folder, Keyring(ROOT, ARCHIVE)) as store:
        blobs = {blob_id.hex() for blob_id in store.blob_ids()}
        for blob_id in store.blob_ids():
            store.check(blob_id, keyed=True)
        assert blobs == {blob_id for lines in said for blob_id in lines}
        assert len(blobs) == 30
        assert len(list(store.keys.ids())) == 6  # two studies, three processes
        assert len(list(Journal(store).replay())) == 6
    assert os.listdir(folder / "tmp") == []
