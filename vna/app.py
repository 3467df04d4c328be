"""Settings in, a working archive out: what it needs is made, found and opened here only."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from vna.access.audit import Audit
from vna.archive import Archive, assembled
from vna.backup import restoring
from vna.blobs.layout import uuid7
from vna.blobs.store import BlobStore
from vna.config import Settings, address
from vna.crypto import certificates
from vna.crypto.keyring import Keyring, RootKey, make_root_key
from vna.db import guest_role, migrate, runlock, statements
from vna.db.cluster import Cluster
from vna.db.place import has_cluster, make_data
from vna.db.pool import Database
from vna.errors import ConfigError, NotFound
from vna.pixels.sandbox import PixelPool


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The database server an archive uses: `cluster` is ours, None when it is somebody else's."""

    dsn: str
    cluster: Cluster | None = None


@contextmanager
def at_work(settings: Settings, command: str, *, exclusive: bool = False) -> Iterator[Archive]:
    """Open the archive for a command: the folder's lock, the database server, stores, engines.

    `exclusive` for what must be alone. Raises `ConfigError` when it was not set up yet.
    """
    store_of(settings)  # before anything is made or started
    if command != "restore":
        restoring.require_whole(settings.data)
    make_data(settings.data)
    with (
        runlock.held(settings.data, command, exclusive=exclusive),
        index_of(settings) as index,
    ):
        if exclusive:  # a lost database is made again, and `vna reindex` fills it
            found_index(settings, index)
        with opened(settings, index.dsn) as archive:
            yield archive


@contextmanager
def index_of(settings: Settings) -> Iterator[Index]:
    """Hold the database server: the one of `postgres.url`, else the embedded one."""
    if settings.postgres.url:
        yield Index(dsn=settings.postgres.url)
        return
    name = str(uuid.UUID(bytes=store_of(settings)))
    with Cluster.obtain(settings.data, settings.postgres, name=name) as cluster:
        yield Index(dsn=cluster.dsn, cluster=cluster)


@contextmanager
def opened(settings: Settings, dsn: str) -> Iterator[Archive]:
    """Open stores and engines on a database that is running and migrated."""
    with ExitStack() as opening:
        root = root_key(settings)
        store = BlobStore.open(blobs_at(settings), Keyring(root, store_of(settings)))
        opening.callback(store.close)
        database = connected(settings, dsn)
        opening.callback(database.close)
        with database.reading() as conn:
            migrate.check(conn)
        _agree(database, store.archive_id)
        audit = Audit(database)
        opening.callback(audit.close)
        pixels = PixelPool(settings.pixels)
        opening.callback(pixels.close)
        yield assembled(settings, store, database, audit, pixels)


def found(settings: Settings) -> list[str]:
    """Make the keys and the store where they are missing, and say what was made.

    May be cut off anywhere and run again. Raises `ConfigError`.
    """
    restoring.require_whole(settings.data)
    where, path = blobs_at(settings), root_key_at(settings)
    made = []
    make_data(settings.data)
    try:
        archive_id, is_new = BlobStore.describe(where).archive_id, False
    except NotFound:
        require_no_index(settings)
        archive_id, is_new = uuid7(), True
    if settings.keys.root == "file" and _lacks_key(path, is_new=is_new):
        make_root_key(path)
        made.append(f"root key {path} (keep a copy elsewhere: nothing can be read without it)")
    BlobStore.init(where, archive_id, root_key(settings))
    if is_new:
        made.append(f"blob store {where} of archive {uuid.UUID(bytes=archive_id)}")
    if not settings.dev:
        made += found_certificate(settings)
    return made


def tls_files(settings: Settings) -> tuple[Path, Path]:
    """Say where certificate and key of HTTP are: the settings', else those made by us."""
    if settings.tls.certificate:
        return Path(settings.tls.certificate), Path(settings.tls.key or settings.tls.certificate)
    folder = settings.data / "tls"
    return folder / "server.crt", folder / "server.key"


def found_certificate(settings: Settings) -> list[str]:
    """Make a certificate where none is given, or ours is about to end; say what was made."""
    certificate, key = tls_files(settings)
    if settings.tls.certificate or (certificates.is_current(certificate) and key.exists()):
        return []
    listens = [where for where in (settings.http.listen, settings.sharing.listen) if where]
    hosts = {address(where)[0] for where in listens} - {"0.0.0.0", "::"}  # noqa: S104 -- left out
    names = {"localhost", "127.0.0.1", "::1", socket.gethostname(), *hosts}
    certificates.make(certificate, key, sorted(names))
    print_ = certificates.fingerprint(certificate)
    return [f"TLS certificate {certificate}, SHA-256 fingerprint {print_}"]


def _migrations(numbers: Sequence[int]) -> str:
    """Name migrations that follow each other."""
    first, last = f"{numbers[0]:04}", f"{numbers[-1]:04}"
    return f"migration {first}" if first == last else f"migrations {first} to {last}"


