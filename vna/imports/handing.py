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
from vna.index.locate import Located
from vna.ingest.meta import bulk_of, frames_of, group2_of, preamble_of
from vna.retrieve.kept import Lately
from vna.retrieve.package import Entry, checksums, file_names, package
from vna.retrieve.payload import Buffer, Stretch, joined, ready
from vna.retrieve.render import Apart

LOOK_S = 0.4
"""A body under way looks so often whether it may go on."""

_REMEMBERED, _REMEMBERED_S = 8, 600.0
_MOST = 5000  # objects of a list that is remembered
_LOOKED = 16 << 20  # bytes of DICOM JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One object in quarantine: where it is, and its file."""

    located: Located
    content: Stretch
    keys: Elements  # what a directory tells of it

    @property
    def ref(self) -> InstanceRef:
        """Name it."""
        return self.located.ref


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
        self._packed: Recent[bytes, Handed] = Recent(_REMEMBERED, _REMEMBERED_S)
        self._looked: Lately[Apart] = Lately(
            _LOOKED, lambda one: one.weight + len(one.table or b"")
        )

    def zipped(
        self, blob_ids: Sequence[bytes], documents: Sequence[Document], since: dt.datetime
    ) -> Handed:
        """Pack objects with a DICOMDIR, and documents beside them. Raises `NotFound`."""
        ids = [*blob_ids, *(one.blob_id for one in documents)]
        revision = hashlib.sha256(b"".join(ids))
        found = self._packed.get(revision.digest())
        if found is None:
            content = self._zip(blob_ids, documents, since, revision.digest())
            found = Handed(content=content, revision=revision.hexdigest(), changed_at=since)
            if len(ids) <= _MOST:
                self._packed.put(revision.digest(), found)
        return found

    def _zip(
        self,
        blob_ids: Sequence[bytes],
        documents: Sequence[Document],
        since: dt.datetime,
        revision: bytes,
    ) -> Stretch:
        held = self.listed(blob_ids)
        names = list(file_names(held))
        listed = [
            Listed(
                file_id=name,
                sop_class=one.located.sop_class,
                sop_instance=one.ref.instance,
                transfer_syntax=one.located.transfer_syntax,
                keys=one.keys,
            )
            for one, name in zip(held, names, strict=True)
        ]
        files = [("DICOMDIR", ready(dicomdir(listed)), revision)]
        for one, name in zip(held, names, strict=True):
            files.append(("/".join(name), one.content, one.located.blob_id))
        for at, document in enumerate(documents, 1):
            path = f"DOCUMENTS/DOC{at:05}.{document.ending.upper()}"
            files.append((path, self.document(document).content, document.blob_id))
        entries = [Entry(name=n, content=c, changed_at=since, key=k) for n, c, k in files]
        return package(entries, self._checksums)

    def document(self, document: Document, since: dt.datetime | None = None) -> Handed:
        """Give a document as it came. Raises `NotFound`."""
        reader = self._store.reader(document.blob_id)
        return Handed(
            content=self._stretch(reader),
            revision=document.blob_id.hex(),
            changed_at=since or dt.datetime.now(dt.UTC),
        )

    def listed(self, blob_ids: Sequence[bytes]) -> list[Held]:
        """Read what these objects are, in this order; remembered for a while."""
        name = hashlib.sha256(b"".join(blob_ids)).digest()
        held = self._lately.get(name)
        if held is None:
            held = [self._held(blob_id) for blob_id in blob_ids]
            if len(held) <= _MOST:
                self._lately.put(name, held)
        return held

    def apart(self, blob_id: bytes) -> Apart:
        """Give an object to be looked at. Raises `NotFound`, `Corrupt`."""

        def look() -> Apart:
            reader = self._store.reader(blob_id)
            meta = read(reader.meta())
            table = frames_of(meta.fields)
            return Apart(
                located=_located(reader, meta.fields),
                members=meta.fields.get("attributes") or {},
                weight=len(meta.json or b""),
                table=None if table is None else table.encode(),
            )

        return self._looked.get(blob_id, look)

    def _held(self, blob_id: bytes) -> Held:
        reader = self._store.reader(blob_id)
        fields = read(reader.meta()).fields
        located = _located(reader, fields)
        head = file_head(group2=located.group2, preamble=located.preamble)
        return Held(
            located=located,
            content=joined((ready(head), self._stretch(reader))),
            keys=keys_of(fields.get("attributes") or {}),
        )

    def _stretch(self, reader: BlobReader) -> Stretch:
        store, blob_id, header = self._store, reader.blob_id, reader.header
        size = reader.payload_len

        def walk(start: int, end: int) -> Iterator[Buffer]:
            return store.views(blob_id, header, size, start, end - start)

        return Stretch(size, walk)


def _located(reader: BlobReader, fields: dict[str, Any]) -> Located:
    """Say where an object is, as the catalogue would."""
    table, pixel = frames_of(fields), fields["pixel"]
    return Located(
        ref=InstanceRef(uid(fields["study"]), uid(fields["series"]), uid(fields["sop"])),
        sop_class=fields["sop_class"],
        transfer_syntax=fields["ts"],
        blob_id=reader.blob_id,
        header=reader.header,
        payload_len=reader.payload_len,
        digest=reader.payload_sha256,
        size=reader.size,
        key_id=reader.key_id,
        key_version=reader.key_version,
        number=_number(fields.get("attributes") or {}),
        frame_count=None if table is None else table.count,
        pixel=None if pixel is None else (pixel[0], pixel[1], pixel[2], pixel[3]),
        bulk=bulk_of(fields),
        group2=group2_of(fields),
        preamble=preamble_of(fields),
        changed_at=dt.datetime.fromtimestamp(reader.created_us / 1e6, dt.UTC),
    )


def _number(attributes: Elements) -> int | None:
    """Read the Instance Number, where it is one."""
    try:
        return int(attributes["00200013"]["Value"][0])
    except (KeyError, IndexError, TypeError, ValueError):
        return None


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
