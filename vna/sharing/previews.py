"""Testing a share: everything in it opens, and this is what a stranger with link and proof sees."""

from __future__ import annotations

from vna.access.audit import Event
from vna.access.principal import Principal
from vna.crypto import shares
from vna.errors import Conflict
from vna.sharing import granting
from vna.sharing.held import ShareRow, hold_share
from vna.sharing.rooms import SQL, Act, Rooms
from vna.sharing.values import Preview, PreviewStudy, Protection
from vna.sharing.visible import visible_series
from vna.texts import marked

_BATCH = 1000
NO_SHARE = -1


class Previews:
    """Tests shares. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def test(self, who: Principal, share_id: int) -> Preview:
        """Open everything as a stranger would; see `SharingEngine.test`."""
        share, proofs = self._rooms.act(lambda tx: _held(tx, who, share_id))
        share_key = granting.open_owner_key(self._rooms, share_id, share.owner_key)
        self._open_items(share_id, share_key)
        studies = self._studies(share)

        def note(tx: Act) -> None:
            tx.execute(SQL.note_tested, (share_id,))
            detail = {"share": share_id, "instances": sum(s.images + s.reports for s in studies)}
            self._rooms.tell(tx, who, Event(kind="share.tested", outcome="done", detail=detail))

        self._rooms.act(note)
        return Preview(
            number=share.number,
            studies=studies,
            reports=share.reports,
            download=share.download,
            asked=tuple(proofs),
            until=share.ends_at,
        )

    def _open_items(self, share_id: int, share_key: bytes) -> None:
        """Open every item's key with the share's. Raises `WrongKey`, `Conflict` without any."""
        after, count = "", 0
        while True:
            asked = {"share_id": share_id, "after": after, "most": _BATCH}
            with self._rooms.database.reading() as conn:
                rows = conn.execute(SQL.items_of, asked).fetchall()
            for instance, _, data_key in rows:
                shares.unwrap(share_key, bytes(data_key))
                after = instance
            count += len(rows)
            if len(rows) < _BATCH:
                break
        if not count:
            raise Conflict(marked("There is nothing in this share."))

    def _studies(self, share: ShareRow) -> tuple[PreviewStudy, ...]:
        with self._rooms.database.reading() as conn:
            seen = visible_series(conn, share.share_id, share.studies, reports=share.reports)
            documents = visible_series(conn, NO_SHARE, share.studies, reports=share.reports)
        reports = {(one.study, one.series): len(one.instances) for one in documents}
        found: dict[str, list[int]] = {study: [0, 0, 0] for study in share.studies}
        for one in seen:
            counts, added = found[one.study], reports.get((one.study, one.series), 0)
            counts[0] += 1
            counts[1] += len(one.instances) - added
            counts[2] += added
        return tuple(
            PreviewStudy(study=study, series=c[0], images=c[1], reports=c[2])
            for study, c in found.items()
        )


def _held(tx: Act, who: Principal, share_id: int) -> tuple[ShareRow, list[frozenset[Protection]]]:
    share = hold_share(tx, who, share_id)
    rows = tx.execute(SQL.proofs_of, (share_id,)).fetchall()
    if not rows:
        raise Conflict(marked("Nobody can open this share: no grant of it holds."))
    return share, [frozenset(Protection(way) for way in row[0]) for row in rows]
