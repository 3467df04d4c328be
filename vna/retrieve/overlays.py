"""What was corrected, laid over what goes out: data sets, DICOM JSON, and how they are named.

An archive in which nothing was corrected asks once a second whether that is still so, and no more.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import orjson

from vna.blobs.recent import Recent
from vna.config import Settings
from vna.db.pool import Database
from vna.dicom.corrected import BIG_ENDIAN, Overlay, corrected, corrected_members
from vna.dicom.refs import UID
from vna.dicom.uids import EXPLICIT_LITTLE
from vna.index import corrections
from vna.index.locate import Located
from vna.retrieve.payload import Buffer, Stretch

FRESH_S = 1.0
_SKEW_S = 2.0  # between the clocks of this machine and of the database
_KEPT_S = 60.0
_STUDIES = 1024


class Overlays:
    """The corrections of studies as they go out. Shared by the threads of a process."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._limits = settings.limits
        self._system = settings.dicom.ae_title
        self._wanted = settings.corrections.outgoing == "corrected"
        self._lock = threading.Lock()
        self._looked_at = 0.0
        self._is_any = False
        self._known: Recent[tuple[UID, dt.datetime], tuple[Overlay | None]] = Recent(
            _STUDIES, _KEPT_S
        )

    def of(self, study: UID, changed_at: dt.datetime) -> Overlay | None:
        """Say what is laid over a study whose rows changed last at this time; nearly always None.

        A correction changes them, so what was read of the rows says whether what is known is new
        enough.
        """
        if not self._wanted or not self._any(changed_at.timestamp()):
            return None
        found = self._known.get((study, changed_at))
        if found is None:
            with self._database.reading() as conn:
                found = (corrections.overlay_of(conn, study),)
            self._known.put((study, changed_at), found)
        return found[0]

    def json(self, data: bytes, overlay: Overlay) -> bytes:
        """Lay it over the DICOM JSON of an instance."""
        members = corrected_members(orjson.loads(data), overlay, system=self._system)
        return orjson.dumps(members)

    def stream(
        self, chunks: Iterable[Buffer], transfer_syntax: str, overlay: Overlay
    ) -> Iterator[bytes]:
        """Lay it over a data set on its way out. Raises `NotAcceptable` for big endian ones."""
        whole = (bytes(chunk) for chunk in chunks)  # a chunk may be good only until the next
        return corrected(whole, transfer_syntax, self._limits, overlay, system=self._system)

    def stretch(self, walk: Callable[[], Iterator[bytes]]) -> Stretch:
        """Make bytes of known length of what is written anew each time: walked once to count."""
        length = sum(len(chunk) for chunk in walk())

        def part(start: int, end: int) -> Iterator[Buffer]:
            at = 0
            for chunk in walk():
                first, last = max(start - at, 0), min(end - at, len(chunk))
                at += len(chunk)
                if first < last:
                    yield chunk[first:last]
                if at >= end:
                    return

        return Stretch(length, part)

    def _any(self, changed_at: float) -> bool:
        """Whether anything is corrected: asked again where a row is younger than the answer."""
        now = time.time()
        if now - self._looked_at < FRESH_S and changed_at < self._looked_at - _SKEW_S:
            return self._is_any
        with self._lock:
            self._is_any = corrections.is_any(self._database)
            self._looked_at = now
            return self._is_any


def stored_as(located: Located, overlay: Overlay | None) -> str:
    """Say what an instance counts as stored in: big endian ones are given in little endian."""
    if overlay is not None and located.transfer_syntax in BIG_ENDIAN:
        return EXPLICIT_LITTLE
    return located.transfer_syntax


def revision(located: Located, overlay: Overlay | None) -> str:
    """Name the bytes that go out: the stored version, and what is laid over it."""
    blob = located.blob_id.hex()
    return blob if overlay is None else f"{blob}-{overlay.version.hex()}"
