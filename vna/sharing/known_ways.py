"""Ways the archive knows a person by, and whether an address that was typed is one of them.

A clerk who shares with themselves names the patient and types an address of their own. So what is
sent to a private person is held against where the person proved to be reached: by an account, or
by opening what was shared with them before.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterator
from typing import Any, NamedTuple

from vna.db import statements
from vna.delivery.channels import Channel
from vna.sharing import granting
from vna.sharing.rooms import Act, Rooms, now
from vna.sharing.rules import are_one, words
from vna.sharing.values import Confirmed, Doubt, Offer

_SQL = statements.load("seconds")

SETTLED = dt.timedelta(hours=24)
"""How long a way must have been known that nobody has to look at."""

_MOST_GRANTS = 50


class Rule(enum.Enum):
    """When a colleague is asked: the setting `sharing.second_person`."""

    OFF = "off"
    CHANGED = "changed"
    UNKNOWN = "unknown"


class Way(NamedTuple):
    """A way a person is reached by since a time, or was until then."""

    channel: Channel
    since: dt.datetime
    holds: bool


def doubt_of(rooms: Rooms, tx: Act, identity: tuple[str, str], offer: Offer) -> Doubt | None:
    """Say why a colleague must look at where an offer goes; None when nobody has to."""
    asked = Rule(rooms.settings.sharing.second_person)
    is_their_own = Confirmed.ACCOUNT in offer.person.confirmed
    if asked is Rule.OFF or is_their_own or offer.recipient.organisation.strip():
        return None
    typed = [way for way in (offer.to, offer.by) if way is not None]
    ways = list(_ways(rooms, tx, identity)) if typed else []
    found = {_of(ways, one, now()) for one in typed}
    if Doubt.CHANGED in found:
        return Doubt.CHANGED
    return Doubt.UNKNOWN if asked is Rule.UNKNOWN and Doubt.UNKNOWN in found else None


def _of(ways: list[Way], typed: Channel, at: dt.datetime) -> Doubt | None:
    same = [way for way in ways if way.holds and are_one(way.channel, typed)]
    if any(way.since <= at - SETTLED for way in same):
        return None
    if any(w.channel.kind == typed.kind and not are_one(w.channel, typed) for w in ways):
        return Doubt.CHANGED
    return None if same else Doubt.UNKNOWN


def _ways(rooms: Rooms, tx: Act, identity: tuple[str, str]) -> Iterator[Way]:
    asked = {"issuer": identity[0], "patient_id": identity[1], "most": _MOST_GRANTS}
    for number, since, holds, *share in tx.execute(_SQL.ways_of_person, asked).fetchall():
        if share[0] is None or _was_theirs(rooms, *share):
            yield Way(granting.open_channel(rooms, tx, number), since, holds)


def _was_theirs(rooms: Rooms, share_id: int, person: Any, grant_id: int, recipient: Any) -> bool:
    """Whether a share went to the person it shows, by what both were called."""
    whose = granting.open_person(rooms, share_id, bytes(person))
    to = granting.open_recipient(rooms, grant_id, bytes(recipient))
    return not to.organisation.strip() and bool(words(whose.name) & words(to.name))
