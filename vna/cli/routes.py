"""`vna route`: the rules by which what comes in is sent on. Works while the archive serves."""

from __future__ import annotations

import argparse
import json
from collections import Counter

from vna.access.routes import Route
from vna.app import at_work
from vna.archive import Archive
from vna.cli.acts import take_common
from vna.cli.shell import shell
from vna.config import Settings
from vna.dicom.evaluate import matches
from vna.dicom.matching import Query
from vna.dicom.refs import Level, StudyRef, uid
from vna.errors import ConfigError
from vna.ingest.extras import zone_of


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Rules: an instance that comes in and falls under one is sent on, as a job that `vna jobs` "
        "shows. A change is in force within a second."
    )
    words = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    _add_adding(words.add_parser("add", help="add a rule, or change all of a known one"))
    shown = words.add_parser("list", help="show them all")
    shown.add_argument("--json", action="store_true", help="a JSON array, for programs")
    removing = words.add_parser("remove", help="forget one")
    removing.add_argument("name", metavar="NAME", help="as the list shows it")
    tried = words.add_parser("test", help="say which rules a stored study would fall under")
    tried.add_argument("study", metavar="STUDY", help="its Study Instance UID")
    tried.add_argument("--from", dest="caller", metavar="AE", help="as if it came from there")
    for inner in words.choices.values():
        take_common(inner)


def _add_adding(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", metavar="NAME", help="what the rule is called")
    add("--to", metavar="AE", help="the remote AE it leads to, as `vna remote` knows it")
    add("--to-peer", metavar="NAME", help="the DICOMweb archive, as `vna peer` knows it")
    add("--from", dest="callers", action="append", default=[], metavar="AE", help="that sends it")
    add("--modality", action="append", default=[], metavar="CODE", help="again for more")
    add(
        "--match",
        dest="keys",
        action="append",
        default=[],
        metavar="ATTRIBUTE=VALUE",
        help="a Matching Key as in a search, such as StudyDescription=*chest*; all must match",
    )
    add("--commit", action="store_true", help="ask the remote AE for Storage Commitment")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do one act; 0 when it is done, 1 when there is no such rule or study."""
    wanted = _route(args) if args.act == "add" else None
    with at_work(settings, "route") as archive:
        routes, who = archive.engines.routes, shell()
        if wanted is not None:
            is_new = routes.add(who, wanted)
            print(f"{wanted.name} {'added' if is_new else 'changed'}: {_line(wanted)}")
        elif args.act == "remove":
            routes.remove(who, args.name)
            print(f"{args.name} removed")
        elif args.act == "list":
            _show(routes.all(who), as_json=args.json)
        else:
            _try(archive, args.study, args.caller)
    return 0


def _route(args: argparse.Namespace) -> Route:
    if (args.to is None) == (args.to_peer is None):
        raise ConfigError("A rule leads to one remote AE (--to) or DICOMweb archive (--to-peer).")
    modality = ["Modality=" + "\\".join(args.modality)] if args.modality else []
    return Route(
        name=args.name,
        remote=args.to,
        peer=args.to_peer,
        callers=tuple(args.callers),
        keys=tuple(modality + args.keys),
        commit=args.commit,
    )


def _show(routes: list[Route], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([_described(route) for route in routes], indent=2))
        return
    for route in routes:
        print(f"{route.name:<16}  {_line(route)}")
    if not routes:
        print("no rule; add one with `vna route add NAME --to AE`")


def _described(route: Route) -> dict[str, object]:
    return {
        "name": route.name,
        "remote": route.remote,
        "peer": route.peer,
        "callers": route.callers,
        "keys": route.keys,
        "commit": route.commit,
    }


def _line(route: Route) -> str:
    said = [f"to {'AE' if route.remote else 'DICOMweb archive'} {route.to}"]
    if route.callers:
        said.append("from " + " ".join(route.callers))
    said += route.keys
    if route.commit:
        said.append("asks for Storage Commitment")
    return ", ".join(said)


def _try(archive: Archive, study: str, caller: str | None) -> None:
    who = shell()
    zone = zone_of(archive.settings.site)
    counts: Counter[str] = Counter()
    total = 0
    rules = archive.engines.routes.all(who)
    for described in archive.engines.retrieve.metadata(who, StudyRef(uid(study))):
        elements = described.members()
        total += 1
        for rule in rules:
            if caller is not None and not rule.takes_from((caller,)):
                continue
            if matches(Query(level=Level.IMAGE, keys=rule.matching), elements, zone=zone):
                counts[rule.name] += 1
    for rule in rules:
        print(f"{rule.name:<16}  {counts[rule.name]} of {total} instances, to {rule.to}")
    if not rules:
        print("no rule; add one with `vna route add NAME --to AE`")
