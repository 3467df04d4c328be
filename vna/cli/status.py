"""`vna status`: what the archive holds, how full it is, who is at work, and under which keys."""

from __future__ import annotations

import argparse
import json
import os
import uuid
from pathlib import Path
from typing import Any

from vna.app import at_work
from vna.archive import Archive
from vna.blobs.files import Files
from vna.blobs.store import BlobStore
from vna.cli.quantities import in_bytes
from vna.config import Settings
from vna.db import place, runlock, statements
from vna.errors import VNAError
from vna.operate import scrubbing

_NAMES = ("patients", "studies", "series", "instances", "bytes", "other_versions", "index_bytes")
_DELETED = ("acts", "objects", "bytes")
_NAMED = 20  # damaged blobs that are listed

Facts = dict[str, Any]  # JSON


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Show the state of the archive."""
    at_it = runlock.holder(settings.data)  # before we are at work ourselves
    with at_work(settings, "status") as archive:
        facts = _facts(archive, at_it)
    if args.json:
        print(json.dumps(facts, indent=2))
    else:
        print("\n".join(_lines(facts)))
    return 0


def _facts(archive: Archive, at_it: tuple[str, int] | None) -> Facts:
    settings = archive.settings
    with archive.database.reading() as conn:
        row = conn.execute(statements.load("archive").count_contents).fetchone() or ()
        gone = conn.execute(statements.load("operate").count_deletions).fetchone() or ()
        walk, damaged = scrubbing.progress(conn), scrubbing.count(conn)
        named = scrubbing.damaged(conn, _NAMED)
    free = archive.store.free_bytes()
    return {
        "archive": str(uuid.UUID(bytes=archive.store.archive_id)),
        "data": str(settings.data),
        "holds": {name: int(value) for name, value in zip(_NAMES, row, strict=True)},
        "deleted": {name: int(value) for name, value in zip(_DELETED, gone, strict=True)},
        "read_again": _walk(archive, walk),
        "damaged": {"blobs": damaged, "named": [_damage(one) for one in named]},
        "space": free and {"free": free[0], "total": free[1]},
        "takes_in": archive.engines.ingest.has_space(),
        "index_space": _space_of(settings),
        "at_work": at_it and {"command": at_it[0], "pid": at_it[1]},
        "serving": _serving(settings) if at_it and at_it[0] == runlock.BESIDE else None,
        "keys": _keys(settings, archive.store),
    }


def _walk(archive: Archive, walk: scrubbing.Walk | None) -> Facts | None:
    """Say how far the reading again is; None where nothing is read again by itself."""
    if not archive.scrub.is_wanted:
        return None
    times = (walk.begun_at, walk.ended_at or walk.whole_at) if walk else (None, None)
    begun, whole = (at and at.isoformat(timespec="seconds") for at in times)
    is_over = walk is not None and walk.ended_at is not None
    return {"begun": begun, "checked": walk.checked if walk else 0, "over": is_over, "whole": whole}


def _damage(one: scrubbing.Damage) -> Facts:
    return {
        "blob": one.blob_id.hex(),
        "why": one.why,
        "found": one.found_at.isoformat(timespec="seconds"),
        "study": one.study,
        "instance": one.instance,
    }


def _keys(settings: Settings, store: BlobStore) -> Facts:
    return {
        "root": settings.keys.root,
        "archive_key": store.keyring.current.key_id.hex(),
        "study_keys": sum(1 for _ in store.keys.ids()),
    }


def _serving(settings: Settings) -> Facts | None:
    """Read what the supervisor says of itself; it may be about to write it."""
    try:
        text = (settings.data / "run" / "serve.json").read_text(encoding="utf-8")
    except OSError:
        return None
    found: Facts = json.loads(text)
    found["children"] = {
        name: {"pid": pid, "resident": _resident(pid)} for name, pid in found["children"].items()
    }
    return found


def _resident(pid: int) -> int | None:
    """Memory of a process, what it shares with others included; None where it cannot be told."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _space_of(settings: Settings) -> Facts | None:
    """Space of the file system the index lies on, when it is on this machine."""
    if settings.postgres.url:
        return None
    try:
        free, total = Files().space(str(place.files_of(settings.data)))
    except (OSError, VNAError):
        return None
    return {"free": free, "total": total}


