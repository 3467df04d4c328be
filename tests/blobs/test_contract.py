"""One suite for every backend: what `vna.blobs.backends.Backend` promises."""

from __future__ import annotations

import os
import threading

import pytest

from tests.blobs.conftest import PIECE
from vna.blobs.backends import Backend, get, is_there, put
from vna.errors import Conflict, NotFound


def test_an_object_is_read_back_whole_and_by_ranges(backend: Backend) -> None:
    put(backend, "b/2026-01-02/0a/x.vnb", b"0123456789")

    assert backend.size("b/2026-01-02/0a/x.vnb") == 10
    assert get(backend, "b/2026-01-02/0a/x.vnb", 100) == b"0123456789"
    assert bytes(backend.read("b/2026-01-02/0a/x.vnb", 3, 4)) == b"3456"
    room = bytearray(4)
    assert backend.read_into("b/2026-01-02/0a/x.vnb", 8, memoryview(room)) == 2
    assert room[:2] == b"89"


@pytest.mark.parametrize(
    ("start", "size", "expected"), [(8, 10, b"89"), (10, 1, b""), (99, 5, b"")]
)
def test_a_range_past_the_end_is_short(
    backend: Backend, start: int, size: int, expected: bytes
) -> None:
    put(backend, "x", b"0123456789")

    assert bytes(backend.read("x", start, size)) == expected


def test_an_absent_object_is_not_found(backend: Backend) -> None:
    with pytest.raises(NotFound):
        backend.read("b/x", 0, 1)
    with pytest.raises(NotFound):
        backend.read_into("b/x", 0, memoryview(bytearray(1)))
    with pytest.raises(NotFound):
        backend.size("b/x")
    assert not is_there(backend, "b/x")
    assert list(backend.list("b/")) == []


@pytest.mark.parametrize("size", [10, 3 * PIECE + 7])
def test_an_object_is_invisible_until_it_is_committed(backend: Backend, size: int) -> None:
    data = os.urandom(size)
    part = backend.create("b/x")
    for start in range(0, size, 30_000):
        part.write(data[start : start + 30_000])
        assert not is_there(backend, "b/x")
        assert list(backend.list("b/")) == []

    part.commit()
    part.abort()

    assert get(backend, "b/x", size + 1) == data


@pytest.mark.parametrize("size", [10, 3 * PIECE + 7])
def test_an_aborted_object_was_never_there(backend: Backend, size: int) -> None:
    part = backend.create("b/x")
    part.write(bytes(size))
    part.abort()
    part.abort()

    assert not is_there(backend, "b/x")
    put(backend, "b/x", b"another")
    assert get(backend, "b/x", 100) == b"another"


@pytest.mark.parametrize("size", [10, 3 * PIECE + 7])
def test_an_object_is_never_replaced(backend: Backend, size: int) -> None:
    put(backend, "b/x", b"the first")

    with pytest.raises(Conflict):
        put(backend, "b/x", bytes(size))

    assert get(backend, "b/x", 100) == b"the first"


def test_of_two_writers_of_one_name_one_wins(backend: Backend) -> None:
    outcomes: list[str] = []
    ready = threading.Barrier(4)

    def write(text: str) -> None:
        try:
            part = backend.create(f"b/{text}")
            part.abort()
            ready.wait()
            put(backend, "b/x", text.encode())
            outcomes.append(text)
        except Conflict:
            outcomes.append("lost")

    threads = [threading.Thread(target=write, args=(text,)) for text in ("a", "b", "c", "d")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    winners = [text for text in outcomes if text != "lost"]
    assert len(outcomes) == 4
    assert [get(backend, "b/x", 10).decode()] == winners


def test_names_are_walked_in_order_below_a_prefix_and_after_a_name(backend: Backend) -> None:
    names = ["b/2026-01-01/00/a", "b/2026-01-01/ff/b", "b/2026-01-02/00/c", "b/2026-01-10/07/d"]
    for name in [*names, "k/00/x", "bb/y", "archive.json"]:
        put(backend, name, b"x")

    assert list(backend.list("b/")) == names
    assert list(backend.list("b/2026-01-01/")) == names[:2]
    assert list(backend.list("b/", after="b/2026-01-02")) == names[2:]
    assert list(backend.list("b/", after=names[1])) == names[2:]
    assert list(backend.list("nothing/")) == []


def test_deleting_is_done_once_and_asked_twice(backend: Backend) -> None:
    put(backend, "b/x", b"1")

    backend.delete("b/x")
    backend.delete("b/x")
    backend.delete("never/there")

    assert not is_there(backend, "b/x")


def test_free_space_is_a_pair_or_unknown(backend: Backend) -> None:
    found = backend.free_bytes()

    assert found is None or 0 < found[0] <= found[1]
    assert backend.sweep_parts(0) == 0
