"""The embedded PostgreSQL: made on first use, started by the first holder, stopped by the last.

It is a child that outlives us: after a kill -9 of our process it goes on, and the next one attaches
to it. It listens on a Unix socket only and knows its users by what the kernel says of them (peer).
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from vna.config import Postgres
from vna.db import place, postmaster, programs, tuning
from vna.db.faults import translating
from vna.db.holders import Holders
from vna.db.place import Place
from vna.db.postmaster import Postmaster
from vna.db.programs import Programs
from vna.errors import ConfigError, Unavailable

_ROLE = "vna"
_SUPERUSER = "postgres"
_INITDB = (
    "--locale-provider=builtin",
    "--locale=C.UTF-8",
    "--encoding=UTF8",
    "--data-checksums",
    "--auth-local=peer",
    "--auth-host=scram-sha-256",
    f"--username={_SUPERUSER}",
)
# a thousand small files: one call for the file system instead of one for each
_SYNC = ("--sync-method=syncfs",) if sys.platform == "linux" else ()
_TELL_S = 10.0  # how often a long recovery is reported

logger = logging.getLogger(__name__)


class Cluster:
    """One running server, held by this process until `stop`."""

    def __init__(self, where: Place, holders: Holders, run: Path, *, durable: bool) -> None:
        self._place = where
        self._holders = holders
        self._run = run
        self._durable = durable
        self.is_new = False  # whether this process made it
        self._child: subprocess.Popen[bytes] | None = None
        self._server: Postmaster | None = None

    @classmethod
    def obtain(
        cls, data: Path, settings: Postgres, *, name: str | None = None, durable: bool = True
    ) -> Cluster:
        """Attach to the server of this data folder, started and made first when need be.

        Returns when it takes connections, however long a crash recovery lasts. `name` names the
        cluster's folder in /var/lib/vna, should it have to lie there. `durable=False` gives up
        safety for speed: for tests only. Raises `ConfigError` and `Unavailable`.
        """
        data = Path(os.path.abspath(data))
        place.make_data(data)
        holders = Holders(data / "run")
        try:
            with holders.changing():
                holders.join()
                where = place.find(data, settings.os_user, name)
                cluster = cls(where, holders, data / "run", durable=durable)
                cluster._come_up()
        except BaseException:
            holders.leave()
            raise
        return cluster

    @property
    def dsn(self) -> str:
        """How to connect, as the archive's own role, which is no superuser."""
        return self._conninfo(_ROLE, _ROLE)

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return self._running().pid

    @property
    def files(self) -> Path:
        """The folder of the cluster."""
        return self._place.files

    def admin_dsn(self, database: str = _SUPERUSER) -> str:
        """How to connect as the superuser."""
        return self._conninfo(database, _SUPERUSER)

    def is_alive(self) -> bool:
        """Whether the server this process attached to still runs."""
        if self._child is not None and self._child.poll() is None:
            return True
        found = postmaster.running(self.files)
        return found is not None and self._server is not None and found.pid == self._server.pid

    def revive(self) -> None:
        """Start the server again if it died, and do not wait for it; call it again later.

        Connections are refused until it has recovered. Raises `ConfigError`.
        """
        if self.is_alive() or not self._holders.try_change():
            return
        try:
            self._server = postmaster.running(self.files) or self._spawn()
        finally:
            self._holders.changed()

    def wait(self) -> None:
        """Wait until a revived server takes connections, however long that lasts."""
        with self._holders.changing():
            self._attach()

    def stop(self) -> bool:
        """Let go of the server, and stop it if nobody else holds it. Says whether it stopped."""
        with self._holders.changing():
            last = self._let_go()
        self._holders.leave()
        return last

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _come_up(self) -> None:
        try:
            self._attach()
            self._prepare()
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> bool:
        last = self._holders.is_last()
        server = postmaster.running(self.files)
        if last and server is not None:
            _stop(server)
        if self._child is not None:
            # One that goes on is the next holder's to stop. Popen would warn of it.
            self._child.returncode = self._child.wait() if last else 0
        return last

    def _attach(self) -> None:
        if not self._place.exists():
            self._make()
        found = postmaster.running(self.files)
        if found is not None and found.status == "stopping":
            _wait_gone(found)
            found = None
        starting = self._child is not None and self._child.poll() is None
        server = self._wait_ready(found) if starting or found is not None else None
        while server is None:
            self._spawn()
            server = self._wait_ready(None)
        self._server = server

    def _make(self) -> None:
        """Make the cluster under another name first, so that half of one is never taken for it.

        Each time under a new one: the `initdb` of a command that was killed goes on, fails when
        its folder is gone, and then empties what has that name.
        """
        where = self._place
        tools = programs.usable_by(where.account, where.base)
        _sweep_parts(where.base)
        part = Path(tempfile.mkdtemp(dir=where.base, prefix="pg.", suffix=".part"))
        where.account.own(part)
        sync = _SYNC if self._durable else ("--no-sync",)
        made = subprocess.run(
            [tools["initdb"], *_INITDB, *sync, f"--pgdata={part}"],
            cwd="/",
            env=programs.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **where.account.switch(),
        )
        if made.returncode != 0:
            raise ConfigError(
                f"PostgreSQL's cluster cannot be made: {programs.telling(made.stderr)}."
            )
        with (part / "postgresql.conf").open("a", encoding="utf-8") as out:
            out.write(tuning.INCLUDE)
            out.flush()
            os.fsync(out.fileno())
        part.rename(where.files)
        _sync_folder(where.base)
        _sweep_parts(where.base)  # what such an `initdb` wrote meanwhile
        self.is_new = True
        logger.info("postgres cluster made", extra={"folder": str(where.files)})

    def _spawn(self) -> Postmaster:
        where = self._place
        tools = programs.usable_by(where.account, where.base)
        _check_release(where.files, tools)
        postmaster.disown_reused_pid(where.files)
        tuning.write(where.files, where.account, durable=self._durable)
        command = [tools["postgres"], "-D", str(where.files), "-p", str(place.PORT)]
        folder = where.socket_folder()
        command += ["-k", str(folder)]
        postmaster.disown_socket(folder, place.PORT, where.files)
        with (self._run / "postgres-start.log").open("wb") as log:
            self._child = subprocess.Popen[bytes](
                command,
                cwd="/",
                env=programs.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # a Ctrl-C at the terminal is ours to pass on, in our order
                **where.account.switch(),
            )
        logger.info("postgres started", extra={"server": self._child.pid})
        return Postmaster(self._child.pid, folder, "starting")

    def _wait_ready(self, found: Postmaster | None) -> Postmaster | None:
        """Wait without a limit: a recovery takes as long as it takes. None: try a start again."""
        begun = told = time.monotonic()
        delay_s = 0.01
        while found is None or not found.is_ready():
            if time.monotonic() - told > _TELL_S:
                told = time.monotonic()
                status = found.status if found else "starting"
                logger.info("postgres recovers", extra={"status": status, "for_s": told - begun})
            time.sleep(delay_s)
            delay_s = min(delay_s * 1.5, 0.2)
            seen = postmaster.running(self.files)
            if seen is None and self._child is not None and self._child.poll() is not None:
                self._explain_refusal()
                return None
            if seen is None and found is not None:
                return None  # another process's server ended: start our own
            found = seen
        return found

    def _explain_refusal(self) -> None:
        log = self._run / "postgres-start.log"
        text = log.read_text(encoding="utf-8", errors="replace")
        if "shared memory block" in text and "in use" in text:
            # A killed server's backends end at their next look; before that no start may succeed.
            logger.info("postgres waits for backends of a killed server")
            time.sleep(0.5)
            return
        raise Unavailable(
            f"PostgreSQL does not start: {programs.telling(text)} (more in {self.files / 'log'})."
        )

    def _prepare(self) -> None:
        """Make the archive's role and database where they are missing."""
        with translating(), psycopg.connect(self.admin_dsn(), autocommit=True) as conn:
            role, database = sql.Identifier(_ROLE), sql.Identifier(_ROLE)
            if not conn.execute("SELECT FROM pg_roles WHERE rolname = %s", (_ROLE,)).rowcount:
                conn.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
            if not conn.execute("SELECT FROM pg_database WHERE datname = %s", (_ROLE,)).rowcount:
                conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))

    def _running(self) -> Postmaster:
        if self._server is None:
            raise Unavailable("PostgreSQL does not run.")
        return self._server

    def _conninfo(self, database: str, user: str) -> str:
        folder = self._running().socket_folder
        return make_conninfo(
            host=str(folder), port=place.PORT, dbname=database, user=user, connect_timeout=10
        )


def _stop(server: Postmaster) -> None:
    try:
        os.kill(server.pid, signal.SIGINT)  # "fast": roll back, write a checkpoint, end
        if not server.wait_gone(20.0):
            logger.warning(
                "postgres stops slowly, ending it at once; its log is replayed next time"
            )
            os.kill(server.pid, signal.SIGQUIT)
            _wait_gone(server)
    except ProcessLookupError:  # it ended by itself
        return


def _wait_gone(server: Postmaster) -> None:
    while not server.wait_gone(_TELL_S):
        logger.info("postgres is stopping, waiting")


def _check_release(files: Path, tools: Programs) -> None:
    made_by = (files / "PG_VERSION").read_text(encoding="utf-8").strip()
    if made_by != tools.major:
        raise ConfigError(
            f"The cluster {files} was made by PostgreSQL {made_by}, and this is {tools.major}; "
            "take it over with pg_upgrade (docs/operations.md, Install, update, remove)."
        )


def _sweep_parts(base: Path) -> None:
    for part in base.glob("pg.*part"):
        shutil.rmtree(part, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
