"""The DICOM JSON of instances: from the index, or from the blob where the index has none."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from vna.blobs.meta import BlobMeta, read
from vna.blobs.store import BlobStore
from vna.config import Limits
from vna.dicom.matching import Path
from vna.dicom.refs import InstanceRef, Ref
from vna.dicom.scan import Scanner
from vna.errors import Corrupt
from vna.index.metadata import Sealed

_URI = '"BulkDataURI":"{}bulkdata/'  # a quote inside a JSON string is escaped: this is no value
_RELATIVE = _URI.format("").encode()
_IDENTIFYING = frozenset({("00080016",), ("00080018",), ("0020000D",), ("0020000E",)})


@dataclass(frozen=True, slots=True)
class Description:
    """The DICOM JSON object of one instance, cut where each BulkDataURI begins.

    The cuts let a series of a thousand instances be answered under any base without looking
    through its text again.
    """

    ref: InstanceRef
    pieces: tuple[bytes, ...]

    def json(self, base: str = "") -> bytes:
        """The object with each BulkDataURI below `base`, which ends with a slash or is empty."""
        return b"".join(self.chunks(base))

    def chunks(self, base: str) -> Iterator[bytes]:
        """The same in its pieces, so that many of them are joined only once."""
        uri = _URI.format(base).encode()
        yield self.pieces[0]
        for piece in self.pieces[1:]:
            yield uri
            yield piece

    def members(self) -> dict[str, Any]:
        """The attributes as values."""
        read: dict[str, Any] = orjson.loads(self.json())
        return read

    @property
    def size(self) -> int:
        """How many bytes it holds."""
        return sum(len(piece) for piece in self.pieces)


def describe(ref: InstanceRef, json: bytes) -> Description:
    """Cut the DICOM JSON of an instance, as it is kept, at its relative BulkDataURIs."""
    return Description(ref, tuple(json.split(_RELATIVE)))


def selected(one: Description, includes: frozenset[Path]) -> Description:
    """Keep the attributes asked for, and the UIDs that say whose they are.

    A private attribute brings its creator with it.
    """
    kept = _kept(one.members(), includes | _IDENTIFYING)
    return describe(one.ref, orjson.dumps(kept))


def _kept(members: dict[str, Any], paths: Iterable[Path]) -> dict[str, Any]:
    below: dict[str, set[Path]] = {}
    for path in paths:
        below.setdefault(path[0], set()).add(path[1:])
    for tag in [tag for tag in below if int(tag[3], 16) % 2 and tag[4:6] != "00"]:
        below.setdefault(f"{tag[:4]}00{tag[4:6]}", {()})
    kept = {}
    for tag in sorted(below.keys() & members.keys()):
        element = members[tag]
        if () not in below[tag] and element["vr"] == "SQ" and "Value" in element:
            items = [_kept(item, below[tag]) for item in element["Value"]]
            element = {"vr": "SQ", "Value": items}
        kept[tag] = element
    return kept


Described = list[Description]
"""Instances in order."""

_MOST_BYTES = 48 << 20
KEPT_MOST = 12 << 20


class Kept:
    """Metadata that was asked for lately, unsealed: a viewer asks for a series again and again.

    An entry is good for as long as the index's revision of its reference is the same. Bounded in
    bytes; the least recently used goes first. Shared by threads.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most_bytes
        self._size = 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[Ref, tuple[str, Described, int]] = OrderedDict()

    def find(self, ref: Ref, revision: str) -> Described | None:
        """What was kept of `ref`, if it is of this revision."""
        with self._lock:
            found = self._entries.get(ref)
            if found is None or found[0] != revision:
                return None
            self._entries.move_to_end(ref)
            return found[1]

    def keep(self, ref: Ref, revision: str, described: Described) -> None:
        """Keep what was unsealed; at most `KEPT_MOST` bytes of it."""
        size = sum(one.size for one in described)
        with self._lock:
            if (old := self._entries.pop(ref, None)) is not None:
                self._size -= old[2]
            self._entries[ref] = (revision, described, size)
            self._size += size
            while self._size > self._most:
                _, (_, _, gone) = self._entries.popitem(last=False)
                self._size -= gone


def unsealed(store: BlobStore, row: Sealed, limits: Limits) -> bytes:
    """The DICOM JSON object of one instance; each BulkDataURI still relative (`bulkdata/...`)."""
    json = None
    if row.sealed is not None:
        json = store.index_json(row.key_id, row.key_version, row.blob_id, row.sealed)
    return from_blob(store, row.blob_id, limits) if json is None else json


def from_blob(
    store: BlobStore, blob_id: bytes, limits: Limits, meta: BlobMeta | None = None
) -> bytes:
    """The same from the blob's meta, or, past the meta's cap, from the payload itself."""
    reader = store.reader(blob_id)
    meta = meta or read(reader.meta())
    if meta.json is not None:
        return meta.json
    pieces: list[bytes] = []
    transfer_syntax = meta.fields.get("ts")
    if not isinstance(transfer_syntax, str):
        raise Corrupt("The meta of this blob lacks its Transfer Syntax.")
    scanner = Scanner(transfer_syntax, limits, json=pieces.append)
    for chunk in reader.chunks():
        scanner.feed(chunk)
    scanner.finish()
    return b"".join(pieces)
