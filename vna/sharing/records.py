"""Acts of sharing as journal entries: rows as they are inserted, in JSON; read back by reindex.

consent       a consent, allowed or not          consent-end   withdrawn or superseded
share-items   a part of a share's frozen list    share         the share, once its items are there
grant         a grant, or its new secrets        grant-end     revoked, locked, refused
share-end     a share revoked                    share-extend  a share that ends later
channel       where messages go                  share-hold    suspended, or going on
consent-text  what people are asked              consent-plan  how images go out by themselves
share-second  a share that waits for a colleague share-second-end  who agreed, or refused
patient-request      what a patient asks of us
patient-request-end  answered, or taken back
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from vna.dicom.refs import UID, InstanceRef
from vna.errors import Corrupt

CHANNEL = "channel"
CONSENT = "consent"
CONSENT_END = "consent-end"
CONSENT_PLAN = "consent-plan"
CONSENT_TEXT = "consent-text"
ITEMS = "share-items"
SHARE = "share"
GRANT = "grant"
GRANT_END = "grant-end"
SHARE_END = "share-end"
SHARE_EXTEND = "share-extend"
SHARE_HOLD = "share-hold"
SECOND = "share-second"
SECOND_END = "share-second-end"
REQUEST = "patient-request"
REQUEST_END = "patient-request-end"
OPS = frozenset(
    {
        *(CHANNEL, CONSENT, CONSENT_END, CONSENT_PLAN, CONSENT_TEXT, ITEMS, SHARE, GRANT),
        *(GRANT_END, SHARE_END, SHARE_EXTEND, SHARE_HOLD, SECOND, SECOND_END),
        *(REQUEST, REQUEST_END),
    }
)

ITEMS_OF_ENTRY = 3000  # each takes some 250 bytes at most of the 1 MiB of an entry


class Item(NamedTuple):
    """One instance of a share. A tuple: there may be tens of thousands."""

    ref: InstanceRef
    blob_id: bytes
    data_key: bytes
    size: int


def encode(row: Mapping[str, Any]) -> dict[str, Any]:
    """Write a row as JSON: bytes as base64, times in ISO 8601, each under its kind."""
    return {name: _encoded(value) for name, value in row.items()}


def decode(args: Mapping[str, Any]) -> dict[str, Any]:
    """Read a row. Raises `Corrupt`."""
    try:
        return {name: _decoded(value) for name, value in args.items()}
    except (ValueError, TypeError, KeyError) as exc:
        raise Corrupt("A journal entry of sharing is not readable.") from exc


def encode_items(items: Sequence[Item]) -> dict[str, Any]:
    """Write a part of a frozen list, each UID above an instance once."""
    studies: dict[str, dict[str, list[list[Any]]]] = {}
    for item in items:
        of_series = studies.setdefault(item.ref.study, {}).setdefault(item.ref.series, [])
        data_key = base64.b64encode(item.data_key).decode()
        of_series.append([item.ref.instance, item.blob_id.hex(), data_key, item.size])
    return studies


def decode_items(studies: Mapping[str, Any]) -> Iterator[Item]:
    """Read it. Raises `Corrupt`."""
    try:
        for study, of_study in studies.items():
            for series, rows in of_study.items():
                for instance, blob, data_key, size in rows:
                    yield Item(
                        InstanceRef(UID(study), UID(series), UID(instance)),
                        bytes.fromhex(blob),
                        base64.b64decode(data_key, validate=True),
                        int(size),
                    )
    except (ValueError, TypeError, AttributeError) as exc:
        raise Corrupt("A journal entry of sharing is not readable.") from exc


def _encoded(value: Any) -> Any:  # a value of a row
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, dt.datetime):
        return {"at": value.isoformat()}
    if isinstance(value, dt.date):
        return {"day": value.isoformat()}
    return value


def _decoded(value: Any) -> Any:  # a value of JSON
    if not isinstance(value, dict):
        return value
    if set(value) == {"bytes"}:
        return base64.b64decode(value["bytes"], validate=True)
    if set(value) == {"at"}:
        return dt.datetime.fromisoformat(value["at"])
    if set(value) == {"day"}:
        return dt.date.fromisoformat(value["day"])
    return value
