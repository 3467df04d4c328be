"""`vna serve`: hold the data folder, listen, then hand over to the supervisor's loop."""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from vna.cli import sockets
from vna.cli.memory import importing
from vna.cli.streams import say
from vna.config import Settings
from vna.db import runlock
from vna.db.place import make_data
from vna.web.proxies import Proxies

_FILES = 65536
_FOLDER_OF_METRICS = "PROMETHEUS_MULTIPROC_DIR"

_DEV = """
  *****************************************************************
  *  DEVELOPMENT MODE: no login, no TLS; anyone on this machine   *
  *  may store and read everything. Not for patients' data.       *
  *****************************************************************
"""
_CLOSED = """
  HTTP is TLS and asks who is there: people sign in, programs show a token (vna user, vna token).
  Associations are taken from the remote AEs of `vna remote` only, those with certificates
  over TLS alone (docs/operations.md). On a laptop: vna serve --dev
"""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Runs the archive until Ctrl-C or SIGTERM: DICOM, DICOMweb and, unless postgres.url is "
        "set, its own PostgreSQL. What is missing in the data folder is made first, as by "
        "`vna init`."
    )
    parser.add_argument(
        "--dev",
        action="store_true",
        default=None,
        help="no login, no TLS, any AE title; on loopback addresses only",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes for HTTP, and as many for DICOM (default: one per core)",
    )


def run(args: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001 -- flags stand in the settings
    """Serve until SIGTERM or SIGINT."""
    sockets.require_loopback(settings)
    sockets.require_sealed_links(settings)
    Proxies(settings.http)  # told here, and not by each child
    _take_files()
    make_data(settings.data)
    with contextlib.ExitStack() as closing:
        # the children inherit it: nobody takes over while one of a killed supervisor still runs
        closing.enter_context(runlock.held(settings.data, "serve", exclusive=True))
        closing.callback(_share_metrics(settings.data / "run" / "metrics"))
        http = closing.enter_context(sockets.open_one(settings.http.listen))
        for_guests: list[socket.socket] = []
        if settings.sharing.listen:
            for_guests = sockets.open_shared(settings.sharing.listen, settings.sharing.workers or 1)
        for sock in for_guests:
            closing.enter_context(sock)
        dicom = sockets.open_doors(settings)
        for sock in (*dicom.plain, *dicom.secured):
            closing.enter_context(sock)
        say(_DEV if settings.dev else _CLOSED)
        # Imported only now: metrics look for their folder when they are declared, which is why that
        # comes before whatever may declare one. And only once, before the first fork, so that all
        # processes share the memory.
        with importing():
            from vna.cli.processes import serve

        serve(settings, http, settings.http.workers or _cores(), dicom, for_guests)
    return 0


def _take_files() -> None:
    """Take as many open files as are allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _share_metrics(folder: Path) -> Callable[[], object]:
    """Let the processes add up their metrics in a folder, emptied of an earlier run's.

    Gives what ends that: for whoever calls this in a process that goes on.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    os.environ[_FOLDER_OF_METRICS] = str(folder)
    return lambda: os.environ.pop(_FOLDER_OF_METRICS, None)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
