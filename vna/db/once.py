"""One prepared statement that is a transaction of its own, with nothing of the driver between.

For the one place that runs for every object that comes in: the driver's cursor costs 250 us there,
libpq alone 50. Values go in and come out in PostgreSQL's binary form.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import psycopg
from psycopg import errors, pq

from vna.errors import Unavailable

_PREPARED: WeakKeyDictionary[psycopg.Connection[tuple[object, ...]], set[bytes]]
_PREPARED = WeakKeyDictionary()
_UNPREPARED = b"26000"  # SQLSTATE invalid_sql_statement_name


def run_once(
    conn: psycopg.Connection[tuple[object, ...]],
    name: bytes,
    statement: str,
    values: Sequence[bytes | None],
    *,
    meanwhile: Callable[[], None] = lambda: None,
) -> list[bytes | None] | None:
    """Run a statement outside any transaction; return its first row, None when it has no row.

    `statement` has a `%s` for each value. `meanwhile` is called while the server works, and nothing
    is committed before it returns: when it raises, the statement is undone. It may be called twice.
    Raises the driver's errors, as the pool expects them.
    """
    link = conn.pgconn
    if link.transaction_status != pq.TransactionStatus.IDLE:
        raise Unavailable("A statement of its own was asked for inside a transaction.")
    known = _PREPARED.setdefault(conn, set())

    def execute() -> list[pq.abc.PGresult]:
        if name not in known:
            _check(link, link.prepare(name, _numbered(statement)))
            known.add(name)
        return _in_pipeline(link, name, values, meanwhile)

    found = execute()
    if any(result.error_field(pq.DiagnosticField.SQLSTATE) == _UNPREPARED for result in found):
        known.clear()  # after a rollback the driver deallocates all there is, ours too
        found = execute()
    for result in found:
        _check(link, result)
    if not found or not found[0].ntuples:
        return None
    return [found[0].get_value(0, n) for n in range(found[0].nfields)]


def _in_pipeline(
    link: pq.abc.PGconn,
    name: bytes,
    values: Sequence[bytes | None],
    meanwhile: Callable[[], None],
) -> list[pq.abc.PGresult]:
    """Send the statement, do what is to be done meanwhile, then have it committed by a Sync."""
    link.enter_pipeline_mode()
    try:
        link.send_query_prepared(name, values, [1] * len(values), 1)
        link.send_flush_request()
        _flush(link)
        meanwhile()
        link.pipeline_sync()
        _flush(link)
        found = _results(link)
        link.exit_pipeline_mode()
    except BaseException:
        link.finish()  # without its Sync the server undoes the statement
        raise
    return found


def _results(link: pq.abc.PGconn) -> list[pq.abc.PGresult]:
    """Read up to the answer to the Sync: what came before it, errors of the commit among it."""
    found: list[pq.abc.PGresult] = []
    while True:
        while link.is_busy():
            _wait(link, select.POLLIN)
            link.consume_input()
        result = link.get_result()
        if result is None:
            continue  # the end of one statement's answer
        if result.status == pq.ExecStatus.PIPELINE_SYNC:
            return found
        found.append(result)
        if link.status == pq.ConnStatus.BAD:
            raise psycopg.OperationalError("the connection was lost")


def _flush(link: pq.abc.PGconn) -> None:
    while link.flush():
        if _wait(link, select.POLLIN | select.POLLOUT) & select.POLLIN:
            link.consume_input()


def _wait(link: pq.abc.PGconn, wanted: int) -> int:
    poll = select.poll()
    poll.register(link.socket, wanted)
    return poll.poll()[0][1]


def _check(link: pq.abc.PGconn, result: pq.abc.PGresult) -> None:
    if result.status in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
        return
    if link.status == pq.ConnStatus.BAD:
        raise psycopg.OperationalError("the connection was lost")
    raise errors.error_from_result(result)


def _numbered(statement: str) -> bytes:
    first, *others = statement.split("%s")
    return "".join([first, *(f"${n}{part}" for n, part in enumerate(others, 1))]).encode()
