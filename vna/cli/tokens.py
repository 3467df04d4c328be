"""`vna token`: what programs show to be let in. Works while the archive serves."""

from __future__ import annotations

import argparse
import json

from vna.access.api_tokens import Token
from vna.app import at_work
from vna.cli.acts import take_common
from vna.cli.shell import shell
from vna.config import Settings


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    words = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    add = words.add_parser("add", help="make a token of a service; it is shown once")
    add.add_argument("login", help="a service, made by `vna user add --service`")
    add.add_argument("name", help="what it is for")
    add.add_argument("--days", type=float, default=90.0, help="how long it is good (default: 90)")
    add.add_argument(
        "--may", metavar="ACTIONS", help="only these of its account's actions, as query,retrieve"
    )
    shown = words.add_parser("list", help="show the tokens, never their secrets")
    shown.add_argument("--json", action="store_true", help="one JSON object, for programs")
    revoking = words.add_parser("revoke", help="let nobody in with it")
    revoking.add_argument("token", type=int, help="its number, as the list shows it")
    for inner in words.choices.values():
        take_common(inner)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Make, show or revoke tokens."""
    with at_work(settings, "token") as archive:
        tokens, who = archive.engines.people.tokens, shell()
        if args.act == "add":
            actions = None if args.may is None else args.may.split(",")
            token, secret = tokens.add(
                who, args.login, name=args.name, days=args.days, actions=actions
            )
            print(f"token {token.token_id} of {token.login}, until {token.ends_at:%Y-%m-%d}:")
            print(f"    {secret}")
            print("It is not shown again.")
        elif args.act == "list":
            _show(tokens.all(who), as_json=args.json)
        else:
            tokens.revoke(who, args.token)
    return 0


def _show(tokens: list[Token], *, as_json: bool) -> None:
    rows = [
        {
            "token": t.token_id,
            "login": t.login,
            "name": t.name,
            "state": t.state,
            "may": t.actions,
            "until": t.ends_at.isoformat(timespec="seconds"),
        }
        for t in tokens
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for t in tokens:
        may = "all its account may" if t.actions is None else ", ".join(t.actions)
        print(
            f"{t.token_id:<5} {t.login}, {t.name}: {t.state}, until {t.ends_at:%Y-%m-%d}, may {may}"
        )
    if not tokens:
        print("no token; `vna token add LOGIN NAME` makes one")
