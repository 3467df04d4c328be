"""A batch of registrations as the columns that `register_instances` takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vna.db.pool import Connection
from vna.db.statements import load
from vna.index import faces
from vna.index.arrays import Blobs, Dates, Longs, Moments, Texts, Times
from vna.index.registration import Registration

SQL = load("index")

_COLUMNS = (
    *(Texts, Longs, Texts, Longs, Texts, Texts, Texts, Longs, Blobs, Blobs, Blobs, Longs, Longs),
    *(Longs, Dates, Times, Longs, Longs, Longs, Longs, Texts, Texts, Texts),
    *(Blobs, Longs, Blobs, Texts, Texts, Longs, Longs, Longs, Blobs, Blobs, Blobs, Blobs),
    *(Moments, Texts, Texts, Texts, Texts, Texts, Texts, Blobs, Longs, Texts),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One registration with its attributes parted by level."""

    item: Registration
    study: dict[str, Any]  # DICOM JSON elements
    series: dict[str, Any]
    study_variant: int
    series_variant: int
    row: tuple[Any, ...]  # one value a column, of the types in _COLUMNS

    @property
    def age(self) -> tuple[int, bytes]:
        """The place of the blob in time: the smallest of a study shows its attributes."""
        return self.item.created_us, self.item.blob_id


def entry(item: Registration) -> Entry:
    """Part the attributes of one registration and lay out its row."""
    study = faces.of_study(item.attributes, item.issuer)
    series = faces.of_series(item.attributes)
    study_variant, series_variant = faces.variant(study), faces.variant(series)
    row = (
        *(item.ref.study, study_variant, item.ref.series, series_variant, item.ref.instance),
        *(item.sop_class, item.transfer_syntax, item.created_us, item.blob_id, item.digest),
        *(item.key_id, item.key_version, item.size),
        *faces.instance_columns(faces.of_instance(item.attributes), sorted(item.flags)),
        *(item.header, item.payload_len, item.checksum, *(item.pixel or (None,) * 4)),
        *(item.frame_count, item.frames, item.bulk, item.group2, item.preamble),
        *(item.received_at, item.proto, item.calling_ae, item.called_ae, item.address),
        *(item.principal, item.charset, item.metadata, item.deriver, item.actor_kind),
    )
    return Entry(item, study, series, study_variant, series_variant, row)


@dataclass(frozen=True, slots=True)
class Inserted:
    """Which of a batch went in, and which are unlike what their study or series shows."""

    positions: frozenset[int]
    unlike: frozenset[int]


def insert(
    tx: Connection,
    entries: Sequence[Entry],
    *,
    reason: str | None = None,
    act: str | None = None,
) -> Inserted | None:
    """Insert instances into known series; None, and nothing done, when something above is new.

    With a reason they go in as versions that are not current and not counted. With an act each
    one inserted leaves a row of that kind in the audit trail.
    """
    # by UID, so that two batches wait for each other's UIDs in one order; of several versions of a
    # UID the oldest first, since it is the one that stays
    order = sorted(
        range(len(entries)), key=lambda n: (entries[n].item.ref.instance, entries[n].age)
    )
    columns = zip(*(entries[n].row for n in order), strict=True)
    packed = [kind(column) for kind, column in zip(_COLUMNS, columns, strict=True)]
    cursor = tx.cursor(binary=True)
    cursor.execute(SQL.register_instances, [*packed, reason, act], prepare=True)
    known, positions, unlike = cursor.fetchone() or (False, None, None)
    if not known:
        return None
    return Inserted(
        *(frozenset(order[n - 1] for n in found or ()) for found in (positions, unlike))
    )
