"""`vna patient`: whom studies are about, and which identities are one person."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from vna.access.principal import Principal
from vna.app import at_work
from vna.cli.acts import take_common
from vna.cli.plain import plain
from vna.cli.shell import shell
from vna.config import Settings
from vna.dicom.moments import read_date
from vna.errors import ConfigError, NotFound
from vna.operate.identities import IdentityEngine
from vna.operate.identity_views import Identity, Person, Proposal, Proposed
from vna.patients.store import Case, Decision

Row = dict[str, object]


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "An identity is what one issuer calls a patient. Rules link two of them by a number that "
        "identifies alone; everything else they only propose, for somebody to decide. A link that "
        "shows more of somebody to others takes a second person, and all at the shell are one."
    )
    words = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    work = words.add_parser("work", help="show what waits for somebody to decide")
    show = words.add_parser("show", help="show a patient: identities, links, studies, decisions")
    show.add_argument("patient", metavar="PATIENT_ID", help="as the studies have it")
    show.add_argument("--issuer", metavar="NAME", help="who gave it (default: site.issuer)")
    for name, summary in (("link", "these two are one person"), ("part", "these two are not")):
        inner = words.add_parser(name, help=summary)
        _take_two(inner)
        inner.add_argument("--reason", metavar="TEXT", required=True, help="kept with it")
    _take_two(words.add_parser("agree", help="as a second person: these two are one, as proposed"))
    refuse = words.add_parser("refuse", help="end what is proposed of these two")
    _take_two(refuse)
    refuse.add_argument("--reason", metavar="TEXT", required=True, help="kept with it")
    _take_two(words.add_parser("defer", help="put these two off"))
    died = words.add_parser("deceased", help="note when a patient died")
    died.add_argument("identity", metavar="IDENTITY", help="as `vna patient show` names it")
    died.add_argument("date", metavar="DATE", help="YYYYMMDD, or none: they did not")
    died.add_argument("--reason", metavar="TEXT", required=True, help="kept with it")
    for inner in (work, show):
        inner.add_argument("--json", action="store_true", help="JSON, for programs")
    for inner in words.choices.values():
        take_common(inner)


def _take_two(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="IDENTITY", help="as `vna patient work` names it")
    parser.add_argument("second", metavar="IDENTITY", help="the other one of the pair")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do one act; 0 when it is done, 1 when there is no such patient."""
    with at_work(settings, "patient") as archive:
        engine = archive.engines.identities
        engine.keep_up()
        act(engine, shell(), args, issuer=settings.site.issuer)
    return 0


def act(engine: IdentityEngine, who: Principal, args: argparse.Namespace, *, issuer: str) -> None:
    """Do one act for somebody; `issuer` gave the ids that are named without one."""
    match args.act:
        case "work":
            _show_work(engine, who, as_json=args.json)
        case "show":
            _show(engine, who, args.issuer or issuer, args.patient, as_json=args.json)
        case "defer":
            engine.defer(who, _id(args.first), _id(args.second))
        case "refuse":
            pair = _id(args.first), _id(args.second)
            engine.proposals.refuse(who, *pair, reason=args.reason)
        case "deceased":
            died = None if args.date == "none" else read_date(args.date)
            if died is None and args.date != "none":
                raise ConfigError("A date is YYYYMMDD, or none.")
            engine.deceased(who, _id(args.identity), died, reason=args.reason)
        case _:
            _decide(engine, who, args)


def _decide(engine: IdentityEngine, who: Principal, args: argparse.Namespace) -> None:
    pair = _id(args.first), _id(args.second)
    match args.act:
        case "link":
            studies = engine.link(who, *pair, reason=args.reason)
        case "agree":
            studies = engine.agree(who, *pair, is_fresh=True)
        case _:
            studies = engine.part(who, *pair, reason=args.reason)
    if isinstance(studies, Proposal):
        print(f"proposed, not linked: a second person agrees until {studies.ends_at:%Y-%m-%d}")
        return
    print(f"{'apart' if args.act == 'part' else 'linked'}; look at what was shared of:")
    for study, identity in studies:
        print(f"    {study}  {identity.hex()}")


