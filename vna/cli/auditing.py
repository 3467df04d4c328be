"""`vna audit`: who did what, whether the record of it is whole, and the record for others."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import islice

import orjson

from vna.access.atna import messages
from vna.access.fhir import audit_event
from vna.access.trail import Affected, Patient, Row, Trail, Wanted
from vna.app import at_work
from vna.archive import Archive
from vna.cli.acts import moment, take_common
from vna.cli.plain import plain
from vna.cli.progress import later_bar
from vna.cli.shell import shell
from vna.config import Settings
from vna.errors import ConfigError
from vna.operate.accepting import Acceptance
from vna.operate.evidence import Evidence, Verdict

_PAGE = 500  # rows whose patients are looked up at once
_LATE_S = 60.0


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "The audit trail: check its chain and signatures, search it, write it out for an audit "
        "repository, and account for disclosures. Looking into it is an act that is written down."
    )
    words = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    words.add_parser("verify", help="find what was edited, removed, re-ordered or cut off")
    searching = words.add_parser("search", help="show rows")
    exporting = words.add_parser("export", help="write rows for another system")
    exporting.add_argument(
        "--format", choices=["jsonl", "dicom", "fhir"], default="jsonl", help="(default: jsonl)"
    )
    for inner in (searching, exporting):
        inner.add_argument("--study", metavar="UID", help="rows about this study")
        inner.add_argument(
            "--kind", metavar="KIND", help="read, sent, instance.stored, instance, ..."
        )
        _add_filters(inner)
    affecting = words.add_parser("affected", help="whose studies somebody saw or was given")
    affecting.set_defaults(study=None, kind=None)
    _add_filters(affecting)
    accepting = words.add_parser(
        "accept", help="go on with a trail that was put back, as after a restore"
    )
    accepting.add_argument("--reason", required=True, help="why, without a patient's data")
    disclosing = words.add_parser("disclosures", help="who was given what of a patient or a study")
    disclosing.add_argument(
        "of", metavar="PATIENT_ID|STUDY", help="a Study Instance UID, or a patient"
    )
    disclosing.add_argument("--issuer", help="of the Patient ID, where several gave it")
    for inner in (words.choices["verify"], searching, disclosing, affecting):
        inner.add_argument("--json", action="store_true", help="JSON, for programs")
    for inner in words.choices.values():
        take_common(inner)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do one act; `verify` gives 1 when the trail is not whole."""
    who = shell("audit")
    with at_work(settings, "audit") as archive:
        if args.act == "verify":
            return _verify(archive, as_json=args.json)
        if args.act == "accept":
            accepting = Acceptance(
                database=archive.database,
                audit=archive.audit,
                checkpoints=archive.store.checkpoints,
                sealer=archive.sealer,
            )
            count = accepting.accept(who, args.reason)
            print(f"accepted: {count} checkpoints are not followed from now on")
            return 0
        trail = Trail(archive.database, archive.audit)
        if args.act == "affected":
            _show_affected(trail.affected(who, _wanted(args)), as_json=args.json)
            return 0
        if args.act == "disclosures":
            rows = trail.disclosures(who, args.of, issuer=args.issuer)
        else:
            rows = trail.search(who, _wanted(args), act=args.act)
        if args.act == "export":
            _export(rows, trail, args.format, settings.dicom.ae_title)
        else:
            _show(rows, as_json=args.json)
    return 0


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--principal", metavar="NAME", help="of a login, an AE title, share/NUMBER/..."
    )
    parser.add_argument("--address", metavar="IP", help="what came from there")
    parser.add_argument("--from", dest="since", type=moment, metavar="TIME", help="ISO 8601, UTC")
    parser.add_argument("--to", dest="until", type=moment, metavar="TIME", help="before then")


def _wanted(args: argparse.Namespace) -> Wanted:
    if args.since and args.until and args.since >= args.until:
        raise ConfigError("--from must lie before --to.")
    return Wanted(
        studies=[args.study] if args.study else None,
        principal=args.principal,
        address=args.address,
        kinds=[args.kind] if args.kind else None,
        since=args.since,
        until=args.until,
    )


def _show(rows: Iterator[Row], *, as_json: bool) -> None:
    for row in rows:
        print(_line(row) if as_json else _told(row))


def _show_affected(found: list[Affected], *, as_json: bool) -> None:
    if as_json:
        print(orjson.dumps(found, Patient._asdict, orjson.OPT_INDENT_2).decode())
        return
    for one in found:
        whose = "no longer held" if one.patient is None else "^^^".join(one.patient)
        times = f"{one.first:%Y-%m-%d %H:%M:%S}Z to {one.last:%Y-%m-%d %H:%M:%S}Z"
        print(f"{plain(whose)}  {times}  {one.acts} acts  {' '.join(one.studies)}")
    known = sum(one.patient is not None for one in found)
    gone = sum(len(one.studies) for one in found if one.patient is None)
    print(f"{known} patients" + (f", and {gone} studies that are no longer held" if gone else ""))


def _told(row: Row) -> str:
    what = row.instance or row.series or " ".join(row.studies()) or "-"
    who = f"{row.principal} ({row.actor_kind}{', ' + row.address if row.address else ''})"
    detail = json.dumps(row.detail, ensure_ascii=True) if row.detail else ""
    told = f"{row.at:%Y-%m-%d %H:%M:%S.%f}Z  {row.kind}  {row.outcome}  {plain(who)}  {what}"
    return f"{told}  {detail}".rstrip()


def _line(row: Row) -> str:
    """Write the row as it is hashed, and its link: SHA-256(prev_hash, event) = hash."""
    sealed = None
    if row.seal_seq is not None and row.prev_hash is not None and row.hash is not None:
        sealed = {
            "seal_seq": row.seal_seq,
            "prev_hash": row.prev_hash.hex(),
            "hash": row.hash.hex(),
        }
    values = {"row": orjson.loads(row.event), "event": row.event, "seal": sealed}
    return orjson.dumps(values).decode()


def _export(rows: Iterator[Row], trail: Trail, form: str, source: str) -> None:
    while page := list(islice(rows, _PAGE)):
        studies = dict.fromkeys(study for row in page for study in row.studies())
        patients = trail.patients(list(studies)) if form != "jsonl" else {}
        for row in page:
            print(_written(row, form, source, patients))


def _written(row: Row, form: str, source: str, patients: dict[str, Patient]) -> str:
    if form == "dicom":
        return b"\n".join(messages(row, source, patients)).decode()
    if form == "fhir":
        return orjson.dumps(audit_event(row, source, patients)).decode()
    return _line(row)


def _verify(archive: Archive, *, as_json: bool) -> int:
    with later_bar("rows") as shown:
        verdict = Evidence(archive.database, archive.store.checkpoints).verify(shown.reach)
    if as_json:
        print(orjson.dumps(verdict, option=orjson.OPT_INDENT_2).decode())
    else:
        _report(verdict)
    return 1 if verdict.findings else 0


def _report(verdict: Verdict) -> None:
    for finding in verdict.findings:
        print(f"{finding.what:<12} {finding.place}")
    late = " (is `vna serve` running?)" if verdict.waiting_s > _LATE_S else ""
    print(
        f"{verdict.links} rows sealed, signed up to {verdict.signed} by {verdict.checkpoints} "
        f"checkpoints, {verdict.waiting} not sealed yet{late}"
    )
    if verdict.accepted:
        print(f"{verdict.accepted} checkpoints are not followed, which was accepted")
    print(f"{len(verdict.findings)} findings" if verdict.findings else "the trail is whole")
