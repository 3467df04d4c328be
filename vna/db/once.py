"""One prepared statement that is a transaction of its own, with nothing of the driver between.

For the one place that runs for every object that comes in: the driver's cursor costs 250 us there,
libpq alone 50. Values go in and come out in PostgreSQL's binary form.
"""

from __future__ import annotations

from collections.abc import Sequence
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
) -> list[bytes | None] | None:
    """Run a statement outside any transaction; return its first row, None when it has no row.

    `statement` has a `%s` for each value. Raises the driver's errors, as the pool expects them.
    """
    link = conn.pgconn
    if link.transaction_status != pq.TransactionStatus.IDLE:
        raise Unavailable("A statement of its own was asked for inside a transaction.")
    known = _PREPARED.setdefault(conn, set())

    def execute() -> pq.abc.PGresult:
        if name not in known:
            _check(link, link.prepare(name, _numbered(statement)))
            known.add(name)
        # the driver's own annotation forgets that a value may be null
        return link.exec_prepared(name, values, [1] * len(values), 1)  # type: ignore[arg-type]

    found = execute()
    if found.error_field(pq.DiagnosticField.SQLSTATE) == _UNPREPARED:
        known.clear()  # after a rollback the driver deallocates all there is, ours too
        found = execute()
    _check(link, found)
    if not found.ntuples:
        return None
    return [found.get_value(0, n) for n in range(found.nfields)]


def _check(link: pq.abc.PGconn, result: pq.abc.PGresult) -> None:
    if result.status in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
        return
    if link.status == pq.ConnStatus.BAD:
        raise psycopg.OperationalError("the connection was lost")
    raise errors.error_from_result(result)


def _numbered(statement: str) -> bytes:
    first, *others = statement.split("%s")
    return "".join([first, *(f"${n}{part}" for n, part in enumerate(others, 1))]).encode()
