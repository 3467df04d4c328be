"""A root key, and a store of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from vna.blobs.backends import Backend
from vna.blobs.files import Files
from vna.blobs.keys import StudyKey
from vna.blobs.local import LocalBackend
from vna.blobs.objects import ObjectBackend
from vna.blobs.store import BlobStore
from vna.crypto.keyring import Keyring, RootKey

ROOT = RootKey(bytes(range(32)), "file")
ARCHIVE = bytes.fromhex("019aa0000000700080000000000000aa")
PIECE = 100_000  # so that an object of a few segments is a multipart upload


@pytest.fixture(params=["local", "object store"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """One backend of every kind, empty."""
    made: Backend
    if request.param == "local":
        made = LocalBackend(str(tmp_path / "blobs"), Files())
    else:
        made = ObjectBackend(MemoryStore(), piece=PIECE)
    made.prepare()
    yield made
    made.close()


@pytest.fixture
def store(backend: Backend) -> Iterator[BlobStore]:
    """A store on every kind of backend."""
    BlobStore.init(backend, ARCHIVE, ROOT)
    with BlobStore.open(backend, Keyring(ROOT, ARCHIVE)) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a store that is set up."""
    BlobStore.init(tmp_path / "blobs", ARCHIVE, ROOT)
    return tmp_path / "blobs"


@pytest.fixture
def local(folder: Path) -> Iterator[BlobStore]:
    """A store on a local folder."""
    with BlobStore.open(folder, Keyring(ROOT, ARCHIVE)) as opened:
        yield opened


@pytest.fixture
def key(store: BlobStore) -> StudyKey:
    """A study key of the store."""
    return store.keys.for_study("1.2.3")
