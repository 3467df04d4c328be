"""`vna restore`: an archive from a backup, in a place where there is none yet."""

from __future__ import annotations

import argparse
import datetime as dt
import os
from dataclasses import dataclass
from pathlib import Path

from vna import app
from vna.access.audit import Event
from vna.access.principal import system
from vna.app import at_work
from vna.backup import manifest, restoring
from vna.backup.checking import check
from vna.backup.manifest import Summary
from vna.backup.restoring import bring_objects, require_empty, require_key
from vna.backup.taking import BLOBS_FOLDER, ROOT_KEY
from vna.blobs.backends import connect
from vna.cli.acts import moment
from vna.cli.progress import later_bar
from vna.cli.quantities import in_bytes
from vna.config import Settings
from vna.crypto.keyring import RootKey, write_root_key
from vna.db import copies, replay, runlock
from vna.db.place import make_data
from vna.errors import ConfigError, Corrupt
from vna.index import feed

_KEY_MAX = 1024


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Compares every digest of the backup in DIR, then restores PostgreSQL and the sealed "
        "objects into an empty data folder. At its first start the archive adopts what is newer "
        "than the copy of the database, and does again what was deleted since. Nothing is removed."
    )
    parser.add_argument("dir", type=Path, metavar="DIR", help="the folder of the backup")
    parser.add_argument(
        "--root-key",
        type=Path,
        metavar="FILE",
        help="your copy of the root key, unless the backup holds it",
    )
    parser.add_argument(
        "--until",
        type=moment,
        metavar="TIME",
        help="bring the database on to this moment, by its archived log; ISO 8601, UTC",
    )
    parser.add_argument(
        "--wal", type=Path, metavar="DIR", help="the archived log of the embedded PostgreSQL"
    )
    parser.add_argument(
        "--leave-out-damaged",
        action="store_true",
        help="restore although objects of the backup are damaged, without them",
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Restore; 1 when the backup is damaged, 2 when this is no place for it."""
    folder = Path(os.path.abspath(args.dir))
    summary = Summary.read(folder)
    _require_place(settings, summary)
    later = _later(args, summary)
    root = _root_key(folder, summary, args.root_key, settings)
    require_key(folder, summary, root)
    damaged = _damaged(folder, summary)
    beyond = [path for path in damaged if not path.startswith(f"{BLOBS_FOLDER}/b/")]
    if damaged and (beyond or not args.leave_out_damaged):
        said = "" if beyond else " With --leave-out-damaged it is done without them."
        raise Corrupt(f"{len(damaged)} files of the backup are damaged: nothing is restored.{said}")
    objects = _restore(folder, summary, settings, root, damaged, later=later)
    as_of = summary.begun if later is None else later.moment.isoformat(timespec="seconds")
    print(f"archive {summary.archive_id} as of {as_of} restored into {settings.data}")
    print(f"{objects} objects, {in_bytes(summary.size)} with PostgreSQL; {len(damaged)} left out")
    print("`vna serve` adopts what is newer than the copy of the database")
    return 1 if damaged else 0


@dataclass(frozen=True, slots=True)
class _Later:
    """A moment after the copy, and the log that leads there."""

    moment: dt.datetime
    log: Path


def _later(args: argparse.Namespace, summary: Summary) -> _Later | None:
    if (args.until is None) != (args.wal is None):
        raise ConfigError("--until TIME needs --wal DIR, the archived log; and the other way.")
    if args.until is None:
        return None
    if summary.database != manifest.CLUSTER:
        raise ConfigError("Only a cluster goes on to a moment: this backup holds a dump.")
    log = Path(os.path.abspath(args.wal))
    replay.require_log(log, args.until)
    return _Later(args.until, log)


def _restore(
    folder: Path,
    summary: Summary,
    settings: Settings,
    root: RootKey,
    damaged: set[str],
    *,
    later: _Later | None,
) -> int:
    make_data(settings.data)
    with runlock.held(settings.data, "restore", exclusive=True):
        restoring.begin(settings.data)
        if settings.keys.root == "file":
            write_root_key(app.root_key_at(settings), root)
        source = folder / f"postgres-{summary.stamp}"
        if summary.database == manifest.CLUSTER:
            files = copies.bring_cluster(
                source,
                settings.data,
                settings.postgres,
                major=summary.postgres,
            )
            if later is not None:
                replay.ask(files, later.log, later.moment)
        backend = connect(app.blobs_at(settings))
        try:
            require_empty(backend)
            with later_bar("objects") as shown:
                objects = bring_objects(
                    folder, summary, backend, without=damaged, progress=shown.reach
                )
        finally:
            backend.close()
        if summary.database == manifest.DUMP:
            with app.index_of(settings) as index:
                copies.bring_schema(index.dsn, settings.postgres.schema, source)
    if later is not None:
        with app.index_of(settings) as index:
            if index.cluster is not None:
                replay.done(index.cluster.admin_dsn())
    _begin(summary, settings, None if later is None else later.moment)
    return objects


def _begin(summary: Summary, settings: Settings, moment: dt.datetime | None) -> None:
    """Open the archive, which proves that it is one, and write down where its trail has a gap."""
    with at_work(settings, "restore", exclusive=True) as archive:
        as_of = summary.begun if moment is None else moment.isoformat()
        detail = {"as_of": as_of, "files": summary.files}
        event = Event(kind="archive.restored", outcome="done", detail=detail)
        with archive.database.transaction() as tx:
            archive.audit.write(tx, system("restore"), [event])
            feed.begin_anew(tx)  # numbers given since the copy would be given again
    restoring.end(settings.data)


def _require_place(settings: Settings, summary: Summary) -> None:
    data = settings.data
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise ConfigError(f"The data folder {data} is not empty; restore into a new one.")
    if settings.postgres.schema != summary.schema:
        raise ConfigError(
            f"The backup holds the schema {summary.schema}: set postgres.schema to it."
        )
    if settings.postgres.url and summary.database == manifest.CLUSTER:
        raise ConfigError(
            "The backup holds a cluster of the embedded PostgreSQL: leave postgres.url unset."
        )
    if settings.postgres.url:
        copies.require_no_schema(settings.postgres.url, summary.schema)


def _damaged(folder: Path, summary: Summary) -> set[str]:
    found: set[str] = set()
    with later_bar("files checked", summary.files) as shown:
        for damage in check(folder, summary, shown.reach):
            found.add(damage.path)
            shown.say(f"damaged  {damage.path}: {damage.why}")
    return found


def _root_key(folder: Path, summary: Summary, given: Path | None, settings: Settings) -> RootKey:
    """Find the root key: the file that was given, the variable, or the backup's own."""
    if given is None and settings.keys.root == "env":
        return RootKey.env()
    path = given or (folder / ROOT_KEY if summary.with_root_key else None)
    if path is None:
        raise ConfigError(
            "The backup does not hold the root key: give your copy of it with --root-key FILE."
        )
    try:
        with path.open("rb") as file:
            text = file.read(_KEY_MAX).decode("ascii", "replace")
    except OSError as exc:
        raise ConfigError(f"The root key {path} cannot be read: {exc.strerror}.") from exc
    return RootKey.parse(text, "file")
