"""`vna label`: studies withheld from who is not cleared. Works while the archive serves."""

from __future__ import annotations

import argparse
import datetime as dt
import json

from vna.access.labels import Labelled
from vna.access.principal import Label
from vna.app import at_work
from vna.cli.acts import take_common
from vna.cli.shell import shell
from vna.config import Settings
from vna.dicom.refs import uid
from vna.errors import InvalidRequest


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    words = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    known = [label.value for label in Label]
    put = words.add_parser("set", help="label a study, here already or not")
    put.add_argument("study", metavar="UID", help="of a study, here already or not")
    put.add_argument("label", choices=known, help="what withholds it")
    put.add_argument("--reason", required=True, help="why, without a patient's data")
    put.add_argument("--until", metavar="TIME", help="the end of an embargo, as 2026-12-24T08:00")
    take = words.add_parser("remove", help="take a label away")
    take.add_argument("study", metavar="UID", help="of the study")
    take.add_argument("label", choices=known, help="what withholds it no more")
    shown = words.add_parser("list", help="show the labels of a study, or the newest of all")
    shown.add_argument("study", metavar="UID", nargs="?", help="of this study alone")
    shown.add_argument("--json", action="store_true", help="one JSON object, for programs")
    for inner in words.choices.values():
        take_common(inner)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Set, remove or show labels."""
    study = None if args.study is None else uid(args.study)
    until = moment(args.until) if args.act == "set" and args.until else None
    with at_work(settings, "label") as archive:
        labels, who = archive.engines.labels, shell()
        if args.act == "list" or study is None:
            _show(labels.of(who, study), as_json=args.json)
        elif args.act == "set":
            labels.put(who, study, Label(args.label), reason=args.reason, until=until)
            print(f"{study} is {args.label}; `clears` of conf/roles.toml says who sees it")
        else:
            labels.take(who, study, Label(args.label))
            print(f"{study} is not {args.label} any more")
    return 0


def moment(text: str) -> dt.datetime:
    """Read a moment; without a zone it is UTC. Raises `InvalidRequest`."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as exc:
        raise InvalidRequest(
            "A time is written as 2026-12-24T08:00, in UTC or with +01:00."
        ) from exc
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def _show(labels: list[Labelled], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "study": one.study,
                "label": one.label.value,
                "until": one.until and one.until.isoformat(),
                "reason": one.reason,
                "by": one.by,
                "at": one.at.isoformat(),
            }
            for one in labels
        ]
        print(json.dumps(rows, indent=2))
        return
    for one in labels:
        until = f" until {one.until:%Y-%m-%d %H:%M} UTC" if one.until else ""
        print(f"{one.study}  {one.label.value}{until}, by {one.by}: {one.reason}")
