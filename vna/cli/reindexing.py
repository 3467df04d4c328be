"""`vna reindex`: the whole index from the blobs alone."""

from __future__ import annotations

import argparse
from functools import partial

from vna.app import at_work
from vna.archive import Archive
from vna.backup.losses import lost_entries
from vna.blobs.layout import blob_name
from vna.cli import rebuilding
from vna.cli.progress import bar
from vna.config import Settings
from vna.errors import Corrupt


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Empties the catalogue and builds it again from the sealed blobs. The archive must not be "
        "running. Audit, accounts and remote systems are not in the blobs: they stay as the "
        "database has them, or come back from its backup."
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Reindex; 0 when every blob was indexed, 1 when one could not be read."""
    del args  # it takes none
    with at_work(settings, "reindex", exclusive=True) as archive:
        _require_journal(archive)
        total = sum(1 for _ in archive.store.blob_ids())
        with bar("reindex", total) as shown:
            found = archive.recovery.reindex(
                lambda count: shown.reach(count, total),
                emptying=partial(rebuilding.begin, settings),
            )
            for blob, why in found.refused:
                shown.say(f"unreadable  {blob_name(bytes.fromhex(blob))}: {why}")
        rebuilding.end(settings)
    print(f"{found.indexed} instances indexed from {found.blobs} blobs")
    return 1 if found.refused else 0


def _require_journal(archive: Archive) -> None:
    """While the index still knows it: make sure that what was deleted will stay so."""
    lost = [entry.hex() for entry in lost_entries(archive.database, archive.store)]
    if lost:
        raise Corrupt(
            f"The journal has lost {len(lost)} of its entries, {lost[0]} the first: restore the "
            "folder j/ from your copy, or what was deleted comes back."
        )
