"""Mails to who watches over the archive: that something happened, never to whom."""

from __future__ import annotations

import datetime as dt

from vna.access.emergencies import Told
from vna.access.watch import TellOfMany
from vna.config import Settings
from vna.db.pool import Connection
from vna.delivery.channels import configured
from vna.delivery.messages import Messages


def of_emergencies(messages: Messages, settings: Settings) -> Told | None:
    """Make what tells the privacy officer of an emergency; None where nobody is to be told.

    Raises `ConfigError` when `access.privacy_mail` is no address.
    """
    if not settings.access.privacy_mail:
        return None
    to = configured(settings.access.privacy_mail, "access.privacy_mail")

    def told(tx: Connection, number: int, at: dt.datetime) -> None:
        values = {"number": str(number), "when": at.isoformat(timespec="seconds")}
        messages.post(tx, to=to, template="emergency", values=values)

    return told


def of_many(messages: Messages, settings: Settings) -> TellOfMany | None:
    """Make what tells the privacy officer that somebody opened unusually many studies.

    None where nobody is to be told. Raises `ConfigError` when `access.privacy_mail` is no address.
    """
    if not settings.access.privacy_mail:
        return None
    to = configured(settings.access.privacy_mail, "access.privacy_mail")

    def told(tx: Connection, count: int) -> None:
        messages.post(tx, to=to, template="many", values={"count": str(count)})

    return told
