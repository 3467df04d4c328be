"""Another root key: no blob changes, nothing is ever without a key that opens it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.blobs.conftest import ARCHIVE, ROOT
from tests.blobs.faults import FAULTS, FaultyFiles, Killed
from vna.blobs.archive import rewrap
from vna.blobs.backends import Backend, get, put
from vna.blobs.keys import StudyKey
from vna.blobs.layout import ARCHIVE_KEYS, archive_key_name, id_of, uuid7
from vna.blobs.store import BlobStore
from vna.crypto.keyring import KEY_OBJECT_MAX, KeyObject, Keyring, RootKey
from vna.errors import VNAError, WrongKey

NEW = RootKey(bytes(range(1, 33)), "file")
THIRD = RootKey(bytes(range(2, 34)), "file")
PAYLOAD = b"pixels" * 20_000


def opens(where: Path | Backend, root: RootKey) -> bool:
    try:
        BlobStore.open(where, Keyring(root, ARCHIVE)).close()
    except WrongKey:
        return False
    return True


def keyring(root: RootKey) -> Keyring:
    return Keyring(root, ARCHIVE)


def test_blobs_of_before_are_read_with_the_new_root_key_and_with_no_other(
    backend: Backend, store: BlobStore, key: StudyKey
) -> None:
    with store.writer(key) as writer:
        writer.write(PAYLOAD)
        blob = writer.finish(b"{}").blob_id
    others = {name for name in backend.list("") if not name.startswith(ARCHIVE_KEYS)}
    store.rewrap(NEW)
    assert opens(backend, ROOT)
    assert opens(backend, NEW)
    assert store.forget_other_roots(keyring(NEW)) == 1
    assert not opens(backend, ROOT)
    assert others == {name for name in backend.list("") if not name.startswith(ARCHIVE_KEYS)}
    again = BlobStore.open(backend, keyring(NEW))
    assert again.reader(blob).read(0, len(PAYLOAD)) == PAYLOAD
    assert again.keyring.current_id == store.keyring.current_id
    with again.writer(again.keys.for_study("1.2.4")) as writer:  # new ones go on being made
        writer.write(PAYLOAD)
        assert again.reader(writer.finish(b"{}").blob_id).meta() == b"{}"


def test_a_root_key_is_changed_again_and_again(backend: Backend, store: BlobStore) -> None:
    """A name is never used twice, and backups tell by it which archive key an object holds."""
    seen = list(backend.list(ARCHIVE_KEYS))
    before = store.keyring
    for root in (NEW, THIRD, ROOT, NEW):
        rewrap(backend, before, root)
        before = keyring(root)
        assert store.forget_other_roots(before) == 1
        (name,) = backend.list(ARCHIVE_KEYS)
        assert id_of(name) == store.keyring.current_id
        assert name not in seen
        seen.append(name)
    assert seen == [archive_key_name(store.keyring.current_id, number) for number in range(5)]


def test_nothing_is_forgotten_for_a_root_key_that_does_not_open_the_store(
    backend: Backend, store: BlobStore
) -> None:
    with pytest.raises(WrongKey):
        store.forget_other_roots(keyring(NEW))
    assert opens(backend, ROOT)


def test_an_archive_key_nobody_can_open_is_not_passed_over(
    backend: Backend, store: BlobStore
) -> None:
    """Beside one that opens: what was sealed under it could not be read."""
    (name,) = backend.list(ARCHIVE_KEYS)
    found = KeyObject.decode(get(backend, name, KEY_OBJECT_MAX))
    strange = dataclasses.replace(found, key_id=uuid7(), version=2)
    put(backend, archive_key_name(strange.key_id), strange.encode())
    assert not opens(backend, ROOT)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_operation_leaves_a_store_that_opens(tmp_path: Path, fault: str) -> None:
    """Until it is said that the new root key opens the store the old one does."""
    for at in range(1, 100):
        where = tmp_path / f"{at}"
        BlobStore.init(where, ARCHIVE, ROOT)
        files = FaultyFiles(fault, at)
        is_wrapped = is_done = False
        try:
            with BlobStore.open(where, keyring(ROOT), files=files) as store:
                files.arm()
                store.rewrap(NEW)
                is_wrapped = True
                store.forget_other_roots(keyring(NEW))
                is_done = True
        except (VNAError, OSError, Killed):
            files.bury()
        assert opens(where, NEW) or not is_wrapped
        assert opens(where, ROOT) or is_wrapped
        root = NEW if is_wrapped else ROOT
        with BlobStore.open(where, keyring(root)) as store:  # it is run again
            store.rewrap(NEW)
            store.forget_other_roots(keyring(NEW))
        assert opens(where, NEW)
        assert not opens(where, ROOT)
        if not files.struck:
            assert is_done
            assert at > 8
            return
    pytest.fail("it never ended")