def _id(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as exc:
        raise ConfigError("An identity is named by the digits `vna patient` shows.") from exc


def _show_work(engine: IdentityEngine, who: Principal, *, as_json: bool) -> None:
    work = engine.views.worklist(who)
    proposed = engine.views.proposed(who)
    alerts = engine.views.alerts(who)
    if as_json:
        rows = [
            _case(one.case) | {"first": _identity(one.first), "second": _identity(one.second)}
            for one in work
        ]
        late = [{"study": study, "identity": _identity(one)} for study, one in alerts]
        found = {"work": rows, "proposed": [_proposed(one) for one in proposed], "alerts": late}
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for one in proposed:
        by, why = one.proposal.proposed_by, one.proposal.reason
        print(f"{_told(one.case)}\n    proposed by {by}: {why}")
        print(f"    {_line(one.first)}\n    {_line(one.second)}")
    for waits in work:
        print(_told(waits.case))
        print(f"    {_line(waits.first)}\n    {_line(waits.second)}")
        if waits.refused:
            said = waits.refused
            print(f"    {said.proposed_by} proposed it, {said.refused_by} refused: {said.reason}")
    for study, identity in alerts:
        print(f"R9  study {study} was made after the patient died\n    {_line(identity)}")
    if not work and not alerts and not proposed:
        print("nothing waits")


def _show(
    engine: IdentityEngine, who: Principal, issuer: str, patient_id: str, *, as_json: bool
) -> None:
    found = engine.views.named(who, issuer, patient_id)
    if not found:
        raise NotFound("There is no such patient.")
    persons = {one.person: engine.views.person(who, one.id) for one in found}
    if as_json:
        print(json.dumps([_person(one) for one in persons.values()], indent=2, ensure_ascii=False))
        return
    for person in persons.values():
        print(f"person {person.id.hex()}")
        for line in _lines(person):
            print(f"    {line}")


def _lines(person: Person) -> Sequence[str]:
    lines = [_line(one) for one in person.identities]
    lines += [f"study {study} of {identity.hex()}" for study, identity in person.studies]
    lines += [_told(case) for case in person.cases]
    return lines + [
        f"{one.at:%Y-%m-%d} {one.op} by {_names(one)}: {one.reason}" for one in person.history
    ]


def _names(one: Decision) -> str:
    """Name who decided: one person, or two."""
    return one.actor if one.proposed_by is None else f"{one.proposed_by} and {one.actor}"


def _told(case: Case) -> str:
    said = ", ".join(f"{what} {how}" for what, how in case.evidence.items())
    pair = " ".join(one.hex() for one in case.pair)
    return f"{case.rule}  {case.state}  {pair}  {said}".rstrip()


def _line(one: Identity) -> str:
    born = one.said.born
    said = [one.id.hex(), f"{one.patient_id} of {one.issuer}", one.said.name or "no name"]
    said += [
        f"born {born:%Y-%m-%d}" if born else "birth date unknown",
        one.said.sex or "sex unknown",
    ]
    if one.variant:
        said.append(f"shadow {one.variant}")
    if one.quarantined:
        said.append("not to be shared")
    if one.died:
        said.append(f"died {one.died:%Y-%m-%d}")
    return plain(", ".join(said))


def _case(case: Case) -> Row:
    return {
        "pair": [one.hex() for one in case.pair],
        "state": case.state,
        "rule": case.rule,
        "priority": case.priority,
        "evidence": dict(case.evidence),
        "decided_by": case.decided_by,
        "proposed_by": case.proposed_by,
        "reason": case.reason,
    }


def _proposed(one: Proposed) -> Row:
    said = one.proposal
    return _case(one.case) | {
        "first": _identity(one.first),
        "second": _identity(one.second),
        "proposed_by": said.proposed_by,
        "proposed_at": said.proposed_at.isoformat(timespec="seconds"),
        "ends_at": said.ends_at.isoformat(timespec="seconds"),
        "reason": said.reason,
    }


def _identity(one: Identity) -> Row:
    born = one.said.born
    return {
        "identity": one.id.hex(),
        "issuer": one.issuer,
        "patient_id": one.patient_id,
        "shadow": one.variant,
        "person": one.person.hex(),
        "name": one.said.name,
        "birth_date": born and born.isoformat(),
        "sex": one.said.sex,
        "died": one.died and one.died.isoformat(),
        "quarantined": one.quarantined,
    }


def _person(person: Person) -> Row:
    return {
        "person": person.id.hex(),
        "identities": [_identity(one) for one in person.identities],
        "pairs": [_case(case) for case in person.cases],
        "studies": [{"study": s, "identity": one.hex()} for s, one in person.studies],
        "decisions": [
            {
                "at": one.at.isoformat(timespec="seconds"),
                "by": one.actor,
                "proposed_by": one.proposed_by,
                "act": one.op,
                "reason": one.reason,
            }
            for one in person.history
        ],
    }
