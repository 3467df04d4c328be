"""Commands of several acts (`vna remote add`): what each act takes from its command."""

from __future__ import annotations

import argparse
from pathlib import Path


def take_common(parser: argparse.ArgumentParser) -> None:
    """Take the common flags behind the act, too.

    Without a default: argparse would put what stands before the act back to it.
    """
    for flag, where in (("--data", "DIR"), ("--config", "FILE")):
        parser.add_argument(flag, metavar=where, type=Path, default=argparse.SUPPRESS)
