"""`vna undelete`: brings back what was deleted, or lists what can be brought back."""

from __future__ import annotations

import argparse

from vna.app import at_work
from vna.archive import Archive
from vna.cli.deleting import add_uids, named, somebody, told
from vna.cli.quantities import in_bytes
from vna.config import Settings


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = "Brings back what was deleted; without a UID, lists what can come back."
    add_uids(parser, nargs="*")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Bring back what the UIDs name; 1 when some of it cannot be read."""
    with at_work(settings, "undelete") as archive:
        if not args.uids:
            return _list(archive)
        engine, who = archive.engines.lifecycle, somebody()
        ref = named(args.uids, lambda one: engine.places_of(who, one, gone=True))
        restored = engine.undelete(who, ref)
    for blob, why in restored.refused:
        print(f"unreadable  {blob}: {why}")
    print(f"brought back  {told(ref)}: {restored.blobs - len(restored.refused)} objects")
    return 1 if restored.refused else 0


def _list(archive: Archive) -> int:
    found = archive.engines.lifecycle.deletions(somebody())
    for one in found:
        print(
            f"until {one.due:%Y-%m-%d %H:%M} UTC  {told(one.ref)}: {one.blobs} objects, "
            f"{in_bytes(one.size)}; deleted {one.at:%Y-%m-%d %H:%M} by {one.actor}"
        )
    if not found:
        print("nothing that was deleted can come back")
    return 0
