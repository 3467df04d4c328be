"""`vna role`: the roles there are, as the settings name them."""

from __future__ import annotations

import argparse

from vna.access import roles
from vna.cli.acts import take_common
from vna.config import Settings


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    words = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    words.add_parser("list", help="show every role, what it may do and how far it reaches")
    for inner in words.choices.values():
        take_common(inner)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Show the roles."""
    del args  # there is but one act
    found = roles.load(settings.access.roles)
    for role in (*found.by_name.values(), found.ae, found.guest):
        reach = "everything" if role.scope.everything else "what is granted"
        reach = "what is about them" if role.is_own else reach
        reach = "what a share shows" if role is found.guest else reach
        actions = ", ".join(sorted(action.value for action in role.actions))
        print(f"{role.name:<22} {role.description}")
        print(f"{'':<22} {actions}; reaches {reach}")
    return 0
