"""`vna correct`: what a study shows instead of what was received, and whose it is."""

from __future__ import annotations

import argparse
import json

from vna.access.principal import Principal
from vna.app import at_work
from vna.cli.acts import take_common
from vna.cli.shell import shell
from vna.config import Settings
from vna.dicom.corrected import CORRECTABLE
from vna.dicom.refs import uid
from vna.errors import ConfigError
from vna.operate.corrections import Correction, CorrectionEngine


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Corrections are laid over a study: search and what goes out follow them, the stored bytes "
        "stay as they came, and each can be undone. Works while the archive serves."
    )
    words = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    study = words.add_parser("study", help="correct attributes of a study")
    study.add_argument("study", metavar="STUDY", help="its Study Instance UID")
    _take_changes(study, "PatientBirthDate=19700101; nothing behind the sign: no value", need=True)
    move = words.add_parser("move", help="move a study to another patient")
    move.add_argument("study", metavar="STUDY", help="its Study Instance UID")
    move.add_argument("patient", metavar="PATIENT_ID", help="the Patient ID it belongs to")
    move.add_argument("--issuer", metavar="NAME", help="who gave it (default: site.issuer)")
    _take_changes(move, "of a patient who has no study yet, or that differ", need=False)
    undo = words.add_parser("undo", help="undo a correction")
    undo.add_argument("correction", metavar="CORRECTION", help="as `vna correct list` shows it")
    shown = words.add_parser("list", help="show the corrections of a study, or corrected studies")
    shown.add_argument("study", metavar="STUDY", nargs="?", help="of this study alone")
    shown.add_argument("--json", action="store_true", help="a JSON array, for programs")
    for inner in (study, move, undo):
        inner.add_argument("--reason", metavar="TEXT", required=True, help="kept with it")
    for inner in words.choices.values():
        take_common(inner)


def _take_changes(parser: argparse.ArgumentParser, summary: str, *, need: bool) -> None:
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        required=need,
        metavar="ATTRIBUTE=VALUE",
        help=f"{summary}; again for more; of {', '.join(CORRECTABLE)}",
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do one act; 0 when it is done, 1 when there is no such study or correction."""
    changes = dict(map(_change, getattr(args, "changes", [])))
    with at_work(settings, "correct") as archive:
        engine, who = archive.engines.corrections, shell()
        if args.act == "study":
            done = engine.correct(who, uid(args.study), changes, reason=args.reason)
            print(f"corrected, {done.id.hex()}")
        elif args.act == "move":
            done = engine.move(
                who,
                uid(args.study),
                patient_id=args.patient,
                issuer=args.issuer,
                more=changes,
                reason=args.reason,
            )
            print(f"moved, {done.id.hex()}")
        elif args.act == "undo":
            engine.undo(who, _id(args.correction), reason=args.reason)
            print("undone")
        else:
            _show(engine, who, args)
    return 0


def _change(text: str) -> tuple[str, str]:
    keyword, equals, value = text.partition("=")
    if not equals:
        raise ConfigError("A change is ATTRIBUTE=VALUE, such as PatientSex=F.")
    return keyword, value


def _id(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as exc:
        raise ConfigError("A correction is named by the digits `vna correct list` shows.") from exc


def _show(engine: CorrectionEngine, who: Principal, args: argparse.Namespace) -> None:
    rows: list[dict[str, object]]
    if args.study is None:
        rows = [
            {"study": study, "at": at.isoformat(timespec="seconds"), "changes": changes}
            for study, at, changes in engine.corrected(who)
        ]
    else:
        rows = [_row(one) for one in engine.history(who, uid(args.study))]
    if args.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for row in rows:
        print("  ".join(_line(row)))
    if not rows:
        print("nothing was corrected")


def _row(one: Correction) -> dict[str, object]:
    row: dict[str, object] = {
        "correction": one.id.hex(),
        "at": one.at.isoformat(timespec="seconds"),
        "by": one.actor,
        "reason": one.reason,
        "changes": dict(one.changes),
    }
    if one.undone is not None:
        row["undone"] = {
            "at": one.undone.at.isoformat(timespec="seconds"),
            "by": one.undone.actor,
            "reason": one.undone.reason,
        }
    return row


def _line(row: dict[str, object]) -> list[str]:
    changes = row["changes"]
    said = [str(row.get("correction") or row["study"]), str(row["at"])]
    if isinstance(changes, dict):
        said += [f"{keyword}={value}" for keyword, value in changes.items()]
    if "by" in row:
        said.append(f"by {row['by']}: {row['reason']}")
    if "undone" in row:
        said.append("(undone)")
    return said
