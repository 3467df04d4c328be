"""`vna index`: which attributes can be searched beyond those always kept."""

from __future__ import annotations

import argparse
import time

from vna.access.principal import system
from vna.app import at_work
from vna.archive import Archive
from vna.cli.acts import take_common
from vna.cli.progress import bar
from vna.config import Settings
from vna.dicom.attributes import keyword_of
from vna.dicom.refs import Level
from vna.dicom.searchable import Searchable, read, read_path
from vna.errors import ConfigError, InvalidQuery
from vna.index.searchable import Walk

_LEVELS = {
    "patient": Level.PATIENT,
    "study": Level.STUDY,
    "series": Level.SERIES,
    "instance": Level.IMAGE,
}
_PAUSE_S = 0.2


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Makes attributes searchable beyond those always kept. Their values are filled in from the"
        " sealed metadata by `vna serve` in the background, or with --wait here and now; nothing is"
        " sent again. Until that is done nothing is matched on them."
    )
    acts = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    adding = acts.add_parser("add", help="make attributes searchable")
    _add_named(adding)
    adding.add_argument("--vr", help="the VR, where no dictionary has it")
    adding.add_argument("--level", choices=_LEVELS, help="the level, if not that of its module")
    adding.add_argument("--wait", action="store_true", help="fill in now, showing progress")
    acts.add_parser("list", help="show them all, and how far they are filled in")
    _add_named(acts.add_parser("remove", help="forget attributes and their values"))
    for inner in acts.choices.values():
        take_common(inner)


def _add_named(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "attributes",
        nargs="+",
        metavar="ATTRIBUTE",
        help="keyword, eight hexadecimal digits, or a path of these joined by dots; a private one"
        ' is 00291010:"CREATOR", or its tag and --creator',
    )
    parser.add_argument("--creator", help="the private creator of steps that do not say theirs")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do it; 1 when something that was named was there already, or was not there."""
    try:
        asked = [_read(text, args) for text in getattr(args, "attributes", ())]
    except InvalidQuery as exc:
        raise ConfigError(str(exc)) from exc
    with at_work(settings, "index") as archive:
        done = [_change(archive, args.act, one) for one in asked]
        if args.act == "add" and args.wait:
            _fill(archive)
        if args.act == "list":
            _show(archive)
    return 0 if all(done) else 1


def _read(text: str, args: argparse.Namespace) -> Searchable:
    if args.act == "remove":  # its path is enough
        return Searchable(read_path(text, args.creator), "", Level.IMAGE)
    level = _LEVELS[args.level] if args.level else None
    return read(text, creator=args.creator, level=level, vr=args.vr and args.vr.upper())


def _change(archive: Archive, act: str, one: Searchable) -> bool:
    who = system("vna index")
    if act == "add":
        done = archive.search_index.add(who, one)
        said = "added, to be filled in" if done else "is there already"
    else:
        done = archive.search_index.remove(who, one)
        said = "removed" if done else "is not there"
    print(f"{_name(one)}  {said}")
    return done


def _fill(archive: Archive) -> None:
    """Fill in until everything can be matched on, whoever does it."""
    with bar("index", 100) as shown:
        while (walk := archive.search_index.walk()) is not None and not walk.ready:
            shown.reach(walk.percent, 100)
            if archive.search_index.step().waits:
                time.sleep(_PAUSE_S)
        shown.reach(100)


def _show(archive: Archive) -> None:
    walk = archive.search_index.walk()
    for one in archive.search_index.attributes(system("vna index")):
        state = "ready" if one.ready else _progress(walk)
        print(f"{_name(one):<40}  {one.vr}  {one.level.value:<7}  {state}")
    if walk is not None and walk.unreadable:
        print(f"{walk.unreadable} instances could not be read; `vna verify` names them")


def _progress(walk: Walk | None) -> str:
    return "waiting" if walk is None else f"{walk.percent} % filled in"


def _name(one: Searchable) -> str:
    """Name it as people do: keywords where there are any."""
    steps = [keyword_of(step) or step for step in one.path]
    return ".".join(steps) if not any(":" in step for step in one.path) else str(one)
