"""What a blob's meta says of the object: written at ingest, read by recovery and reindex."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import orjson

from vna.dicom.frames import FrameTable
from vna.dicom.part10 import FileMeta
from vna.dicom.scan import Bulk, Scan
from vna.ingest.outcome import Source


def fields(
    scan: Scan,
    *,
    archive_id: bytes,
    sop_class: str,
    flags: frozenset[str],
    transfer_syntax: str,
    received_us: int,
    source: Source,
    principal: str,
    file: FileMeta,
    digest_received: bytes | None,
    quarantine: str | None = None,
) -> dict[str, Any]:
    """Every field of the meta but the attributes, as plain JSON values."""
    found: dict[str, Any] = {
        "archive": archive_id.hex(),
        "sop": scan.sop_instance,
        "study": scan.study,
        "series": scan.series,
        "sop_class": sop_class,
        "ts": transfer_syntax,
        "received_us": received_us,
        "source": {
            "proto": source.proto,
            "calling_ae": source.calling_ae,
            "called_ae": source.called_ae,
            "ip": source.address,
            "principal": principal,
            "tls_subject": source.tls_subject,
        },
        "group2": _b64(file.group2),
        "charset": scan.charset,
        "flags": sorted(scan.flags | flags),
        "pixel": _place(scan.pixel),
        "frames": None if scan.frames is None else _b64(scan.frames.encode()),
        "bulk": [[b.path, b.vr, b.offset, b.length] for b in scan.bulk],
    }
    if source.issuer is not None:
        found["source"]["issuer"] = source.issuer
    if any(file.preamble):
        found["preamble"] = _preamble(file.preamble)
    if digest_received is not None:
        found["digest_received"] = digest_received.hex()
    if quarantine is not None:
        found["quarantine"] = quarantine
    return found


def bulk_of(stored: dict[str, Any]) -> bytes | None:
    """The bulk places for the index row: None when nothing but Pixel Data is bulk."""
    rows = stored.get("bulk") or []
    return orjson.dumps(rows) if rows else None


def frames_of(stored: dict[str, Any]) -> FrameTable | None:
    """The frame table of a meta."""
    text = stored.get("frames")
    return None if text is None else FrameTable.decode(base64.b64decode(text))


def preamble_of(stored: dict[str, Any]) -> bytes:
    """The TIFF preamble that goes out again, or none: any other preamble is not given back."""
    return base64.b64decode((stored.get("preamble") or {}).get("tiff") or "")


def group2_of(stored: dict[str, Any]) -> bytes:
    """File Meta Information as received."""
    return base64.b64decode(stored["group2"])


def _preamble(preamble: bytes) -> dict[str, str | None]:
    # A preamble can make the file a program as well (CVE-2019-11687): only TIFF's is given back.
    is_tiff = preamble[:4] in (b"II*\0", b"MM\0*")
    return {
        "sha256": hashlib.sha256(preamble).hexdigest(),
        "first4": preamble[:4].hex(),
        "tiff": _b64(preamble) if is_tiff else None,
    }


def _place(bulk: Bulk | None) -> list[Any] | None:
    return None if bulk is None else [bulk.path, bulk.vr, bulk.offset, bulk.length]


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
