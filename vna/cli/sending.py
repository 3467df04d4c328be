"""`vna send STUDY REMOTE`: a study to a remote AE, as a job that is tried until it succeeds."""

from __future__ import annotations

import argparse
import contextlib
import threading
import time
from collections.abc import Iterator

from vna.access.principal import Principal
from vna.app import at_work
from vna.archive import Archive
from vna.cli.children import node_of
from vna.cli.jobs import board_of
from vna.cli.plain import plain
from vna.cli.progress import bar
from vna.cli.shell import shell
from vna.config import Settings
from vna.db import runlock
from vna.db.work import State
from vna.dicom.refs import uid
from vna.jobs.board import Board, Entry
from vna.jobs.kinds import handlers
from vna.jobs.worker import Worker

_LOOK_S = 0.2


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Sends a study by C-STORE as a job: `vna jobs show` says how far it is. A running archive "
        "begins at once, a stopped one when it serves again, unless --wait is given."
    )
    parser.add_argument("study", metavar="STUDY", help="its Study Instance UID")
    parser.add_argument("remote", metavar="REMOTE", help="the AE title, as `vna remote` knows it")
    parser.add_argument(
        "--commit", action="store_true", help="ask for Storage Commitment when it was sent"
    )
    parser.add_argument("--wait", action="store_true", help="stay until it is sent or has failed")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Ask for it; 0 when it is asked for or, with --wait, sent; 1 when it failed."""
    at_it = runlock.holder(settings.data)  # before we are at work ourselves
    is_serving = at_it is not None and at_it[0] == runlock.BESIDE
    who = shell("send")
    with at_work(settings, "send") as archive:
        board = board_of(archive)
        job_id = board.send(who, uid(args.study), args.remote, commit=args.commit)
        print(f"job {job_id}: `vna jobs show {job_id}` says how far it is", flush=True)
        if not args.wait:
            return 0
        with contextlib.nullcontext() if is_serving else _working(archive):
            entry = _awaited(board, who, job_id)
    print(f"{entry.state.value}: {entry.done} of {entry.instances} instances sent")
    if entry.cause:
        print(plain(entry.cause))
    return 0 if entry.state is State.DONE else 1


def _awaited(board: Board, who: Principal, job_id: int) -> Entry:
    """Follow a job to its end."""
    with bar("instances") as shown:
        while True:
            entry, _ = board.entry(who, job_id)
            shown.reach(entry.done + entry.failed, entry.instances)
            if entry.finished_at is not None:
                return entry
            time.sleep(_LOOK_S)


@contextlib.contextmanager
def _working(archive: Archive) -> Iterator[None]:
    """Do what is due in the queue meanwhile: nobody else does."""
    settings = archive.settings
    worker = Worker(
        archive.database,
        handlers(archive.engines, settings),
        settings.jobs,
        node=node_of(settings),
    )
    thread = threading.Thread(target=worker.run, name="jobs")
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()
