"""The blob store: sealed bytes in, plain and authenticated bytes out.

One store is shared by the threads of a process; after a fork each process opens its own. Whatever
fails on the way in leaves nothing visible; whatever does not verify on the way out is not given.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from vna.blobs import archive
from vna.blobs.archive import Archive
from vna.blobs.backends import Backend, connect
from vna.blobs.checkpoints import Checkpoints
from vna.blobs.files import Files
from vna.blobs.keys import OPEN_S, StudyKey, StudyKeys
from vna.blobs.layout import ARCHIVE_FILE, BLOBS, blob_name, day_folders, id_of, uuid7
from vna.blobs.reader import BlobReader, Source, payload_chunks, payload_views, read_blob
from vna.blobs.recent import Recent
from vna.blobs.rooms import Rooms
from vna.blobs.sealing import open_json
from vna.blobs.writer import BlobWriter, StoredBlob
from vna.crypto.envelope import (
    DATA_SET,
    DERIVED,
    HEADER_SIZE,
    JOURNAL,
    Core,
    Subkeys,
    data_key,
    open_header,
)
from vna.crypto.keyring import Keyring, RootKey
from vna.crypto.stream import TRAILER_SIZE, Cut, PayloadOpener, scrub
from vna.errors import Corrupt, NotFound, Unavailable
from vna.telemetry import BLOB_READS_CORRUPT

__all__ = ["BlobReader", "BlobStore", "BlobWriter", "StoredBlob"]

_ROOMS = 8
_OPENERS = 2048
_SCRUB_STEP = 1 << 20


class BlobStore:
    """The sealed objects of one archive in one place."""

    def __init__(self, backend: Backend, found: Archive, keyring: Keyring) -> None:
        self.archive_id = found.archive_id
        self.store_id = found.store_id
        self.epoch = uuid7()
        self.keyring = keyring
        self.keys = StudyKeys(backend, keyring, self._confirm)
        self.checkpoints = Checkpoints(backend, keyring)
        self._backend = backend
        self._openers: Recent[bytes, tuple[bytes, PayloadOpener]] = Recent(_OPENERS, OPEN_S)
        self._rooms = Rooms(_ROOMS)

    @staticmethod
    def init(
        where: str | Path | Backend,
        archive_id: bytes,
        root: RootKey,
        *,
        escrow_key: str | None = None,
        files: Files | None = None,
    ) -> None:
        """Make a store with its archive key; without effect on a store of the same archive.

        Raises `ConfigError` for another archive's, `WrongKey` when the root key is another.
        """
        backend = _backend(where, files)
        try:
            archive.establish(backend, Keyring(root, archive_id), escrow_key)
        finally:
            backend.close()

    @staticmethod
    def describe(where: str | Path | Backend, files: Files | None = None) -> Archive:
        """Read which archive a store belongs to. Raises `NotFound`, `ConfigError`."""
        backend = _backend(where, files)
        try:
            return archive.describe(backend)
        finally:
            backend.close()

    @classmethod
    def open(
        cls, where: str | Path | Backend, keyring: Keyring, *, files: Files | None = None
    ) -> Self:
        """Open a store and its archive keys. Raises `ConfigError`, `WrongKey`."""
        backend = _backend(where, files)
        try:
            return cls(backend, archive.unlock(backend, keyring), keyring)
        except BaseException:
            backend.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of keys and files."""
        self._openers.clear()
        self._backend.close()

    def rewrap(self, root: RootKey) -> None:
        """Keep the archive keys under another root key, too: from then on either opens it."""
        archive.rewrap(self._backend, self.keyring, root)

    def forget_other_roots(self, keyring: Keyring) -> int:
        """Remove what opens with other root keys than that of `keyring`; count the key objects.

        Raises `WrongKey` when that does not open this store.
        """
        archive.unlock(self._backend, keyring)
        return archive.forget_others(self._backend, keyring)

    def writer(self, key: StudyKey, *, kind: int = DATA_SET) -> BlobWriter:
        """Begin a blob under a fresh id and data key; a retry needs another writer."""
        core = Core(
            blob_id=uuid7(),
            archive_id=self.archive_id,
            key_id=key.key_id,
            key_version=key.version,
            created_us=time.time_ns() // 1000,
            store_id=self.store_id,
            kind=kind,
        )
        return BlobWriter(self._backend, core, key.key, self._rooms)

    def reader(self, blob_id: bytes, *, kind: int = DATA_SET) -> BlobReader:
        """Open a blob by its id alone, from the header copy when the header is damaged.

        Raises `NotFound`, `Gone` when its key was destroyed, `Corrupt`, `WrongKey`.
        """
        try:
            return read_blob(self._source(blob_id, kind), blob_id, kind, self._subkeys)
        except Corrupt:
            BLOB_READS_CORRUPT.inc()
            raise
        except NotFound:
            self._confirm()
            raise

    def read_range(
        self, blob_id: bytes, header: bytes, payload_len: int, offset: int, length: int
    ) -> bytes:
        """Read payload[offset : offset + length] in one request, every byte authenticated.

        Header and length are the index's: the bytes of an exchanged file are `Corrupt`.
        """
        opener = self._opener(blob_id, header)
        cut = Cut.of(payload_len, offset, length)
        try:
            return self._source(blob_id).open(opener, cut)
        except NotFound:
            self._confirm()
            raise

    def chunks(
        self,
        blob_id: bytes,
        header: bytes,
        payload_len: int,
        offset: int = 0,
        length: int | None = None,
        *,
        size: int = 1 << 20,
    ) -> Iterator[bytes]:
        """Stream a payload or a range of it, about `size` bytes at a time."""

        def read(start: int, count: int) -> bytes:
            return self.read_range(blob_id, header, payload_len, start, count)

        return payload_chunks(read, payload_len, offset, length, size)

    def views(
        self,
        blob_id: bytes,
        header: bytes,
        payload_len: int,
        offset: int = 0,
        length: int | None = None,
        *,
        size: int = 1 << 20,
    ) -> Iterator[memoryview]:
        """Stream as `chunks` does, without a copy: a view is good until the next is asked for."""
        opener = self._opener(blob_id, header)
        try:
            source = self._source(blob_id)
            yield from payload_views(
                source, opener, payload_len, offset=offset, length=length, size=size
            )
        except NotFound:
            self._confirm()
            raise

    def check(self, blob_id: bytes, *, keyed: bool) -> None:
        """Scrub one blob: keyless by its checksum, or keyed by every tag and the digest.

        Raises `NotFound`, `Corrupt`.
        """
        if keyed:
            reader = self.reader(blob_id)
            reader.verify()
            reader.meta()
            return
        name = blob_name(blob_id)
        try:
            size = self._backend.size(name)
            if size < HEADER_SIZE:
                raise Corrupt("The blob is cut off.")
            if bytes(self._backend.read(name, 16, 16)) != blob_id:
                raise Corrupt("The blob stands under another's name.")
            steps = range(0, size, _SCRUB_STEP)
            scrub((self._backend.read(name, start, _SCRUB_STEP) for start in steps), size)
        except NotFound:
            self._confirm()
            raise

    def holds(self, blob_id: bytes, *, kind: int = DATA_SET) -> bool:
        """Tell whether a blob is there. Raises `Unavailable` when the store is not."""
        try:
            self._backend.size(blob_name(blob_id, kind))
        except NotFound:
            self._confirm()
            return False
        return True

    def require_readable(self) -> None:
        """Make sure that the store as a whole can be read. Raises `Unavailable`."""
        try:
            self._backend.read(ARCHIVE_FILE, 0, 1)
        except NotFound as exc:
            raise Unavailable("The blob store is not there.") from exc

    def blob_ids(self, *, since: datetime.date | None = None) -> Iterator[bytes]:
        """Walk the ids of all sealed data sets, day by day."""
        return self.ids(BLOBS, after=f"{BLOBS}{since}" if since else "")

    def blob_ids_of(self, day: datetime.date) -> Iterator[bytes]:
        """Walk the ids of the sealed data sets of one UTC day."""
        return self.ids(f"{BLOBS}{day}/")

    def key_of(self, blob_id: bytes) -> bytes:
        """Read which study key a blob names, whether or not that key is still there.

        Nothing is authenticated. Raises `NotFound`, and `Corrupt` when neither header can be read.
        """
        name = blob_name(blob_id)
        size = self._backend.size(name)
        failure = Corrupt("The blob is cut off.")
        for start in (0, size - TRAILER_SIZE - HEADER_SIZE):
            try:
                core = Core.unpack(bytes(self._backend.read(name, max(start, 0), HEADER_SIZE)))
                if core.blob_id == blob_id:
                    return core.key_id
            except Corrupt as exc:
                failure = exc
        raise failure

    def ids(self, prefix: str, *, after: str = "") -> Iterator[bytes]:
        """Walk the ids of the sealed objects below a prefix of layout.py."""
        for name in self._backend.list(prefix, after=after):
            blob_id = id_of(name)
            if blob_id is not None and name.endswith(".vnb"):
                yield blob_id

    def data_key(self, blob_id: bytes, header: bytes) -> bytes:
        """Give a blob's data key, to be wrapped for whoever may read this blob and no other.

        The header is the index's. Raises `Gone` when its key was destroyed, `Corrupt`, `WrongKey`.
        """
        header = bytes(header)  # the database driver may give a view
        core = Core.unpack(header)
        if core.blob_id != blob_id:
            raise Corrupt("The header is another blob's.")
        return data_key(header, self._kek(core))

    def delete(self, blob_id: bytes, *, kind: int = DATA_SET) -> None:
        """Remove a blob; an absent one is no error."""
        self._openers.drop(blob_id)
        self._backend.delete(blob_name(blob_id, kind))

    def make_ready(self) -> None:
        """Make the folders of today and tomorrow now, rather than one by one as objects come in.

        Each would cost the object that needs it first a sync of its parent, in every process.
        """
        today = datetime.datetime.now(datetime.UTC).date()
        for day in (today, today + datetime.timedelta(days=1)):
            self._backend.make_ready(day_folders(day))

    def sweep_parts(self, *, older_s: float) -> int:
        """Remove what dead processes left half written."""
        return self._backend.sweep_parts(older_s)

    def free_bytes(self) -> tuple[int, int] | None:
        """Give free and whole bytes of the file system; None for an object store."""
        return self._backend.free_bytes()

    def _source(self, blob_id: bytes, kind: int = DATA_SET) -> Source:
        return Source(self._backend, blob_name(blob_id, kind), self._rooms)

    def _opener(self, blob_id: bytes, header: bytes) -> PayloadOpener:
        known = self._openers.get(blob_id)
        if known is not None and known[0] == header:
            return known[1]
        header = bytes(header)  # the database driver may give a view
        core = Core.unpack(header)
        if core.blob_id != blob_id or core.archive_id != self.archive_id:
            raise Corrupt("The header is another blob's.")
        opener = PayloadOpener(self._subkeys(core, header).payload)
        self._openers.put(blob_id, (header, opener))
        return opener

    def index_json(
        self, key_id: bytes, key_version: int, blob_id: bytes, sealed: bytes
    ) -> bytes | None:
        """Open the DICOM JSON that the index keeps of a blob; None where that cannot be done here.

        Raises `Gone` when its key was destroyed, `Corrupt`, `WrongKey`.
        """
        return open_json(self.keys.open(key_id, key_version), blob_id, sealed)

    def _subkeys(self, core: Core, header: bytes) -> Subkeys:
        """Open a header: the one place where it is decided by which key a blob is read."""
        return open_header(header, self._kek(core))

    def _kek(self, core: Core) -> bytes:
        if core.archive_id != self.archive_id:
            raise Corrupt("The blob belongs to another archive.")
        if core.kind == JOURNAL:
            return self.keyring.journal_key(core.key_id)
        if core.kind == DERIVED:
            return self.keyring.derived_key(core.key_id)
        return self.keys.open(core.key_id, core.key_version).key

    def _confirm(self) -> None:
        """Tell an absent object from an absent store: a disk that is not mounted loses nothing."""
        try:
            self._backend.size(ARCHIVE_FILE)
        except NotFound as exc:
            raise Unavailable("The blob store is not there.") from exc


def _backend(where: str | Path | Backend, files: Files | None) -> Backend:
    return connect(where, files) if isinstance(where, str | Path) else where
