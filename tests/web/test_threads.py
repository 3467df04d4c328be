"""The bridge to threads: results, errors, order, ends."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Coroutine, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vna.errors import Unavailable
from vna.web.threads import PIECE, Pool, Pull, Threads, coalesced, gather


def run(body: Coroutine[None, None, None]) -> None:
    asyncio.run(body)


def test_a_result_and_an_error_come_back() -> None:
    async def body() -> None:
        pool = Pool(2, "test")
        assert await pool.start(lambda: 42) == 42
        with pytest.raises(KeyError):
            await pool.call(lambda: {}["x"])
        pool.close()

    run(body())


def no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Python says at a limit of processes: the container's, or the user's."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)


def test_without_a_thread_it_is_refused_and_works_when_there_is_one_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Threads that had not started counted as there: what came waited for them for ever."""

    async def body() -> None:
        pool = Pool(1, "test")
        with monkeypatch.context() as patched:
            no_more_threads(patched)
            with pytest.raises(Unavailable):
                pool.start(lambda: 42)
        assert pool.under_way == 0
        assert await asyncio.wait_for(pool.call(lambda: 42), 10) == 42
        pool.close()

    run(body())


def test_without_another_thread_those_there_are_take_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        pool = Pool(3, "test")
        assert await pool.call(lambda: 1) == 1
        with monkeypatch.context() as patched:
            no_more_threads(patched)
            doing = asyncio.gather(*(pool.call(lambda: 42) for _ in range(5)))
            assert await asyncio.wait_for(doing, 10) == [42] * 5
        pool.close()

    run(body())


def test_no_more_threads_than_allowed_run_at_once() -> None:
    running = 0
    most = 0
    lock = threading.Lock()
    gate = threading.Barrier(3)

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        gate.wait(10)
        with lock:
            running -= 1

    async def body() -> None:
        pool = Pool(3, "test")
        await asyncio.gather(*(pool.call(work) for _ in range(9)))
        pool.close()

    run(body())
    assert most == 3


def test_a_cancelled_caller_waits_for_its_thread() -> None:
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait(10)
        ended.set()

    async def body() -> None:
        pool = Pool(2, "test")
        task = asyncio.ensure_future(pool.call(work))
        await pool.start(lambda: begun.wait(10))
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()
        pool.close()

    run(body())


def test_an_iterator_is_pulled_in_large_pieces_and_in_order() -> None:
    chunks = [bytes([n]) * 100_000 for n in range(40)]

    async def body() -> None:
        threads = Threads(2)
        pull = Pull(threads, iter(chunks))
        pieces = []
        is_last = False
        while not is_last:
            data, is_last = await pull.next()
            pieces.append(data)
        assert b"".join(pieces) == b"".join(chunks)
        assert all(len(piece) >= PIECE for piece in pieces[:-1])
        assert await pull.next() == (b"", True)
        await pull.close()
        threads.close()

    run(body())


def test_a_walk_that_ends_early_closes_its_iterator_after_the_piece_under_way() -> None:
    closed = threading.Event()

    def chunks() -> Iterator[bytes]:
        try:
            while True:
                yield bytes(PIECE)
        finally:
            closed.set()

    async def body() -> None:
        threads = Threads(2)
        pull = Pull(threads, chunks())
        await pull.next()
        await pull.close()
        assert closed.is_set()
        threads.close()

    run(body())


def test_a_walk_that_fails_raises_where_it_is_read_or_nowhere() -> None:
    def chunks() -> Iterator[bytes]:
        yield bytes(PIECE)
        raise LookupError

    async def body() -> None:
        threads = Threads(2)
        pull = Pull(threads, chunks())
        await pull.next()
        with pytest.raises(LookupError):
            await pull.next()
        await pull.close()
        unread = Pull(threads, chunks())
        await unread.next()
        await unread.close()
        threads.close()

    run(body())


def test_gather_joins_small_chunks_and_hands_on_a_large_one_as_it_is() -> None:
    large = bytes(50)
    assert gather(iter([large]), 10)[0] is large
    assert gather(iter([b"a", b"b"]), 10) == (b"ab", True)
    assert gather(iter([b"a", b"b", b"c"]), 2) == (b"ab", False)
    assert gather(iter([]), 2) == (b"", True)


@given(st.lists(st.binary(max_size=40) | st.just(bytes(1 << 16)), max_size=30))
def test_small_neighbours_go_out_together_and_large_pieces_as_they_are(pieces: list[bytes]) -> None:
    found = coalesced(pieces)
    assert b"".join(found) == b"".join(pieces)
    assert [id(p) for p in found if len(p) == 1 << 16] == [
        id(p) for p in pieces if len(p) == 1 << 16
    ]
    small = [len(piece) < 1 << 16 for piece in found]
    assert not any(a and b for a, b in itertools.pairwise(small))
