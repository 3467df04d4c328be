"""The way out: what matches, all of a study as one file; `forms` of an instance, `pieces` of it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from datetime import datetime

from vna import telemetry
from vna.access.audit import Audit, Event
from vna.access.policy import permits, require, require_copies
from vna.access.principal import Action, Principal
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.crypto.sealed_zip import PackageSeal
from vna.db.pool import Database
from vna.dicom.directory import Listed, dicomdir, keys_of
from vna.dicom.refs import InstanceRef, Ref, StudyRef
from vna.errors import NotFound
from vna.index import locate, select
from vna.index.locate import Located
from vna.index.select import Selected, Selection
from vna.pixels.sandbox import PixelPool
from vna.retrieve.descriptions import Descriptions
from vna.retrieve.forms import Forms
from vna.retrieve.metadata import Description
from vna.retrieve.overlays import Overlays
from vna.retrieve.package import Entry, File, Package, checksums, file_names, package
from vna.retrieve.payload import ready
from vna.retrieve.pieces import Pieces
from vna.retrieve.retrieval import Retrieval, Tally
from vna.retrieve.sealed import Seals, codes, sealed_package

log = logging.getLogger(__name__)

_NOTED = 1000  # UIDs of one audit row


class RetrieveEngine:
    """Gives objects out. One a process, shared by its threads."""

    def __init__(
        self,
        *,
        store: BlobStore,
        database: Database,
        audit: Audit,
        settings: Settings,
        pixels: PixelPool | None = None,
    ) -> None:
        pixels = pixels or PixelPool(settings.pixels)
        self._database = database
        self._audit = audit
        self._limits = settings.limits
        overlays = Overlays(database, settings)
        self._store = store
        self._descriptions = Descriptions(
            store=store,
            database=database,
            audit=audit,
            limits=settings.limits,
            overlays=overlays,
        )
        self._checksums = checksums()
        self._codes = codes()
        self.seals = Seals(store.keyring)
        self.forms = Forms(store=store, overlays=overlays, limits=settings.limits, pixels=pixels)
        self.pieces = Pieces(
            store=store,
            database=database,
            audit=audit,
            limits=settings.limits,
            pixels=pixels,
            forms=self.forms,
            instances=self.instances,
        )

    def instances(
        self, principal: Principal, ref: Ref, *, what: str = "instances"
    ) -> list[Located]:
        """Every current instance of `ref` in the archive's order. Raises `NotFound` when none.

        `what` names the sort of access for the audit trail.
        """
        require(principal, Action.RETRIEVE, ref)
        with self._database.pointing() as conn:
            found = locate.instances(conn, ref, within=principal.scope.within())
        if not found:
            raise NotFound
        size = sum(i.size for i in found)
        self._audit.read(principal, ref.study, what, count=len(found), size=size)
        telemetry.RETRIEVALS.labels(what).inc(len(found))
        telemetry.BYTES_SENT.labels(what).inc(size)
        return found

    def is_lost(self, principal: Principal, ref: Ref) -> bool:
        """Tell whether something of `ref` can be found, and the store has lost its blob or key."""
        if not permits(principal, Action.RETRIEVE, ref):
            return False
        with self._database.pointing() as conn:
            found = locate.instances(conn, ref, within=principal.scope.within())
        keys = {one.key_id for one in found}
        gone = {key for key in keys if not self._store.keys.holds(key)}
        lost = [
            one.blob_id for one in found if one.key_id in gone or not self._store.holds(one.blob_id)
        ]
        if lost:
            log.error("objects lost", extra={"count": len(lost), "blob": lost[0].hex()})
        return bool(lost)

    def version(self, principal: Principal, ref: InstanceRef, blob_id: bytes) -> Located:
        """One version of an instance, shown now or not. Raises `NotFound`, `NotPermitted`."""
        require(principal, Action.RETRIEVE_VERSION, ref)
        require(principal, Action.RETRIEVE, ref)
        with self._database.pointing() as conn:
            found = locate.version(conn, ref, blob_id)
        if found is None:
            raise NotFound
        self._audit.read(principal, ref.study, "version", count=1, size=found.size)
        telemetry.RETRIEVALS.labels("version").inc()
        telemetry.BYTES_SENT.labels("version").inc(found.size)
        return found

    def retrieval(self, principal: Principal, asked: Selection, *, what: str) -> Retrieval:
        """Everything that matches these keys, for an edge that sends it on; nothing is an answer.

        `what` names the service for the audit trail, which has its row before the first byte
        leaves. Raises `NotPermitted`, `TooLarge`, `Unavailable`.
        """
        require(principal, Action.RETRIEVE)
        self._audit.require_writable()
        with self._database.reading() as conn:
            listed = select.select(
                conn,
                asked,
                most=self._limits.retrieve_instances,
                within=principal.scope.within(),
            )
        found = Retrieval(listed, self._locate, self.forms.outgoing)
        studies = found.by_study()
        self._audit.read_all(principal, what, studies)
        telemetry.BYTES_SENT.labels(what).inc(sum(size for _, _, size in studies))
        return found

    def _locate(self, listed: Sequence[Selected]) -> dict[int, Located]:
        with self._database.pointing() as conn:
            return select.located(conn, listed)

    def sent(
        self, principal: Principal, found: Retrieval, tally: Tally, *, what: str, to: str, how: str
    ) -> None:
        """Write down how a retrieval ended: one row, with every failed instance up to a thousand.

        `to` is the AE title it went to, `how` says done, cancelled or broken off.
        """
        studies = list(dict.fromkeys(one.ref.study for one in found.listed))
        detail = {
            "what": what,
            "to": to,
            "studies": studies[:_NOTED],
            "completed": tally.completed,
            "warning": tally.warning,
            "failed": tally.failed,
            "remaining": tally.remaining,
            "failures": tally.failures[:_NOTED],
        }
        study = studies[0] if len(studies) == 1 else None
        self._audit.note(principal, Event(kind="sent", outcome=how, study=study, detail=detail))
        telemetry.RETRIEVALS.labels(what).inc(tally.completed + tally.warning)

    def files(self, principal: Principal, study: StudyRef, *, what: str) -> Iterator[File]:
        """All instances of a study as DICOM files, one after the other. Raises `NotFound`.

        What is walked raises what a blob store does.
        """
        require_copies(principal, study)
        found = self.instances(principal, study, what=what)
        for item, name in zip(found, file_names(found), strict=True):
            yield File(
                name=(*name[2:-1], f"{name[-1]}.dcm"),
                ref=item.ref,
                sop_class=item.sop_class,
                transfer_syntax=self.forms.syntax_of(item),
                content=self.forms.whole(item),
            )

    def package(
        self, principal: Principal, ref: Ref, *, directory: bool, seal: PackageSeal | None = None
    ) -> Package:
        """All instances of `ref` as one ZIP file, as they are stored. Raises `NotFound`.

        With `seal` it opens with a passphrase alone.
        """
        require_copies(principal, ref)
        found = self.instances(principal, ref, what="instances" if seal is None else "sealed")
        names = list(file_names(found))
        files = [
            Entry(
                name="/".join(name) if directory else f"{'/'.join(name)}.dcm",
                content=self.forms.whole(item),
                changed_at=item.changed_at,
                key=self.forms.revision_of(item).encode(),
            )
            for item, name in zip(found, names, strict=True)
        ]
        changed_at = max(item.changed_at for item in found)
        if directory:
            described = {one.ref: keys_of(one.members()) for one in self.metadata(principal, ref)}
            listed = [
                Listed(
                    file_id=name,
                    sop_class=item.sop_class,
                    sop_instance=item.ref.instance,
                    transfer_syntax=self.forms.syntax_of(item),
                    keys=described.get(item.ref, {}),
                )
                for item, name in zip(found, names, strict=True)
            ]
            data = dicomdir(listed)
            key = hashlib.sha256(data).digest()
            first = Entry(name="DICOMDIR", content=ready(data), changed_at=changed_at, key=key)
            files.insert(0, first)
        return Package(
            content=(
                package(files, self._checksums)
                if seal is None
                else sealed_package(files, seal, self._codes)
            ),
            revisions=[self.forms.revision_of(item) for item in found],
            changed_at=changed_at,
        )

    def metadata(self, principal: Principal, ref: Ref) -> Iterator[Description]:
        """Every attribute of each instance, bulk data by URI.

        Raises `NotFound` before the first is given, when there is none.
        """
        return self._descriptions.of(principal, ref)

    def revision(self, principal: Principal, ref: Ref) -> str:
        """Text that changes whenever an answer about `ref` would. Raises `NotFound`."""
        return self.state(principal, ref)[0]

    def state(self, principal: Principal, ref: Ref) -> tuple[str, datetime]:
        """The same text, and since when it holds. Raises `NotFound`."""
        return self._descriptions.state(principal, ref)
