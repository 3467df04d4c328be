"""From a blob to its index row: one function for what has just come in and for what is read back.

Because ingest, recovery and reindex all come through here, an index rebuilt from the blobs alone
is equal to the one that was lost.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

from vna.blobs.meta import READY_BYTES, BlobMeta, read
from vna.blobs.sealing import seal_json
from vna.blobs.store import BlobReader, BlobStore, StoredBlob
from vna.config import Limits, Site
from vna.dicom.attributes import ALL_INDEXED
from vna.dicom.refs import InstanceRef, uid
from vna.dicom.scan import Scanner
from vna.errors import Corrupt
from vna.index.extras import Extra
from vna.index.register import Registration
from vna.ingest.extras import Added, extra_of, zone_of
from vna.ingest.meta import bulk_of, frames_of, group2_of, preamble_of

log = logging.getLogger(__name__)


def registration(
    stored: StoredBlob,
    fields: dict[str, Any],
    *,
    attributes: dict[str, Any],
    metadata: bytes | None,
    issuer: str,
    extra: Extra | None = None,
    actor_kind: str = "system",
) -> Registration:
    """The index row of a blob: `fields` is its meta, `attributes` its indexed attributes."""
    source = fields["source"]
    frames = frames_of(fields)
    return Registration(
        ref=InstanceRef(uid(fields["study"]), uid(fields["series"]), uid(fields["sop"])),
        sop_class=fields["sop_class"],
        transfer_syntax=fields["ts"],
        attributes=attributes,
        issuer=source.get("issuer") or issuer,  # kept in the blob: a rebuild says the same
        blob_id=stored.blob_id,
        key_id=stored.key_id,
        key_version=stored.key_version,
        created_us=stored.created_us,
        header=stored.header,
        payload_len=stored.payload_len,
        digest=stored.payload_sha256,
        size=stored.size,
        checksum=stored.checksum,
        frames=None if frames is None else frames.encode(),
        frame_count=None if frames is None else frames.count,
        pixel=None if fields["pixel"] is None else tuple(fields["pixel"]),
        bulk=bulk_of(fields),
        group2=group2_of(fields),
        preamble=preamble_of(fields),
        metadata=metadata,
        received_at=dt.datetime.fromtimestamp(fields["received_us"] / 1e6, dt.UTC),
        proto=source["proto"],
        calling_ae=source["calling_ae"],
        called_ae=source["called_ae"],
        address=source["ip"],
        principal=source["principal"],
        charset=fields["charset"],
        flags=frozenset(fields["flags"]),
        extra=extra,
        actor_kind=actor_kind,
    )


def from_blob(
    store: BlobStore,
    reader: BlobReader,
    *,
    site: Site,
    limits: Limits,
    added: Added = (),
    meta: BlobMeta | None = None,
) -> Registration:
    """Read an index row back out of a sealed blob; `added` is made searchable. Raises `Corrupt`.

    `meta` is that of the blob where it was read already.
    """
    meta = meta or read(reader.meta())
    try:
        attributes, raw = attributes_of(meta, reader, limits)
        key = store.keys.open(reader.key_id, reader.key_version)
        sealed = None if raw is None else seal_json(key, reader.blob_id, raw)
        return registration(
            _as_stored(reader),
            meta.fields,
            attributes=attributes,
            metadata=sealed,
            issuer=site.issuer,
            extra=extra_of(meta.json, added, zone_of(site)) if added else None,
        )
    except (KeyError, TypeError, IndexError, ValueError) as exc:
        raise Corrupt("The meta of this blob lacks what the index needs.") from exc


def attributes_of(
    meta: BlobMeta, reader: BlobReader, limits: Limits
) -> tuple[dict[str, Any], bytes | None]:
    """Give the indexed attributes of a blob, and its DICOM JSON when that stands in the index."""
    if meta.json is not None:
        whole = meta.fields["attributes"]
        raw = meta.json if len(meta.json) <= READY_BYTES else None
        return {tag: found for tag, found in whole.items() if tag in ALL_INDEXED}, raw
    # the attributes were past the cap: the payload itself says them again
    scanner = Scanner(meta.fields["ts"], limits, json=lambda _: None)
    for chunk in reader.chunks():
        scanner.feed(chunk)
    return scanner.finish().attributes, None


def _as_stored(reader: BlobReader) -> StoredBlob:
    return StoredBlob(
        blob_id=reader.blob_id,
        key_id=reader.key_id,
        key_version=reader.key_version,
        created_us=reader.created_us,
        header=reader.header,
        payload_len=reader.payload_len,
        payload_sha256=reader.payload_sha256,
        size=reader.size,
        checksum=reader.checksum,
    )
