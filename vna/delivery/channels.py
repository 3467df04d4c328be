"""Where a person can be reached: an e-mail address or a telephone number, checked and written once.

The value of a channel stands in no log and no error: people are shown its mask.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Protocol

from vna.errors import ConfigError, InvalidRequest
from vna.texts import marked

EMAIL: Final = "email"
SMS: Final = "sms"

_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"({_LABEL}\.)+{_LABEL}")
_MOST_EMAIL = 254  # RFC 5321 4.5.3.1.3
_MOST_LOCAL = 64


class Address(Protocol):
    """What a message is sent to: any value that has a kind and a value."""

    @property
    def kind(self) -> str:
        """Either "email" or "sms"."""

    @property
    def value(self) -> str:
        """The address or the number (E.164)."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to reach somebody; made by `email` or `phone`."""

    kind: str
    value: str = field(repr=False)

    def masked(self) -> str:
        """Write it so that its owner knows it and nobody else learns it."""
        return mask(self.kind, self.value)

    def mailbox(self) -> str:
        """Reduce it to whom it reaches: case, `+tag` and dots make no other mailbox."""
        if self.kind != EMAIL:
            return self.value
        local, _, domain = self.value.lower().rpartition("@")
        return f"{local.partition('+')[0].replace('.', '')}@{domain}"


def configured(text: str, setting: str) -> Channel:
    """Read the e-mail address of a setting. Raises `ConfigError` naming it."""
    try:
        return email(text)
    except InvalidRequest as exc:
        raise ConfigError(f"{setting}: {exc}") from exc


def email(text: str) -> Channel:
    """Read an e-mail address (RFC 5321 4.1.2, without quoting). Raises `InvalidRequest`."""
    local, at, domain = text.strip().rpartition("@")
    try:
        domain = domain.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        domain = ""
    value = f"{local}@{domain}"
    if (
        not at
        or len(value) > _MOST_EMAIL
        or len(local) > _MOST_LOCAL
        or not _LOCAL.fullmatch(local)
        or not _DOMAIN.fullmatch(domain)
    ):
        raise InvalidRequest(marked("An e-mail address is written name@example.org."))
    return Channel(EMAIL, value)


def phone(text: str, *, region: str | None = None) -> Channel:
    """Read a telephone number as E.164 writes it, +49 30 ...; without + it is one of the region.

    Raises `InvalidRequest`.
    """
    import phonenumbers  # metadata of every country: for the process that reads a number

    try:
        found = phonenumbers.parse(text[:64], region)
        is_one = phonenumbers.is_possible_number(found)
    except phonenumbers.NumberParseException:
        is_one = False
    if not is_one:
        raise InvalidRequest(
            marked("A telephone number is written with its country: +49 30 123456.")
        )
    return Channel(SMS, phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164))


def checked(to: Address) -> Channel:
    """Read an address again that comes from another room. Raises `InvalidRequest`."""
    if to.kind == EMAIL:
        return email(to.value)
    if to.kind == SMS:
        return phone(to.value)
    raise InvalidRequest("A message goes by e-mail or to a telephone.")


def country(channel: Channel) -> str:
    """Say which country a number belongs to, ISO 3166-1; empty when none."""
    import phonenumbers

    found = phonenumbers.parse(channel.value)
    region = phonenumbers.region_code_for_number(found)
    return region or phonenumbers.region_code_for_country_code(found.country_code or 0)


def mask(kind: str, value: str) -> str:
    """Mask a value: k…@example.org, or the last two digits of a number."""
    if kind == EMAIL:
        local, _, domain = value.rpartition("@")
        return f"{local[:1]}…@{domain}"
    return f"…{value[-2:]}"
