"""Whether a `vna reindex` was cut off.

DATA/run/reindexing stands there from before the catalogue is emptied until it is whole again: what
serves after a run that was cut off would find nothing of the studies that were still to come.
"""

from __future__ import annotations

from pathlib import Path

from vna.backup.manifest import sync_folder
from vna.config import Settings
from vna.errors import ConfigError


def begin(settings: Settings) -> None:
    """Note that the catalogue is about to be emptied; durable."""
    mark = _mark(settings)
    mark.touch(mode=0o600)
    sync_folder(mark.parent)


def end(settings: Settings) -> None:
    """Note that it is whole again."""
    _mark(settings).unlink(missing_ok=True)


def require_whole(settings: Settings) -> None:
    """Make sure that no run was cut off. Raises `ConfigError`."""
    if _mark(settings).exists():
        raise ConfigError(
            "`vna reindex` was cut off: the index lacks what was still to come. Run it again first."
        )


def _mark(settings: Settings) -> Path:
    return settings.data / "run" / "reindexing"
