"""`vna care`: who treats whom. Works while the archive serves."""

from __future__ import annotations

import argparse
import json

from vna.access.care import GROUNDS, Relation, Whom
from vna.app import at_work
from vna.cli.acts import take_common
from vna.cli.shell import shell
from vna.config import Settings
from vna.dicom.refs import uid


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    words = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    add = words.add_parser("add", help="let an account of granted reach see a study or a patient")
    add.add_argument("login", help="of an account of granted reach")
    whom = add.add_mutually_exclusive_group(required=True)
    whom.add_argument("--study", metavar="UID", help="this study alone")
    whom.add_argument("--patient", metavar="ID", help="a Patient ID: all studies, later ones too")
    add.add_argument("--issuer", help="who gave the Patient ID (default: site.issuer)")
    add.add_argument(
        "--ground", choices=GROUNDS, default="treating", help="why (default: treating)"
    )
    add.add_argument("--days", type=float, default=90.0, help="how long (default: 90)")
    ending = words.add_parser("end", help="it is over")
    ending.add_argument("relation", type=int, help="its number, as the list shows it")
    shown = words.add_parser("list", help="show the relations that stand")
    shown.add_argument("login", nargs="?", help="of this account alone")
    shown.add_argument("--json", action="store_true", help="one JSON object, for programs")
    for inner in words.choices.values():
        take_common(inner)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Add, end or show relations."""
    with at_work(settings, "care") as archive:
        care, who = archive.engines.people.care, shell()
        if args.act == "add":
            issuer = args.issuer or settings.site.issuer
            whom = (
                Whom(study=uid(args.study))
                if args.study
                else Whom(patient_id=args.patient, issuer=issuer)
            )
            number = care.give(who, args.login, whom, ground=args.ground, days=args.days)
            print(f"relation {number}: {args.login} sees it for {args.days:g} days")
        elif args.act == "end":
            care.end(who, args.relation)
        else:
            _show(care.all(who, args.login), as_json=args.json)
    return 0


def _show(relations: list[Relation], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "relation": one.relation_id,
                "login": one.login,
                "study": one.study,
                "issuer": one.issuer,
                "patient_id": one.patient_id,
                "ground": one.ground,
                "by": one.by,
                "until": one.ends_at.isoformat(timespec="seconds"),
            }
            for one in relations
        ]
        print(json.dumps(rows, indent=2))
        return
    for one in relations:
        whom = f"study {one.study}" if one.study else f"patient {one.patient_id} of {one.issuer}"
        print(
            f"{one.relation_id:<5} {one.login}, {one.ground}: {whom}, until {one.ends_at:%Y-%m-%d}"
        )
