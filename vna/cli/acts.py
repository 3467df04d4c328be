"""Commands of several acts (`vna remote add`): what each act takes from its command."""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path


def take_common(parser: argparse.ArgumentParser) -> None:
    """Take the common flags behind the act, too.

    Without a default: argparse would put what stands before the act back to it.
    """
    for flag, where, said in (("--data", "DIR", "data folder"), ("--config", "FILE", "settings")):
        parser.add_argument(
            flag,
            metavar=where,
            type=Path,
            default=argparse.SUPPRESS,
            help=f"{said}, here or before ACT",
        )


def moment(text: str) -> dt.datetime:
    """Read a date or a time; without a zone it is UTC."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError("a time as 2026-11-22T06:00 is expected") from exc
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)
