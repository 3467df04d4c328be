"""What is kept of the files of an import: rows, beside blobs in quarantine, as they come.

A row is written for every file, of which nothing is kept too, as long as the import takes any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
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

_MOST_NAME = 400
_MOST_REASON = 400
_MOVED = "This import takes no more files: it was finished, or decided on."


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an import may hold, and whether documents are kept or only listed."""

    bytes: int
    files: int
    documents: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Into:
    """Where a file goes, and who brings it."""

    who: Principal
    number: int
    batch: UUID


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

    def require_room(self, number: int, terms: Terms, *, coming: int = 0) -> None:
        """Make sure that an import may hold more, beside the bytes of a file that is `coming`.

        Raises `TooLarge`, `Unavailable`.
        """
        if not self._has_space():
            raise Unavailable(marked("The archive is out of disk space."))
        with self._database.reading() as conn:
            row = conn.execute(_SQL.how_much, (number,)).fetchone()
        files, size = row or (0, 0)
        if files >= terms.files or size + max(coming, 1) > terms.bytes:
            raise TooLarge(marked("An import may not hold more than that: begin another one."))

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
            into.who, into.batch, lambda aside: self._keep(into.number, aside, sent)
        )

    def _keep(self, number: int, aside: Aside, sent: Sent) -> Outcome:
        if sent.digest is not None and aside.received != sent.digest:
            self._quarantine.forget(aside.blob_id)
            raise Conflict(marked("The file did not arrive as it was sent: send it again."))

        def note(tx: Connection) -> bool:
            self._hold(tx, number)
            asked = {"import_pk": number, **_called(sent), **aside.row()}
            return tx.execute(_SQL.keep_file, asked).fetchone() is not None

        if self._database.changing(note):
            return Stored(ref=aside.ref, sop_class=aside.sop_class)
        self._quarantine.remove(aside.blob_id)
        self.note(number, sent, aside.size, Taken(result=Result.TWICE, reason=TWICE))
        return AlreadyStored(ref=aside.ref, sop_class=aside.sop_class)

    def document(self, into: Into, media: str) -> Incoming:
        """Begin to take a document that is kept."""
        return documents.incoming(self._store, into.batch, into.who, media)

    def keep_document(self, number: int, stored: StoredBlob, media: str, sent: Sent) -> Taken:
        """Note a document that is durable. Raises `Conflict`, `Unavailable`."""
        asked = {
            "import_pk": number,
            **_called(sent),
            "size": stored.payload_len,
            "media": media,
            "blob_id": stored.blob_id,
            "key_id": stored.key_id,
            "digest": stored.payload_sha256,
        }

        def work(tx: Connection) -> bool:
            self._hold(tx, number)
            return tx.execute(_SQL.keep_document, asked).fetchone() is not None

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
        self.note(number, sent, stored.payload_len, taken)
        return taken

    def note(self, number: int, sent: Sent, size: int, taken: Taken) -> None:
        """Note a file of which nothing is kept."""

        def work(tx: Connection) -> None:
            self._hold(tx, number)
            asked = {"import_pk": number, **_called(sent), "size": size}
            reason = taken.reason[:_MOST_REASON]
            tx.execute(_SQL.add_file, {**asked, "result": taken.result.value, "reason": reason})

        self._database.changing(work)

    @staticmethod
    def _hold(tx: Connection, number: int) -> UUID:
        row = tx.execute(_SQL.hold_batch, (number,)).fetchone()
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
