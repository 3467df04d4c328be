"""Parts of instances: frames by their numbers, bulk data by its paths, or all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from vna import telemetry
from vna.access.audit import Audit
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.blobs.store import BlobStore
from vna.config import Limits
from vna.db.pool import Database
from vna.dicom.refs import InstanceRef, Ref
from vna.dicom.uids import EXPLICIT_LITTLE
from vna.errors import NotAcceptable, NotFound
from vna.index import locate
from vna.index.locate import Located
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
from vna.retrieve.forms import Forms
from vna.retrieve.payload import Payload
from vna.retrieve.representation import ANY, Wishes, is_converted

Instances = Callable[[Principal, Ref], list[Located]]
"""Gives every current instance, audited; see `RetrieveEngine.instances`."""


class Pieces:
    """Gives parts of instances out. One a process, shared by its threads."""

    def __init__(
        self,
        *,
        store: BlobStore,
        database: Database,
        audit: Audit,
        limits: Limits,
        pixels: PixelPool,
        forms: Forms,
        instances: Instances,
    ) -> None:
        self._store = store
        self._database = database
        self._audit = audit
        self._limits = limits
        self._pixels = pixels
        self._forms = forms
        self._instances = instances

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
        payloads = self._frames(located, table, numbers, self._forms.choose(located, acceptable))
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
        telemetry.BYTES_SENT.labels("bulkdata").inc(place.length)
        if not is_capsule(located, place):
            representation.choose(EXPLICIT_LITTLE, acceptable)
            return [value(self._store, located, place, self._limits)]
        chosen = self._forms.choose(located, acceptable)
        if chosen == EXPLICIT_LITTLE:
            return [transcode.value_payload(self._forms.source(located), place.path, self._pixels)]
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
        found = self._instances(principal, ref)
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
                        chosen = self._forms.choose(located, acceptable)
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
            yield transcode.value_payload(self._forms.source(located), place.path, self._pixels)
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
        source = self._forms.source(located)
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
