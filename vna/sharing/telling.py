"""Word to patients that images of theirs were given to somebody else: where they proved to be.

Who shares with themselves what shows another is found out by whom it shows. The word names a day
and the kind of recipient, no study and nobody: which it was stands in the patient's own account.
"""

from __future__ import annotations

from vna.delivery.channels import Channel
from vna.sharing import granting
from vna.sharing.rooms import SQL, Act, Rooms, now
from vna.sharing.rules import are_one
from vna.sharing.values import Recipient
from vna.texts import ENGLISH

TO_ORGANISATION, TO_PERSON = "shared-with-organisation", "shared-with-person"


def tell_all(
    rooms: Rooms,
    tx: Act,
    identity: tuple[str, str],
    recipient: Recipient,
    *,
    share_id: int,
    grant_id: int,
    to: Channel | None,
    by: Channel | None,
    notify: Channel | None,
    actor: str,
) -> list[str]:
    """Tell whom a share names that it was made, and whom it shows; see `tell_patient`."""
    if notify is not None and not _are_one(to, notify):
        granting.send_notice(rooms, tx, "shared", grant_id, actor)
    return tell_patient(
        rooms,
        tx,
        identity,
        recipient,
        share_id=share_id,
        to=to,
        by=by,
        notify=notify,
        actor=actor,
    )


def tell_patient(
    rooms: Rooms,
    tx: Act,
    identity: tuple[str, str],
    recipient: Recipient,
    *,
    share_id: int,
    to: Channel | None,
    by: Channel | None,
    notify: Channel | None,
    actor: str,
) -> list[str]:
    """Tell each account of whom a share shows, once, by a way it proved; return the kinds of ways.

    `to` is where the link goes: a way of theirs means that it is shared with them. Who holds `by`,
    where codes go, may be whom it is shared with; and `notify` is told of it anyway.
    """
    if not rooms.settings.sharing.tell_patient:
        return []
    rows = tx.execute(SQL.proven_of_person, identity).fetchall()
    proven = [
        (account, number, granting.open_channel(rooms, tx, number), language)
        for account, number, language, _ in rows
    ]
    if any(_are_one(to, way) for _, _, way, _ in proven):
        return []
    told = {account: way.kind for account, _, way, _ in proven if _are_one(notify, way)}
    for account, number, way, language in proven:
        if account in told or _are_one(by, way):
            continue
        told[account] = way.kind
        rooms.outbox.post(
            tx.tx,
            to=way,
            template=TO_ORGANISATION if recipient.organisation.strip() else TO_PERSON,
            values={"day": now().astimezone(rooms.zone()).date().isoformat()},
            language=language or ENGLISH,
            until=None,
            channel_id=number,
            share_id=share_id,
            grant_id=None,  # it goes out although the grant has ended
            requested_by=actor,
        )
    return sorted(told.values())


def _are_one(one: Channel | None, way: Channel) -> bool:
    return one is not None and are_one(one, way)
