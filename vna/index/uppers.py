"""The rows above instances: identities, studies and series that a batch brings for the first time.

Everything is made in one order (corrections held, patient, study, series; sorted within) so that
batches of several processes wait for each other and never in a circle. What another process made
first is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, LiteralString

from vna.db.pool import Connection
from vna.index import corrections, faces
from vna.index.arrays import Texts
from vna.index.batch import SQL, Entry

Row = dict[str, Any]  # named parameters of a statement


def ensure(tx: Connection, entries: Sequence[Entry]) -> None:
    """Make what is missing above the entries, and record attributes unlike those shown."""
    # the oldest first: it is the one whose attributes a new study or series shows
    ordered = sorted(entries, key=lambda entry: entry.age)
    studies = list({(e.item.ref.study, e.study_variant): e for e in reversed(ordered)}.values())
    serieses = list(
        {
            (e.item.ref.study, e.item.ref.series, e.series_variant): e for e in reversed(ordered)
        }.values()
    )
    study_rows = [_study_row(e) for e in sorted(studies, key=_study_order)]
    series_rows = [_series_row(e) for e in sorted(serieses, key=_series_order)]
    corrections.hold_off(tx, (e.item.ref.study for e in entries))
    _add_modalities(tx, series_rows)
    _add_patients(tx, study_rows)
    _add(tx, study_rows, key=("study_uid",), new=SQL.add_study, other=SQL.add_study_difference)
    _add(
        tx,
        series_rows,
        key=("study_uid", "series_uid"),
        new=SQL.add_series,
        other=SQL.add_series_difference,
    )


def _study_order(entry: Entry) -> tuple[object, ...]:
    return entry.item.ref.study, *entry.age


def _series_order(entry: Entry) -> tuple[object, ...]:
    return entry.item.ref.study, entry.item.ref.series, *entry.age


def _study_row(entry: Entry) -> Row:
    study_uid = str(entry.item.ref.study)
    patient_id = faces.patient_id(entry.study)
    return faces.study_columns(entry.study) | {
        "study_uid": study_uid,
        "variant": entry.study_variant,
        "of_issuer": entry.item.issuer,
        "of_id": patient_id,
        # a blank Patient ID identifies nobody: the identity is this study's own
        "of_study": "" if patient_id else study_uid,
    }


def _series_row(entry: Entry) -> Row:
    return faces.series_columns(entry.series) | {
        "study_uid": str(entry.item.ref.study),
        "series_uid": str(entry.item.ref.series),
        "variant": entry.series_variant,
    }


def _add_modalities(tx: Connection, rows: Iterable[Row]) -> None:
    found = {row["modality"] for row in rows if row["modality"]}
    tx.execute(SQL.add_modalities, [Texts(sorted(found))], prepare=True)


def _add_patients(tx: Connection, rows: Iterable[Row]) -> None:
    found = sorted({(row["of_issuer"], row["of_id"], row["of_study"]) for row in rows})
    tx.execute(SQL.add_patients, [Texts(c) for c in zip(*found, strict=True)], prepare=True)


def _add(
    tx: Connection,
    rows: Sequence[Row],
    *,
    key: tuple[str, ...],
    new: LiteralString,
    other: LiteralString,
) -> None:
    """Make each entity from its oldest row; the rows it does not show are its differences.

    The differences come last and by variant: which row is the oldest is not the same in every
    batch, and two batches that wrote them by age would wait for each other.
    """
    made: set[tuple[str, ...]] = set()
    unlike: list[tuple[tuple[str, ...], int, Row]] = []
    for row in rows:
        name = tuple(row[column] for column in key)
        if name in made or not tx.execute(new, row, prepare=True).rowcount:
            unlike.append((name, row["variant"], row))
        made.add(name)
    for _, _, row in sorted(unlike, key=lambda found: found[:2]):
        tx.execute(other, row, prepare=True)
