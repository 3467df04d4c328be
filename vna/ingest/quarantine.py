"""Objects that are kept, and that nobody finds: sealed like any other, but not in the catalogue.

Their meta names the import they came with. Recovery and reindex leave them where they are until the
journal says that the import was let out; under keys of their own they can be destroyed at once.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from vna.access.audit import Audit
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.blobs.journal import Entry, Journal
from vna.blobs.layout import created_at
from vna.blobs.meta import BlobMeta
from vna.blobs.store import BlobReader, BlobStore
from vna.config import Settings
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.dicom.refs import InstanceRef, uid
from vna.dicom.text import fold_name
from vna.dicom.uids import is_report
from vna.errors import CommitUnknown, NotFound, Unavailable, VNAError
from vna.index.terms import text, values
from vna.ingest.conform import identify
from vna.ingest.derive import attributes_of
from vna.ingest.meta import fields
from vna.ingest.outcome import Expected, Outcome, Refused, Source
from vna.ingest.programs import alert_of
from vna.ingest.receiving import Received, Receiving
from vna.ingest.releases import Release, Releases

GUESTS = "exchange/"
"""What the names of guests begin with who send to guests."""

_SQL = statements.load("imports")
_DOCUMENTS = "1.2.840.10008.5.1.4.1.1.104."  # encapsulated PDF, CDA, ... (PS3.4 B.5)
_MOST_TEXT = 200
_WAITING = ("receiving", "needs_identity")
_OPEN = (*_WAITING, "confirmed")
_REFUSED = ("rejected", "purged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """One object in quarantine: what the desk is shown of it."""

    ref: InstanceRef
    sop_class: str
    kind: str  # image, report or object
    blob_id: bytes
    key_id: bytes
    digest: bytes  # of the data set
    received: bytes | None  # SHA-256 of the file as it came
    size: int
    about: Mapping[str, str]  # whose it is and what, by the columns of import_file

    def row(self) -> dict[str, Any]:  # the parameters of keep_file
        """Give what is noted of it."""
        return {
            "size": self.size,
            "kind": self.kind,
            "blob_id": self.blob_id,
            "key_id": self.key_id,
            "digest": self.digest,
            "study_uid": self.ref.study,
            "series_uid": self.ref.series,
            "sop_instance_uid": self.ref.instance,
            "sop_class_uid": self.sop_class,
            **self.about,
        }


class Quarantine:
    """Takes objects in without showing them, and knows what may come out."""

    def __init__(
        self, *, store: BlobStore, database: Database, audit: Audit, settings: Settings
    ) -> None:
        self._store = store
        self._database = database
        self._audit = audit
        self._settings = settings
        self._releases = Releases(Journal(store), database)

    def receive(
        self, principal: Principal, batch: UUID, keep: Callable[[Aside], Outcome]
    ) -> Receiving:
        """Begin to take one Part 10 file; `keep` is told when it is durable, and answers.

        What `keep` refuses, or fails to note, is removed again. Raises `NotPermitted`.
        """
        require_bringing(principal)

        def sealed(receiving: Receiving, received: Received) -> Outcome:
            return self._seal(receiving, received, batch, keep)

        return Receiving(
            principal=principal,
            # the Patient IDs of other places mean nothing here: each import is an issuer
            source=Source(proto="import", address=principal.address, issuer=f"import:{batch}"),
            expected=Expected(),
            transfer_syntax=None,
            store=self._store,
            limits=self._settings.limits,
            digest_received=True,
            keep=sealed,
            batch=batch.hex,
        )

    def release(self, tx: Connection, batch: UUID, what: Release, actor: str) -> None:
        """Let a part of an import out, for good: written down before anything else is done."""
        self._releases.write(tx, batch, what, actor)

    def holding(self, conn: Connection, blob_ids: Sequence[bytes]) -> set[bytes]:
        """Tell which blobs are in quarantine."""
        return {row[0] for row in conn.execute(_SQL.holding, (list(blob_ids),))}

    def look_again(self) -> None:
        """Forget what the journal said."""
        self._releases.look_again()

    def keeps(self, reader: BlobReader, meta: BlobMeta) -> bool:
        """Whether a blob without a row stays in quarantine; if so it is noted there again.

        Of an import that is over nothing is left: what a crash spared is removed.
        """
        batch = meta.fields.get("quarantine")
        if batch is None:
            return False
        release = self._release_of(batch, reader, meta)
        with self._database.transaction() as tx:
            if release is None:
                self._found(tx, batch, meta)
            row = tx.execute(_SQL.batch_state, (UUID(batch),)).fetchone()
            number, state = row or (0, "")
            if release is not None and _is_open_to(release, state):
                return False
            if state in _OPEN:
                if self._note(tx, number, reader, meta) and state not in _WAITING:
                    self._choose(tx, reader, batch, meta)
                return True
        self._store.delete(reader.blob_id)
        return True

    def lay(self, tx: Connection) -> None:
        """Note in an emptied catalogue that the journal's releases have taken effect."""
        self._releases.lay(tx)

    def unapplied(self, *, older_s: float, since: dt.date | None = None) -> dict[UUID, list[Entry]]:
        """Read the releases the database does not know of, by import."""
        return self._releases.unapplied(older_s=older_s, since=since)

    def _found(self, tx: Connection, batch: str, meta: BlobMeta) -> None:
        """Make the import of a blob known again, if it is not."""
        source = meta.fields["source"]
        origin = "guest" if source["principal"].startswith(GUESTS) else "desk"
        of = self._settings.guests if origin == "guest" else self._settings.imports
        asked = {"batch": UUID(batch), "source": origin, "made_by": source["principal"]}
        tx.execute(_SQL.found_batch, {**asked, "keep_s": of.keep_days * 86400.0})

    def _note(self, tx: Connection, number: int, reader: BlobReader, meta: BlobMeta) -> bool:
        """Note a blob in its import again; False when it, or the same object, is there."""
        whose = {"import_pk": number, "mark": None, "name": ""}
        if "document" in meta.fields:
            found = tx.execute(_SQL.keep_document, whose | _document(reader, meta))
        else:
            found = tx.execute(_SQL.keep_file, whose | self._aside_of(reader, meta).row())
        return found.fetchone() is not None

    def _choose(self, tx: Connection, reader: BlobReader, batch: str, meta: BlobMeta) -> None:
        """Say whether it goes with what is just being filed: nobody at the desk saw it."""
        self.look_again()
        is_chosen = self._release_of(batch, reader, meta) is not None
        tx.execute(_SQL.choose_file, {"is_chosen": is_chosen, "blob_id": reader.blob_id})

    def _release_of(self, batch: str, reader: BlobReader, meta: BlobMeta) -> Release | None:
        """Find the release by which a blob came out of quarantine; None when it did not."""
        release = self._releases.of(batch)
        if release is None or meta.fields["study"] not in release.studies:
            return None
        return release if release.is_of(self._about(reader, meta)["person"]) else None

    def _about(self, reader: BlobReader, meta: BlobMeta) -> dict[str, str]:
        return described(attributes_of(meta, reader, self._settings.limits)[0])

    def _aside_of(self, reader: BlobReader, meta: BlobMeta) -> Aside:
        """Read what is noted of an object in quarantine back out of its blob."""
        said = meta.fields
        return Aside(
            ref=InstanceRef(uid(said["study"]), uid(said["series"]), uid(said["sop"])),
            sop_class=said["sop_class"],
            kind=_kind(said["sop_class"], said["pixel"] is not None),
            blob_id=reader.blob_id,
            key_id=reader.key_id,
            digest=reader.payload_sha256,
            received=None,
            size=reader.payload_len,
            about=self._about(reader, meta),
        )

    def _seal(
        self,
        receiving: Receiving,
        received: Received,
        batch: UUID,
        keep: Callable[[Aside], Outcome],
    ) -> Outcome:
        identity = identify(
            received.scan,
            file_class=received.file.sop_class,
            file_instance=received.file.sop_instance,
            expected=receiving.expected,
            unknown_storage=self._settings.dicom.unknown_storage,
        )
        if isinstance(identity, Refused):
            return identity
        if alert := alert_of(received.file.preamble, identity.ref):
            self._database.changing(lambda tx: self._audit.write(tx, receiving.principal, [alert]))
        about = fields(
            received.scan,
            archive_id=self._store.archive_id,
            sop_class=identity.sop_class,
            flags=identity.flags,
            transfer_syntax=received.transfer_syntax,
            received_us=received.received_us,
            source=receiving.source,
            principal=receiving.principal.name,
            file=received.file,
            digest_received=received.digest_received,
            quarantine=batch.hex,
        )
        stored = received.writer.finish(received.sink.finish(about))
        aside = Aside(
            ref=identity.ref,
            sop_class=identity.sop_class,
            kind=_kind(identity.sop_class, received.scan.pixel is not None),
            blob_id=stored.blob_id,
            key_id=stored.key_id,
            digest=stored.payload_sha256,
            received=received.digest_received,
            size=stored.payload_len,
            about=described(received.scan.attributes),
        )
        try:
            outcome = keep(aside)
        except CommitUnknown:
            raise  # its row may be there; recovery finds a blob without one
        except VNAError:
            self.remove(stored.blob_id)
            raise
        if isinstance(outcome, Refused):
            self.remove(stored.blob_id)
        return outcome

    def forget(self, blob_id: bytes) -> None:
        """Remove a blob that must not stay, whatever recovery noted of it meanwhile."""
        with contextlib.suppress(Unavailable):
            with self._database.transaction() as tx:
                tx.execute(_SQL.forget_file, (blob_id,))
            self._store.delete(blob_id)

    def remove(self, blob_id: bytes) -> None:
        """Remove a blob; what cannot be removed now recovery finds again."""
        # The upkeep notes what is this old: then there may be a row by now, and nobody knows.
        age = dt.datetime.now(dt.UTC) - created_at(blob_id)
        if age.total_seconds() >= self._settings.ingest.adopt_s / 2:
            return
        with contextlib.suppress(NotFound, Unavailable):
            self._store.delete(blob_id)


