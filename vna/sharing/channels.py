"""Mailboxes and telephones: read once, at the door, and shown masked from then on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

import phonenumbers

from vna.errors import InvalidRequest

Kind = Literal["email", "sms"]

_LOCAL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII
)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_MOST_LOCAL, _MOST_DOMAIN = 64, 253  # RFC 5321 4.5.3.1
_SHOWN_DIGITS = 2


@dataclass(frozen=True, slots=True)
class Channel:
    """Where a message can be sent: a mailbox or a telephone, never shown whole."""

    kind: Kind
    value: str = field(repr=False)

    def masked(self) -> str:
        """Show as much as its owner needs to know it again: `k…@example.org`, `…42`."""
        if self.kind == "sms":
            return "…" + self.value[-_SHOWN_DIGITS:]
        local, _, domain = self.value.rpartition("@")
        return f"{local[0]}…@{domain}"

    def mailbox(self) -> str:
        """Name what the messages end up in: many addresses are one mailbox.

        Case, dots and what follows a `+` do not count: two ways that meet in one mailbox are one.
        """
        if self.kind == "sms":
            return self.value
        local, _, domain = self.value.rpartition("@")
        return f"{local.partition('+')[0].replace('.', '').lower()}@{domain}"


def channel(kind: str, typed: str) -> Channel:
    """Read an address (RFC 5321) or a number (E.164). Raises `InvalidRequest`."""
    if kind == "email":
        return Channel("email", _address(typed.strip()))
    if kind == "sms":
        return Channel("sms", _telephone(typed.strip()))
    raise InvalidRequest("A message goes by e-mail or by SMS.")


def _address(typed: str) -> str:
    local, _, domain = typed.rpartition("@")
    domain = _ascii(domain)
    labels = domain.split(".")
    if (
        not _LOCAL.fullmatch(local)
        or len(local) > _MOST_LOCAL
        or len(domain) > _MOST_DOMAIN
        or len(labels) < 2
        or not all(_LABEL.fullmatch(label) for label in labels)
        or labels[-1].isdigit()
    ):
        raise InvalidRequest("This is not an e-mail address, which is written name@example.org.")
    return f"{local}@{domain}"


def _ascii(domain: str) -> str:
    try:
        return domain.lower().encode("idna").decode("ascii")
    except UnicodeError:
        return ""


def _telephone(typed: str) -> str:
    wrong = "A telephone number is written with its country: +44 20 7946 0018."
    if not typed.startswith("+") or len(typed) > 40:
        raise InvalidRequest(wrong)
    try:
        number = phonenumbers.parse(typed, None)
    except phonenumbers.NumberParseException as exc:
        raise InvalidRequest(wrong) from exc
    if not phonenumbers.is_possible_number(number):
        raise InvalidRequest(wrong)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
