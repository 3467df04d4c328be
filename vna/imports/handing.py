"""What lies in quarantine, handed on: each object as the file it came as, all of them as one ZIP.

Nothing here asks the catalogue, and nothing of the archive is laid over the objects.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vna.blobs.meta import read
from vna.blobs.recent import Recent
from vna.blobs.store import BlobReader, BlobStore
from vna.dicom.directory import Elements, Listed, dicomdir, keys_of
from vna.dicom.part10 import file_head
from vna.dicom.refs import InstanceRef, uid
from vna.errors import Gone
from vna.imports.exchanges import Document
from vna.ingest.meta import group2_of, preamble_of
from vna.retrieve.package import Entry, checksums, file_names, package
from vna.retrieve.payload import Buffer, Stretch, joined, ready

LOOK_S = 0.4
"""A body under way looks so often whether it may go on."""

_REMEMBERED, _REMEMBERED_S = 8, 600.0

Row = Sequence[Any]  # the columns of a named statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One object in quarantine: what it is, and its file."""

    ref: InstanceRef
    sop_class: str
    transfer_syntax: str
    blob_id: bytes
    content: Stretch
    keys: Elements  # what a directory tells of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """Bytes that are handed on; other bytes have another revision."""

    content: Stretch
    revision: str
    changed_at: dt.datetime


class Handing:
    """Gives out what lies in quarantine. One a process, shared by its threads."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._checksums = checksums()
        self._lately: Recent[bytes, list[Held]] = Recent(_REMEMBERED, _REMEMBERED_S)

    def zipped(
        self, rows: Sequence[Row], documents: Sequence[Document], since: dt.datetime
    ) -> Handed:
        """Pack objects, rows of `held`, with a DICOMDIR, and documents. Raises `NotFound`."""
        revision = hashlib.sha256(
            b"".join([*(r[0] for r in rows), *(d.blob_id for d in documents)])
        )
        held = self._lately.get(revision.digest())
        if held is None:
            held = [self._held(row) for row in rows]
            self._lately.put(revision.digest(), held)
        names = list(file_names(held))
        listed = [
            Listed(
                file_id=name,
                sop_class=one.sop_class,
                sop_instance=one.ref.instance,
                transfer_syntax=one.transfer_syntax,
                keys=one.keys,
            )
            for one, name in zip(held, names, strict=True)
        ]
        files = [("DICOMDIR", ready(dicomdir(listed)), revision.digest())]
        for one, name in zip(held, names, strict=True):
            files.append(("/".join(name), one.content, one.blob_id))
        for at, document in enumerate(documents, 1):
            path = f"DOCUMENTS/DOC{at:05}.{document.ending.upper()}"
            files.append((path, self.document(document).content, document.blob_id))
        entries = [Entry(name=n, content=c, changed_at=since, key=k) for n, c, k in files]
        return Handed(
            content=package(entries, self._checksums),
            revision=revision.hexdigest(),
            changed_at=since,
        )

    def document(self, document: Document, since: dt.datetime | None = None) -> Handed:
        """Give a document as it came. Raises `NotFound`."""
        reader = self._store.reader(document.blob_id)
        return Handed(
            content=self._stretch(reader),
            revision=document.blob_id.hex(),
            changed_at=since or dt.datetime.now(dt.UTC),
        )

    def _held(self, row: Row) -> Held:
        blob_id, study, series, instance, sop_class = row
        reader = self._store.reader(blob_id)
        fields = read(reader.meta()).fields
        head = file_head(group2=group2_of(fields), preamble=preamble_of(fields))
        return Held(
            ref=InstanceRef(uid(study), uid(series), uid(instance)),
            sop_class=sop_class,
            transfer_syntax=fields["ts"],
            blob_id=blob_id,
            content=joined((ready(head), self._stretch(reader))),
            keys=keys_of(fields.get("attributes") or {}),
        )

    def _stretch(self, reader: BlobReader) -> Stretch:
        store, blob_id, header = self._store, reader.blob_id, reader.header
        size = reader.payload_len

        def walk(start: int, end: int) -> Iterator[Buffer]:
            return store.views(blob_id, header, size, start, end - start)

        return Stretch(size, walk)


def watched(content: Stretch, stands: Callable[[], bool]) -> Stretch:
    """Let bytes be walked as long as `stands` says so; it is asked twice a second."""

    def walk(start: int, end: int) -> Iterator[Buffer]:
        asked = time.monotonic()
        pieces = content.walk(start, end)
        try:
            for piece in pieces:
                if time.monotonic() - asked > LOOK_S:
                    if not stands():
                        raise Gone("What was being sent is not to be had any more.")
                    asked = time.monotonic()
                yield piece
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()

    return Stretch(content.length, walk)
