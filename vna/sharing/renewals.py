"""New secrets for a grant, and more time for a share. Old secrets open nothing from then on."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from vna.access.audit import Event
from vna.access.principal import Principal
from vna.delivery.channels import Channel
from vna.errors import Conflict, InvalidRequest
from vna.index.arrays import Longs
from vna.sharing import granting, records
from vna.sharing.held import GrantRow, ShareRow, hold_both, hold_share
from vna.sharing.keys import Made
from vna.sharing.refusals import require_not_refused
from vna.sharing.rooms import SQL, Act, Rooms, now
from vna.sharing.rules import are_one, check_compared, default_until
from vna.sharing.values import Confirmed, Offered, Purpose
from vna.telemetry import SHARE_ACTS
from vna.texts import marked

_TICK = dt.timedelta(microseconds=1)  # later than the one before, whatever the clocks say


@dataclass(frozen=True, slots=True)
class Second:
    """Where codes go from now on, and what was compared with the person before."""

    by: Channel
    compared: frozenset[Confirmed]


class Renewals:
    """Renews, unlocks and extends. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def renew(
        self,
        who: Principal,
        grant_id: int,
        *,
        by: Channel | None = None,
        compared: frozenset[Confirmed] = frozenset(),
        only_locked: bool = False,
    ) -> Offered:
        """Issue new secrets; see `SharingEngine.renew`."""
        rooms = self._rooms
        if by is not None:
            check_compared(compared)
        grant, share = rooms.act(lambda tx: hold_both(tx, who, grant_id))
        _require_renewable(grant, only_locked=only_locked)
        share_key = granting.open_owner_key(rooms, share.share_id, share.owner_key)
        made = granting.make_secrets(
            rooms, share_key, passcode="passcode" in grant.proof, printed=grant.is_printed
        )
        second = None if by is None else Second(by, compared)
        offered = rooms.act(
            lambda tx: self._renew(
                tx, who, grant_id, second=second, made=made, only_locked=only_locked
            )
        )
        SHARE_ACTS.labels("renewed").inc()
        return offered

    def extend(self, who: Principal, share_id: int, until: dt.datetime) -> None:
        """Let a share end later; see `SharingEngine.extend`."""
        most = now() + dt.timedelta(days=self._rooms.settings.sharing.most_days)
        if not now() < until <= most:
            raise InvalidRequest(marked("A share ends in the future, and within the longest time."))

        def work(tx: Act) -> None:
            share = hold_share(tx, who, share_id)
            if share.state in ("revoked", "suspended"):
                raise Conflict(marked("This share does not hold any more."))
            require_not_refused(tx, share)
            self._extend(tx, who, share, until)

        self._rooms.act(work)

    def _renew(
        self,
        tx: Act,
        who: Principal,
        grant_id: int,
        *,
        second: Second | None,
        made: Made,
        only_locked: bool,
    ) -> Offered:
        grant, share = hold_both(tx, who, grant_id)
        _require_renewable(grant, only_locked=only_locked)
        require_not_refused(tx, share)
        if grant.why == "expired":
            until = default_until(self._rooms.settings.sharing, Purpose(share.purpose), now())
            self._extend(tx, who, share, until)
            grant, share = hold_both(tx, who, grant_id)
            if grant.why not in (None, "locked"):
                raise Conflict(
                    marked("What this rests on, or was given on from, has ended as well.")
                )
        self._reissue(tx, who, grant, share, another=second, made=made)
        is_handed = grant.to_channel is None or grant.is_printed
        return Offered(
            share_id=share.share_id,
            grant_id=grant_id,
            number=share.number,
            secret=made.secret if is_handed else None,
            passcode=made.passcode,
            printed_code=made.printed_code,
        )

    def _extend(self, tx: Act, who: Principal, share: ShareRow, until: dt.datetime) -> None:
        row = {"share_id": share.share_id, "ends_at": until}
        tx.execute(SQL.extend_share, row)
        target = {"share": share.share_id}
        tx.write_down(records.SHARE_EXTEND, target, row, who.name)
        detail = {"share": share.share_id, "until": until.isoformat()}
        self._rooms.tell(tx, who, Event(kind="share.extended", outcome="done", detail=detail))

    def _reissue(
        self,
        tx: Act,
        who: Principal,
        grant: GrantRow,
        share: ShareRow,
        *,
        another: Second | None,
        made: Made,
    ) -> None:
        """Exchange a grant's secrets, and the second channel if another is named.

        Who came in by the old ones is out, and the old codes are void. The first channel hears of
        it: that is where the new link goes; so does a second channel that codes do not go to now.
        """
        rooms = self._rooms
        to = _channel(rooms, tx, grant.to_channel)
        second, by_channel = _channel(rooms, tx, grant.by_channel), grant.by_channel
        if another is not None:
            _check_second(grant, to, another.by)
            by_channel = granting.channel_id(rooms, tx, another.by, who.name)
            if second is not None and by_channel != grant.by_channel:
                self._tell_old(tx, grant, second, who)
            second = another.by
        row = _row(grant, made, by_channel=by_channel, is_sent=to is not None)
        tx.execute(SQL.end_sessions, (Longs([grant.grant_id]),))
        tx.execute(SQL.void_codes, (grant.grant_id,))
        rooms.outbox.cancel_grant(tx.tx, grant.grant_id)
        granting.renew(tx, row, who.name)
        if to is not None:
            granting.send_link(
                rooms,
                tx,
                "renewed",
                secret=made.secret,
                to=to,
                by=second,
                grant_id=grant.grant_id,
                share_id=grant.share_id,
                number=share.number,
                until=grant.until,
                language=grant.language,
                channel=grant.to_channel,
                actor=who.name,
            )
        detail = {
            "share": grant.share_id,
            "grant": grant.grant_id,
            "was": grant.why or "holding",
            "second_channel": "the same" if another is None else "another",
        }
        if another is not None:
            detail["compared"] = sorted(one.value for one in another.compared)
        rooms.tell(tx, who, Event(kind="grant.renewed", outcome="done", detail=detail))

    def _tell_old(self, tx: Act, grant: GrantRow, old: Channel, who: Principal) -> None:
        """Tell where codes went that they go elsewhere now: who did not want that calls."""
        self._rooms.outbox.post(
            tx.tx,
            to=old,
            template="replaced",
            values={},
            language=grant.language,
            until=None,
            channel_id=grant.by_channel,
            share_id=grant.share_id,
            grant_id=None,  # it goes out whatever becomes of the grant
            requested_by=who.name,
        )


