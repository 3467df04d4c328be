"""Who sits at the shell: whoever can read the root key may do all, under a name for the trail.

And what commands with several acts share.
"""

from __future__ import annotations

import argparse
import os
import pwd
from pathlib import Path

from vna.access.principal import Principal, system


def take_places(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Let `--data` and `--config` stand after the act, too.

    argparse would take what stands before it back to its default.
    """
    for inner in words.choices.values():
        for flag, where in (("--data", "DIR"), ("--config", "FILE")):
            inner.add_argument(flag, metavar=where, type=Path, default=argparse.SUPPRESS)


def shell() -> Principal:
    """Name the person at the shell by their account on this machine."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return system(f"shell:{name}")
