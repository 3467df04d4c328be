"""An archive with a queue and a board, and whoever does its jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.archive import Archive, open_archive
from tests.dimse.conftest import serve
from vna.access.principal import system
from vna.access.remotes import Remote
from vna.db.pool import Database
from vna.jobs.board import Board, Entry
from vna.jobs.kinds import handlers
from vna.jobs.task import Handler
from vna.jobs.worker import Worker

__all__ = ["serve"]

WHO = system("test")
# tried again at once, and given up after a while
FAST = {"first_retry_s": 0.0, "last_retry_s": 0.0, "workers": 2}


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database, dicom={"response_s": 2.0}, jobs=FAST) as archive:
        yield archive


@pytest.fixture
def board(archive: Archive) -> Board:
    return Board(archive.database, archive.audit, archive.remotes, most_instances=1000)


def register(archive: Archive, title: str, port: int, **differs: Any) -> None:
    """Make a remote AE of this machine known."""
    remote = Remote(ae_title=title, host="127.0.0.1", port=port, **differs)
    archive.remotes.add(WHO, remote)


def worker_of(
    archive: Archive, does: Mapping[str, Handler] | None = None, node: str = "here"
) -> Worker:
    """Make a worker; without `does` one of the real kinds."""
    engines: Any = archive
    does = handlers(engines, archive.settings) if does is None else does
    return Worker(archive.database, does, archive.settings.jobs, node=node)


def entry(board: Board, job_id: int) -> Entry:
    """How far a job is."""
    return board.entry(WHO, job_id)[0]


def states(board: Board, job_id: int) -> list[str]:
    """The state of each instance of a job."""
    return [item.state for item in board.entry(WHO, job_id)[1]]


Does = Callable[..., Worker]
