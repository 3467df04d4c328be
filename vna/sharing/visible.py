"""What of a share is shown now: the frozen list as it still is, and reports where they are added.

Where that is all there is of a study, or of a series, the scope names it whole, so that it can be
asked for as a whole; one instance more, and it is the list again: what came later is never shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from vna.access.principal import Scope
from vna.db.pool import Connection
from vna.dicom.refs import UID, InstanceRef, SeriesRef
from vna.index.arrays import Texts
from vna.sharing.rooms import SQL
from vna.sharing.rules import REPORTS


class Seen(NamedTuple):
    """A series of a share's studies: how many instances it has, and which of them are shown."""

    study: UID
    series: UID
    total: int
    instances: list[UID]


def visible_series(
    conn: Connection, share_id: int, studies: Sequence[str], *, reports: bool
) -> list[Seen]:
    """List the series of a share of which anything is shown."""
    return [one for one in series_of(conn, share_id, studies, reports=reports) if one.instances]


def series_of(
    conn: Connection, share_id: int, studies: Sequence[str], *, reports: bool
) -> list[Seen]:
    """List every series of a share's studies."""
    asked = {
        "share_id": share_id,
        "studies": Texts(studies),
        "reports": Texts(REPORTS if reports else ()),
    }
    rows = conn.execute(SQL.visible_of, asked).fetchall()
    return [Seen(UID(row[0]), UID(row[1]), row[2], [UID(u) for u in row[3] or ()]) for row in rows]


def scope_of(seen: Iterable[Seen], narrowed: Sequence[Sequence[Sequence[str | None]]]) -> Scope:
    """Make the scope: `narrowed` holds, of each grant that gave on a part only, these parts."""
    whole: dict[UID, bool] = {}
    series: set[SeriesRef] = set()
    single: set[InstanceRef] = set()
    for one in seen:
        shown = one.instances if _is_within(narrowed, one) else []
        is_whole = len(shown) == one.total
        whole[one.study] = whole.get(one.study, True) and is_whole
        if is_whole:
            series.add(SeriesRef(one.study, one.series))
        else:
            single.update(InstanceRef(one.study, one.series, uid) for uid in shown)
    studies = frozenset(study for study, is_whole in whole.items() if is_whole)
    return Scope(
        studies=studies,
        series=frozenset(ref for ref in series if ref.study not in studies),
        instances=frozenset(ref for ref in single if ref.study not in studies),
    )


def _is_within(narrowed: Sequence[Sequence[Sequence[str | None]]], one: Seen) -> bool:
    return all(
        any(part[0] == one.study and part[1] in (None, one.series) for part in parts)
        for parts in narrowed
    )
