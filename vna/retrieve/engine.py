"""The way out: instances, metadata, frames, bulk data; as stored or in Explicit VR LE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain

import orjson

from vna import telemetry
from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.db.pool import Database
from vna.dicom.part10 import file_head, with_transfer_syntax
from vna.dicom.refs import InstanceRef, Ref
from vna.dicom.uids import EXPLICIT_LITTLE, syntax
from vna.errors import NotFound
from vna.index import locate, select
from vna.index import metadata as rows
from vna.index.locate import Located
from vna.index.metadata import Sealed
from vna.index.select import Listed, Selection
from vna.retrieve import frames, representation
from vna.retrieve.datasets import in_syntax, is_plain, small_value, stored_views, value_bytes
from vna.retrieve.metadata import (
    KEPT_MOST,
    Described,
    Description,
    Kept,
    describe,
    unsealed,
)
from vna.retrieve.outgoing import Body, Outgoing
from vna.retrieve.payload import Payload, path_of
from vna.retrieve.retrieval import Retrieval, Tally

_NOTED = 1000  # UIDs of one audit row
SMALL = 4 << 20  # up to this size a payload is read in one go and handed over ready


class RetrieveEngine:
    """Gives objects out. One a process, shared by its threads."""

    def __init__(
        self, *, store: BlobStore, database: Database, audit: Audit, settings: Settings
    ) -> None:
        self._store = store
        self._database = database
        self._audit = audit
        self._limits = settings.limits
        self._kept = Kept()

    def instances(self, principal: Principal, ref: Ref) -> list[Located]:
        """Every current instance of `ref` in the archive's order. Raises `NotFound` when none."""
        require(principal, Action.RETRIEVE, ref)
        with self._database.reading() as conn:
            found = locate.instances(conn, ref, within=principal.scope.within())
        if not found:
            raise NotFound
        self._audit.read(
            principal, ref.study, "instances", count=len(found), size=sum(i.size for i in found)
        )
        telemetry.RETRIEVALS.labels("instances").inc(len(found))
        return found

    def choose(self, located: Located, acceptable: Sequence[str] | None) -> str:
        """The Transfer Syntax in which this instance goes out. Raises `NotAcceptable`."""
        return representation.choose(located.transfer_syntax, acceptable)

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
            chunks=chain((head,), body.chunks),
            location=path_of(located.ref),
        )

    def dataset(self, located: Located, transfer_syntax: str) -> Payload:
        """One of `instances` as a bare data set, as C-STORE sends it."""
        as_stored = transfer_syntax == located.transfer_syntax
        return Payload(
            ref=located.ref,
            media_type="application/dicom",
            transfer_syntax=transfer_syntax,
            length=located.payload_len if as_stored else None,
            chunks=in_syntax(self._store, located, transfer_syntax, self._limits),
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

    def _locate(self, listed: Sequence[Listed]) -> dict[int, Located]:
        with self._database.reading() as conn:
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
        return Outgoing(
            ref=located.ref,
            sop_class=located.sop_class,
            transfer_syntax=located.transfer_syntax,
            forms=representation.forms(located.transfer_syntax),
            load=partial(self._body, located),
        )

    def _body(self, located: Located, transfer_syntax: str) -> Body:
        if transfer_syntax == located.transfer_syntax:
            views = stored_views(self._store, located)
            return Body(length=located.payload_len, chunks=views)
        chunks = in_syntax(self._store, located, transfer_syntax, self._limits)
        return Body(length=None, chunks=chunks)

    def metadata(self, principal: Principal, ref: Ref) -> Iterator[Description]:
        """Every attribute of each instance, bulk data by URI.

        Raises `NotFound` before the first is given, when there is none.
        """
        require(principal, Action.RETRIEVE, ref)
        within = principal.scope.within()
        whole = principal.scope.covers(ref)
        with self._database.reading() as conn:
            revision = rows.revision(conn, ref)
            kept = self._kept.find(ref, str(revision)) if whole and revision else None
            found = rows.sealed(conn, ref, within=within) if kept is None and revision else []
        if not (kept or found):
            raise NotFound
        count = len(kept or found)
        self._audit.read(principal, ref.study, "metadata", count=count, size=0)
        telemetry.RETRIEVALS.labels("metadata").inc(count)
        if kept is not None:
            return iter(kept)
        return self._unsealed(ref, found, str(revision) if whole else None)

    def _unsealed(
        self, ref: Ref, found: list[Sealed], revision: str | None
    ) -> Iterator[Description]:
        """Unseal one after the other; keep the whole when it may be asked for again."""
        described: Described = []
        room = KEPT_MOST if revision is not None else 0
        for row in found:
            one = describe(row.ref, unsealed(self._store, row, self._limits))
            if (room := room - one.size) > 0:
                described.append(one)
            else:
                described.clear()
            yield one
        if revision is not None and described:
            self._kept.keep(ref, revision, described)

    def revision(self, principal: Principal, ref: Ref) -> str:
        """Text that changes whenever an answer about `ref` would. Raises `NotFound`."""
        require(principal, Action.RETRIEVE, ref)
        with self._database.reading() as conn:
            found = rows.revision(conn, ref)
        if found is None:
            raise NotFound
        return "-".join(str(part) for part in found)

    def frames(
        self,
        principal: Principal,
        ref: InstanceRef,
        numbers: Sequence[int],
        acceptable: Sequence[str] | None,
    ) -> list[Payload]:
        """Frames by number, from 1, in the order asked for (PS3.18 10.4.1.1.6).

        Uncompressed frames are little endian octets, compressed ones their codestream. Raises
        `NotFound` for a number outside, `NotAcceptable` when the stored syntax is not accepted.
        """
        located, table = self._with_frames(principal, ref)
        chosen = representation.choose(located.transfer_syntax, acceptable)
        payloads = [
            frames.frame(
                self._store, located, table, number, transfer_syntax=chosen, limits=self._limits
            )
            for number in numbers
        ]
        size = sum(p.length or 0 for p in payloads)
        self._audit.read(principal, ref.study, "frames", count=len(payloads), size=size)
        telemetry.RETRIEVALS.labels("frames").inc(len(payloads))
        telemetry.BYTES_SENT.labels("frames").inc(size)
        return payloads

    def bulkdata(self, principal: Principal, ref: InstanceRef, path: str) -> list[Payload]:
        """The value behind a BulkDataURI: one payload, or one a frame where it is compressed."""
        located, table = self._with_frames(principal, ref)
        place = _place(located, path)
        if place is None:
            raise NotFound
        vr, offset, length = place
        self._audit.read(principal, ref.study, "bulkdata", count=1, size=length)
        telemetry.RETRIEVALS.labels("bulkdata").inc()
        if (
            located.pixel
            and path == located.pixel[0]
            and syntax(located.transfer_syntax).encapsulated
        ):
            return [
                frames.frame(
                    self._store,
                    located,
                    table,
                    n,
                    transfer_syntax=located.transfer_syntax,
                    limits=self._limits,
                )
                for n in range(1, frames.count(table) + 1)
            ]
        return [self._value(located, vr, offset, length, path)]

    def _value(self, located: Located, vr: str, offset: int, length: int, path: str) -> Payload:
        plain = is_plain(located.transfer_syntax)
        if plain and length <= SMALL:
            data = small_value(self._store, located, offset, length)
            chunks: Iterator[bytes] = iter((data,))
        else:
            chunks = value_bytes(self._store, located, (vr, offset, length), self._limits)
        return Payload(
            ref=located.ref,
            media_type="application/octet-stream",
            transfer_syntax=EXPLICIT_LITTLE,
            length=length,
            chunks=chunks,
            location=f"{path_of(located.ref)}/bulkdata/{path}",
            revision=located.blob_id.hex(),
            read=(
                (lambda at, size: small_value(self._store, located, offset + at, size))
                if plain
                else None
            ),
        )

    def _with_frames(self, principal: Principal, ref: InstanceRef) -> tuple[Located, bytes | None]:
        require(principal, Action.RETRIEVE, ref)
        with self._database.reading() as conn:
            found = locate.with_frames(conn, ref, within=principal.scope.within())
        if found is None:
            raise NotFound
        return found


def _place(located: Located, path: str) -> tuple[str, int, int] | None:
    """Where the value of a bulk path lies: VR, offset, length."""
    if located.pixel is not None and located.pixel[0] == path:
        return located.pixel[1:]
    for found, vr, offset, length in orjson.loads(located.bulk or b"[]"):
        if found == path:
            return vr, offset, length
    return None
