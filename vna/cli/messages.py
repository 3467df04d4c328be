"""`vna messages`: mails and short messages, how far each is; those that failed again; a test."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from vna.access.principal import Principal
from vna.app import at_work
from vna.archive import Archive
from vna.cli.acts import take_common
from vna.cli.shell import shell
from vna.config import Settings
from vna.delivery import channels
from vna.delivery.bounces import MOST_BYTES
from vna.delivery.channels import Channel
from vna.delivery.messages import Message, State
from vna.delivery.notifier import Cause
from vna.errors import InvalidRequest
from vna.texts import ENGLISH, languages

_MOST = 100
_HEAD = ("message", "to", "what", "state", "attempts", "cause", "told", "share")
_BEFORE_S = 86400.0  # a test that is not sent at once is tried again within a day


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Mails and short messages to people. Without an act it lists the newest; an address is "
        "shown masked, and what stood in a message that went out is gone."
    )
    words = parser.add_subparsers(dest="act", metavar="ACT")
    listing = words.add_parser("list", help="show the newest messages")
    listing.add_argument("--state", choices=[state.value for state in State], help="only these")
    listing.add_argument("--most", type=int, default=_MOST, metavar="N", help="at most so many")
    retrying = words.add_parser("retry", help="send what failed or was given up")
    which = retrying.add_mutually_exclusive_group(required=True)
    which.add_argument("message", type=int, nargs="?", metavar="ID", help="as the list shows it")
    which.add_argument("--all", action="store_true", help="everything that failed")
    testing = words.add_parser("test", help="send a test message, and say how it went")
    testing.add_argument("to", metavar="ADDRESS", help="an e-mail address or a number, +49...")
    testing.add_argument("--language", choices=languages(), default=ENGLISH, help="of its text")
    bouncing = words.add_parser("bounce", help="read a mail that came back from standard input")
    bouncing.add_argument(
        "--sent-to", default="", metavar="ADDRESS", help="the address it was sent to, if known"
    )
    for inner in words.choices.values():
        take_common(inner)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do one act; 0 when it is done, 1 when there is no such message or a test did not go out."""
    who = shell("messages")
    to = _address(args.to) if args.act == "test" else None
    with at_work(settings, "messages") as archive:
        messages = archive.engines.messages
        if args.act == "retry" and args.all:
            print(f"{messages.retry_all(who)} messages wait to be sent")
        elif args.act == "retry":
            messages.retry(who, args.message)
            print(f"message {args.message} waits to be sent")
        elif to is not None:
            return _test(archive, who, to, args.language)
        elif args.act == "bounce":
            return _bounce(archive, args.sent_to)
        else:
            asked = getattr(args, "state", None)
            states = [] if asked is None else [State(asked)]
            most = getattr(args, "most", _MOST)
            _list(messages.listed(who, states=states, most=most))
    return 0


def _address(typed: str) -> Channel:
    return channels.email(typed) if "@" in typed else channels.phone(typed)


def _test(archive: Archive, who: Principal, to: Channel, language: str) -> int:
    messages = archive.engines.messages
    with archive.database.transaction() as tx:
        number = messages.post(
            tx, to=to, template="test", values={}, language=language, requested_by=who.name
        )
    messages.attempt(number, most_s=_BEFORE_S)
    found = messages.one(who, number)
    why = "".join(f", {part}" for part in (found.cause, found.told) if part)
    print(f"message {number} to {found.masked}: {found.state.value}{why}")
    if found.cause == Cause.NOT_SET_UP.value:
        section = "sms" if to.kind == channels.SMS else "mail"
        print(f"[{section}] of the settings names no way out, or one that refuses our sign-in")
    return 0 if found.state in (State.ACCEPTED, State.DELIVERED, State.SENDING) else 1


def _bounce(archive: Archive, sent_to: str) -> int:
    """Take a bounce in. A mail server would send back to nobody what we refuse: 0 unless unread."""
    mail = sys.stdin.buffer.read(MOST_BYTES + 1)
    try:
        report = archive.engines.messages.receipts.came_back(mail, sent_to=sent_to)
    except InvalidRequest:
        report = None
    told = "of no message of ours" if report is None else "noted" if report.is_lost else "looked at"
    print(f"bounce {told}")
    return 0


def _list(found: Sequence[Message]) -> None:
    if not found:
        print("no messages")
        return
    rows = [_HEAD, *(_cells(message) for message in found)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    for row in rows:
        print("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())


def _cells(message: Message) -> tuple[str, ...]:
    return (
        str(message.message_id),
        message.masked,
        message.template,
        message.state.value,
        str(message.attempts),
        message.cause or "",
        message.told or "",
        "" if message.share_id is None else str(message.share_id),
    )
