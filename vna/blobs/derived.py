"""What can be made again and is kept only for a while: images of discs. Sealed like all else.

Under a key drawn from the archive key, in a place of its own: nothing of it is adopted, backed up
or brought back by `vna reindex`. How old an object is stands in its name.
"""

from __future__ import annotations

import datetime as dt

from vna.blobs.keys import StudyKey
from vna.blobs.layout import DERIVATES, created_at
from vna.blobs.reader import BlobReader
from vna.blobs.store import BlobStore
from vna.blobs.writer import BlobWriter
from vna.crypto.envelope import DERIVED
from vna.errors import Gone, NotFound


class Derivates:
    """The derived objects of one store; shared by threads."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store

    def writer(self) -> BlobWriter:
        """Begin an object; it is there when `finish` returns."""
        parent = self._store.keyring.current
        key = self._store.keyring.derived_key(parent.key_id)
        of = StudyKey(key_id=parent.key_id, version=parent.version, key=key)
        return self._store.writer(of, kind=DERIVED)

    def reader(self, blob_id: bytes) -> BlobReader:
        """Open an object. Raises `Gone`, `Corrupt`, `Unavailable`."""
        try:
            return self._store.reader(blob_id, kind=DERIVED)
        except NotFound as exc:
            raise Gone("It was kept for a while only: have it made again.") from exc

    def delete(self, blob_id: bytes) -> None:
        """Remove an object; an absent one is no error."""
        self._store.delete(blob_id, kind=DERIVED)

    def sweep(self, older_s: float) -> int:
        """Remove what is older than this; count it."""
        latest = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=older_s)
        old = [one for one in self._store.ids(DERIVATES) if created_at(one) < latest]
        for blob_id in old:
            self.delete(blob_id)
        return len(old)
