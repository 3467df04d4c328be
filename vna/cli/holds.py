"""`vna hold`: studies nothing of which is deleted or destroyed. Works while the archive serves."""

from __future__ import annotations

import argparse
import json

from vna.app import at_work
from vna.cli.acts import take_common
from vna.cli.labels import moment
from vna.cli.shell import shell
from vna.config import Settings
from vna.dicom.refs import uid
from vna.index.holds import Hold


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "A study that is held cannot be deleted, by anybody, and what was deleted of it before is "
        "not destroyed. It is found and read as ever: `vna label` withholds."
    )
    words = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    put = words.add_parser("set", help="hold a study, here already or not")
    put.add_argument("study", metavar="UID", help="of a study, here already or not")
    put.add_argument("--reason", required=True, help="why, without a patient's data")
    put.add_argument("--until", metavar="TIME", help="when it ends by itself, as 2026-12-24T08:00")
    take = words.add_parser("lift", help="let a study go")
    take.add_argument("study", metavar="UID", help="of the study")
    take.add_argument("--reason", required=True, help="why, without a patient's data")
    shown = words.add_parser("list", help="show the hold of a study, or the newest of all")
    shown.add_argument("study", metavar="UID", nargs="?", help="of this study alone")
    shown.add_argument("--json", action="store_true", help="one JSON object, for programs")
    for inner in words.choices.values():
        take_common(inner)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Hold a study, let one go, or show which are held."""
    study = None if args.study is None else uid(args.study)
    until = moment(args.until) if args.act == "set" and args.until else None
    with at_work(settings, "hold") as archive:
        holds, who = archive.engines.holds, shell()
        if args.act == "list" or study is None:
            _show(holds.of(who, study), as_json=args.json)
        elif args.act == "set":
            kept = holds.put(who, study, reason=args.reason, until=until)
            print(f"{study} is held: nothing of it can be deleted")
            if kept:
                print(f"{kept} objects of it were deleted: kept, too; vna undelete {study}")
        else:
            going = holds.take(who, study, reason=args.reason)
            print(f"{study} is not held any more")
            if going:
                print(
                    f"{going} objects of it were deleted: destroyed as soon as their time of grace "
                    f"is over, unless: vna undelete {study}"
                )
    return 0


def _show(holds: list[Hold], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "study": one.study,
                "until": one.until and one.until.isoformat(),
                "reason": one.reason,
                "by": one.by,
                "at": one.at.isoformat(),
            }
            for one in holds
        ]
        print(json.dumps(rows, indent=2))
        return
    for one in holds:
        until = f" until {one.until:%Y-%m-%d %H:%M} UTC" if one.until else ""
        print(f"{one.study}  held{until}, by {one.by}: {one.reason}")
