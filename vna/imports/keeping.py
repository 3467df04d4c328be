"""What is kept of the files of an import: rows, beside blobs in quarantine, as they come.

A row is written for every file, of which nothing is kept too, as long as the import takes any.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from vna.access.principal import Principal
from vna.blobs.spool import Spool
from vna.blobs.store import BlobStore
from vna.blobs.writer import StoredBlob
from vna.config import Settings
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.errors import CommitUnknown, Conflict, NotFound, TooLarge, Unavailable, VNAError
from vna.imports import documents
from vna.imports.documents import Incoming
from vna.imports.held import HeldFile
from vna.imports.members import Member, of_iso, of_zip
from vna.imports.values import Result, Taken
from vna.ingest.outcome import AlreadyStored, Outcome, Stored
from vna.ingest.quarantine import Aside, Quarantine
from vna.ingest.receiving import Receiving
from vna.texts import marked

_SQL = statements.load("imports")

TWICE = marked("The same object is there already.")

FULL = marked("An import may not hold more than that: begin another one.")

_MOST_NAME = 400
_MOST_REASON = 400
_MOST_COUNTED = 1000  # imports that are filled at a time
_MOVED = "This import takes no more files: it was finished, or decided on."


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an import may hold, and whether documents are kept or only listed."""

    bytes: int
    files: int
    documents: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Into:
    """Where a file goes, who brings it, and how much may go there."""

    who: Principal
    number: int
    batch: UUID
    terms: Terms


@dataclass(frozen=True, slots=True)
class Sent:
    """What its sender says of a file: its name; in a container it has no more."""

    name: str
    mark: str | None = None
    digest: bytes | None = None


