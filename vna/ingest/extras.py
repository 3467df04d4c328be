"""What an object says of the attributes made searchable, read from its DICOM JSON."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Sequence

import orjson

from vna.blobs.meta import read
from vna.blobs.store import BlobStore
from vna.config import Site
from vna.dicom.searchable import Searchable
from vna.errors import ConfigError
from vna.index.extras import Extra, extra

PARSED_MOST = 16 << 20
"""Bytes of DICOM JSON that are looked into: parsing takes several times as much memory."""

Added = Sequence[Searchable]

_NOTHING = Extra(None, None, None)


def zone_of(site: Site) -> dt.tzinfo:
    """Return the zone of the site. Raises `ConfigError`."""
    try:
        return zoneinfo.ZoneInfo(site.timezone)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as exc:
        raise ConfigError(f"site.timezone is no time zone: {site.timezone!r}.") from exc


def extra_of(json: bytes | None, added: Added, zone: dt.tzinfo) -> Extra:
    """Read what an instance says of the added attributes; nothing past `PARSED_MOST`."""
    if json is None or len(json) > PARSED_MOST:
        return _NOTHING
    return extra(orjson.loads(json), added, zone=zone)


def json_of(store: BlobStore, blob_id: bytes) -> bytes | None:
    """Read the DICOM JSON of an instance from its blob; None where it was past the cap there."""
    return read(store.reader(blob_id).meta()).json
