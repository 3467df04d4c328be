"""What is known of an instance before it is shown: its description, its frames, its values.

The tables and descriptions read lately are kept; an overlay of corrections makes another one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from vna.blobs.store import BlobStore
from vna.config import Limits
from vna.db.pool import Database
from vna.dicom.corrected import Overlay
from vna.errors import NotAcceptable, NotFound, Unavailable, VNAError
from vna.index import locate
from vna.index import metadata as rows
from vna.index.locate import Located
from vna.index.metadata import Sealed, Shown
from vna.pixels.description import PixelDescription
from vna.pixels.looks import Looks, looks
from vna.retrieve import bulk, frames
from vna.retrieve.documents import Values
from vna.retrieve.kept import Lately
from vna.retrieve.kinds import Kind, kind_of
from vna.retrieve.legend import frame_ms, legend
from vna.retrieve.metadata import unsealed
from vna.retrieve.overlays import Overlays
from vna.retrieve.payload import Payload
from vna.texts import marked

_TABLES = 8 << 20  # bytes of frame tables
_KNOWN = 64 << 20  # bytes of descriptions, by the size of the JSON they were read from


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one image: its frame table, and what its looks depend on."""

    table: bytes | None
    description: PixelDescription
    looks: Looks
    texts: dict[str, tuple[str, ...]]
    frame_ms: float
    weight: int


class Knowledge:
    """Reads instances that may be seen: whoever asks has looked. For threads."""

    def __init__(
        self, *, store: BlobStore, database: Database, limits: Limits, overlays: Overlays
    ) -> None:
        self._store = store
        self._database = database
        self._limits = limits
        self._overlays = overlays
        self._tables: Lately[bytes] = Lately(_TABLES, lambda table: len(table) + 100)
        self._known: Lately[Known] = Lately(_KNOWN, lambda known: known.weight)

    def of(self, located: Located) -> Known:
        """Read what an image's looks depend on, as corrections have it. Raises `NotFound`."""

        return self._of(located, lambda: self._row(located))

    def learn(self, shown: Shown) -> None:
        """Take in what one query gave of an image, so that nothing is asked for it again."""
        self._tables.get(shown.located.blob_id, lambda: shown.table or b"")
        if kind_of(shown.located) is Kind.IMAGE:
            with suppress(VNAError):  # who asks for it is told
                self._of(shown.located, lambda: shown.sealed)

    def _of(self, located: Located, row: Callable[[], Sealed]) -> Known:
        overlay = self._overlays.of(located.ref.study, located.changed_at)

        def read() -> Known:
            members, weight = self._opened(row(), overlay)
            return self._told(located, members, weight, self.table(located))

        return self._known.get((located.blob_id, overlay and overlay.version), read)

    def apart(
        self, located: Located, members: dict[str, Any], weight: int, table: bytes | None
    ) -> Known:
        """Do the same for an object that stands in no catalogue, from its DICOM JSON and table."""
        return self._known.get(
            (located.blob_id, None), lambda: self._told(located, members, weight, table)
        )

    def _told(
        self, located: Located, members: dict[str, Any], weight: int, table: bytes | None
    ) -> Known:
        return Known(
            table,
            PixelDescription.of(members),
            looks(members, partial(self.fetch, located)),
            legend(members),
            frame_ms(members),
            weight + len(table or b""),
        )

    def read(self, located: Located) -> tuple[dict[str, Any], int]:
        """Read the DICOM JSON of an instance that may be seen, and its size."""
        overlay = self._overlays.of(located.ref.study, located.changed_at)
        return self._opened(self._row(located), overlay)

    def _row(self, located: Located) -> Sealed:
        with self._database.pointing() as conn:
            found = rows.sealed(conn, located.ref, within=None)
        if not found:
            raise NotFound
        _require_same(located, found[0].blob_id)
        return found[0]

    def _opened(self, row: Sealed, overlay: Overlay | None) -> tuple[dict[str, Any], int]:
        data = unsealed(self._store, row, self._limits)
        if overlay is not None:
            data = self._overlays.json(data, overlay)
        return orjson.loads(data), len(data)

    def table(self, located: Located) -> bytes | None:
        """Read where the frames of an instance are; None when it has none."""

        def read() -> bytes:
            with self._database.pointing() as conn:
                found = locate.with_frames(conn, located.ref, within=None)
            if found is None:
                raise NotFound
            _require_same(located, found[0].blob_id)
            return found[1] or b""

        return self._tables.get(located.blob_id, read) or None

    def frame(self, located: Located, table: bytes | None, number: int) -> Payload:
        """Read one frame as it is stored. Raises `NotFound` for one outside."""
        return frames.frame(
            self._store,
            located,
            table,
            number,
            transfer_syntax=located.transfer_syntax,
            limits=self._limits,
        )

    def fetch(self, located: Located, uri: str) -> bytes:
        """Read the value behind a relative BulkDataURI; empty when there is none of this size."""
        place = bulk.place_of(located, uri.removeprefix("bulkdata/"))
        if place is None or place.length > self._limits.metadata_bytes:
            return b""
        return b"".join(bulk.value(self._store, located, place, self._limits).chunks)

    def values(self, located: Located) -> Values:
        """Make the function that gives the value behind a relative BulkDataURI, however large.

        It gives None when there is none, and raises `NotAcceptable` for a large one that cannot be
        walked, and would be held whole.
        """
        pixels = bulk.pixel_place(located)
        listed = [*bulk.other_places(located), *([] if pixels is None else [pixels])]
        places = {place.path: place for place in listed}

        def value(uri: str) -> Payload | None:
            place = places.get(uri.removeprefix("bulkdata/"))
            if place is None:
                return None
            found = bulk.value(self._store, located, place, self._limits)
            if found.stretch is None and (found.length or 0) > self._limits.metadata_bytes:
                raise NotAcceptable("This is too large to be shown as it is stored: take it whole.")
            return found

        return value


def _require_same(located: Located, blob_id: bytes) -> None:
    """Refuse to mix what was found with what has taken its place since."""
    if located.blob_id != blob_id:
        raise Unavailable(marked("This instance has just been replaced; ask again."))
