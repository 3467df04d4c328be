"""Mails that come back: what a bounce says of which message (RFC 3464), read with suspicion.

The message is named by the token in the address the bounce was sent to (VERP), else by the
Message-ID of the mail that is returned with it. Who does not know the token can void nothing.
"""

from __future__ import annotations

import email
import email.message
import email.policy
import re
from collections.abc import Iterator
from dataclasses import dataclass

from vna.delivery.notifier import code
from vna.errors import InvalidRequest, TooLarge

MOST_BYTES = 1 << 20
"""Longest bounce that is read."""

_TOKEN = re.compile(r"\+([0-9a-f]{32})@")
_MESSAGE_ID = re.compile(r"<([0-9a-f]{32})@")
_SENT_TO = ("delivered-to", "x-original-to", "envelope-to", "to")
_STATUS = re.compile(r"\b([245]\.[0-9]{1,3}\.[0-9]{1,3})\b")
_REPLY = re.compile(r"\b([245][0-9]{2})[ -]")
_MOST_PARTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of an accepted message. Neither arrived nor lost: it is on its way."""

    token: bytes
    has_arrived: bool = False
    is_lost: bool = False
    told: str | None = None


def read(mail: bytes, *, sent_to: str = "") -> Report | None:
    """Read a mail that came to the address for bounces; None when it reports of no message.

    `sent_to` is the address it was sent to, where the mail server tells. Raises `TooLarge`,
    `InvalidRequest`.
    """
    if len(mail) > MOST_BYTES:
        raise TooLarge("A bounce is shorter than that.")
    try:
        parsed = email.message_from_bytes(mail, policy=email.policy.compat32)
        parts = list(_parts(parsed))
        token = _token(parsed, parts, sent_to)
        status = next(_statuses(parts), None)
    except (RecursionError, LookupError, ValueError, AttributeError, TypeError) as exc:
        raise InvalidRequest("This is not a mail that can be read.") from exc
    if token is None or status is None:
        return None
    action = _field(status, "Action").lower()
    told = _told(status)
    return Report(
        token=token,
        has_arrived=action in ("delivered", "relayed", "expanded"),
        is_lost=action == "failed",
        told=told,
    )


def _parts(mail: email.message.Message) -> Iterator[email.message.Message]:
    for number, part in enumerate(mail.walk()):
        if number >= _MOST_PARTS:
            raise ValueError("too many parts")
        yield part


def _token(
    mail: email.message.Message, parts: list[email.message.Message], sent_to: str
) -> bytes | None:
    for address in (sent_to, *(_field(mail, name) for name in _SENT_TO)):
        if found := _TOKEN.search(address):
            return bytes.fromhex(found[1])
    for part in parts[1:]:
        headers = str(part.get_payload()) if part.get_content_subtype() == "rfc822-headers" else ""
        named = _field(part, "Message-ID") or headers
        if found := _MESSAGE_ID.search(named):
            return bytes.fromhex(found[1])
    return None


def _statuses(parts: list[email.message.Message]) -> Iterator[email.message.Message]:
    """Give the blocks of a delivery status that are about a recipient (RFC 3464 2.3)."""
    for part in parts:
        if part.get_content_type() == "message/delivery-status":
            blocks = part.get_payload()
            for block in blocks if isinstance(blocks, list) else []:
                if isinstance(block, email.message.Message) and "action" in block:
                    yield block


def _told(status: email.message.Message) -> str | None:
    said = _field(status, "Diagnostic-Code")
    found = _STATUS.search(_field(status, "Status"))
    reply = _REPLY.search(said)
    if reply is None and found is None:
        return None
    number = reply[1] if reply else f"{found[1][0] if found else 5}50"
    return code(int(number), found[1] if found else said)


def _field(message: email.message.Message, name: str) -> str:
    return str(message.get(name, ""))[:1000]
