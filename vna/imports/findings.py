"""Rows of imports as values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vna.imports.values import Detail, Import, Origin, Person, Result, Series, State, Study, Trouble

Row = Sequence[Any]  # the columns of a named statement


def import_of(row: Row) -> Import:
    """Read a row of `batches`."""
    return Import(
        number=row[0],
        batch=row[1],
        origin=Origin(row[2]),
        state=State(row[3]),
        made_by=row[4],
        note=row[5],
        made_at=row[6],
        changed_at=row[7],
        ends_at=row[8],
        expected=row[9],
        decided_by=row[10],
        reason=row[11],
        filed=row[12],
        removed=row[13],
        files=row[14],
        bytes=row[15],
        images=row[16],
        reports=row[17],
        objects=row[18],
        bad=row[19],
        others=row[20],
        documents=row[21],
        twice=row[22],
        persons=row[23],
        marked=row[24],
    )


def persons_of(rows: Iterable[Row]) -> list[Person]:
    """Gather rows of `findings`: persons, their studies, the series of those."""
    persons: dict[str, Person] = {}
    studies: dict[tuple[str, str], Study] = {}
    for row in rows:
        key, name, patient_id, birth_date, sex, study, date, text = row[:8]
        if key not in persons:
            persons[key] = Person(
                key=key, name=name, patient_id=patient_id, birth_date=birth_date, sex=sex
            )
        if (key, study) not in studies:
            found = Study(uid=study, date=date, description=text, is_known=row[16])
            studies[key, study] = found
            persons[key].studies.append(found)
        images, reports, count = row[11:14]
        studies[key, study].series.append(
            Series(
                uid=row[8],
                modality=row[9],
                description=row[10],
                images=images,
                reports=reports,
                objects=count - images - reports,
                size=row[14],
            )
        )
    return list(persons.values())


def troubles_of(rows: Iterable[Row]) -> list[Trouble]:
    """Read rows of `troubles`."""
    return [
        Trouble(name=name, size=size, result=Result(result), reason=reason)
        for name, size, result, reason in rows
    ]


def detail_of(
    found: Import, persons: list[Person], troubles: list[Trouble], *, unlisted: int
) -> Detail:
    """Put an import and what was found in it together."""
    return Detail(about=found, persons=persons, troubles=troubles, unlisted=unlisted)
