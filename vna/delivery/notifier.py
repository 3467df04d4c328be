"""What a message is given to, and what becomes of it: the face of every way out."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import Protocol

from vna.delivery.letters import Letter

_REPLY = re.compile(r"\b([245]\.[0-9]{1,3}\.[0-9]{1,3})\b")


class Cause(enum.Enum):
    """Sorts of trouble, as a person at the board must tell them apart."""

    NETWORK = "network"  # no connection, or one that broke
    NOT_NOW = "not-now"  # asked to come again
    REFUSED = "refused"  # this message, by policy or form
    ADDRESS = "address"  # nobody there
    QUOTA = "quota"  # the mailbox is full, or we sent too much
    EXPIRED = "expired"  # of no use any more
    NOT_SET_UP = "not-set-up"  # no way out for this channel, or its sign-in is wrong
    BOUNCED = "bounced"
    HELD = "held"  # what it is about is suspended: an attempt's, never a row's


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message on its way out. `token` names it to the outside and tells nothing."""

    token: bytes
    kind: str
    address: str = field(repr=False)
    letter: Letter
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Somebody took it; `reference` is what they call it."""

    reference: str | None = None
    told: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Nobody took it. `is_final`: trying again would not help."""

    cause: Cause
    told: str | None = None  # a code of the reply: its text may repeat the address
    is_final: bool = False


class Notifier(Protocol):
    """One way out. Answers with a value, whatever the other side does."""

    via: str

    def send(self, outgoing: Outgoing) -> Taken | Failed:
        """Give a message to the other side; returns when it took it or did not."""


def code(status: int, text: bytes | str = "") -> str:
    """Write the code of a reply: 550, or 550 5.1.1 (RFC 3463) when it is in the text."""
    said = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    found = _REPLY.search(said[:1000])
    return f"{status:03} {found[1]}" if found else f"{status:03}"
