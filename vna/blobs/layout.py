"""Names of objects: a function of an id made by us, never of anything that came from outside.

b/<UTC day>/<last byte>/<uuid>.vnb   sealed data sets      k/<last byte>/<uuid>.json   study keys
j/<UTC day>/<uuid>.vnb               journal               k/archive/<uuid>[.n].json   archive keys
d/<UTC day>/<uuid>.vnb               what can be made again: images of discs
a/<UTC day>/<uuid>.json              checkpoints of the audit trail, signed, not sealed
"""

from __future__ import annotations

import datetime
import os
import threading
import time
import uuid

from vna.crypto.envelope import DATA_SET, DERIVED, JOURNAL

ARCHIVE_FILE = "archive.json"
BLOBS = "b/"
JOURNALS = "j/"
DERIVATES = "d/"
KEYS = "k/"
ARCHIVE_KEYS = "k/archive/"
CHECKPOINTS = "a/"


_BY_DAY = {JOURNAL: JOURNALS, DERIVED: DERIVATES}


class _Ids:
    """UUIDs of version 7 (RFC 9562 5.7, method 3) that only ever grow within a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> bytes:
        """Draw one; it stays greater than the last even when the clock is set back."""
        now = time.time_ns()
        ticks = (now // 1_000_000) << 12 | (now % 1_000_000) * 4096 // 1_000_000
        with self._lock:
            self._last = ticks = max(ticks, self._last + 1)
        head = (ticks >> 12) << 16 | 0x7000 | (ticks & 0xFFF)
        tail = int.from_bytes(os.urandom(8), "big") >> 2 | 0x8000_0000_0000_0000
        return (head << 64 | tail).to_bytes(16, "big")


_ids = _Ids()  # one per process: ids must grow across all stores of it


def uuid7() -> bytes:
    """Draw an id: ordered by time, growing within this process, 62 random bits."""
    return _ids.next()


def created_at(blob_id: bytes) -> datetime.datetime:
    """Give the time in an id, in UTC."""
    milliseconds = int.from_bytes(blob_id[:6], "big")
    return _EPOCH + datetime.timedelta(milliseconds=min(milliseconds, _LAST_MILLISECOND))


def day_of(blob_id: bytes) -> datetime.date:
    """Give the UTC day of an id."""
    return created_at(blob_id).date()


def blob_name(blob_id: bytes, kind: int = 1) -> str:
    """Name a blob: data sets by day and last byte, all others by day."""
    text = str(uuid.UUID(bytes=blob_id))
    if kind != DATA_SET:
        return f"{_BY_DAY[kind]}{day_of(blob_id)}/{text}.vnb"
    return f"b/{day_of(blob_id)}/{text[-2:]}/{text}.vnb"


def day_folders(day: datetime.date) -> list[str]:
    """Name every folder the data sets of a day go to."""
    return [f"b/{day}/{byte:02x}" for byte in range(256)]


def key_name(key_id: bytes) -> str:
    """Name the key object of a study key."""
    text = str(uuid.UUID(bytes=key_id))
    return f"k/{text[-2:]}/{text}.json"


def archive_key_name(key_id: bytes, wrap: int = 0) -> str:
    """Name a key object of an archive key; under another root key it gets another, by number."""
    number = f".{wrap}" if wrap else ""
    return f"k/archive/{uuid.UUID(bytes=key_id)}{number}.json"


def wrap_of(name: str) -> int:
    """Read the number of a wrap from the name of an archive key's object; 0 for the first."""
    number = name.rpartition("/")[2].split(".")[1]
    return int(number) if number.isdecimal() else 0


def checkpoint_name(checkpoint_id: bytes) -> str:
    """Name a checkpoint of the audit trail."""
    return f"a/{day_of(checkpoint_id)}/{uuid.UUID(bytes=checkpoint_id)}.json"


def id_of(name: str) -> bytes | None:
    """Read the id from a name; None for a name that is not one of ours."""
    stem = name.rpartition("/")[2].partition(".")[0]
    try:
        found = uuid.UUID(stem)
    except ValueError:
        return None
    return found.bytes if str(found) == stem else None


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_LAST_MILLISECOND = 253_402_300_799_999  # of the year 9999; 48 bits go further
