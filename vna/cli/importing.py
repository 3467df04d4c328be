"""`vna import PATH...`: files, folders and ZIP archives into the archive."""

from __future__ import annotations

import argparse
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from vna.access.principal import Principal
from vna.app import at_work
from vna.cli.progress import Bar, bar
from vna.cli.shell import shell
from vna.config import Settings
from vna.ingest.engine import IngestEngine
from vna.ingest.files import Beside, Member, members, take
from vna.ingest.outcome import AlreadyStored, Outcome, Refused, Stored

_THREADS = 4
_AHEAD = 64


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Stores what is DICOM below the paths; what lies beside it in a folder or ZIP (a disc's "
        "viewer, its DICOMDIR) is counted and passed over. Archives inside a ZIP, or of another "
        "sort, are refused: unpack them. Exit code 1 when an object, or a file named by itself, "
        "was refused, or when there was none."
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="file, folder or ZIP")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Import; 0 when every object was taken, 1 when one was refused or there was none."""
    counts: Counter[str] = Counter()
    with at_work(settings, "import") as archive, bar("import", None) as shown:
        who = shell("import")
        _import_all(archive.engines.ingest, who, args.paths, counts, shown)
    print(
        f"{counts['stored']} stored, {counts['known']} known already, {counts['refused']} refused"
    )
    if beside := counts["beside"]:
        said = "file is no DICOM object" if beside == 1 else "files are no DICOM objects"
        print(f"{beside} {said}: passed over")
    if not counts:
        print("no file was found: is the disc mounted?")
    return 0 if counts["stored"] + counts["known"] and not counts["refused"] else 1


def _import_all(
    engine: IngestEngine, who: Principal, paths: list[Path], counts: Counter[str], shown: Bar
) -> None:
    found = members(paths)
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting: list[tuple[Member, Future[Outcome | Beside]]] = []
        while True:
            ahead = islice(found, max(_AHEAD - len(waiting), 1))
            waiting += [(m, pool.submit(take, engine, who, m)) for m in ahead]
            if not waiting:
                return
            member, future = waiting.pop(0)
            _count(member, future.result(), counts, shown)


def _count(member: Member, outcome: Outcome | Beside, counts: Counter[str], shown: Bar) -> None:
    shown.step()
    if isinstance(outcome, Beside):
        counts["beside"] += 1
    elif isinstance(outcome, Refused):
        counts["refused"] += 1
        shown.say(f"refused  {member.name}: {outcome.message}")
    elif isinstance(outcome, AlreadyStored):
        counts["known"] += 1
    elif isinstance(outcome, Stored):
        counts["stored"] += 1
        if outcome.caution is not None:
            shown.say(f"stored   {member.name}: {outcome.message}")
