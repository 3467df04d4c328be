"""Copies of the database, taken while it serves: of the embedded cluster its files, else a dump.

The cluster is copied by pg_basebackup, which streams the log written meanwhile beside it: the copy
is consistent as of its end. Somebody else's server is dumped by pg_dump, in one snapshot, the
schema of the archive alone. Either is written by the server's own programs, run as ourselves.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from vna.config import Postgres
from vna.db import place, programs
from vna.db.account import Account
from vna.db.faults import translating
from vna.db.pool import conninfo
from vna.errors import ConfigError, Corrupt, Unavailable

CLUSTER_FILES = ("base.tar", "pg_wal.tar", "backup_manifest")
DUMP_FILE = "schema.dump"

_LOOK_S = 0.2
_STEP = 1 << 20


def copy_cluster(
    admin_dsn: str, folder: Path, progress: Callable[[int], None] = lambda _: None
) -> str:
    """Copy a running cluster into an empty folder; gives its major version.

    `progress` is told the bytes so far. Raises `Unavailable`, `ConfigError`.
    """
    tools = programs.installed()
    command = [tools["pg_basebackup"], f"--dbname={admin_dsn}", f"--pgdata={folder}"]
    command += ["--format=tar", "--wal-method=stream", "--checkpoint=fast", "--no-password"]
    _run(command, programs.environment(), lambda: progress(_size(folder)))
    others = {found.name for found in folder.iterdir()} - set(CLUSTER_FILES)
    if others:
        raise ConfigError("The cluster has tablespaces of its own, which a backup does not take.")
    return tools.major


def copy_schema(
    dsn: str, schema: str, folder: Path, progress: Callable[[int], None] = lambda _: None
) -> str:
    """Dump the archive's schema into an empty folder; gives the server's major version."""
    with translating(), psycopg.connect(conninfo(dsn)) as conn:
        major = conn.info.server_version // 10000
    given, environment = _told_apart(dsn)
    command = [_program("pg_dump", major), f"--dbname={given}", f'--schema="{schema}"']
    command += ["--format=custom", "--no-password", "--no-owner", "--no-privileges"]
    command += [f"--file={folder / DUMP_FILE}"]
    _run(command, environment, lambda: progress(_size(folder)))
    return str(major)


def bring_cluster(folder: Path, data: Path, settings: Postgres, *, major: str) -> Path:
    """Put a copied cluster where the data folder's own belongs; gives its place.

    Raises `ConfigError` when this release cannot read it, or there is one already.
    """
    have = programs.installed().major
    if major != have:
        raise ConfigError(f"The backup was made by PostgreSQL {major}, and this is {have}.")
    # without a name: the archive it was copied from may have its cluster on this machine, too
    where = place.find(data, settings.os_user, None)
    if where.files.exists():
        raise ConfigError(f"There is a PostgreSQL cluster in {where.files} already.")
    part = where.files.with_name("pg.part")
    shutil.rmtree(part, ignore_errors=True)
    _make(part, where.account)
    _unpack(folder / "base.tar", part, where.account)
    _unpack(folder / "pg_wal.tar", part / "pg_wal", where.account)
    part.rename(where.files)
    return where.files


def require_no_schema(dsn: str, schema: str) -> None:
    """Make sure that a database can take a dumped schema. Raises `ConfigError`."""
    with translating(), psycopg.connect(conninfo(dsn)) as conn:
        if conn.execute("SELECT FROM pg_namespace WHERE nspname = %s", (schema,)).rowcount:
            raise ConfigError(f"The database has a schema {schema} already; take an empty one.")


def bring_schema(dsn: str, schema: str, folder: Path) -> None:
    """Restore a dumped schema where there is none. Raises `ConfigError`, `Unavailable`."""
    require_no_schema(dsn, schema)
    with translating(), psycopg.connect(conninfo(dsn), autocommit=True) as conn:
        major = conn.info.server_version // 10000
        conn.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public")
    given, environment = _told_apart(dsn)
    command = [_program("pg_restore", major), f"--dbname={given}", "--no-password", "--no-owner"]
    command += ["--no-privileges", "--exit-on-error", "--single-transaction"]
    _run([*command, str(folder / DUMP_FILE)], environment, lambda: None)
    with translating(), psycopg.connect(conninfo(dsn), autocommit=True) as conn:
        conn.execute("ANALYZE")


def _program(name: str, major: int) -> str:
    """Find a client that may talk to the server: the embedded one, else the machine's own."""
    tools = programs.installed()
    own = shutil.which(name)
    if own is None or int(tools.major) >= major:
        return tools[name]
    return own


def _told_apart(dsn: str) -> tuple[str, dict[str, str]]:
    """Take the password out of what every user of the machine may see of a command line."""
    values = {key: str(value) for key, value in conninfo_to_dict(dsn).items() if value is not None}
    environment = programs.environment()
    if (password := values.pop("password", None)) is not None:
        environment["PGPASSWORD"] = password
    if home := os.environ.get("HOME"):  # of .pgpass and of certificates
        environment["HOME"] = home
    return make_conninfo(**values), environment


def _run(command: list[str], environment: Mapping[str, str], look: Callable[[], None]) -> None:
    name = Path(command[0]).name
    with subprocess.Popen(
        command,
        cwd="/",
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            while True:
                try:
                    _, said = child.communicate(timeout=_LOOK_S)
                    break
                except subprocess.TimeoutExpired:
                    look()
        except BaseException:
            child.terminate()
            raise
    if child.returncode != 0:
        raise Unavailable(f"{name} ended with {child.returncode}: {programs.telling(said)}")


def _unpack(archive: Path, target: Path, account: Account) -> None:
    """Unpack files and folders of a tar file, and nothing that could lead out of the target.

    They are made durable by the server: it syncs all of a cluster before it recovers from a copy.
    """
    try:
        with tarfile.open(archive) as members:
            for member in members:
                path = target.joinpath(*_parts(member.name))
                if member.isdir():
                    _make(path, account)
                elif member.isreg():
                    content = members.extractfile(member)
                    if content is None:
                        raise Corrupt(f"The file {archive.name} of the backup is damaged.")
                    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                    with open(handle, "wb") as out:
                        shutil.copyfileobj(content, out, _STEP)
                    account.own(path)
                else:
                    raise Corrupt(f"The file {archive.name} of the backup holds a link.")
    except OSError as exc:
        raise Unavailable(f"PostgreSQL cannot be restored: {exc.strerror}.") from exc
    except tarfile.TarError as exc:
        raise Corrupt(f"The file {archive.name} of the backup is damaged.") from exc


def _parts(name: str) -> tuple[str, ...]:
    parts = PurePosixPath(name).parts
    if ".." in parts or PurePosixPath(name).is_absolute():
        raise Corrupt("A name in the backup of PostgreSQL leads out of its folder.")
    return parts


def _make(folder: Path, account: Account) -> None:
    if not folder.is_dir():
        folder.mkdir(mode=0o700)
        account.own(folder)


def _size(folder: Path) -> int:
    return sum(found.stat().st_size for found in folder.iterdir())
