"""`vna webhook`: other programs that are told of what happens to shares."""

from __future__ import annotations

import argparse

from vna.app import at_work
from vna.cli.acts import take_common
from vna.cli.shell import shell
from vna.config import Settings


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Other programs that are told of shares, each call signed; `vna messages` shows how far "
        "each call is."
    )
    words = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    adding = words.add_parser("add", help="tell one more program; prints the key of its calls")
    adding.add_argument("url", metavar="URL", help="https://host/path")
    adding.add_argument(
        "--event", action="append", default=[], metavar="NAME",
        help="what to tell: grant.opened, or grant for all of its sort; repeat for more; none: all",
    )  # fmt: skip
    words.add_parser("list", help="show them")
    removing = words.add_parser("remove", help="tell a program nothing more")
    removing.add_argument("webhook", type=int, metavar="ID", help="as the list shows it")
    for inner in words.choices.values():
        take_common(inner)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do one act; 0 when it is done, 1 when there is no such webhook or it may not be called."""
    who = shell("webhook")
    with at_work(settings, "webhook") as archive:
        webhooks = archive.engines.messages.webhooks
        if args.act == "add":
            number, secret = webhooks.add(who, args.url, args.event)
            print(f"webhook {number}, its calls are signed with the key {secret}")
        elif args.act == "remove":
            webhooks.remove(who, args.webhook)
            print(f"webhook {args.webhook} is told nothing more")
        else:
            for one in webhooks.all(who):
                print(f"{one.webhook_id}  {one.host}  {', '.join(one.events) or 'all'}")
    return 0
