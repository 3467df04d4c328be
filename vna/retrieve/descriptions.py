"""Metadata on its way out: unsealed, corrected where staff did, kept for who asks again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from vna import telemetry
from vna.access.audit import Audit
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.blobs.store import BlobStore
from vna.config import Limits
from vna.db.pool import Database
from vna.dicom.corrected import Overlay
from vna.dicom.refs import Ref
from vna.errors import NotFound
from vna.index import metadata as rows
from vna.index.metadata import Sealed
from vna.retrieve.metadata import (
    KEPT_MOST,
    Described,
    Description,
    Kept,
    describe,
    unsealed,
)
from vna.retrieve.overlays import Overlays


class Descriptions:
    """Describes instances. One a process, shared by its threads."""

    def __init__(
        self,
        *,
        store: BlobStore,
        database: Database,
        audit: Audit,
        limits: Limits,
        overlays: Overlays,
    ) -> None:
        self._store = store
        self._database = database
        self._audit = audit
        self._limits = limits
        self._overlays = overlays
        self._kept = Kept()

    def of(self, principal: Principal, ref: Ref) -> Iterator[Description]:
        """Describe each instance that can be seen; see `RetrieveEngine.metadata`."""
        require(principal, Action.RETRIEVE, ref)
        within = principal.scope.within()
        whole = principal.scope.covers(ref)
        with self._database.pointing() as conn:
            now = rows.revision(conn, ref)
            kept = self._kept.find(ref, str(now)) if whole and now else None
            found = rows.sealed(conn, ref, within=within) if kept is None and now else []
        if not (kept or found):
            raise NotFound
        count = len(kept or found)
        self._audit.read(principal, ref.study, "metadata", count=count, size=0)
        telemetry.RETRIEVALS.labels("metadata").inc(count)
        if kept is not None:
            return iter(kept)
        overlay = self._overlays.of(ref.study, rows.changed_at(now))
        return self._unsealed(ref, found, str(now) if whole else None, overlay)

    def state(self, principal: Principal, ref: Ref) -> tuple[str, datetime]:
        """Say what state an answer is of, and since when; see `RetrieveEngine.state`."""
        require(principal, Action.RETRIEVE, ref)
        with self._database.pointing() as conn:
            found = rows.revision(conn, ref)
        if found is None:
            raise NotFound
        since = rows.changed_at(found)
        return "-".join(str(part) for part in found), since

    def _unsealed(
        self, ref: Ref, found: list[Sealed], revision: str | None, overlay: Overlay | None
    ) -> Iterator[Description]:
        """Unseal one after the other; keep the whole when it may be asked for again."""
        described: Described = []
        room = KEPT_MOST if revision is not None else 0
        for row in found:
            data = unsealed(self._store, row, self._limits)
            if overlay is not None:
                data = self._overlays.json(data, overlay)
            one = describe(row.ref, data)
            if (room := room - one.size) > 0:
                described.append(one)
            else:
                described.clear()
            yield one
        if revision is not None and described:
            self._kept.keep(ref, revision, described)
