"""What an answer writes within a turn of the loop leaves together, in order, and only once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from vna.web.gathered import Gathered


class Wire(asyncio.Transport):
    """Keeps the calls that would go to the system."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes] = []
        self.is_closed = False

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        assert not self.is_closed
        self.calls.append(b"".join(list_of_data))

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


def within_a_loop(act: Callable[[Gathered, Wire], None], *, turns: int = 0) -> Wire:
    """Let `act` write, wait for some turns of the loop, and give the wire."""

    async def run() -> Wire:
        wire = Wire()
        act(Gathered(wire, asyncio.get_running_loop()), wire)
        for _ in range(turns):
            await asyncio.sleep(0)
        return wire

    return asyncio.run(run())


def test_what_is_written_within_a_turn_leaves_with_it_in_one_call() -> None:
    def act(gathered: Gathered, wire: Wire) -> None:
        for piece in (b"head", b"part", b"closing"):
            gathered.write(piece)
        assert wire.calls == []

    assert within_a_loop(act, turns=2).calls == [b"headpartclosing"]


def test_what_was_flushed_does_not_leave_again() -> None:
    def act(gathered: Gathered, wire: Wire) -> None:
        gathered.write(b"one")
        gathered.flush()
        assert wire.calls == [b"one"]
        gathered.flush()
        gathered.write(b"two")

    assert within_a_loop(act, turns=3).calls == [b"one", b"two"]


def test_much_does_not_wait_for_the_end_of_the_turn() -> None:
    def act(gathered: Gathered, wire: Wire) -> None:
        gathered.write(b"head")
        gathered.write(bytes(1 << 19))
        assert [len(call) for call in wire.calls] == [4 + (1 << 19)]

    within_a_loop(act)


def test_nothing_is_no_call() -> None:
    def act(gathered: Gathered, wire: Wire) -> None:
        gathered.write(b"")
        gathered.flush()

    assert within_a_loop(act, turns=2).calls == []


def test_closing_loses_nothing() -> None:
    def act(gathered: Gathered, wire: Wire) -> None:
        gathered.write(b"last words")
        gathered.close()
        assert (wire.calls, wire.is_closed, gathered.is_closing()) == ([b"last words"], True, True)

    within_a_loop(act, turns=2)
