"""The way in: receive, conform, seal, index, answer. The pipeline in order, on one screen."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import logging
import threading
import time

from vna.access.audit import Audit
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.blobs.files import Files
from vna.blobs.layout import created_at
from vna.blobs.sealing import seal_json
from vna.blobs.spool import Spool
from vna.blobs.store import BlobStore, StoredBlob
from vna.config import Settings
from vna.db import place
from vna.db.pool import Connection, Database
from vna.dicom.refs import InstanceRef
from vna.errors import CommitUnknown, NotFound, Unavailable, VNAError
from vna.index.register import Existing, Registered, Registration, Verdict, register_version
from vna.index.searchable import Searchables
from vna.ingest.assembly import Assembly
from vna.ingest.commit import Committer, stored_event
from vna.ingest.conform import Identity, identify
from vna.ingest.derive import registration
from vna.ingest.extras import Added, extra_of, json_of, zone_of
from vna.ingest.meta import fields
from vna.ingest.outcome import (
    AlreadyStored,
    Cause,
    Caution,
    Expected,
    Outcome,
    Refused,
    Source,
    Stored,
)
from vna.ingest.programs import alert_of
from vna.ingest.receiving import Received, Receiving, require_into
from vna.ingest.routing import Router
from vna.ingest.versions import Comparison, compare
from vna.pixels.sandbox import PixelPool

log = logging.getLogger(__name__)

_SPACE_S = 0.5


class IngestEngine:
    """Takes objects in. One a process, shared by its threads."""

    def __init__(
        self,
        *,
        store: BlobStore,
        database: Database,
        audit: Audit,
        settings: Settings,
        pixels: PixelPool,
        router: Router,
    ) -> None:
        """`pixels` decodes pictures that are sent; it is the caller's, and closed by it."""
        self._store = store
        self._database = database
        self._audit = audit
        self._settings = settings
        self._pixels = pixels
        self._router = router
        self._committer = Committer(database, audit, policy=settings.versions.policy, router=router)
        self._searchables = Searchables(database)
        self._zone = zone_of(settings.site)
        self._space = (0.0, True)
        self._space_lock = threading.Lock()

    def receive(
        self,
        principal: Principal,
        source: Source,
        *,
        transfer_syntax: str | None = None,
        expected: Expected | None = None,
    ) -> Receiving:
        """Begin to take one object.

        With `transfer_syntax` the bytes are a bare data set in it (C-STORE); without, a Part 10
        stream. Raises `NotPermitted` when this principal may never store.
        """
        require(principal, Action.STORE)
        receiving = Receiving(
            principal=principal,
            source=source,
            expected=expected or Expected(),
            transfer_syntax=transfer_syntax,
            store=self._store,
            limits=self._settings.limits,
            digest_received=self._settings.ingest.digest_received,
            keep=self._keep,
        )
        if not self.has_space():
            receiving.refuse(Unavailable("The archive is out of disk space."))
        return receiving

    def assemble(
        self, principal: Principal, source: Source, *, base: str, expected: Expected | None = None
    ) -> Assembly:
        """Begin to take objects whose metadata and bulk data come apart (PS3.18 10.5.2).

        `base` is the URI relative ones are read against. Raises `NotPermitted` when this principal
        may never store, `Unavailable` when there is no room to put anything aside.
        """
        require(principal, Action.STORE)
        if not self.has_space():
            raise Unavailable("The archive is out of disk space.")

        def receive(transfer_syntax: str, expected: Expected) -> Receiving:
            return self.receive(
                principal, source, transfer_syntax=transfer_syntax, expected=expected
            )

        return Assembly(
            receive=receive,
            spool=Spool(self._settings.data),
            expected=expected or Expected(),
            base=base,
            limits=self._settings.limits,
            has_space=self.has_space,
            pixels=self._pixels,
        )

    def has_space(self) -> bool:
        """Whether there is room to take objects in; looked at twice a second at most."""
        looked, enough = self._space
        now = time.monotonic()
        if now - looked < _SPACE_S:
            return enough
        with self._space_lock:
            places = [self._store.free_bytes(), self._cluster_bytes()]
            enough = all(self._is_enough(*place) for place in places if place is not None)
            self._space = (now, enough)
        return enough

    def _is_enough(self, free: int, whole: int) -> bool:
        blobs = self._settings.blobs
        # no byte at all is too little, whatever the settings want kept free
        return free >= max(blobs.free_bytes, int(whole * blobs.free_percent / 100), 1)

    def _cluster_bytes(self) -> tuple[int, int] | None:
        """Free and whole bytes where the embedded PostgreSQL lives."""
        if self._settings.postgres.url:
            return None
        try:
            return Files().space(str(place.files_of(self._settings.data)))
        except (OSError, VNAError):
            return None  # not there yet, or not ours to see

    def _keep(self, receiving: Receiving, received: Received) -> Outcome:
        """Everything is in: check it, make it durable and visible."""
        identity = identify(
            received.scan,
            file_class=received.file.sop_class,
            file_instance=received.file.sop_instance,
            expected=receiving.expected,
            unknown_storage=self._settings.dicom.unknown_storage,
        )
        if isinstance(identity, Refused):
            return identity
        require_into(receiving.principal, identity.ref)
        self._audit_program(receiving.principal, received.file.preamble, identity.ref)
        added = self._searchables.now()  # before anything is durable: it may ask the database
        stored, item = self._seal(receiving, received, identity, added)
        try:
            settle = received.writer.settle
            result = self._committer.commit(item, receiving.principal, settle)
            return self._answer(receiving, identity, item, result)
        except CommitUnknown:
            raise  # the row may be there: recovery adopts the blob or finds it indexed
        except VNAError:
            self._discard(stored.blob_id)
            raise

    def _audit_program(self, who: Principal, preamble: bytes, ref: InstanceRef) -> None:
        """Write down that an object is a program as well, before it is acknowledged."""
        if alert := alert_of(preamble, ref):
            self._database.changing(lambda tx: self._audit.write(tx, who, [alert]))

    def _seal(
        self, receiving: Receiving, received: Received, identity: Identity, added: Added
    ) -> tuple[StoredBlob, Registration]:
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
        )
        stored = received.writer.seal(received.sink.finish(about))
        raw = received.sink.ready
        sealed = None
        if raw is not None:
            key = self._store.keys.open(stored.key_id, stored.key_version)
            sealed = seal_json(key, stored.blob_id, raw)
        else:
            received.writer.settle()  # who looks into all of its attributes reads it from the store
        extra = None
        if added:  # nothing of this costs anything where nothing was made searchable
            extra = extra_of(raw or json_of(self._store, stored.blob_id), added, self._zone)
        item = registration(
            stored,
            about,
            attributes=received.scan.attributes,
            metadata=sealed,
            issuer=self._settings.site.issuer,
            extra=extra,
            actor_kind=receiving.principal.kind.value,
        )
        routes = self._router.of(item, raw)
        return stored, dataclasses.replace(item, routes=routes) if routes else item

    def _answer(
        self, receiving: Receiving, identity: Identity, item: Registration, result: Registered
    ) -> Outcome:
        if result.verdict is Verdict.DIFFERS:
            return self._other_content(receiving, identity, item, result.existing)
        if result.verdict is Verdict.SAME:
            if result.blob_id != item.blob_id:
                self._discard(item.blob_id)
            return AlreadyStored(ref=identity.ref, sop_class=identity.sop_class)
        if result.elsewhere:
            return Stored(
                ref=identity.ref,
                sop_class=identity.sop_class,
                caution=Caution.ELSEWHERE,
                message="This SOP Instance UID is known in another series: kept, not shown.",
            )
        return Stored(ref=identity.ref, sop_class=identity.sop_class)

    def _other_content(
        self,
        receiving: Receiving,
        identity: Identity,
        item: Registration,
        existing: tuple[Existing, ...],
    ) -> Outcome:
        """A known SOP Instance UID with another digest: compare, then keep both or neither."""
        closest = self._compare(item, existing)
        if closest is Comparison.EQUAL:
            self._discard(item.blob_id)
            return AlreadyStored(ref=identity.ref, sop_class=identity.sop_class)
        policy = self._settings.versions.policy
        if closest is Comparison.CONTENT and policy == "reject":
            self._discard(item.blob_id)
            return Refused(
                cause=Cause.DUPLICATE,
                message="Another object is stored under this SOP Instance UID.",
                sop_class=identity.sop_class,
                sop_instance=identity.ref.instance,
            )
        reason = "encoding" if closest is Comparison.ENCODING else "content"

        def work(tx: Connection) -> Registered:
            made = register_version(tx, item, reason=reason, policy=policy)
            event = stored_event(item, made, kind=f"instance.version.{reason}")
            self._audit.write(tx, receiving.principal, [event])
            if not self._router.comes_back(item):
                self._router.queue(tx, [(item, made)])
            return made

        result = self._database.changing(work)
        if result.verdict is Verdict.SAME:
            if result.blob_id != item.blob_id:
                self._discard(item.blob_id)
            return AlreadyStored(ref=identity.ref, sop_class=identity.sop_class)
        if closest is Comparison.ENCODING:
            return Stored(ref=identity.ref, sop_class=identity.sop_class)
        return Stored(
            ref=identity.ref,
            sop_class=identity.sop_class,
            caution=Caution.DIFFERS,
            message="Other content is stored under this SOP Instance UID: both are kept.",
        )

    def _compare(self, item: Registration, existing: tuple[Existing, ...]) -> Comparison:
        found = Comparison.CONTENT
        new = self._store.reader(item.blob_id)
        for other in existing:
            try:
                old = self._store.reader(other.blob_id)
                seen = compare(
                    old,
                    other.transfer_syntax,
                    new,
                    item.transfer_syntax,
                    self._settings.limits,
                )
            except VNAError:
                # the stored one cannot be read: the new one must be kept, whatever it is
                log.warning("stored version unreadable", extra={"blob": other.blob_id.hex()})
                continue
            if seen is Comparison.EQUAL:
                return seen
            if seen is Comparison.ENCODING:
                found = seen
        return found

    def _discard(self, blob_id: bytes) -> None:
        # The upkeep adopts what is this old: then there may be a row by now, and nobody knows.
        age = dt.datetime.now(dt.UTC) - created_at(blob_id)
        if age.total_seconds() >= self._settings.ingest.adopt_s / 2:
            return
        # A blob left behind is found and removed by recovery: failing here loses nothing.
        with contextlib.suppress(NotFound, Unavailable):
            self._store.delete(blob_id)