def found_index(settings: Settings, index: Index, *, is_served: bool = False) -> list[str]:
    """Bring the index's schema up to date; say what was made. Raises `ConfigError`.

    Under an older release that serves it is left as it is: a process of that one which ends would
    not come up again.
    """
    made = []
    if index.cluster is not None and index.cluster.is_new:
        made.append(f"PostgreSQL cluster {index.cluster.files}")
    schema = settings.postgres.schema
    numbers = migrate.migrate(index.dsn, schema, is_served=is_served)
    if numbers:
        made.append(f"{_migrations(numbers)} of schema {schema}")
    database = connected(settings, index.dsn)
    try:
        _agree(database, store_of(settings))
    finally:
        database.close()
    return made


def found_guest_role(settings: Settings, index: Index) -> str:
    """Make sure that there is a role for guests, with its rights; say how to connect as it.

    Raises `ConfigError` where the server is somebody else's and nobody made the role.
    """
    schema = settings.postgres.schema
    if index.cluster is not None:
        guest_role.make(index.cluster.admin_dsn())
        guest_role.give(index.dsn, schema)
        return guest_role.dsn_as(index.dsn)
    wanted = settings.sharing.database_url
    if not wanted:
        raise ConfigError("sharing.listen asks for sharing.database_url beside postgres.url.")
    guest_role.give(index.dsn, schema, guest_role.role_of(wanted))
    return wanted


def require_administrator(archive: Archive) -> None:
    """Make sure that somebody can let people in before others reach us. Raises `ConfigError`."""
    if not archive.engines.people.accounts.has_administrator():
        raise ConfigError(
            f"http.listen is {archive.settings.http.listen}, and there is no administrator yet: "
            "`vna init` prints the link of the first one."
        )


def connected(settings: Settings, dsn: str) -> Database:
    """Prepare connections to the index."""
    limits = settings.postgres
    return Database(
        dsn,
        schema=limits.schema,
        connections=limits.connections,
        statement_s=limits.statement_s,
    )


def blobs_at(settings: Settings) -> str | Path:
    """Say where the blobs lie."""
    return settings.blobs.url or settings.data / "blobs"


def root_key_at(settings: Settings) -> Path:
    """Say where the file provider keeps the root key."""
    return settings.data / "keys" / "root.key"


def root_key(settings: Settings) -> RootKey:
    """Get the root key from its provider. Raises `ConfigError`."""
    if settings.keys.root == "env":
        return RootKey.env()
    return RootKey.file(root_key_at(settings))


def store_of(settings: Settings) -> bytes:
    """Read the archive_id of the blob store. Raises `ConfigError` when there is none yet."""
    try:
        return BlobStore.describe(blobs_at(settings)).archive_id
    except NotFound as exc:
        restoring.require_whole(settings.data)
        require_no_index(settings)
        raise ConfigError(
            f"There is no archive in {settings.data} yet; make one with `vna init`."
        ) from exc


_OR_ANOTHER = (
    " Where that index is another archive's, look at postgres.url, postgres.schema and blobs.url."
)


def require_no_index(settings: Settings) -> None:
    """Tell a blob store that was never made from one that is lost. Raises `ConfigError`.

    A store made anew where a disk is not mounted would be in the way of the one that is looked for.
    """
    if settings.postgres.url:
        database = connected(settings, settings.postgres.url)
        try:
            with database.reading() as conn:
                sql = statements.load("archive")
                is_there = conn.execute(sql.find_archive).fetchone() is not None
        except ConfigError:  # it has no schema of ours; what else there is shows when it is made
            return
        finally:
            database.close()
    else:
        is_there = has_cluster(settings.data)
    if is_there:
        raise ConfigError(
            f"The index of an archive is there, and its blob store {blobs_at(settings)} is not: "
            "mount it, or restore it with its archive.json."
            + (_OR_ANOTHER if settings.postgres.url else "")
        )


def _lacks_key(path: Path, *, is_new: bool) -> bool:
    if path.exists():
        if not is_new or path.stat().st_size:
            return False
        path.unlink()  # cut off while it was made; nothing was ever sealed under it
        return True
    if not is_new:
        raise ConfigError(f"The root key {path} is missing: restore it, a new one opens nothing.")
    return True


def _agree(database: Database, archive_id: bytes) -> None:
    """Make sure that the index is this archive's."""
    sql = statements.load("archive")
    with database.transaction() as tx:
        tx.execute(sql.claim_archive, (str(uuid.UUID(bytes=archive_id)),))
        row = tx.execute(sql.find_archive).fetchone()
    if row is None or uuid.UUID(row[0]).bytes != archive_id:
        raise ConfigError(
            "The index database belongs to another archive than the blob store; "
            "look at postgres.url, postgres.schema and blobs.url."
        )
