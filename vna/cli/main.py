"""The command `vna`: arguments and exit codes. What a command does stands in its own module.

0: done. 1: something was refused, damaged or failed. 2: configuration or arguments are wrong.
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import NoReturn

from vna import __version__
from vna.cli.itself import keep_files, keep_memory
from vna.cli.memory import importing
from vna.cli.streams import have_streams, written_out
from vna.config import Settings
from vna.errors import ConfigError, VNAError
from vna.loading import load


@dataclass(frozen=True, slots=True)
class Command:
    """One word after `vna`. Its module has `options(parser)` and `run(args, settings) -> int`."""

    name: str
    module: str
    summary: str
    listens: bool = False  # takes the flags that say where an archive listens


COMMANDS = (
    Command("serve", "serve", "run the archive", listens=True),
    Command("init", "init", "make a data folder: keys, blob store, PostgreSQL, schema"),
    Command("demo", "demo", "run it with sample studies and compare what comes back", listens=True),
    Command("import", "importing", "store files, folders and ZIP archives"),
    Command("correct", "correcting", "correct what a study shows, or whose it is; undo"),
    Command("patient", "patients", "whom studies are about, and which patients are one person"),
    Command("delete", "deleting", "delete a study, a series or an instance"),
    Command("undelete", "undeleting", "bring back what was deleted, or list what can come back"),
    Command("verify", "verifying", "read every blob and say which are damaged"),
    Command("backup", "backing", "copy everything while it serves, or check a copy"),
    Command("restore", "restoring", "make an archive from a backup, in an empty folder"),
    Command("export", "exporting", "write everything as plain DICOM files, for another archive"),
    Command("rekey", "rekeying", "give the archive another root key"),
    Command("reindex", "reindexing", "build the index again from the blobs alone"),
    Command("send", "sending", "send a study to a remote AE"),
    Command("jobs", "jobs", "work for later: how far it is, try again, cancel"),
    Command("messages", "messages", "mails and short messages: how far they are, again, a test"),
    Command("remote", "remotes", "the remote AEs: who may call, who is called"),
    Command("route", "routes", "rules by which what comes in is sent on"),
    Command("peer", "peers", "the DICOMweb archives that rules send to"),
    Command("webhook", "webhooks", "programs that are told of what happens to shares"),
    Command("index", "indexing", "make attributes searchable beyond those always kept"),
    Command("user", "users", "who may sign in: add, list, disable, enable, reset, roles"),
    Command("token", "tokens", "what programs show to be let in: add, list, revoke"),
    Command("role", "roles", "the roles there are"),
    Command("label", "labels", "withhold studies: sensitive, embargoed, disputed"),
    Command("hold", "holds", "keep studies from being deleted or destroyed"),
    Command("care", "care", "who treats whom: what accounts of granted reach see"),
    Command("emergency", "emergencies", "emergency accesses: list, review, end"),
    Command("viewer", "viewer", "bring the web viewer, or say whether it is there"),
    Command("status", "status", "what the archive holds, and who is at work"),
    Command("associations", "associations", "who is connected over DICOM right now"),
    Command("audit", "auditing", "who did what: search it, check it, write it out"),
    Command("passcode", "passcode", "hash a passcode for a user of dicom.identities"),
    Command("doctor", "doctor", "look for what is wrong with this machine or folder"),
)

# what an administrator can do something about, and a traceback would only hide
_OF_THE_MACHINE = frozenset(
    {
        errno.EACCES,
        errno.EDQUOT,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.EPERM,
        errno.EROFS,
    }
)
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)

# the flag of a command -> the settings it sets
_FLAGS = {
    "data": ("data",),
    "dev": ("dev",),
    "http": ("http.listen",),
    "dicom": ("dicom.listen",),
    "ae_title": ("dicom.ae_title",),
    "workers": ("http.workers", "dicom.workers"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    have_streams()
    keep_files()
    arguments = sys.argv[1:] if arguments is None else arguments
    asked = next((word for word in arguments if not word.startswith("-")), None)
    parser, module = _parser(asked)
    args = parser.parse_args(arguments)
    if module is None:
        parser.print_help()
        return 2
    try:
        with written_out(), _ending_in_order():
            settings = _settings(args)
            keep_memory(dev=settings.dev)
            code = int(module.run(args, settings))
    except BrokenPipeError:  # `vna ... | head`: nobody reads on
        return 1
    except ConfigError as exc:
        return _told(exc, 2)
    except VNAError as exc:
        return _told(exc, 1)
    except KeyboardInterrupt:
        return 130
    except OSError as exc:
        if exc.errno not in _OF_THE_MACHINE:
            raise
        where = f": {exc.filename}" if exc.filename else ""
        return _told(f"{exc.strerror}{where}.", 1)
    return code


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end a command as Ctrl-C does: what it started is stopped.

    PostgreSQL would be left behind. What is ignored, by `nohup`, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in _ENDINGS if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 -- a signal handler's
    raise SystemExit(128 + number)


def _parser(asked: str | None) -> tuple[argparse.ArgumentParser, ModuleType | None]:
    """Build the parser; of the commands, only the one asked for is imported."""
    parser = argparse.ArgumentParser(
        prog="vna",
        description="A vendor neutral archive: DICOM and DICOMweb over one encrypted store.",
        epilog="Exit codes: 0 done, 1 something was refused or failed, 2 wrong configuration.",
    )
    parser.add_argument("--version", action="version", version=f"vna {__version__}")
    common = _common()
    words = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    found = None
    for command in COMMANDS:
        inner = words.add_parser(
            command.name, help=command.summary, description=command.summary, parents=[common]
        )
        if command.name == asked:
            with importing():
                found = importlib.import_module(f"vna.cli.{command.module}")
            found.options(inner)
            if command.listens:
                _add_listening(inner)
    return parser, found


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data", type=Path, metavar="DIR", help="data folder (default: ./var)")
    common.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=os.environ.get("VNA_CONFIG"),
        help="settings in TOML, as conf/vna.toml lists them; VNA_* variables and flags go over it",
    )
    return common


def _add_listening(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--http", metavar="HOST:PORT", help="DICOMweb (default: 127.0.0.1:8080)")
    parser.add_argument("--dicom", metavar="HOST:PORT", help="DICOM (default: 127.0.0.1:11112)")
    parser.add_argument("--ae-title", metavar="AE", help="our AE title (default: VNA)")


def _settings(args: argparse.Namespace) -> Settings:
    flags = {
        setting: value
        for flag, names in _FLAGS.items()
        if (value := getattr(args, flag, None)) is not None
        for setting in names
    }
    settings = load(args.config and Path(args.config), flags=flags)
    try:
        return dataclasses.replace(settings, data=Path(os.path.abspath(settings.data)))
    except FileNotFoundError as exc:
        raise ConfigError("The working directory is not there any more: go to another.") from exc


def _told(why: VNAError | str, code: int) -> int:
    print(f"vna: {why}", file=sys.stderr)
    return code
