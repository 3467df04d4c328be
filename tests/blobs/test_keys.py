"""Study keys: one a study and process, durable before use, gone when destroyed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.blobs.conftest import ARCHIVE, ROOT
from tests.blobs.faults import FaultyFiles
from vna.blobs.backends import Backend, get
from vna.blobs.keys import StudyKey, StudyKeys
from vna.blobs.layout import key_name, uuid7
from vna.blobs.recent import Recent
from vna.blobs.store import BlobStore
from vna.crypto.keyring import KeyObject, Keyring
from vna.errors import Corrupt, Gone, Unavailable, WrongKey


def test_a_study_has_one_key_in_a_process(store: BlobStore) -> None:
    first = store.keys.for_study("1.2.3")

    assert store.keys.for_study("1.2.3") == first
    assert store.keys.for_study("1.2.4") != first
    assert len(list(store.keys.ids())) == 2


def test_threads_that_ask_at_once_get_one_key(store: BlobStore) -> None:
    ready = threading.Barrier(8)
    got: list[StudyKey] = []

    def ask() -> None:
        ready.wait()
        got.append(store.keys.for_study("1.2.3"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(got) == 8
    assert len({key.key_id for key in got}) == 1
    assert len(list(store.keys.ids())) == 1


def test_another_process_makes_its_own_and_opens_both(store: BlobStore, backend: Backend) -> None:
    mine = store.keys.for_study("1.2.3")
    other = BlobStore.open(backend, Keyring(ROOT, ARCHIVE))
    theirs = other.keys.for_study("1.2.3")

    assert mine.key_id != theirs.key_id
    assert other.keys.open(mine.key_id, mine.version) == mine
    assert store.keys.open(theirs.key_id, theirs.version) == theirs
    store.keys.check()


def test_a_key_is_durable_before_it_is_handed_out(store: BlobStore, backend: Backend) -> None:
    key = store.keys.for_study("1.2.3")

    found = KeyObject.decode(get(backend, key_name(key.key_id), 4096))

    assert (found.kind, found.key_id, found.version) == ("study", key.key_id, key.version)
    assert store.keyring.open_study_key(found) == key.key


def test_a_key_that_could_not_be_written_is_not_handed_out(folder: Path) -> None:
    files = FaultyFiles("eio", 1)
    files.at = 10**9
    with BlobStore.open(folder, Keyring(ROOT, ARCHIVE), files=files) as store:
        files.at = files.count + 5
        with pytest.raises(Unavailable):
            store.keys.for_study("1.2.3")
        assert list(store.keys.ids()) == []
        assert store.keys.for_study("1.2.3").version == 1


def test_a_destroyed_key_opens_nothing_any_more(store: BlobStore) -> None:
    key = store.keys.for_study("1.2.3")

    store.keys.destroy(key.key_id)
    store.keys.destroy(key.key_id)

    with pytest.raises(Gone):
        store.keys.open(key.key_id, key.version)
    assert store.keys.for_study("1.2.3").key_id != key.key_id


def test_another_version_of_a_key_is_not_there(store: BlobStore, key: StudyKey) -> None:
    with pytest.raises(Gone):
        store.keys.open(key.key_id, key.version + 1)


def test_a_key_object_under_another_name_or_damaged_is_found(folder: Path) -> None:
    with BlobStore.open(folder, Keyring(ROOT, ARCHIVE)) as store:
        one, two = store.keys.for_study("1"), store.keys.for_study("2")
    path = folder / key_name(one.key_id)
    kept = path.read_bytes()

    for damage in ((folder / key_name(two.key_id)).read_bytes(), kept[:-2], b"", kept + b"x"):
        path.write_bytes(damage)
        with BlobStore.open(folder, Keyring(ROOT, ARCHIVE)) as fresh:
            with pytest.raises(Corrupt):
                fresh.keys.open(one.key_id, one.version)
            with pytest.raises(Corrupt):
                fresh.keys.check()


def test_check_finds_a_key_of_a_lost_archive_key(store: BlobStore, backend: Backend) -> None:
    store.keys.for_study("1.2.3")
    store.keys.check()
    stranger = Keyring(ROOT, ARCHIVE)
    stranger.add(stranger.new_archive_key(key_id=uuid7(), created_us=1))

    with pytest.raises(WrongKey):
        StudyKeys(backend, stranger, lambda: None).check()


def test_after_a_rotation_old_and_new_keys_open(store: BlobStore, backend: Backend) -> None:
    old = store.keys.for_study("1.2.3")
    made = store.keyring.new_archive_key(key_id=uuid7(), created_us=2)
    store.keyring.add(made)
    fresh = StudyKeys(backend, store.keyring, lambda: None)
    new = fresh.for_study("1.2.4")

    assert made.version == 2
    assert fresh.open(old.key_id, old.version) == old
    found = KeyObject.decode(get(backend, key_name(new.key_id), 4096))
    assert found.parent_version == 2
    fresh.check()


def test_what_is_used_lately_is_bounded_in_number_and_age() -> None:
    few: Recent[int, str] = Recent(2, 1000)
    for number in (1, 2, 1, 3):
        if few.get(number) is None:
            few.put(number, str(number))

    assert [number for number, _ in few.items()] == [1, 3]
    old: Recent[int, str] = Recent(2, -1)
    old.put(1, "x")
    assert old.get(1) is None
    assert old.items() == []
