"""A copied cluster brought to a moment after its copy, by the write-ahead log kept since.

PostgreSQL's own point-in-time recovery: what stands in the archived log is done again, up to the
moment and no further, and the cluster goes on from there on a timeline of its own.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from pathlib import Path

import psycopg
from psycopg import sql

from vna.db import account
from vna.db.faults import translating
from vna.errors import ConfigError

_SIGNAL, _SETTINGS = "recovery.signal", "postgresql.auto.conf"
_PLAIN = re.compile(r"/[A-Za-z0-9_./-]*", re.ASCII)  # it stands in a command of a shell
_OURS = ("restore_command", "recovery_target_time", "recovery_target_action", "hot_standby")


def require_log(log: Path, moment: dt.datetime) -> None:
    """Make sure that there can be a log to read, and a moment to reach. Raises `ConfigError`."""
    if not _PLAIN.fullmatch(str(log)):
        raise ConfigError(
            "The folder of the log is an absolute path of letters, digits, dots, - and _."
        )
    if not log.is_dir() or not any(log.iterdir()):
        raise ConfigError(f"There is no archived log of PostgreSQL in {log}.")
    if moment >= dt.datetime.now(dt.UTC):
        raise ConfigError("The moment to go back to lies in the future.")


def ask(files: Path, log: Path, moment: dt.datetime) -> None:
    """Have a cluster that is not started yet read the log up to a moment when it is.

    It takes no connection before it is there: without `hot_standby` it is not ready.
    """
    target = moment.astimezone(dt.UTC).isoformat(sep=" ", timespec="microseconds")
    values = {
        "restore_command": f'cp "{log}/%f" "%p"',
        "recovery_target_time": target,
        "recovery_target_action": "promote",
        "hot_standby": "off",
    }
    owner = account.by_uid(files.stat().st_uid)
    lines = "".join(f"{name} = '{value}'\n" for name, value in values.items())
    for name, text in ((_SETTINGS, lines), (_SIGNAL, "")):
        path = files / name
        with path.open("a", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        owner.own(path)


def done(admin_dsn: str) -> None:
    """Take back what `ask` has set, once the cluster is there."""
    with translating(), psycopg.connect(admin_dsn, autocommit=True) as conn:
        for name in _OURS:
            conn.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))
