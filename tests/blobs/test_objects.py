"""What only an object store does: lost answers, multipart uploads, a server that is not there."""

from __future__ import annotations

import os

import obstore
import pytest
from obstore.store import MemoryStore, S3Store

from vna.blobs.objects import ObjectBackend
from vna.errors import Conflict, NotFound, Unavailable


@pytest.mark.parametrize("size", [10, 5000])
def test_an_object_whose_answer_was_lost_is_recognised_as_ours(size: int) -> None:
    store = MemoryStore()
    backend = ObjectBackend(store)
    data = os.urandom(size)
    part = backend.create("b/x")
    part.write(data)
    obstore.put(store, "b/x", data)  # the request arrived, its answer did not

    part.commit()

    assert bytes(backend.read("b/x", 0, size)) == data


@pytest.mark.parametrize("there", [b"them", b"ours, and more", b"our", b""])
def test_an_object_that_is_not_ours_is_a_conflict_however_it_begins(there: bytes) -> None:
    store = MemoryStore()
    part = ObjectBackend(store).create("b/x")
    part.write(b"ours")
    obstore.put(store, "b/x", there)

    with pytest.raises(Conflict):
        part.commit()
    assert bytes(obstore.get(store, "b/x").bytes()) == there


def test_memory_stays_bounded_however_large_the_object_is() -> None:
    backend = ObjectBackend(MemoryStore(), piece=50_000)
    part = backend.create("b/x")
    for _ in range(100):
        part.write(bytes(30_000))
        assert len(part._pending) < 50_000
    part.commit()

    assert backend.size("b/x") == 3_000_000


def test_a_server_that_is_not_there_is_unavailable() -> None:
    backend = ObjectBackend(
        S3Store(
            "bucket",
            endpoint="http://127.0.0.1:9",
            access_key_id="x",
            secret_access_key="x",
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )
    )
    part = backend.create("b/x")
    part.write(b"x")

    with pytest.raises(Unavailable):
        part.commit()
    with pytest.raises(Unavailable):
        backend.read("b/x", 0, 1)
    with pytest.raises(Unavailable):
        backend.size("b/x")
    with pytest.raises(Unavailable):
        list(backend.list("b/"))
    with pytest.raises(Unavailable):
        backend.delete("b/x")


def test_an_empty_range_asks_nothing() -> None:
    backend = ObjectBackend(MemoryStore())

    assert bytes(backend.read("b/x", 0, 0)) == b""
    with pytest.raises(NotFound):
        backend.read("b/x", 0, 1)
