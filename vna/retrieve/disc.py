"""Discs: images of studies for a medium, asked for, made as jobs, kept sealed for some days.

A disc is whole or it is not there: an object that cannot be read is named with its cause, and the
disc can be asked for again, or without it. Who fetches one must be allowed to see all of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from vna.access.audit import Audit, Event
from vna.access.policy import require, require_copies
from vna.access.principal import Action, Principal
from vna.blobs.derived import Derivates
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.db import statements, work
from vna.db.outbox import Subject, enqueue
from vna.db.pool import Connection, Database
from vna.db.work import Item, Job, Settled, State
from vna.dicom.refs import Ref, StudyRef, uid
from vna.errors import Conflict, Gone, InvalidRequest, NotFound, TooLarge, Unavailable
from vna.index import locate
from vna.index.locate import Located
from vna.retrieve.engine import RetrieveEngine
from vna.retrieve.mastering import Left, Mastered, Mastering, contents_of
from vna.retrieve.payload import Buffer, Stretch
from vna.retrieve.render import RenderEngine
from vna.texts import filled, marked

KIND = "disc"

_SQL = statements.load("disc")
_JOBS = statements.load("jobs")
_DAY_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disc:
    """A disc as pages show it. `size` is there once it can be fetched, until `expires_at`."""

    job_id: int
    studies: tuple[str, ...]
    share: int | None
    requested_by: str
    state: State
    cause: str | None
    cancelling: bool
    created_at: dt.datetime
    finished_at: dt.datetime | None
    objects: int
    read: int
    failed: int
    size: int | None
    blob_id: bytes | None
    of: str | None
    expires_at: dt.datetime | None

    @property
    def is_ready(self) -> bool:
        """Whether it can be fetched."""
        return (
            self.state is State.DONE
            and self.expires_at is not None
            and self.expires_at > dt.datetime.now(dt.UTC)
        )

    @property
    def is_expired(self) -> bool:
        """Whether it was there and is no more."""
        return self.state is State.DONE and not self.is_ready


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The bytes of a disc, any part of which can be walked."""

    content: Stretch
    studies: tuple[str, ...]
    revision: str
    changed_at: dt.datetime


