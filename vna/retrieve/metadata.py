"""The DICOM JSON of instances: from the index, or from the blob where the index has none."""

from __future__ import annotations

from vna.blobs.meta import read
from vna.blobs.sealing import open_json
from vna.blobs.store import BlobStore
from vna.config import Limits
from vna.dicom.scan import Scanner
from vna.errors import Corrupt
from vna.index.metadata import Sealed


def unsealed(store: BlobStore, row: Sealed, limits: Limits) -> bytes:
    """The DICOM JSON object of one instance; each BulkDataURI still relative (`bulkdata/...`)."""
    if row.sealed is not None:
        key = store.keys.open(row.key_id, row.key_version)
        return open_json(key, row.blob_id, row.sealed)
    return from_blob(store, row.blob_id, limits)


def from_blob(store: BlobStore, blob_id: bytes, limits: Limits) -> bytes:
    """The same from the blob's meta, or, past the meta's cap, from the payload itself."""
    reader = store.reader(blob_id)
    meta = read(reader.meta())
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
