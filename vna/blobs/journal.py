"""The journal: rare acts that must outlive the database, one sealed object each.

An entry is written before the act is answered and read back by `vna reindex`: tombstones, holds,
version choices, identity links, consents, shares, grants, revocations. The entries of one process
form a chain by their SHA-256; between processes there is no order but time. Sealed under a key
drawn from the archive key, so that no destroyed study key takes one with it (docs/crypto.md 6).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from vna.blobs.keys import StudyKey
from vna.blobs.layout import JOURNALS, created_at
from vna.blobs.store import BlobStore
from vna.crypto.envelope import JOURNAL
from vna.errors import Corrupt, TooLarge

ENTRY_MAX = 1 << 20
_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One act, as it was written down."""

    id: bytes
    at: str  # UTC, ISO 8601
    actor: str
    op: str
    target: dict[str, Any]  # JSON
    args: dict[str, Any]  # JSON


class Journal:
    """Appends to and replays the journal of one store; shared by threads."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._previous: str | None = None

    def append(self, op: str, target: dict[str, Any], args: dict[str, Any], actor: str) -> bytes:
        """Write an act down; durable on return. Gives its id. Raises `Unavailable`."""
        with self._lock, self._store.writer(self._key(), kind=JOURNAL) as writer:
            line = orjson.dumps(
                {
                    "id": writer.blob_id.hex(),
                    "at": created_at(writer.blob_id).isoformat(timespec="milliseconds"),
                    "actor": actor,
                    "op": op,
                    "target": target,
                    "args": args,
                    "prev_sha256": self._previous,
                },
                option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE,
            )
            if len(line) > ENTRY_MAX:
                raise TooLarge("A journal entry may have at most 1 MiB.")
            writer.write(line)
            writer.finish(orjson.dumps({"v": 1, "epoch": self._store.epoch.hex()}))
            # only a durable entry is a link of the chain: a failed one is not looked for later
            self._previous = hashlib.sha256(line).hexdigest()
            return writer.blob_id

    def replay(self) -> Iterator[Entry]:
        """Read every entry in order of time. Raises `Corrupt` when one of a chain is missing.

        What is cut off at the end of a chain is not noticed: nothing follows it.
        """
        seen: set[str] = set()
        for blob_id in self._store.ids(JOURNALS):
            line, entry, previous = self._load(blob_id)
            if previous is not None and previous not in seen:
                raise Corrupt(f"The entry before {blob_id.hex()} of the journal is missing.")
            seen.add(hashlib.sha256(line).hexdigest())
            yield entry

    def unknown(
        self,
        known: Callable[[Sequence[bytes]], set[bytes]],
        *,
        older_s: float,
        since: dt.date | None = None,
    ) -> Iterator[Entry]:
        """Read the entries that are not `known`: a crash kept them from taking effect.

        Those younger than `older_s` seconds may be under way in another process; those of days
        before `since` are not looked at. Raises `Corrupt`.
        """
        latest = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=older_s)
        ids = self._store.ids(JOURNALS, after=f"{JOURNALS}{since}" if since else "")
        while batch := list(islice(ids, _BATCH)):
            there = known(batch)
            for entry_id in batch:
                if entry_id not in there and created_at(entry_id) <= latest:
                    yield self.read(entry_id)

    def read(self, entry_id: bytes) -> Entry:
        """Read one entry, whatever its chain. Raises `NotFound`, `Corrupt`."""
        return self._load(entry_id)[1]

    def _key(self) -> StudyKey:
        parent = self._store.keyring.current
        key = self._store.keyring.journal_key(parent.key_id)
        return StudyKey(key_id=parent.key_id, version=parent.version, key=key)

    def _load(self, entry_id: bytes) -> tuple[bytes, Entry, str | None]:
        """Read the line of an entry, what it says, and the SHA-256 of the one before."""
        try:
            line = self._read(entry_id)
            entry, previous = _parse(line)
        except Corrupt as exc:
            raise Corrupt(f"The journal entry {entry_id.hex()} is damaged: {exc}") from exc
        if entry.id != entry_id:
            raise Corrupt(f"The journal entry {entry_id.hex()} stands under another's name.")
        return line, entry, previous

    def _read(self, blob_id: bytes) -> bytes:
        reader = self._store.reader(blob_id, kind=JOURNAL)
        if reader.payload_len > ENTRY_MAX:
            raise TooLarge("A journal entry may have at most 1 MiB.")
        return reader.read(0, reader.payload_len)


def _parse(line: bytes) -> tuple[Entry, str | None]:
    try:
        values = orjson.loads(line)
        entry = Entry(
            id=bytes.fromhex(values["id"]),
            at=values["at"],
            actor=values["actor"],
            op=values["op"],
            target=values["target"],
            args=values["args"],
        )
        return entry, values["prev_sha256"]
    except (ValueError, KeyError, TypeError) as exc:
        raise Corrupt("A journal entry is not readable.") from exc