def _lines(facts: Facts) -> list[str]:
    holds, keys = facts["holds"], facts["keys"]
    lines = [
        f"archive    {facts['archive']} in {facts['data']}",
        f"holds      {holds['patients']} patients, {holds['studies']} studies, "
        f"{holds['series']} series, {holds['instances']} instances "
        f"and {holds['other_versions']} other versions",
        f"size       {in_bytes(holds['bytes'])} sealed, index {in_bytes(holds['index_bytes'])}",
    ]
    if (gone := facts["deleted"])["acts"]:
        lines.append(
            f"deleted    {gone['objects']} objects, {in_bytes(gone['bytes'])}, in {gone['acts']} "
            "acts: not destroyed yet"
        )
    lines += _checked(facts)
    lines.append(f"space      {_space(facts['space'], 'blobs')}")
    if facts["index_space"] != facts["space"]:
        lines.append(f"           {_space(facts['index_space'], 'index')}")
    if not facts["takes_in"]:
        lines.append("           too little: nothing is taken in (blobs.free_bytes, free_percent)")
    lines.append(
        f"keys       root from {keys['root']}, archive key {keys['archive_key'][:8]}, "
        f"{keys['study_keys']} study keys"
    )
    return lines + _processes(facts)


def _checked(facts: Facts) -> list[str]:
    walk, damaged = facts["read_again"], facts["damaged"]
    if walk is None:
        lines = ["checked    never by itself (scrub.days, scrub.object_stores): vna verify"]
    elif walk["begun"] is None:
        lines = ["checked    nothing read again yet"]
    elif walk["over"]:
        lines = [
            f"checked    all {walk['checked']} blobs of then were read again by {walk['whole']}"
        ]
    else:
        last = f", all of them last by {walk['whole']}" if walk["whole"] else ""
        lines = [f"checked    {walk['checked']} blobs read again since {walk['begun']}{last}"]
    if damaged["blobs"]:
        lines.append(
            f"           {damaged['blobs']} CANNOT BE READ: put them back from a copy, "
            "they are looked at again each hour"
        )
    lines += [
        f"           {one['why']:<8} {one['blob']} of instance {one['instance']}"
        for one in damaged["named"]
    ]
    return lines


def _space(space: Facts | None, what: str) -> str:
    if space is None:
        return f"{what}: not on this machine"
    return f"{what}: {in_bytes(space['free'])} free of {in_bytes(space['total'])}"


def _processes(facts: Facts) -> list[str]:
    if facts["at_work"] is None:
        return ["processes  not serving"]
    command, pid = facts["at_work"]["command"], facts["at_work"]["pid"]
    lines = [f"processes  vna {command}, process {pid}"]
    if (serving := facts["serving"]) is not None:
        mode = "development mode" if serving["dev"] else "people sign in, remote AEs are registered"
        lines.append(f"           since {serving['since']}, {mode}")
        lines.append(f"           DICOMweb {serving['scheme']}://{serving['http']}/dicom-web")
        lines.append(f"           DICOM {serving['ae_title']} at {serving['dicom']}")
        lines += [
            f"           DICOM {serving['ae_title']} at {where}, TLS"
            for where in serving["dicom_tls"]
        ]
        if serving["guests"]:
            lines.append(f"           guests {serving['scheme']}://{serving['guests']}/s")
        for name, child in serving["children"].items():
            resident = child["resident"]
            memory = f", {in_bytes(resident)} resident" if resident is not None else ""
            lines.append(f"           {name:<9} process {child['pid']}{memory}")
    return lines
