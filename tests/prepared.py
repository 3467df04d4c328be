"""An archive as its first start makes it: made once in a run, copied for each test that serves one.

Making one costs a cluster and every migration. What is about the making itself makes its own. The
advanced viewer is brought once in a run, too.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vna import app
from vna.config import Settings

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "PREPARED_ARCHIVE"  # the run's folder for it; without one, nothing is prepared


def lay(data: Path) -> None:
    """Put an archive at `data`, keys, store, cluster and schema, unless something lies there."""
    if FOLDER not in os.environ or (data.exists() and any(data.iterdir())):
        return
    copy(_made(Path(os.environ[FOLDER])), data)


def lay_viewer(data: Path) -> None:
    """Put the advanced viewer into an archive, as `vna viewer install` does: it asks npm for it."""
    folder = Path(os.environ[FOLDER])
    with _alone(folder):
        held = folder / "viewer"
        if not (held / "viewer").exists():
            held.mkdir(exist_ok=True)
            command = [sys.executable, "-m", "vna", "viewer", "install", "--data", str(held)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, done.stderr
            assert "is installed" in done.stdout
    copy(held / "viewer", data / "viewer")


def copy(archive: Path, data: Path) -> Path:
    """Copy an archive with its owners: PostgreSQL's files are not ours when we are root."""
    data.mkdir(exist_ok=True)
    subprocess.run(["cp", "-a", "--reflink=auto", f"{archive}/.", data], check=True)
    return data


def _made(folder: Path) -> Path:
    """Make it unless another process of this run has: the first to ask does, the others wait."""
    data = folder / "data"
    with _alone(folder):
        if not (folder / "complete").exists():
            settings = Settings(data=data, dev=True)
            app.found(settings)
            with app.index_of(settings) as index:
                app.found_index(settings, index)
            (folder / "complete").touch()
    return data


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time into the run's folder."""
    folder.mkdir(mode=0o755, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