class DiscEngine:
    """Asks for discs, makes them, gives them out. One a process, shared by its threads."""

    def __init__(
        self,
        *,
        store: BlobStore,
        database: Database,
        audit: Audit,
        settings: Settings,
        retrieve: RetrieveEngine,
        render: RenderEngine,
    ) -> None:
        self._store = store
        self._derivates = Derivates(store)
        self._database = database
        self._audit = audit
        self._settings = settings
        self._retrieve = retrieve
        self._render = render

    def ask(self, principal: Principal, refs: Sequence[Ref], *, share: int | None = None) -> int:
        """Ask for a disc of what `refs` name, and return its number.

        Raises `NotFound`, `NotPermitted`, `InvalidRequest`, and `TooLarge` when no medium holds it.
        """
        require(principal, Action.RETRIEVE)
        for ref in refs:
            require(principal, Action.RETRIEVE, ref)
            require_copies(principal, ref)
        found = self._found(principal, refs)
        size = sum(located.payload_len for located in found)
        if size > self._settings.discs.bytes:
            most = self._settings.discs.bytes >> 20
            raise TooLarge(
                filled(
                    "A disc holds up to %(most)s MiB, and this is %(size)s MiB.",
                    most=most,
                    size=size >> 20,
                )
            )
        self._require_space(size)
        return self._queue(principal, found, share)

    def all(
        self,
        principal: Principal,
        *,
        study: str | None = None,
        share: int | None = None,
        most: int = 100,
    ) -> list[Disc]:
        """List the discs the principal may see, the newest first."""
        require(principal, Action.RETRIEVE)
        listed = self._listed(study=study, share=share, most=most)
        return [disc for disc in listed if _may_see(principal, disc)]

    def one(self, principal: Principal, job_id: int) -> tuple[Disc, list[Item]]:
        """Show one disc with its objects. Raises `NotFound`, `NotPermitted`."""
        disc = self._disc(principal, job_id)
        with self._database.reading() as conn:
            return disc, work.items(conn, job_id)

    def retry(self, principal: Principal, job_id: int) -> None:
        """Make a disc again that failed or was cancelled. Raises `Conflict`, `NotFound`."""
        self._disc(principal, job_id)

        def again(tx: Connection) -> None:
            if tx.execute(_JOBS.retry_job, (job_id,)).fetchone() is None:
                raise Conflict(marked("This disc is made already, or is being made."))
            tx.execute(_JOBS.retry_items, (job_id,))
            self._audit.write(tx, principal, [_told("disc.retried", {"job": job_id})])

        self._database.changing(again)

    def without(self, principal: Principal, job_id: int) -> int:
        """Ask for the same disc without the objects that could not be read."""
        disc, items = self.one(principal, job_id)
        good = {item.instance for item in items if item.state != "failed"}
        refs = [StudyRef(uid(study)) for study in disc.studies]
        found = [one for one in self._found(principal, refs) if one.ref.instance in good]
        if not found:
            raise InvalidRequest(marked("Nothing of this disc could be read."))
        return self._queue(principal, found, disc.share)

    def cancel(self, principal: Principal, job_id: int) -> None:
        """Have a disc not made. Raises `Conflict`, `NotFound`."""
        self._disc(principal, job_id)

        def end(tx: Connection) -> None:
            if tx.execute(_JOBS.cancel_job, (job_id,)).fetchone() is None:
                raise Conflict(marked("This disc is made already, or was given up."))
            self._audit.write(tx, principal, [_told("disc.cancelled", {"job": job_id})])

        self._database.changing(end)

    def fetch(self, principal: Principal, job_id: int) -> Image:
        """Open a disc to be handed out; the disclosure is written before the first byte.

        Raises `Gone` when it is kept no more, or something on it was deleted since; `Conflict`
        when it is not made yet.
        """
        disc, items = self.one(principal, job_id)
        if disc.state is not State.DONE or disc.blob_id is None:
            raise Conflict(marked("This disc is not made yet."))
        if not disc.is_ready:
            raise Gone(marked("It was kept for a while only: have it made again."))
        self._require_same(principal, disc, items)
        reader = self._derivates.reader(disc.blob_id)
        detail = {"what": "disc", "job": job_id, "count": disc.objects, "size": reader.payload_len}
        told = [
            Event(kind="export", outcome="done", study=study, detail=detail)
            for study in disc.studies
        ]
        with self._database.transaction() as tx:
            self._audit.write(tx, principal, told)

        def walk(start: int, end: int) -> Iterator[Buffer]:
            return reader.chunks(start, end - start)

        return Image(
            content=Stretch(reader.payload_len, walk),
            studies=disc.studies,
            revision=disc.blob_id.hex(),
            changed_at=disc.finished_at or disc.created_at,
        )

    # -- made by the worker --------------------------------------------------------------------

    def make(
        self,
        job: Job,
        items: Sequence[Item],
        *,
        note: Callable[[Sequence[Settled]], None],
        must_leave: Callable[[], bool],
    ) -> Mastered | None:
        """Make a disc; None when an object could not be read. Raises `Left`, `Unavailable`."""
        self.sweep()
        mastering = Mastering(
            retrieve=self._retrieve,
            render=self._render,
            derivates=self._derivates,
            settings=self._settings,
            job=job,
            note=note,
            must_leave=must_leave,
        )
        return mastering.make(items)

    def keep(self, tx: Connection, job: Job, made: Mastered) -> None:
        """Write down where a disc rests, in the transaction that ends its job."""
        blob = made.blob
        found = {"blob": blob.blob_id.hex(), "size": blob.payload_len, "of": made.of}
        tx.execute(_SQL.note_disc, (orjson.dumps(found).decode(), job.job_id, job.epoch))

    def sweep(self) -> int:
        """Remove the discs whose days are over; count them."""
        return self._derivates.sweep(self._settings.discs.keep_days * _DAY_S)

    # -- inside --------------------------------------------------------------------------------

    def _found(self, principal: Principal, refs: Sequence[Ref]) -> list[Located]:
        within = principal.scope.within()
        with self._database.reading() as conn:
            listed = [one for ref in refs for one in locate.instances(conn, ref, within=within)]
        found = list({located.ref: located for located in listed}.values())
        if not found:
            raise NotFound
        if len(found) > self._settings.limits.retrieve_instances:
            raise TooLarge(marked("A disc holds fewer objects than that."))
        return found

    def _queue(self, principal: Principal, found: Sequence[Located], share: int | None) -> int:
        studies = sorted({str(located.ref.study) for located in found})
        subjects = [
            Subject(
                sop_class=located.sop_class,
                instance=located.ref.instance,
                study=located.ref.study,
            )
            for located in found
        ]

        def queue(tx: Connection) -> int:
            payload = {"studies": studies, "share": share}
            job_id = enqueue(tx, KIND, payload, requested_by=principal.name, subjects=subjects)
            assert job_id is not None  # noqa: S101 -- it has no token that could be in use
            detail = {"job": job_id, "instances": len(subjects), "share": share}
            told = [
                Event(kind="disc.asked", outcome="done", study=study, detail=detail)
                for study in studies
            ]
            self._audit.write(tx, principal, told)
            return job_id

        return self._database.changing(queue)

    def _disc(self, principal: Principal, job_id: int) -> Disc:
        require(principal, Action.RETRIEVE)
        found = self._listed(job_id=job_id, most=1)
        if not found:
            raise NotFound
        for study in found[0].studies:
            require(principal, Action.RETRIEVE, StudyRef(uid(study)))
            require_copies(principal, StudyRef(uid(study)))
        return found[0]

    def _listed(
        self,
        *,
        job_id: int | None = None,
        study: str | None = None,
        share: int | None = None,
        most: int,
    ) -> list[Disc]:
        asked = {"job_id": job_id, "study": study, "share": share, "most": most}
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.list_discs, asked).fetchall()
        keep = dt.timedelta(days=self._settings.discs.keep_days)
        return [_disc(row, keep) for row in rows]

    def _require_same(self, principal: Principal, disc: Disc, items: Sequence[Item]) -> None:
        """Refuse a disc of which something was deleted or corrected since it was made."""
        named = {item.instance for item in items}
        within = principal.scope.within()
        with self._database.reading() as conn:
            found = [
                located
                for study in disc.studies
                for located in locate.instances(conn, StudyRef(uid(study)), within=within)
                if located.ref.instance in named
            ]
        if contents_of(self._retrieve, found) != disc.of:
            raise Gone(
                marked("Something on this disc was deleted or corrected since: have it made again.")
            )

    def _require_space(self, size: int) -> None:
        free = self._store.free_bytes()
        if free is not None and free[0] - size < self._settings.blobs.free_bytes:
            raise Unavailable(marked("There is not enough disk space to make this disc."))


def _may_see(principal: Principal, disc: Disc) -> bool:
    return all(principal.scope.covers(StudyRef(uid(study))) for study in disc.studies)


def _told(kind: str, detail: dict[str, Any]) -> Event:  # JSON
    return Event(kind=kind, outcome="done", detail=detail)


def _disc(row: tuple[Any, ...], keep: dt.timedelta) -> Disc:
    job_id, payload, requested_by, state, cause, cancelling, created_at, finished_at, *counts = row
    blob = payload.get("blob")
    return Disc(
        job_id=job_id,
        studies=tuple(payload["studies"]),
        share=payload.get("share"),
        requested_by=requested_by,
        state=State(state),
        cause=cause,
        cancelling=cancelling,
        created_at=created_at,
        finished_at=finished_at,
        objects=counts[0],
        read=counts[1],
        failed=counts[2],
        size=payload.get("size"),
        blob_id=bytes.fromhex(blob) if blob else None,
        of=payload.get("of"),
        expires_at=finished_at + keep if finished_at and blob else None,
    )


__all__ = ["KIND", "Disc", "DiscEngine", "Image", "Item", "Left"]
