"""An archive as its first start makes it: made once in a run, copied for each test that serves one.

Making one costs a cluster and every migration. What is about the making itself makes its own.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

from vna import app
from vna.config import Settings

FOLDER = "PREPARED_ARCHIVE"  # the run's folder for it; without one, nothing is prepared


def lay(data: Path) -> None:
    """Put an archive at `data`, keys, store, cluster and schema, unless something lies there."""
    if FOLDER not in os.environ or (data.exists() and any(data.iterdir())):
        return
    copy(_made(Path(os.environ[FOLDER])), data)


def copy(archive: Path, data: Path) -> Path:
    """Copy an archive with its owners: PostgreSQL's files are not ours when we are root."""
    data.mkdir(exist_ok=True)
    subprocess.run(["cp", "-a", "--reflink=auto", f"{archive}/.", data], check=True)
    return data


def _made(folder: Path) -> Path:
    """Make it unless another process of this run has: the first to ask does, the others wait."""
    data = folder / "data"
    folder.mkdir(mode=0o755, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            settings = Settings(data=data, dev=True)
            app.found(settings)
            with app.index_of(settings) as index:
                app.found_index(settings, index)
            (folder / "complete").touch()
    return data