def require_bringing(who: Principal) -> None:
    """Make sure that somebody may bring files: the desk, who was asked. Raises `NotPermitted`."""
    require(who, Action.UPLOAD if Action.UPLOAD in who.actions else Action.IMPORT)


def _is_open_to(release: Release, state: str) -> bool:
    """Whether a release stands, as far as its import is known here, if it is."""
    if release.persons is None and state in _WAITING:
        return False  # left to the desk: it does not say of whom
    return state not in _REFUSED


def _document(reader: BlobReader, meta: BlobMeta) -> dict[str, Any]:
    """Read what is noted of a document that is kept in quarantine back out of its blob."""
    return {
        "media": meta.fields["document"],
        "size": reader.payload_len,
        "blob_id": reader.blob_id,
        "key_id": reader.key_id,
        "digest": reader.payload_sha256,
    }


def described(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Say whose an object is and what it shows, from its DICOM JSON."""
    name = next(iter(values(attributes.get("00100010"))), "")
    told = {
        "patient_name": shown_name(name),
        "patient_id": _line(attributes, "00100020"),
        "birth_date": _line(attributes, "00100030"),
        "sex": _line(attributes, "00100040"),
        "study_date": _line(attributes, "00080020"),
        "study_description": _line(attributes, "00081030"),
        "series_description": _line(attributes, "0008103E"),
        "modality": _line(attributes, "00080060"),
    }
    # it stands in the journal: made of other text, it would let nothing out that was let out
    whose = (fold_name(name), told["birth_date"], told["patient_id"])
    told["person"] = hashlib.sha256("\n".join(whose).encode()).hexdigest()[:16]
    return told


def shown_name(name: Any) -> str:  # a value of DICOM JSON: senders write names in any VR
    """Write a Person Name as it stands, its first group that is there (PS3.5 6.2.1)."""
    if isinstance(name, Mapping):
        groups = (name.get(of, "") for of in ("Alphabetic", "Ideographic", "Phonetic"))
        name = next((group for group in groups if group), "")
    return text(name)[:_MOST_TEXT]


def _line(attributes: Mapping[str, Any], tag: str) -> str:
    return "\\".join(map(text, values(attributes.get(tag))))[:_MOST_TEXT]


def _kind(sop_class: str, has_pixels: bool) -> str:
    if is_report(sop_class) or sop_class.startswith(_DOCUMENTS):
        return "report"
    return "image" if has_pixels else "object"