def _channel(rooms: Rooms, tx: Act, number: int | None) -> Channel | None:
    return None if number is None else granting.open_channel(rooms, tx, number)


def _row(grant: GrantRow, made: Made, *, by_channel: int | None, is_sent: bool) -> dict[str, Any]:
    return {
        "grant_id": grant.grant_id,
        "share_id": grant.share_id,
        "parent_id": grant.parent_id,
        "depth": grant.depth,
        "recipient": bytes(grant.recipient),
        **granting.kept(made),
        "proof": list(grant.proof),
        "to_channel": grant.to_channel,
        "by_channel": by_channel,
        "language": grant.language,
        "only_parts": granting.parts_as_text(grant.only_parts),
        "reports": grant.reports,
        "download": grant.download,
        "forward": grant.forward,
        "created_at": grant.created_at,
        "issued_at": max(now(), grant.issued_at + _TICK),
        "ends_at": grant.ends_at,
        "state": "invited" if is_sent else "pending",
    }


def _check_second(grant: GrantRow, to: Channel | None, by: Channel) -> None:
    if by.kind not in grant.proof:
        raise InvalidRequest(marked("No code of this grant goes that way."))
    if to is not None and are_one(to, by):
        raise InvalidRequest(
            marked("Link and code must not end up in the same mailbox or telephone.")
        )


def _require_renewable(grant: GrantRow, *, only_locked: bool) -> None:
    if only_locked and grant.state != "locked":
        raise Conflict(marked("This grant is not locked."))
    if grant.state in ("revoked", "refused") or grant.why not in (None, "expired", "locked"):
        raise Conflict(marked("This does not hold any more: share anew."))
