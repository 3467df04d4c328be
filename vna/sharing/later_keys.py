"""Keys of what a share shows although it came later: reports added, versions that became current.

The frozen list of a share holds the data keys of its day. Who holds the archive's keys adds those
of what came since, when it is first looked at; the owner's copy of the share's key opens the way.
"""

from __future__ import annotations

from vna.crypto import shares
from vna.errors import Conflict, NotFound
from vna.sharing import granting
from vna.sharing.rooms import SQL, Rooms
from vna.sharing.visible import series_of


class LaterKeys:
    """Wraps data keys for shares. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def wrapped(self, share_id: int, blob_id: bytes) -> bytes | None:
        """Give a blob's data key under the share's; None when the share does not show it."""
        rooms = self._rooms
        with rooms.database.reading() as conn:
            asked = {"share_id": share_id, "blob_id": blob_id}
            row = conn.execute(SQL.share_with_blob, asked).fetchone()
            if row is None:
                return None
            sealed, studies, reports, study, series, instance, header = row
            shown = any(
                instance in one.instances
                for one in series_of(conn, share_id, studies, reports=reports)
                if (one.study, one.series) == (study, series)
            )
        if not shown:
            return None
        try:
            share_key = granting.open_owner_key(rooms, share_id, bytes(sealed))
            data_key = rooms.store.data_key(blob_id, bytes(header))
        except (Conflict, NotFound):
            return None  # a study of it was destroyed
        wrapped = shares.wrap(share_key, data_key)
        with rooms.database.transaction() as tx:
            tx.execute(SQL.add_later_key, (share_id, blob_id, wrapped))
        return wrapped
