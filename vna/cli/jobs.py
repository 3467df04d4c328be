"""`vna jobs`: the queue of work for later, each job with the state of each of its instances."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
from collections.abc import Sequence

from vna.app import at_work
from vna.archive import Archive
from vna.cli.acts import take_common
from vna.cli.plain import plain
from vna.cli.shell import shell
from vna.config import Settings
from vna.db.work import Item, State
from vna.jobs.board import Board, Entry

_MOST = 100
_HEAD = ("job", "kind", "remote", "state", "instances", "attempts", "cause")


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Work the archive does later, and again until it succeeds: studies to be sent, Storage "
        "Commitment to be asked for or reported. Without an act it lists the newest jobs."
    )
    words = parser.add_subparsers(dest="act", metavar="ACT")
    listing = words.add_parser("list", help="show the newest jobs")
    listing.add_argument("--state", choices=[state.value for state in State], help="only these")
    listing.add_argument("--most", type=int, default=_MOST, metavar="N", help="at most so many")
    listing.add_argument("--json", action="store_true", help="a JSON array, for programs")
    showing = words.add_parser("show", help="show a job with each of its instances")
    showing.add_argument("--json", action="store_true", help="a JSON object, for programs")
    retrying = words.add_parser("retry", help="do it now; begin anew where it failed")
    cancelling = words.add_parser("cancel", help="do it no more")
    for inner in (showing, retrying, cancelling):
        inner.add_argument("job", type=int, metavar="ID", help="its number, as `vna jobs` shows it")
    for inner in words.choices.values():
        take_common(inner)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do one act; 0 when it is done, 1 when there is no such job or it is not to be changed."""
    who = shell("jobs")
    with at_work(settings, "jobs") as archive:
        board = board_of(archive)
        if args.act == "show":
            entry, items = board.entry(who, args.job)
            print(_as_json(entry, items) if args.json else "\n".join(_shown(entry, items)))
        elif args.act == "retry":
            board.retry(who, args.job)
            print(f"job {args.job} waits to be done")
        elif args.act == "cancel":
            state = board.cancel(who, args.job)
            told = "is being cancelled" if state is State.RUNNING else "cancelled"
            print(f"job {args.job} {told}")
        else:
            _list(args, board.entries(who, state=_state(args), most=getattr(args, "most", _MOST)))
    return 0


def board_of(archive: Archive) -> Board:
    """Make the board of an open archive."""
    return Board(
        archive.database,
        archive.audit,
        archive.engines.remotes,
        most_instances=archive.settings.limits.retrieve_instances,
    )


def _state(args: argparse.Namespace) -> State | None:
    asked = getattr(args, "state", None)
    return None if asked is None else State(asked)


def _list(args: argparse.Namespace, entries: Sequence[Entry]) -> None:
    if getattr(args, "json", False):
        print(json.dumps([_facts(entry) for entry in entries], indent=2))
    elif entries:
        print("\n".join(_table([_HEAD, *(_cells(entry) for entry in entries)])))
    else:
        print("no jobs")


def _cells(entry: Entry) -> tuple[str, ...]:
    counts = f"{entry.done}/{entry.instances}"
    if entry.failed:
        counts += f", {entry.failed} failed"
    return (
        str(entry.job_id),
        entry.kind,
        entry.remote or "-",
        "cancelling" if entry.cancelling else entry.state.value,
        counts,
        str(entry.attempts),
        plain(entry.cause or ""),
    )


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _shown(entry: Entry, items: Sequence[Item]) -> list[str]:
    lines = [
        f"job        {entry.job_id}, {entry.kind} to {entry.remote or '-'}",
        f"state      {'cancelling' if entry.cancelling else entry.state.value}, "
        f"{entry.attempts} attempts",
        f"asked      {_time(entry.created_at)} by {entry.requested_by}",
    ]
    if entry.token:
        lines.append(f"known as   Transaction UID {entry.token}")
    if entry.cause:
        lines.append(f"cause      {plain(entry.cause)}")
    if entry.finished_at is not None:
        lines.append(f"ended      {_time(entry.finished_at)}")
    elif entry.state is State.WAITING:
        lines.append(f"due        {_time(entry.due_at)}")
    lines.append(f"instances  {entry.done} of {entry.instances} done, {entry.failed} failed")
    return lines + [_instance(item) for item in items]


def _instance(item: Item) -> str:
    status = "-" if item.status is None else f"{item.status:04X}H"
    told = f"  {item.state:<8} {status:<6} {item.attempts:>2}x  {item.instance}"
    return f"{told}  {plain(item.cause)}" if item.cause else told


def _time(at: dt.datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _facts(entry: Entry) -> dict[str, object]:
    facts = dataclasses.asdict(entry) | {"state": entry.state.value}
    return {
        name: value.isoformat() if isinstance(value, dt.datetime) else value
        for name, value in facts.items()
    }


def _as_json(entry: Entry, items: Sequence[Item]) -> str:
    listed = [dataclasses.asdict(item) for item in items]
    return json.dumps(_facts(entry) | {"items": listed}, indent=2)
