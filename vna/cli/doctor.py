"""`vna doctor`: what is wrong with this machine or this data folder, and what to do about it."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from vna import app
from vna.backup import restoring
from vna.blobs.files import Files
from vna.blobs.journal import Journal
from vna.blobs.store import BlobStore
from vna.cli import backing, index_doctor, sockets
from vna.cli.finding import FAIL, OK, WARN, Finding
from vna.cli.quantities import in_bytes
from vna.config import Settings, addresses
from vna.crypto.keyring import Keyring
from vna.db import account, place, programs, runlock
from vna.errors import ConfigError, Corrupt, NotFound, VNAError, WrongKey

_SYNCS = 20
_SLOW_SYNC_MS = 10.0
_BACKUP_DAYS = 7  # without one it is time
_FILES = 4096  # 500 associations, 1000 connections, and room for blobs
_WRITTEN = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)  # no clock shows less than when this was written


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = "Looks, changes nothing, and says what to do. Exit code 1 if one failed."


def run(args: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001 -- there are no arguments
    """Look at everything and tell."""
    code = 0
    for found in examine(settings):  # told one by one: a long journal takes its time
        print(f"{found.state:<5} {found.what:<12} {found.seen}", flush=True)
        if found.advice:
            print(f"{'':<18} -> {found.advice}")
        if found.state == FAIL:
            code = 1
    return code


def examine(settings: Settings) -> Iterator[Finding]:
    """Make every check; one that cannot be made is a finding, too."""
    for what, check in CHECKS.items():
        try:
            yield from check(settings)
        except VNAError as exc:
            yield Finding(what, FAIL, str(exc))
        except OSError as exc:
            yield Finding(what, FAIL, f"{exc.strerror}: {exc.filename or settings.data}")


def _python(settings: Settings) -> Iterator[Finding]:  # noqa: ARG001 -- one signature for all
    where = f"{platform.system()} {platform.machine()}, in {sys.prefix}"
    yield Finding("python", OK, f"{platform.python_version()} on {where}")


def _postgres(settings: Settings) -> Iterator[Finding]:
    if settings.postgres.url:
        yield from index_doctor.examine(settings)
        return
    found = programs.installed()
    if os.geteuid() != 0:
        who = account.current()
    else:  # looked up only: making a user is for `vna init`
        name = settings.postgres.os_user or account.SERVICE
        who = account.named(name) or account.current()
    if who.uid == 0:
        yield Finding("postgres", OK, f"embedded {found.release}; `vna init` makes a user for it")
    elif found.run_as(who):
        yield Finding("postgres", OK, f"embedded {found.release}, as user {who.name}")
    else:
        seen = f"embedded {found.release}, not readable for user {who.name}"
        yield Finding("postgres", OK, f"{seen}: it will be copied beside the cluster")


def _folder(settings: Settings) -> Iterator[Finding]:
    data = settings.data
    if data.exists() and not data.is_dir():
        yield Finding("folder", FAIL, f"{data} is a file", "name a folder: --data")
        return
    if not data.is_dir():
        yield Finding("folder", WARN, f"{data} is not there yet", "vna init")
        return
    if not os.access(data, os.W_OK | os.X_OK):
        who = f"user {os.geteuid()}"
        yield Finding("folder", FAIL, f"{data} is not writable for {who}", "run as its owner")
        return
    restoring.require_whole(data)
    loose = [p for p in (data / "keys", data / "blobs") if p.is_dir() and p.stat().st_mode & 0o077]
    if loose:
        names = ", ".join(str(p) for p in loose)
        yield Finding("folder", WARN, f"open to others: {names}", f"chmod 700 {names}")
    else:
        yield Finding("folder", OK, str(data))
    yield _links(data)


def _links(data: Path) -> Finding:
    """Blobs are put into place by a link that fails where a name is taken."""
    with tempfile.TemporaryDirectory(dir=data, prefix="doctor-") as folder:
        one, two = Path(folder, "one"), Path(folder, "two")
        one.write_bytes(b"")
        try:
            os.link(one, two)
        except OSError as exc:
            seen = f"no hard links ({exc.strerror})"
            return Finding("files", FAIL, seen, "put the data folder on a local file system")
    return Finding("files", OK, "hard links work")


def _space(settings: Settings) -> Iterator[Finding]:
    if settings.blobs.url:
        yield Finding("space", OK, f"blobs in {settings.blobs.url.partition('://')[0]}")
    data = Files().space(str(_nearest(settings.data)))
    yield _room(settings, *data)
    if not settings.postgres.url:
        index = Files().space(str(_nearest(place.files_of(settings.data))))
        if index != data:
            found = _room(settings, *index)
            yield dataclasses.replace(found, seen=f"index: {found.seen}")


def _room(settings: Settings, free: int, whole: int) -> Finding:
    least = max(settings.blobs.free_bytes, int(whole * settings.blobs.free_percent / 100))
    seen = f"{in_bytes(free)} free of {in_bytes(whole)}, needs {in_bytes(least)}"
    if free < max(least, 1):
        advice = "make room, or lower blobs.free_bytes and blobs.free_percent"
        return Finding("space", FAIL, f"{seen}: nothing is taken in", advice)
    if free < 2 * least:
        return Finding("space", WARN, seen, "make room soon")
    return Finding("space", OK, seen)


def _sync(settings: Settings) -> Iterator[Finding]:
    took = []
    with tempfile.TemporaryFile(dir=_nearest(settings.data)) as file:
        for _ in range(_SYNCS):
            file.write(bytes(4096))
            file.flush()
            begun = time.perf_counter()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - begun) * 1000)
    middle = sorted(took)[_SYNCS // 2]
    seen = f"{middle:.1f} ms to make 4 KiB durable"
    if middle > _SLOW_SYNC_MS:
        advice = "every instance waits for this: use a faster disk or one with a protected cache"
        yield Finding("disk", WARN, seen, advice)
    else:
        yield Finding("disk", OK, seen)


def _clock(settings: Settings) -> Iterator[Finding]:
    now = dt.datetime.now(dt.UTC)
    seen = now.isoformat(timespec="seconds")
    least = _WRITTEN
    try:
        made = dt.datetime.fromisoformat(BlobStore.describe(app.blobs_at(settings)).created)
        least = max(least, made)
    except (NotFound, ValueError):
        pass  # no archive yet: nothing to compare with
    if now < least:
        yield Finding("clock", FAIL, f"{seen} is before {least:%Y-%m-%d}", "set it, and run NTP")
    else:
        yield Finding("clock", OK, seen)


def _ports(settings: Settings) -> Iterator[Finding]:
    if (at_it := runlock.holder(settings.data)) is not None:
        yield Finding("ports", OK, f"vna {at_it[0]} is at work, process {at_it[1]}")
        return
    places = [("http.listen", settings.http.listen)]
    places += [("dicom.listen", where) for where in addresses(settings.dicom.listen)]
    places += [("dicom.tls_listen", where) for where in addresses(settings.dicom.tls_listen)]
    if settings.sharing.listen:
        places.append(("sharing.listen", settings.sharing.listen))
    for name, where in places:
        try:
            sockets.open_one(where).close()
        except ConfigError as exc:
            advice = f"stop the other program, or choose another {name}"
            yield Finding("ports", FAIL, str(exc), advice)
        else:
            yield Finding("ports", OK, f"{name.partition('.')[0]} {where} is free")


def _keys(settings: Settings) -> Iterator[Finding]:
    path = app.root_key_at(settings)
    if settings.keys.root == "env":
        app.root_key(settings)
        advice = "other processes of this user can read it: keep it for development"
        yield Finding("keys", OK if settings.dev else WARN, "root key from VNA_ROOT_KEY", advice)
        return
    if not path.exists():
        yield Finding("keys", WARN, "no root key yet", "vna init")
        return
    app.root_key(settings)
    for old in sorted(path.parent.glob(f"{path.name}.until-*")):
        seen = f"an old root key lies beside the one in use: {old.name}"
        yield Finding(
            "keys", WARN, seen, "backups of before need it: keep it where your copies are"
        )
    blobs = settings.data / "blobs"
    if not settings.blobs.url and blobs.is_dir() and blobs.stat().st_dev == path.stat().st_dev:
        seen = "the root key lies on the file system of the blobs"
        advice = f"who takes that disk takes both: mount another one at {path.parent}"
        yield Finding("keys", OK if settings.dev else WARN, seen, "" if settings.dev else advice)
    else:
        yield Finding("keys", OK, f"root key {path}")


def _journal(settings: Settings) -> Iterator[Finding]:
    """What must outlive the database: a rebuild without it would bring back what was deleted."""
    where = app.blobs_at(settings)
    try:
        found = BlobStore.describe(where)
    except NotFound:
        app.require_no_index(settings)  # else its blobs are lost, or not mounted
        yield Finding("journal", OK, "no archive yet")
        return
    try:
        opened = BlobStore.open(where, Keyring(app.root_key(settings), found.archive_id))
    except WrongKey as exc:
        advice = f"bring back the root key {where} was made with: no other one opens it"
        yield Finding("keys", FAIL, str(exc), advice)
        return
    with opened as store:
        try:
            count = sum(1 for _ in Journal(store).replay())
        except Corrupt as exc:
            advice = f"restore the folder j/ from your copy before `vna reindex`: {where}"
            yield Finding("journal", FAIL, str(exc), advice)
        else:
            yield Finding("journal", OK, f"{count} entries, all whole")


def _backup(settings: Settings) -> Iterator[Finding]:
    """Whether there is a copy, as far as this data folder knows."""
    try:
        BlobStore.describe(app.blobs_at(settings))
    except NotFound:
        yield Finding("backup", OK, "no archive yet")
        return
    try:
        last = dt.datetime.fromisoformat(backing.mark(settings).read_text(encoding="ascii"))
        days = (dt.datetime.now(dt.UTC) - last).days
    except (FileNotFoundError, ValueError, TypeError):
        advice = "vna backup DIR, on another disk; and keep a copy of the root key elsewhere"
        yield Finding("backup", WARN, "none was taken by `vna backup`", advice)
        return
    seen = f"taken {last:%Y-%m-%d}, {days} days ago"
    if days >= _BACKUP_DAYS:
        yield Finding("backup", WARN, seen, "vna backup DIR: it copies only what is new")
    else:
        yield Finding("backup", OK, seen)


def _limits(settings: Settings) -> Iterator[Finding]:  # noqa: ARG001 -- one signature for all
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FILES:
        yield Finding("limits", WARN, f"{hard} open files", f"ulimit -n {_FILES}")
    else:
        yield Finding("limits", OK, f"{soft} open files, up to {hard}")


CHECKS: dict[str, Callable[[Settings], Iterator[Finding]]] = {
    "python": _python,
    "postgres": _postgres,
    "folder": _folder,
    "space": _space,
    "disk": _sync,
    "clock": _clock,
    "ports": _ports,
    "keys": _keys,
    "journal": _journal,
    "backup": _backup,
    "limits": _limits,
}


def _nearest(path: Path) -> Path:
    """Return the folder itself, or the nearest one above it that is there."""
    while not path.is_dir():
        path = path.parent
    return path
