"""`vna emergency`: who saw whom against the rules, and whether that was right."""

from __future__ import annotations

import argparse
import json

from vna.access.emergencies import REASONS, VERDICTS, Emergency
from vna.app import at_work
from vna.cli.acts import take_common
from vna.cli.plain import plain
from vna.cli.shell import shell
from vna.config import Settings


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    words = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    shown = words.add_parser("list", help="show those nobody has reviewed")
    shown.add_argument("--all", action="store_true", help="the reviewed ones, too")
    shown.add_argument("--json", action="store_true", help="one JSON object, for programs")
    review = words.add_parser("review", help="say whether it was right")
    review.add_argument("emergency", type=int, help="its number, as the list shows it")
    review.add_argument("verdict", choices=VERDICTS, help="whether it was right")
    review.add_argument("--remark", default="", metavar="TEXT", help="why; kept with it")
    ending = words.add_parser("end", help="end it now")
    ending.add_argument("emergency", type=int, help="its number, as the list shows it")
    for inner in words.choices.values():
        take_common(inner)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Show, review or end emergency accesses."""
    with at_work(settings, "emergency") as archive:
        emergencies, who = archive.engines.people.emergencies, shell()
        if args.act == "list":
            _show(emergencies.all(who, unreviewed=not args.all), as_json=args.json)
        elif args.act == "review":
            emergencies.review(who, args.emergency, args.verdict, args.remark)
        else:
            emergencies.stop(who, args.emergency)
    return 0


def _show(found: list[Emergency], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "emergency": one.emergency_id,
                "login": one.login,
                "issuer": one.issuer,
                "patient_id": one.patient_id,
                "reason": one.reason,
                "note": one.note,
                "began": one.began_at.isoformat(timespec="seconds"),
                "ended": one.ended_at.isoformat(timespec="seconds"),
                "open": one.is_open,
                "agreed_by": one.agreed_by,
                "verdict": one.verdict,
                "reviewed_by": one.reviewed_by,
                "remark": one.remark,
            }
            for one in found
        ]
        print(json.dumps(rows, indent=2))
        return
    for one in found:
        state = "under way" if one.is_open else (one.verdict or "to be reviewed")
        print(f"{one.emergency_id:<5} {one.login}, {one.began_at:%Y-%m-%d %H:%M} UTC, {state}")
        whose = f"patient {one.patient_id} of {one.issuer}; {REASONS[one.reason]}: {one.note}"
        print(f"      {plain(whose)}")
        if one.agreed_by is not None:
            print(f"      second person: {one.agreed_by}")
