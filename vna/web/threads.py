"""The only bridge between the event loop and the engines: threads.

A request that needs an engine makes one hop and comes back with complete bytes. What is too large
for that is pulled a mebibyte or more at a time, by threads of their own: a slow client holds no
thread between pieces, and long streams cannot keep short questions waiting.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from vna.errors import Unavailable

T = TypeVar("T")
Buffer = bytes | bytearray | memoryview

_LARGE = 1 << 16
PIECE = 1 << 20
STREAM_THREADS = 32
_JOIN_S = 2.0


class _Task(Generic[T]):
    """One call under way: what to run, and where the result is awaited."""

    __slots__ = ("error", "future", "loop", "result", "work")

    def __init__(self, work: Callable[[], T], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.future: asyncio.Future[T] = loop.create_future()
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.work()
        except BaseException as exc:
            self.error = exc  # for whoever awaits it


class Pool:
    """A bounded number of threads, started as they are needed. Belongs to one event loop.

    concurrent.futures would do the same at three times the cost a call.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._tasks: SimpleQueue[_Task[Any] | None] = SimpleQueue()  # results of any type
        self._threads: list[threading.Thread] = []
        self._under_way = 0

    def start(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Have `work` run in a thread; the future is its result. The loop's thread only.

        Raises `Unavailable` when there is no thread, and none can be started.
        """
        task = _Task(work, asyncio.get_running_loop())
        if len(self._threads) < min(self._size, self._under_way + 1):
            self._grow()
        self._under_way += 1
        self._tasks.put(task)
        return task.future

    def _grow(self) -> None:
        """Start one more thread; where the system has no other, those there are take turns."""
        name = f"{self._name}-{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:
            if not self._threads:
                raise Unavailable("The archive has no thread for this; try again later.") from exc
            return
        self._threads.append(thread)

    async def call(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread and wait for it, even when the waiting itself is cancelled.

        A thread cannot be interrupted: whoever goes on after this may rely on it having ended.
        """
        future = self.start(work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait((future,))
            raise

    @property
    def under_way(self) -> int:
        """How many calls run or wait."""
        return self._under_way

    def close(self) -> None:
        """Let the threads end; those busy for longer than two seconds end with the process."""
        for _ in self._threads:
            self._tasks.put(None)
        deadline = time.monotonic() + _JOIN_S
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task.run()
            try:
                task.loop.call_soon_threadsafe(self._settle, task)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return
            del task

    def _settle(self, task: _Task[Any]) -> None:
        self._under_way -= 1
        if task.future.cancelled():
            return
        if task.error is not None:
            task.future.set_exception(task.error)
        else:
            task.future.set_result(task.result)


class Threads:
    """The pools of a process: hops for what is short, streams for what takes its time.

    `intakes` read what comes and store it, as fast as a client brings it; it waits for them else.

    `finishers` take work over from one of these threads, not from the event loop.
    """

    def __init__(self, hops: int = 0) -> None:
        size = hops or (os.cpu_count() or 1) + 2  # more would wait for each other, not for the disk
        self.hops = Pool(size, "hop")
        self.streams = Pool(STREAM_THREADS, "stream")
        self.intakes = Pool(size, "intake")
        self.hashes = Pool(1, "hash")  # of passphrases, 64 MiB each
        self.finishers = ThreadPoolExecutor(size, "finish")

    def close(self) -> None:
        """Let all threads end."""
        self.hops.close()
        self.streams.close()
        self.intakes.close()
        self.hashes.close()
        self.finishers.shutdown(wait=False, cancel_futures=True)


class Pull:
    """Walks an iterator in the stream threads, one piece ahead of its reader."""

    def __init__(self, threads: Threads, chunks: Iterator[Buffer]) -> None:
        self._pool = threads.streams
        self._chunks = chunks
        self._ahead: asyncio.Future[tuple[bytes, bool]] | None = self._start()

    async def next(self) -> tuple[bytes, bool]:
        """Wait for the next piece, and whether it is the last. Raises what the walk raises."""
        if self._ahead is None:
            return b"", True
        data, is_last = await asyncio.shield(self._ahead)
        self._ahead = None if is_last else self._start()
        return data, is_last

    async def close(self) -> None:
        """End the walk, wherever it stands, and let the iterator clean up."""
        if self._ahead is not None:
            await asyncio.wait((self._ahead,))
            self._ahead.exception()  # looked at, so that nobody warns: the reader is gone
            self._ahead = None
        close = getattr(self._chunks, "close", None)
        if close is not None:
            await self._pool.call(close)

    def _start(self) -> asyncio.Future[tuple[bytes, bool]]:
        return self._pool.start(lambda: gather(self._chunks, PIECE))


def take(chunks: Iterator[Buffer], least: int) -> tuple[list[bytes], bool]:
    """Take chunks until there are `least` bytes; the flag says that there are no more.

    A chunk that is a view is copied: it is good only until the next one is asked for.
    """
    taken: list[bytes] = []
    size = 0
    for chunk in chunks:
        taken.append(chunk if isinstance(chunk, bytes) else bytes(chunk))
        size += len(chunk)
        if size >= least:
            return taken, False
    return taken, True


def coalesced(pieces: Iterable[bytes]) -> list[bytes]:
    """Put small neighbours together: each piece of a body costs a way through the event loop.

    Large ones stay as they are, for joining copies them.
    """
    found: list[bytes] = []
    small: list[bytes] = []
    for piece in pieces:
        if len(piece) < _LARGE:
            small.append(piece)
            continue
        if small:
            found.append(b"".join(small))
            small = []
        found.append(piece)
    return [*found, b"".join(small)] if small else found


def gather(chunks: Iterator[Buffer], least: int) -> tuple[bytes, bool]:
    """Take chunks as `take` does, and join them."""
    taken, is_last = take(chunks, least)
    return (taken[0] if len(taken) == 1 else b"".join(taken)), is_last
