"""`vna reindex`: the whole index from the blobs alone.

DATA/run/reindexing stands there from before the catalogue is emptied until it is whole again: what
serves after a run that was cut off would find nothing of the studies that were still to come.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from vna.app import at_work
from vna.backup.manifest import sync_folder
from vna.cli.progress import bar
from vna.config import Settings
from vna.errors import ConfigError


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
    mark = _mark(settings)
    with at_work(settings, "reindex", exclusive=True) as archive:
        total = sum(1 for _ in archive.store.blob_ids())
        with bar("reindex", total) as shown:
            found = archive.recovery.reindex(
                lambda count: shown.reach(count, total), emptying=partial(_begin, mark)
            )
            for blob, why in found.refused:
                shown.say(f"unreadable  {blob}: {why}")
        mark.unlink(missing_ok=True)
    print(f"{found.indexed} instances indexed from {found.blobs} blobs")
    return 1 if found.refused else 0


def require_whole(settings: Settings) -> None:
    """Make sure that no run was cut off. Raises `ConfigError`."""
    if _mark(settings).exists():
        raise ConfigError(
            "`vna reindex` was cut off: the index lacks what was still to come. Run it again first."
        )


def _begin(mark: Path) -> None:
    mark.touch(mode=0o600)
    sync_folder(mark.parent)


def _mark(settings: Settings) -> Path:
    return settings.data / "run" / "reindexing"
