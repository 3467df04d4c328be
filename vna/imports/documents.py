"""Documents and pictures that are no DICOM objects, kept beside images just as they came.

They are sealed under a key of their import, which is destroyed with it, and never indexed: their
meta says that they are in quarantine, and of which import.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

import orjson

from vna.access.principal import Principal
from vna.blobs.meta import VERSION
from vna.blobs.store import BlobStore
from vna.blobs.writer import BlobWriter, StoredBlob
from vna.errors import TooLarge
from vna.texts import filled

MOST = 256 << 20
"""Bytes of one document."""

_MEDIA = (
    (b"%PDF-", "application/pdf"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n", "image/png"),
)


def media_of(head: bytes) -> str | None:
    """Tell a document by its first bytes; None when it is none that is kept."""
    return next((media for start, media in _MEDIA if head.startswith(start)), None)


@dataclass(slots=True)
class Incoming:
    """One document as it comes; sealed as it arrives. Used by one thread."""

    media: str
    _writer: BlobWriter
    _meta: bytes

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises `TooLarge`, `Unavailable`."""
        if self._writer.payload_len + len(data) > MOST:
            raise TooLarge(filled("A document may have at most %(most)s MB.", most=MOST >> 20))
        self._writer.write(data)

    def finish(self) -> StoredBlob:
        """Make it durable. Raises `Unavailable`."""
        return self._writer.finish(self._meta)

    def abort(self) -> None:
        """Keep nothing of it; without effect once it is durable."""
        self._writer.abort()


def incoming(store: BlobStore, batch: UUID, who: Principal, media: str) -> Incoming:
    """Begin to take a document of an import. Raises `Unavailable`."""
    key = store.keys.for_study(f"import/{batch.hex}/documents")
    meta = {
        "v": VERSION,
        "attributes": None,
        "archive": store.archive_id.hex(),
        "study": None,
        "document": media,
        "quarantine": batch.hex,
        "received_us": time.time_ns() // 1000,
        "source": {"proto": "import", "ip": who.address, "principal": who.name},
    }
    return Incoming(media, store.writer(key), orjson.dumps(meta))
