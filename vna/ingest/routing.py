"""Which rules an instance that comes in falls under, and its place in their jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import orjson

from vna.access.routes import Route, Routes
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.db import statements
from vna.db.pool import Connection
from vna.dicom.attributes import ALL_INDEXED
from vna.dicom.evaluate import matches
from vna.dicom.matching import MatchingKey, Query
from vna.dicom.refs import Level
from vna.index.register import Registered, Registration, Verdict
from vna.ingest.extras import PARSED_MOST, json_of, zone_of

_SQL = statements.load("routes")

Elements = dict[str, Any]  # values of DICOM JSON differ by VR


class Router:
    """Applies the rules to what comes in. Shared by the threads of a process."""

    def __init__(self, routes: Routes, store: BlobStore, settings: Settings) -> None:
        self._routes = routes
        self._store = store
        self._zone = zone_of(settings.site)
        self._gather_s = settings.jobs.gather_s

    def of(self, item: Registration, json: bytes | None = None) -> tuple[int, ...]:
        """Say which rules an instance falls under; nothing where there are no rules.

        `json` is its DICOM JSON where that is at hand: it is looked into only for a rule on an
        attribute the index does not keep. Raises `Unavailable`.
        """
        rules = self._routes.now()
        if not rules:
            return ()
        callers = (item.calling_ae, item.principal)
        elements = partial(_whole, self._store, item, json)
        return tuple(
            rule.route_id
            for rule in rules
            if rule.takes_from(callers) and self.matches(rule, item.attributes, elements)
        )

    def matches(self, rule: Route, indexed: Elements, whole: Callable[[], Elements]) -> bool:
        """Tell whether the Matching Keys of a rule hold for an instance."""
        if not rule.matching:
            return True
        is_kept = all(_is_kept(key) for key in rule.matching)
        asked = Query(level=Level.IMAGE, keys=rule.matching)
        return matches(asked, indexed if is_kept else whole(), zone=self._zone)

    def comes_back(self, item: Registration) -> bool:
        """Whether an instance comes from somebody it may have been sent to.

        A known one that comes back changed is kept as a version, and not sent around once more.
        """
        return any(rule.to in (item.calling_ae, item.principal) for rule in self._routes.now())

    def queue(self, tx: Connection, found: Iterable[tuple[Registration, Registered]]) -> None:
        """Queue what became current, in the transaction in which it does."""
        rows = [
            (route, item.ref.study, item.sop_class, item.ref.instance)
            for item, result in found
            if result.current and result.verdict in (Verdict.NEW, Verdict.VERSION)
            for route in item.routes
        ]
        if rows:
            columns = [list(column) for column in zip(*rows, strict=True)]
            tx.execute(_SQL.route_instances, (*columns, self._gather_s))


def _is_kept(key: MatchingKey) -> bool:
    return key.tag in ALL_INDEXED and (key.time_tag is None or key.time_tag in ALL_INDEXED)


def _whole(store: BlobStore, item: Registration, json: bytes | None) -> Elements:
    found = json or json_of(store, item.blob_id)
    if found is None or len(found) > PARSED_MOST:
        return item.attributes
    elements: Elements = orjson.loads(found)
    return elements
