"""`vna associations`: who is connected over DICOM right now, from the lists the workers keep."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time

from vna import app
from vna.config import Settings
from vna.dimse import roster
from vna.dimse.messages import RESPONSE, Field

_HEAD = ("calling", "called", "address", "TLS", "state", "for", "requests", "last", "worker")


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Lists the open DICOM connections of the running archive: AE titles, address, whether it "
        "is TLS, what it is doing and for how long, how many requests it sent and of what kind "
        "the last one was."
    )
    parser.add_argument("--json", action="store_true", help="one JSON array, for programs")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """List them."""
    app.store_of(settings)  # of no archive nobody could say that nobody is connected
    found = roster.read(roster.place(settings.data))
    if args.json:
        rows = [{**dataclasses.asdict(live), "command": _named(live.command)} for live in found]
        print(json.dumps(rows, indent=2))
    elif not found:
        print("no associations")
    else:
        print("\n".join(_table([_HEAD, *(_cells(live, time.time()) for live in found)])))
    return 0


def _cells(live: roster.Live, now: float) -> tuple[str, ...]:
    return (
        live.calling or "-",
        live.called or "-",
        live.address,
        "yes" if live.secured else "no",
        live.state,
        _span(now - live.changed),
        str(live.requests),
        _named(live.command),
        str(live.pid),
    )


def _named(command: int) -> str:
    if not command:
        return "-"
    try:
        return Field(command & ~RESPONSE).name.replace("_", "-")
    except ValueError:
        return f"{command:04X}H"


def _span(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
