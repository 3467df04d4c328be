"""The way out: instances, metadata, frames, bulk data; as stored or in Explicit VR LE."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial

from vna import telemetry
from vna.access.audit import Audit, Event
from vna.access.policy import require, require_copies
from vna.access.principal import Action, Principal
from vna.blobs.recent import Recent
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.crypto.sealed_zip import PackageSeal
from vna.db.pool import Database
from vna.dicom.corrected import Overlay
from vna.dicom.directory import Listed, dicomdir, keys_of
from vna.dicom.part10 import file_head, with_transfer_syntax
from vna.dicom.refs import InstanceRef, Ref
from vna.dicom.rewrite import to_implicit_little
from vna.dicom.uids import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from vna.errors import NotAcceptable, NotFound
from vna.index import locate, select
from vna.index.locate import Located
from vna.index.select import Selected, Selection
from vna.pixels.sandbox import PixelPool
from vna.retrieve import frames, representation, transcode
from vna.retrieve.bulk import (
    Parts,
    Place,
    is_capsule,
    other_places,
    pixel_place,
    place_of,
    value,
)
from vna.retrieve.datasets import in_syntax, stored_stretch
from vna.retrieve.descriptions import Descriptions
from vna.retrieve.metadata import Description
from vna.retrieve.outgoing import Body, Outgoing
from vna.retrieve.overlays import Overlays, revision, stored_as
from vna.retrieve.package import Entry, Package, checksums, file_names, package
from vna.retrieve.payload import Payload, Stretch, joined, path_of, ready
from vna.retrieve.representation import ANY, Wishes, is_converted
from vna.retrieve.retrieval import Retrieval, Tally
from vna.retrieve.sealed import Seals, codes, sealed_package
from vna.retrieve.transcode import Source

_NOTED = 1000  # UIDs of one audit row
_SOURCES, _SOURCES_S = 1024, 600.0


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
        self._pixels = pixels or PixelPool(settings.pixels)
        self._store = store
        self._database = database
        self._audit = audit
        self._limits = settings.limits
        self._overlays = Overlays(database, settings)
        self._descriptions = Descriptions(
            store=store,
            database=database,
            audit=audit,
            limits=settings.limits,
            overlays=self._overlays,
        )
        self._checksums = checksums()
        self._codes = codes()
        self.seals = Seals(store.keyring)
        self._sources: Recent[bytes, Source] = Recent(_SOURCES, _SOURCES_S)

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
        self._audit.read(
            principal, ref.study, what, count=len(found), size=sum(i.size for i in found)
        )
        telemetry.RETRIEVALS.labels(what).inc(len(found))
        return found

    def image_size(self, located: Located) -> tuple[int, int]:
        """Tell the rows and columns of an image. Raises `Undecodable`."""
        described = self._source(located).description
        return described.rows, described.columns

    def choose(self, located: Located, acceptable: Wishes | None) -> str:
        """The Transfer Syntax in which this instance goes out. Raises `NotAcceptable`."""
        stored = stored_as(located, self._overlay(located))
        return representation.choose(stored, acceptable, lambda: self._targets(located))

    def _overlay(self, located: Located) -> Overlay | None:
        return self._overlays.of(located.ref.study, located.changed_at)

    def _targets(self, located: Located) -> frozenset[str]:
        if located.pixel is None:  # then the Transfer Syntax says how attributes are written
            return frozenset({EXPLICIT_LITTLE})
        return transcode.targets(self._source(located))

    def _source(self, located: Located) -> Source:
        """Tell what converting an instance's pixels takes; frames are asked for one by one."""
        found = self._sources.get(located.blob_id)
        if found is None:
            found = transcode.source_of(self._store, located, self._limits)
            self._sources.put(located.blob_id, found)
        return found

    def given(
        self, found: Sequence[Located], acceptable: Wishes | None
    ) -> tuple[list[tuple[Located, str]], int]:
        """Choose for many: those that can go out, and how many cannot (PS3.18 10.4.3.1).

        Raises `NotAcceptable` when none can.
        """
        chosen: list[tuple[Located, str]] = []
        refusal: NotAcceptable | None = None
        for located in found:
            try:
                chosen.append((located, self.choose(located, acceptable)))
            except NotAcceptable as exc:
                refusal = refusal or exc
        if refusal is not None and not chosen:
            raise refusal
        return chosen, len(found) - len(chosen)

    def part10(self, located: Located, transfer_syntax: str) -> Payload:
        """One of `instances` as a DICOM file (PS3.10 7): head, then the data set."""
        head = file_head(group2=located.group2, preamble=located.preamble)
        if transfer_syntax != located.transfer_syntax:
            group2 = with_transfer_syntax(located.group2, transfer_syntax)
            head = file_head(group2=group2, preamble=located.preamble)
        body = self.dataset(located, transfer_syntax)
        length = None if body.length is None else len(head) + body.length
        return Payload(
            ref=located.ref,
            media_type="application/dicom",
            transfer_syntax=transfer_syntax,
            length=length,
            chunks=_headed(head, body.chunks),
            stretch=None if body.stretch is None else joined((ready(head), body.stretch)),
            location=path_of(located.ref),
            revision=revision(located, self._overlay(located)),
            changed_at=located.changed_at,
        )

    def dataset(self, located: Located, transfer_syntax: str) -> Payload:
        """One of `instances` as a bare data set, as C-STORE sends it."""
        overlay = self._overlay(located)
        as_stored = overlay is None and transfer_syntax == located.transfer_syntax
        chunks = self._in_syntax(located, transfer_syntax)
        if overlay is not None:
            chunks = self._overlays.stream(chunks, transfer_syntax, overlay)
        return Payload(
            ref=located.ref,
            media_type="application/dicom",
            transfer_syntax=transfer_syntax,
            length=located.payload_len if as_stored else None,
            chunks=chunks,
            stretch=stored_stretch(self._store, located) if as_stored else None,
        )

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
        found = Retrieval(listed, self._locate, self.outgoing)
        self._audit.read_all(principal, what, found.by_study())
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

    def outgoing(self, located: Located) -> Outgoing:
        """One of `instances` as something to be sent to another AE."""
        stored = stored_as(located, self._overlay(located))
        return Outgoing(
            ref=located.ref,
            sop_class=located.sop_class,
            transfer_syntax=stored,
            forms=representation.forms(stored),
            load=partial(self._body, located),
        )

    def _body(self, located: Located, transfer_syntax: str) -> Body:
        body = self._received(located, transfer_syntax)
        overlay = self._overlay(located)
        if overlay is None:
            return body
        chunks = self._overlays.stream(body.chunks, transfer_syntax, overlay)
        return Body(length=None, chunks=chunks)

    def _received(self, located: Located, transfer_syntax: str) -> Body:
        stored = located.transfer_syntax
        if transfer_syntax == stored:
            whole = stored_stretch(self._store, located)
            return Body(length=whole.length, chunks=whole.walk(0, whole.length))
        if not is_converted(stored, transfer_syntax):
            return Body(length=None, chunks=self._in_syntax(located, transfer_syntax))
        made = EXPLICIT_LITTLE if transfer_syntax == IMPLICIT_LITTLE else transfer_syntax
        if made not in self._targets(located):
            raise NotAcceptable(f"What is stored in {stored} cannot become {made}.")
        chunks = self._in_syntax(located, made)
        if made != transfer_syntax:
            chunks = to_implicit_little(chunks, made, self._limits)
        return Body(length=None, chunks=chunks)

    def _in_syntax(self, located: Located, transfer_syntax: str) -> Iterator[bytes]:
        stored = located.transfer_syntax
        if located.pixel is None or not is_converted(stored, transfer_syntax):
            return in_syntax(self._store, located, transfer_syntax, self._limits)
        return transcode.transcoded(self._source(located), transfer_syntax, self._pixels)

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
                content=self.whole(item),
                changed_at=item.changed_at,
                key=revision(item, self._overlay(item)).encode(),
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
                    transfer_syntax=stored_as(item, self._overlay(item)),
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
            revisions=[revision(item, self._overlay(item)) for item in found],
            changed_at=changed_at,
        )

    def whole(self, located: Located) -> Stretch:
        """One of `instances` as the file it is stored as, to be walked from anywhere."""
        if (overlay := self._overlay(located)) is not None:
            given = stored_as(located, overlay)
            return self._overlays.stretch(lambda: self.part10(located, given).chunks)
        head = file_head(group2=located.group2, preamble=located.preamble)
        return joined((ready(head), stored_stretch(self._store, located)))

    def syntax_of(self, located: Located) -> str:
        """The Transfer Syntax of what `whole` gives."""
        return stored_as(located, self._overlay(located))

    def revision_of(self, located: Located) -> str:
        """Name the bytes that `whole` gives: other bytes have another name."""
        return revision(located, self._overlay(located))

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

    def frames(
        self,
        principal: Principal,
        ref: InstanceRef,
        numbers: Sequence[int],
        acceptable: Wishes | None,
    ) -> list[Payload]:
        """Frames by number, from 1, in the order asked for (PS3.18 10.4.1.1.6).

        Uncompressed frames are little endian octets, compressed ones their codestream. Raises
        `NotFound` for a number outside, `NotAcceptable` when the stored syntax is not accepted.
        """
        located, table = self._with_frames(principal, ref)
        if table is None or located.pixel is None:
            raise NotFound("This instance has no frames.")
        payloads = self._frames(located, table, numbers, self.choose(located, acceptable))
        size = sum(p.length or 0 for p in payloads)
        self._audit.read(principal, ref.study, "frames", count=len(payloads), size=size)
        telemetry.RETRIEVALS.labels("frames").inc(len(payloads))
        telemetry.BYTES_SENT.labels("frames").inc(size)
        return payloads

    def bulkdata(
        self,
        principal: Principal,
        ref: InstanceRef,
        path: str,
        acceptable: Wishes | None = (ANY,),
    ) -> list[Payload]:
        """The value behind a BulkDataURI: one payload, or one a frame where it is compressed.

        Raises `NotFound`, and `NotAcceptable` when there is no form that is accepted.
        """
        located, table = self._with_frames(principal, ref)
        place = place_of(located, path)
        if place is None:
            raise NotFound
        self._audit.read(principal, ref.study, "bulkdata", count=1, size=place.length)
        telemetry.RETRIEVALS.labels("bulkdata").inc()
        if not is_capsule(located, place):
            representation.choose(EXPLICIT_LITTLE, acceptable)
            return [value(self._store, located, place, self._limits)]
        chosen = self.choose(located, acceptable)
        if chosen == EXPLICIT_LITTLE:
            return [transcode.value_payload(self._source(located), place.path, self._pixels)]
        return self._frames(located, table, range(1, frames.count(table) + 1), chosen)

    def bulk(
        self,
        principal: Principal,
        ref: Ref,
        acceptable: Wishes | None,
        *,
        pixels_only: bool = False,
    ) -> Parts:
        """Every bulk value of a study, series or instance (PS3.18 10.4.1.1.4, 10.4.1.1.5).

        Raises `NotFound` where there is none, `NotAcceptable` when none has a form accepted.
        """
        found = self.instances(principal, ref)
        given, refusals = self._chosen_bulk(found, acceptable, pixels_only=pixels_only)
        if not given:
            raise (refusals[0] if refusals else NotFound("There is no bulk data here."))
        payloads: Iterator[Payload] = (
            payload for item in given for payload in self._bulk_of(principal, *item)
        )
        has_frames = any(is_capsule(located, place) for located, place, _ in given)
        return Parts(
            payloads=payloads if has_frames else list(payloads),
            revisions=[located.blob_id.hex() for located in found],
            changed_at=max(located.changed_at for located in found),
            refused=len(refusals),
        )

    def _chosen_bulk(
        self, found: list[Located], acceptable: Wishes | None, *, pixels_only: bool
    ) -> tuple[list[tuple[Located, Place, str]], list[NotAcceptable]]:
        given: list[tuple[Located, Place, str]] = []
        refusals: list[NotAcceptable] = []
        for located in found:
            pixels = pixel_place(located)
            places = [] if pixels_only else other_places(located)
            for place in places if pixels is None else (*places, pixels):
                try:
                    if is_capsule(located, place):
                        chosen = self.choose(located, acceptable)
                    else:
                        chosen = representation.choose(EXPLICIT_LITTLE, acceptable)
                except NotAcceptable as exc:
                    refusals.append(exc)
                else:
                    given.append((located, place, chosen))
        return given, refusals

    def _bulk_of(
        self, principal: Principal, located: Located, place: Place, chosen: str
    ) -> Iterator[Payload]:
        if not is_capsule(located, place):
            yield value(self._store, located, place, self._limits)
            return
        if chosen == EXPLICIT_LITTLE:
            yield transcode.value_payload(self._source(located), place.path, self._pixels)
            return
        current, table = self._with_frames(principal, located.ref)
        yield from self._frames(current, table, range(1, frames.count(table) + 1), chosen)

    def _frames(
        self, located: Located, table: bytes | None, numbers: Iterable[int], chosen: str
    ) -> list[Payload]:
        if table is None:
            raise NotAcceptable("The frames of this instance cannot be told apart: take it whole.")
        if not is_converted(located.transfer_syntax, chosen):
            return [
                frames.frame(
                    self._store, located, table, number, transfer_syntax=chosen, limits=self._limits
                )
                for number in numbers
            ]
        source = self._source(located)
        last = frames.count(table)
        if any(number > last for number in numbers):
            raise NotFound(f"This instance has {last} frames.")
        return [transcode.frame_payload(source, n, chosen, self._pixels) for n in numbers]

    def _with_frames(self, principal: Principal, ref: InstanceRef) -> tuple[Located, bytes | None]:
        require(principal, Action.RETRIEVE, ref)
        with self._database.pointing() as conn:
            found = locate.with_frames(conn, ref, within=principal.scope.within())
        if found is None:
            raise NotFound
        return found


def _headed(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Give the head once the first of the rest is there: what fails then has given nothing."""
    first = next(chunks, b"")
    yield head + first
    yield from chunks
