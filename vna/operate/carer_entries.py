"""What the journal says of carers: enough to have them again when the database is lost."""

from __future__ import annotations

import datetime as dt
from typing import Any

from vna.blobs.journal import Entry
from vna.errors import Corrupt
from vna.operate.identity_entries import Party, described, party_of
from vna.patients.store import Identity

GIVEN, ENDED, HIDDEN, MOVED = "carer", "carer-end", "carer-hidden", "carer-moved"
OPS = frozenset({GIVEN, ENDED, HIDDEN, MOVED})

_TIMES = ("given_at", "ends_at", "ended_at", "at")
_BYTES = ("identity_id", "called")


def target_of(whom: Identity) -> dict[str, Any]:
    """Describe whom a carer acts for."""
    return {"first": described(whom)}


def encoded(row: dict[str, Any]) -> dict[str, Any]:
    """Write a row as JSON."""
    found = dict(row)
    for name in _TIMES:
        if found.get(name) is not None:
            found[name] = found[name].isoformat()
    for name in _BYTES:
        if name in found:
            found[name] = found[name].hex()
    return found


def decoded(entry: Entry) -> dict[str, Any]:
    """Read a row. Raises `Corrupt`."""
    found = dict(entry.args)
    try:
        for name in _TIMES:
            if found.get(name) is not None:
                found[name] = dt.datetime.fromisoformat(found[name])
        for name in _BYTES:
            if name in found:
                found[name] = bytes.fromhex(found[name])
    except (TypeError, ValueError) as exc:
        raise Corrupt("A journal entry about carers is not readable.") from exc
    return found


def whom(entry: Entry) -> Party:
    """Read whom a carer acts for. Raises `Corrupt`."""
    try:
        return party_of(entry.target["first"])
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise Corrupt("A journal entry does not say whom a carer acts for.") from exc