class Keeping:
    """Keeps files of imports, and notes those it does not. One a process, for all its threads."""

    def __init__(
        self,
        *,
        store: BlobStore,
        quarantine: Quarantine,
        database: Database,
        settings: Settings,
        has_space: Callable[[], bool],
    ) -> None:
        self._store = store
        self._quarantine = quarantine
        self._database = database
        self._settings = settings
        self._has_space = has_space
        self._held: dict[UUID, tuple[int, int, int]] = {}  # the last file, files and bytes up to it
        self._lock = threading.Lock()
        self._coming: Counter[int] = Counter()  # bytes on their way, by the number of an import

    def known(self, number: int, mark: str) -> Taken | None:
        """Say what became of a file that came before; None when it did not come."""
        with self._database.reading() as conn:
            row = conn.execute(_SQL.has_mark, (number, mark)).fetchone()
        return None if row is None else Taken(result=Result(row[0]), reason=row[1])

    def terms(self) -> Terms:
        """Say what an import of this house may hold."""
        limits = self._settings.imports
        return Terms(bytes=limits.bytes, files=limits.files)

    def open(self, number: int) -> UUID:
        """Find the batch an import fills. Raises `NotFound`, `Conflict` when it takes no more."""
        with self._database.transaction() as tx:
            return self._hold(tx, number)

    def count(self, number: int, bytes_more: int) -> None:
        """Count bytes that come, and, below 0, those that do not any more or are noted next."""
        with self._lock:
            self._coming[number] += bytes_more
            if not self._coming[number]:
                del self._coming[number]

    def coming(self, number: int) -> int:
        """Say how much is on its way into an import here: nothing of it is noted yet."""
        with self._lock:
            return self._coming[number]

    def require_room(self, number: int, terms: Terms, *, coming: int = 0) -> None:
        """Make sure that an import may hold more, beside the bytes of a file that is `coming`.

        What is left out counts for itself: it costs time, and as much of it may come as is kept.
        Raises `TooLarge`, `Unavailable`.
        """
        if not self._has_space():
            raise Unavailable(marked("The archive is out of disk space."))
        with self._database.reading() as conn:
            row = conn.execute(_SQL.how_much, (number,)).fetchone()
        files, size, left_out = row or (0, 0, 0)
        if files >= terms.files or max(size + max(coming, 1), left_out) > terms.bytes:
            raise TooLarge(FULL)

    def spool(self) -> Spool:
        """Make a place to put a container aside, sealed."""
        return Spool(self._settings.data)

    def container_bytes(self) -> int:
        """Say how large a container may be."""
        return self._settings.imports.container_bytes

    def members(self, file: HeldFile, *, is_zip: bool) -> Iterator[Member]:
        """Open a container. Raises `InvalidRequest` when there is no list of its files."""
        if is_zip:
            return of_zip(file, ratio=self._settings.limits.inflate_ratio)
        return of_iso(file)

    def receive(self, into: Into, sent: Sent) -> Receiving:
        """Begin to take one object; it is noted as soon as it is durable."""
        return self._quarantine.receive(
            into.who, into.batch, lambda aside: self._keep(into, aside, sent)
        )

    def _keep(self, into: Into, aside: Aside, sent: Sent) -> Outcome:
        if sent.digest is not None and aside.received != sent.digest:
            self._quarantine.forget(aside.blob_id)
            raise Conflict(marked("The file did not arrive as it was sent: send it again."))

        def note(tx: Connection) -> bool:
            asked = {"import_pk": into.number, **_called(sent), **aside.row()}
            return self._fill(tx, into, aside.size, _SQL.keep_file, asked)

        if self._database.changing(note):
            return Stored(ref=aside.ref, sop_class=aside.sop_class)
        self._quarantine.remove(aside.blob_id)
        self.note(into.number, sent, aside.size, Taken(result=Result.TWICE, reason=TWICE))
        return AlreadyStored(ref=aside.ref, sop_class=aside.sop_class)

    def _fill(
        self,
        tx: Connection,
        into: Into,
        size: int,
        statement: Any,  # a LiteralString
        asked: dict[str, Any],
    ) -> bool:
        """Note what is kept, False when it is there; many that come at once do it in turn.

        Each of them found room when it began. Raises `TooLarge` when there is none now.
        """
        self._require_state(tx.execute(_SQL.fill_batch, (into.number,)).fetchone())
        files, held = self._held_now(tx, into)
        if tx.execute(statement, asked).fetchone() is None:
            return False
        if files >= into.terms.files or held + size > into.terms.bytes:
            raise TooLarge(FULL)
        return True

    def _held_now(self, tx: Connection, into: Into) -> tuple[int, int]:
        """Count what an import holds: what was counted before is not counted again."""
        since, files, size = self._held.get(into.batch, (0, 0, 0))
        asked = {"import_pk": into.number, "since": since}
        more = tx.execute(_SQL.how_much_since, asked).fetchone() or (0, 0, since)
        if len(self._held) > _MOST_COUNTED:
            self._held.clear()
        self._held[into.batch] = (more[2], files + more[0], size + more[1])
        return files + more[0], size + more[1]

    def document(self, into: Into, media: str) -> Incoming:
        """Begin to take a document that is kept."""
        return documents.incoming(self._store, into.batch, into.who, media)

    def keep_document(self, into: Into, stored: StoredBlob, media: str, sent: Sent) -> Taken:
        """Note a document that is durable. Raises `Conflict`, `Unavailable`."""
        asked = {
            "import_pk": into.number,
            **_called(sent),
            "size": stored.payload_len,
            "media": media,
            "blob_id": stored.blob_id,
            "key_id": stored.key_id,
            "digest": stored.payload_sha256,
        }

        def work(tx: Connection) -> bool:
            return self._fill(tx, into, stored.payload_len, _SQL.keep_document, asked)

        try:
            if sent.digest is not None and stored.payload_sha256 != sent.digest:
                self._quarantine.forget(stored.blob_id)
                raise Conflict(marked("The file did not arrive as it was sent: send it again."))
            is_new = self._database.changing(work)
        except CommitUnknown:
            raise  # its row may be there; recovery finds a blob without one
        except VNAError:
            self._quarantine.remove(stored.blob_id)
            raise
        if is_new:
            return Taken(result=Result.DOCUMENT)
        self._quarantine.remove(stored.blob_id)
        taken = Taken(result=Result.TWICE, reason=TWICE)
        self.note(into.number, sent, stored.payload_len, taken)
        return taken

    def note(self, number: int, sent: Sent, size: int, taken: Taken) -> None:
        """Note a file of which nothing is kept."""

        def work(tx: Connection) -> None:
            self._hold(tx, number)
            asked = {"import_pk": number, **_called(sent), "size": size}
            reason = taken.reason[:_MOST_REASON]
            tx.execute(_SQL.add_file, {**asked, "result": taken.result.value, "reason": reason})

        self._database.changing(work)

    @classmethod
    def _hold(cls, tx: Connection, number: int) -> UUID:
        return cls._require_state(tx.execute(_SQL.hold_batch, (number,)).fetchone())

    @staticmethod
    def _require_state(row: Any) -> UUID:  # of hold_batch or fill_batch
        if row is None:
            raise NotFound("There is no such import.")
        if row[1] != "receiving":
            raise Conflict(_MOVED)
        batch: UUID = row[0]
        return batch


def _called(sent: Sent) -> dict[str, str | None]:
    """Give mark and name as they are stored, the name as one that can be shown."""
    plain = "".join(char if char.isprintable() else "\ufffd" for char in sent.name)
    name = plain.encode("utf-8", "replace").decode()[:_MOST_NAME]
    return {"mark": sent.mark, "name": name}
