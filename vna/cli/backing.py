"""`vna backup`: a copy of everything, taken while the archive serves, or checked."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from vna import app
from vna.access.audit import Audit, Event
from vna.access.principal import system
from vna.app import Index
from vna.backup import manifest, restoring
from vna.backup.checking import check
from vna.backup.manifest import Summary
from vna.backup.needed import needed_in
from vna.backup.objects import ORDER
from vna.backup.taking import Order, Taken, take
from vna.blobs.backends import connect
from vna.cli.progress import Bar, later_bar
from vna.cli.quantities import in_bytes
from vna.config import Settings
from vna.db import copies, runlock
from vna.db.pool import Database
from vna.errors import ConfigError


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Copies PostgreSQL, then the sealed objects, their keys and the journal into DIR, while "
        "the archive serves and takes in. Run again into the same DIR it copies only what is new. "
        "The root key is left out: keep it elsewhere, without it no backup can be read. DIR holds "
        "names and identifiers in plain, as the database does: keep it as safe as the archive."
    )
    parser.add_argument("dir", type=Path, metavar="DIR", help="the folder of the backup")
    parser.add_argument(
        "--check",
        action="store_true",
        help="read the backup in DIR and compare every digest; needs no archive and no key",
    )
    parser.add_argument(
        "--with-root-key",
        action="store_true",
        help="copy the root key, too: who holds such a backup can read everything in it",
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Take or check; 1 when a backup is damaged or incomplete, or something was lost before."""
    folder = Path(os.path.abspath(args.dir))
    if args.check:
        return _check(folder)
    data = settings.data.resolve()
    if folder.resolve().is_relative_to(data) or data.is_relative_to(folder.resolve()):
        raise ConfigError("The backup must not lie in the data folder, nor around it.")
    restoring.require_whole(settings.data)
    root_key = _root_key(settings) if args.with_root_key else None
    with app.index_of(settings) as index:
        database = app.connected(settings, index.dsn)
        try:
            taken = _take(folder, settings, index, database, root_key)
        finally:
            database.close()
    return _tell(taken, folder, settings)


def _take(
    folder: Path, settings: Settings, index: Index, database: Database, root_key: Path | None
) -> Taken:
    archive_id = app.store_of(settings)
    backend = connect(app.blobs_at(settings))
    try:
        with later_bar("PostgreSQL, bytes") as shown:

            def copy_database(into: Path) -> tuple[str, str]:
                # no rebuild of the index may be under way; once it is copied one may begin
                with runlock.held(settings.data, "backup", exclusive=False):
                    copied = _copy_database(into, settings, index, shown)
                shown.begin("objects", sum(1 for top in ORDER for _ in backend.list(top)) + 1)
                return copied

            order = Order(
                archive_id=archive_id,
                schema=settings.postgres.schema,
                copy_database=copy_database,
                backend=backend,
                needed=needed_in(database, backend),
                root_key=root_key,
            )
            taken = take(folder, order, shown.reach)
    finally:
        backend.close()
    _note(database, taken)
    mark(settings).write_text(taken.summary.begun, encoding="ascii")
    return taken


def mark(settings: Settings) -> Path:
    """Say where the time of the last backup is noted, for `vna doctor`."""
    return settings.data / "run" / "backup"


def _copy_database(into: Path, settings: Settings, index: Index, shown: Bar) -> tuple[str, str]:
    if index.cluster is not None:
        return manifest.CLUSTER, copies.copy_cluster(index.cluster.admin_dsn(), into, shown.reach)
    schema = settings.postgres.schema
    return manifest.DUMP, copies.copy_schema(index.dsn, schema, into, shown.reach)


def _note(database: Database, taken: Taken) -> None:
    """Write into the trail that everything was copied."""
    detail = {"files": taken.summary.files, "size": taken.summary.size}
    detail["root_key"] = taken.summary.with_root_key
    audit = Audit(database)
    try:
        with database.transaction() as tx:
            event = Event(kind="archive.backed-up", outcome="done", detail=detail)
            audit.write(tx, system("backup"), [event])
    finally:
        audit.close()


def _tell(taken: Taken, folder: Path, settings: Settings) -> int:
    copied = taken.copied
    print(f"backup of archive {taken.summary.archive_id} in {folder}")
    print(
        f"{copied.new} objects copied ({in_bytes(copied.new_size)}), {copied.kept} there already; "
        f"{in_bytes(taken.summary.size)} in all, with PostgreSQL"
    )
    if copied.lost:
        print(
            f"{copied.lost} objects are missing from the blob store although the index names "
            "them: the backup keeps them. Look with `vna verify`, and restore them from it."
        )
    if taken.summary.with_root_key:
        print("The root key is in it: who holds this folder can read everything.")
    else:
        where = "VNA_ROOT_KEY" if settings.keys.root == "env" else app.root_key_at(settings)
        print(f"The root key is not in it: keep a copy of {where} elsewhere.")
    return 1 if copied.lost else 0


def _check(folder: Path) -> int:
    summary = Summary.read(folder)
    damaged = 0
    with later_bar("files", summary.files) as shown:
        for found in check(folder, summary, shown.reach):
            damaged += 1
            shown.say(f"damaged  {found.path}: {found.why}")
    print(f"archive {summary.archive_id}, begun {summary.begun}")
    print(f"{summary.files} files, {in_bytes(summary.size)} checked, {damaged} damaged")
    if (folder / manifest.BEGUN).exists():
        print("A later run was cut off, or is under way; this is the one before it.")
    return 1 if damaged else 0


def _root_key(settings: Settings) -> Path:
    if settings.keys.root != "file":
        raise ConfigError("The root key comes from VNA_ROOT_KEY: there is no file to copy.")
    app.root_key(settings)  # it is there, and one
    return app.root_key_at(settings)
