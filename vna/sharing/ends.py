"""How shares and grants end: revoked, locked, refused; what was forwarded ends with them."""

from __future__ import annotations

from collections.abc import Sequence

from vna.access.audit import Event
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.dicom.refs import StudyRef
from vna.errors import Conflict, InvalidRequest, NotFound
from vna.index.arrays import Longs
from vna.sharing import granting, records
from vna.sharing.held import hold_share
from vna.sharing.refusals import require_not_refused
from vna.sharing.rooms import SQL, Act, Rooms, now
from vna.telemetry import SHARE_ACTS
from vna.texts import marked

_MOST_REASON = 300
_NOTICES = {"locked": "locked", "refused": "not-me"}


class Ends:
    """Ends shares and grants. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def revoke(self, who: Principal, share_id: int, *, grant_id: int | None, reason: str) -> int:
        """End a share, or one grant of it with what was forwarded from it; count the grants."""
        check_reason(reason)

        def work(tx: Act) -> int:
            hold_share(tx, who, share_id)
            if grant_id is not None:
                row = tx.execute(SQL.share_of_grant, (grant_id,)).fetchone()
                if row is None or row[0] != share_id:
                    raise NotFound("There is no such grant of this share.")
                return self.end_grant(tx, who, grant_id, "revoked", reason)
            return self.end_share(tx, who, share_id, reason)

        count = self._rooms.act(work)
        SHARE_ACTS.labels("revoked").inc()
        return count

    def end_share(self, tx: Act, who: Principal, share_id: int, reason: str) -> int:
        """End a share that is held, in a transaction; count the grants. Raises `Conflict`."""
        ended = {
            "share_id": share_id,
            "ended_at": now(),
            "ended_by": who.name,
            "reason": reason,
        }
        if tx.execute(SQL.end_share, ended).fetchone() is None:
            raise Conflict(marked("This share was revoked before."))
        tx.write_down(records.SHARE_END, {"share": share_id}, ended, who.name)
        grants = [row[0] for row in tx.execute(SQL.grants_of, (share_id,)).fetchall()]
        self._out(tx, grants)
        detail = {"share": share_id, "grants": len(grants), "reason": reason}
        self._rooms.tell(tx, who, Event(kind="share.revoked", outcome="done", detail=detail))
        return len(grants)

    def end_grant(self, tx: Act, who: Principal, grant_id: int, state: str, reason: str) -> int:
        """End a grant in a transaction: as locked alone, else with what was forwarded from it.

        Who goes on under it is out, what was not sent yet is not sent. Counts the grants.
        """
        below = tx.execute(SQL.line_below, (grant_id,)).fetchall()
        grants = [grant_id] if state == "locked" else [row[0] for row in below]
        at = max([now(), *(row[1] for row in below)])  # never before it was issued
        of_state = {state: [grant_id]}
        if len(grants) > 1:
            of_state.setdefault("revoked", [])
            of_state["revoked"] += [one for one in grants if one != grant_id]
        count = 0
        for each, some in of_state.items():
            row = {
                "grants": some,
                "state": each,
                "ended_at": at,
                "ended_by": who.name,
                "reason": reason,
            }
            count += tx.execute(SQL.end_grants, row).rowcount
            tx.write_down(records.GRANT_END, {"grant": grant_id}, row, who.name)
        self._out(tx, grants)
        share = tx.execute(SQL.share_of_grant, (grant_id,)).fetchone()
        detail = {
            "share": share and share[0],
            "grant": grant_id,
            "grants": count,
            "reason": reason,
        }
        self._rooms.tell(tx, who, Event(kind=f"grant.{state}", outcome="done", detail=detail))
        if state in _NOTICES:
            granting.send_notice(self._rooms, tx, _NOTICES[state], grant_id, who.name)
        return count

    def suspend_study(self, who: Principal, ref: StudyRef, reason: str) -> list[str]:
        """Suspend every share that shows a study; return their numbers."""
        check_reason(reason)
        require(who, Action.SHARE, ref)

        def work(tx: Act) -> list[str]:
            found = tx.execute(SQL.shares_of_study, (str(ref.study),)).fetchall()
            suspend(self._rooms, tx, who, [row[0] for row in found], reason)
            return [row[1] for row in found]

        return self._rooms.act(work)

    def reinstate(self, who: Principal, share_id: int) -> None:
        """Let a suspended share go on; see `SharingEngine.reinstate`."""

        def work(tx: Act) -> None:
            share = hold_share(tx, who, share_id)
            require_not_refused(tx, share)  # first: nobody withdraws anything from here on
            if share.consent_id is not None:
                row = tx.execute(SQL.consent_state, (share.consent_id,)).fetchone()
                if row is None or not row[0]:
                    raise Conflict(marked("The consent this rests on does not hold: share anew."))
            said = {"share_id": share_id}
            if tx.execute(SQL.reinstate_share, said).fetchone() is None:
                raise Conflict(marked("This share is not suspended."))
            tx.write_down(records.SHARE_HOLD, {"share": share_id}, said, who.name)
            told = Event(kind="share.reinstated", outcome="done", detail={"share": share_id})
            self._rooms.tell(tx, who, told)

        self._rooms.act(work)

    def _out(self, tx: Act, grants: Sequence[int]) -> None:
        tx.execute(SQL.end_sessions, (Longs(grants),))
        for grant_id in grants:
            tx.execute(SQL.void_codes, (grant_id,))
            self._rooms.outbox.cancel_grant(tx.tx, grant_id)


def suspend(rooms: Rooms, tx: Act, who: Principal, share_ids: Sequence[int], reason: str) -> None:
    """Suspend shares: who goes on under them is out."""
    for share_id in share_ids:
        said = {"share_id": share_id, "reason": reason}
        tx.execute(SQL.suspend_share, said)
        tx.write_down(records.SHARE_HOLD, {"share": share_id}, said, who.name)
        detail = {"share": share_id, "reason": reason}
        rooms.tell(tx, who, Event(kind="share.suspended", outcome="done", detail=detail))
    tx.execute(SQL.end_sessions_of_shares, (Longs(share_ids),))


def check_reason(reason: str) -> None:
    """Refuse to end something without a word. Raises `InvalidRequest`."""
    if not 0 < len(reason.strip()) <= _MOST_REASON:
        raise InvalidRequest(marked("Say why, in a sentence: it stands in the trail."))
