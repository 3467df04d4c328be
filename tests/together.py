"""Two things at once, one begun in the middle of the other: no sleeps, on whatever machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from vna.db.pool import Database

Begin = Callable[[Any, str, Callable[[], Any]], "Future[Any]"]
"""Has something done when a function, by its owner and name, is called next."""


@contextmanager
def together(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Give what begins something in the middle of an act.

    The act goes on once the other one is done, or has to wait for its transaction. `database` is
    asked which of the two it is.
    """
    with ThreadPoolExecutor(1) as pool:

        def begin(owner: Any, name: str, other: Callable[[], Any]) -> Future[Any]:
            usual = getattr(owner, name)
            found: Future[Any] = Future()

            def held(*given: Any, **more: Any) -> Any:
                monkeypatch.setattr(owner, name, usual)
                under_way = pool.submit(other)
                under_way.add_done_callback(lambda done: _pass_on(done, found))
                while not under_way.done() and not waits(database):
                    pass
                return usual(*given, **more)

            monkeypatch.setattr(owner, name, held)
            return found

        yield begin


def waits(database: Database) -> bool:
    """Whether some transaction waits for another's lock."""
    with database.reading() as conn:
        row = conn.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database())"
        ).fetchone()
    return bool(row and row[0])


def _pass_on(done: Future[Any], found: Future[Any]) -> None:
    exc = done.exception()
    if exc is None:
        found.set_result(done.result())
    else:
        found.set_exception(exc)
