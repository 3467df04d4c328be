"""Connections to the index database, and the two ways to use one: to change, and to read.

The pool is our own: it has no threads (processes are forked), it connects in the caller's thread,
so that a server that comes back is found at once, and it looks at a socket before it hands it out.
"""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import psycopg
from psycopg import errors, pq, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from vna.db.faults import POOLED, translate, translating
from vna.errors import CommitUnknown, ConfigError, Contended, Unavailable

T = TypeVar("T")
Connection: TypeAlias = psycopg.Connection[TupleRow]

_WAIT_S = 5.0  # for a free connection; past it the caller is told to come again
_ATTEMPTS = 5  # at a transaction that another one gets in the way of
_IDLE_S = 300.0  # a connection unused for this long is closed when the next one comes back

# A server whose host is gone says nothing: the system waits a quarter of an hour for the answer to
# what it sent, and two hours for one it only waits for. Whoever waits holds a connection meanwhile.
_SILENCE: dict[str, int] = {
    "connect_timeout": 10,
    "tcp_user_timeout": 30_000,  # milliseconds; the others are seconds, and a count
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}

_DIRECT = "-c vna.direct=on"  # a pooler drops it, and with it the schema and the limits asked for


class Database:
    """One archive's schema in one PostgreSQL. Safe to use from many threads."""

    def __init__(
        self, dsn: str, *, schema: str, connections: int = 10, statement_s: float = 60.0
    ) -> None:
        self.dsn = dsn
        self.schema = schema
        path = f"-c search_path={_option(schema)},public -c timezone=UTC"
        limit = f"-c statement_timeout={int(statement_s * 1000)}"
        # Searches are planned for the values asked: a generic plan was 30 times slower for a date
        # and a modality. What changes something, or names one thing, has one plan, made once.
        planned = f"{path} {limit}"
        searching = f"{planned} -c plan_cache_mode=force_custom_plan"
        short = max(connections * 3 // 10, 1)  # of either sort: they come back at once
        self._statement_s = statement_s
        self._limits: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()
        self._changing = _Pool(conninfo(dsn, planned), short)
        self._pointing = _Pool(conninfo(dsn, planned), short, autocommit=True)
        self._reading = _Pool(
            conninfo(dsn, searching), max(connections - 2 * short, 1), autocommit=True
        )

    def transaction(self) -> AbstractContextManager[Connection]:
        """Open a transaction: committed when the block ends, rolled back when it raises.

        The driver's errors come out as ours. `CommitUnknown` when the connection was lost during
        the commit itself: then, and only then, the change may stand or may not.
        """
        return self._transaction()

    def changing(self, work: Callable[[Connection], T]) -> T:
        """Do work in a transaction; do it anew when it lost a race for the same records.

        PostgreSQL undoes one of two transactions that wait for each other, and says so: that one
        is to be repeated, not reported. Raises what `transaction` does; `Contended` at last.
        """
        for attempt in range(_ATTEMPTS):
            try:
                with self.transaction() as tx:
                    return work(tx)
            except Contended:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise Contended

    def reading(self, *, statement_s: float | None = None) -> AbstractContextManager[Connection]:
        """Lend a connection for reading, each statement on its own, under a time limit.

        Fetch what is needed and leave: no generator may hold it across a yield.
        """
        return self._read(self._statement_s if statement_s is None else statement_s)

    def pointing(self) -> AbstractContextManager[Connection]:
        """Lend a connection as `reading` does, for statements that name what they want by its key.

        They are planned once and not each time, which takes longer than finding one row.
        """
        return self._point()

    def at_once(self) -> AbstractContextManager[Connection]:
        """Lend a connection for `run_once`: a statement that is a transaction, in one round trip.

        `CommitUnknown` when the connection was lost: the statement may have been committed.
        """
        return self._at_once()

    def close(self) -> None:
        """Close the idle connections; lent ones are closed when they come back."""
        self._changing.close()
        self._pointing.close()
        self._reading.close()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with translating(), self._changing.lend() as conn:
            try:
                yield conn
            except BaseException:
                with suppress(psycopg.Error):  # the first error is the one to tell
                    conn.rollback()
                raise
            _commit(conn)

    @contextmanager
    def _at_once(self) -> Iterator[Connection]:
        with translating(), self._changing.lend() as conn:
            try:
                yield conn
            except psycopg.Error as exc:
                if conn.closed:
                    raise CommitUnknown from exc
                raise

    @contextmanager
    def _point(self) -> Iterator[Connection]:
        with translating(), self._pointing.lend() as conn:
            yield conn

    @contextmanager
    def _read(self, statement_s: float) -> Iterator[Connection]:
        with translating(), self._reading.lend() as conn:
            # it keeps the limit it had last: to set it back after each search cost more than one
            if self._limits.get(conn, self._statement_s) != statement_s:
                conn.execute(_timeout(statement_s))
                self._limits[conn] = statement_s
            yield conn


def conninfo(dsn: str, options: str = "") -> str:
    """Add what we always ask for to a connection string or URL. Raises `ConfigError`.

    How long silence is borne is the string's own to say.
    """
    try:
        patience = _SILENCE | conninfo_to_dict(dsn)
        borne = {name: patience[name] for name in _SILENCE}
        asked = f"{_DIRECT} {options}".rstrip()
        return make_conninfo(dsn, **borne, options=asked, application_name="vna")
    except psycopg.ProgrammingError as exc:
        raise ConfigError("postgres.url is not a PostgreSQL connection URL.") from exc


def require_direct(conn: Connection) -> None:
    """Make sure that the server got what `conninfo` asks for. Raises `ConfigError`.

    Behind a pooler that shares its sessions prepared statements, locks of a session and `LISTEN`
    are somebody else's, too: that shows under load, and here before it.
    """
    row = conn.execute("SELECT current_setting('vna.direct', true)").fetchone()
    if row != ("on",):
        raise ConfigError(POOLED)


def require_writable(conn: Connection) -> None:
    """Make sure that changes are taken: a standby only answers.

    Raises the driver's error for one that was refused, as the pool that lent it expects.
    """
    if conn.execute("SHOW transaction_read_only").fetchone() != ("off",):
        raise errors.ReadOnlySqlTransaction("asked, and told so")


def _commit(conn: Connection) -> None:
    try:
        conn.commit()
    except psycopg.Error as exc:
        # An answer from a living connection is a clear no; silence is neither yes nor no.
        if conn.closed:
            raise CommitUnknown from exc
        raise translate(exc) from exc


def _timeout(statement_s: float) -> sql.Composed:
    return sql.SQL("SET statement_timeout = {}").format(sql.Literal(int(statement_s * 1000)))


def _option(name: str) -> str:
    """Quote an identifier inside libpq's `options`, where a backslash escapes a space."""
    quoted = '"' + name.replace('"', '""') + '"'
    return quoted.replace("\\", "\\\\").replace(" ", "\\ ")


class _Pool:
    """At most `size` connections, the one used last lent first."""

    def __init__(self, conninfo: str, size: int, *, autocommit: bool = False) -> None:
        self._conninfo = conninfo
        self._autocommit = autocommit
        self._idle: deque[tuple[Connection, float]] = deque()
        self._places = threading.BoundedSemaphore(size)
        self._closed = False

    @contextmanager
    def lend(self) -> Iterator[Connection]:
        if not self._places.acquire(timeout=_WAIT_S):
            raise Unavailable("All connections to the index database are in use; try again.")
        try:
            conn = self._take()
            try:
                yield conn
            except errors.ReadOnlySqlTransaction:
                # where the URL led before a failover: it answers, and will never take a change
                conn.close()
                self._drop(older_than=time.monotonic() + 1)
                raise
            finally:
                self._give_back(conn)
        finally:
            self._places.release()

    def close(self) -> None:
        self._closed = True
        self._drop(older_than=time.monotonic() + 1)

    def _take(self) -> Connection:
        while True:
            try:
                conn, _ = self._idle.pop()
            except IndexError:
                return psycopg.connect(self._conninfo, autocommit=self._autocommit)
            if _is_quiet(conn):
                return conn
            conn.close()

    def _give_back(self, conn: Connection) -> None:
        if not conn.closed and conn.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            with suppress(psycopg.Error):  # what cannot be rolled back is closed below
                conn.rollback()
        now = time.monotonic()
        if self._closed or conn.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            conn.close()
        else:
            self._idle.append((conn, now))
        self._drop(older_than=now - _IDLE_S)

    def _drop(self, *, older_than: float) -> None:
        while True:
            try:
                conn, used = self._idle.popleft()
            except IndexError:
                return
            if used > older_than:
                self._idle.appendleft((conn, used))
                return
            conn.close()


def _is_quiet(conn: Connection) -> bool:
    """Whether an idle connection is still good, without a round trip.

    A server that ended has closed its side, which makes the socket readable; a server that only
    read its configuration anew also sends something, and then it is asked.
    """
    if conn.closed:
        return False
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN)
    if not poll.poll(0):
        return True
    try:
        conn.execute("SELECT 1")
        if not conn.autocommit:
            conn.rollback()
    except psycopg.Error:
        return False
    return True
