"""Making a grant: its secrets, its channels, its row, its message."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import orjson

from vna.crypto import shares
from vna.crypto.credentials import new_secret
from vna.delivery.channels import Channel
from vna.errors import Conflict, Gone
from vna.index.locate import Located
from vna.sharing import records
from vna.sharing.ids import new_id
from vna.sharing.keys import Made
from vna.sharing.rooms import SQL, Act, Rooms, Runs, now
from vna.sharing.values import Confirmed, Forward, Offer, Person, Protection, Recipient
from vna.texts import marked

Part = tuple[str, str | None]
"""A study, or a series of one."""

_RECIPIENT, _PERSON, _CHANNEL, _OWNER = b"recipient", b"person", b"channel", b"owner"
_LINK = b"link that waits"
_DRAWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a grant is made with, whoever makes it."""

    share_id: int
    grant_id: int
    number: str
    parent_id: int | None
    depth: int
    recipient: Recipient
    to: Channel | None
    by: Channel | None
    proof: frozenset[Protection]
    parts: tuple[Part, ...] | None
    reports: bool
    download: bool
    forward: bool
    until: dt.datetime
    language: str
    actor: str


def terms_of(offer: Offer | Forward, **more: Any) -> Terms:  # the rest of the fields of Terms
    """Take over what an offer says."""
    return Terms(
        recipient=offer.recipient,
        to=offer.to,
        by=offer.by,
        proof=offer.proof,
        language=offer.language,
        **more,
    )


def make_secrets(rooms: Rooms, share_key: bytes, *, passcode: bool, printed: bool) -> Made:
    """Draw and wrap the secrets of a grant: a hash for a passcode, one for a print-out.

    Hashes take their time, so this is done before a transaction begins.
    """
    return rooms.keys.make(
        share_key,
        new_secret(),
        passcode=shares.new_passcode() if passcode else None,
        printed_code=_free_printed(rooms) if printed else None,
    )


def add(rooms: Rooms, tx: Act, terms: Terms, made: Made, *, waits: bool = False) -> None:
    """Write a grant into table and journal, and send its link unless that waits for somebody."""
    grant_id, at = terms.grant_id, now()
    row = {
        "grant_id": grant_id,
        "share_id": terms.share_id,
        "parent_id": terms.parent_id,
        "depth": terms.depth,
        "recipient": seal_recipient(rooms, grant_id, terms.recipient),
        **kept(made),
        "proof": sorted(way.value for way in terms.proof),
        "to_channel": terms.to and channel_id(rooms, tx, terms.to, terms.actor),
        "by_channel": terms.by and channel_id(rooms, tx, terms.by, terms.actor),
        "language": terms.language,
        "only_parts": parts_as_text(terms.parts),
        "reports": terms.reports,
        "download": terms.download,
        "forward": terms.forward,
        "created_at": at,
        "issued_at": at,
        "ends_at": terms.until,
        "state": "pending" if terms.to is None or waits else "invited",
    }
    _write(tx, SQL.add_grant, row, terms.actor)
    if terms.to is not None and not waits:
        send_link(
            rooms,
            tx,
            "invitation",
            secret=made.secret,
            to=terms.to,
            by=terms.by,
            grant_id=grant_id,
            share_id=terms.share_id,
            number=terms.number,
            until=terms.until,
            language=terms.language,
            channel=row["to_channel"],
            actor=terms.actor,
        )


def renew(tx: Act, row: dict[str, Any], actor: str) -> None:
    """Put a grant under new secrets, in its row and in the journal. Raises `Conflict`."""
    _write(tx, SQL.renew_grant, row, actor)


def _write(tx: Act, statement: LiteralString, row: dict[str, Any], actor: str) -> None:
    if tx.execute(statement, row).fetchone() is None:
        raise Conflict(marked("This grant was changed at the same moment; look at it again."))
    target = {"share": row["share_id"], "grant": row["grant_id"]}
    tx.write_down(records.GRANT, target, row, actor)


def kept(made: Made) -> dict[str, Any]:
    """Name what is kept of fresh secrets as the columns are."""
    return {
        "locator": made.locator,
        "link_wrap": made.link_wrap,
        "printed": made.printed,
        "printed_salt": made.printed_salt,
        "printed_wrap": made.printed_wrap,
        "passcode_salt": made.passcode_salt,
        "pepper": made.pepper,
        "stretch": made.stretch,
    }


def send_link(
    rooms: Rooms,
    tx: Act,
    template: str,
    *,
    secret: str,
    to: Channel,
    by: Channel | None,
    grant_id: int,
    share_id: int,
    number: str,
    until: dt.datetime,
    language: str,
    channel: int | None,
    actor: str,
) -> None:
    """Leave the message with the link: no name, no exam, nothing of the patient."""
    rooms.outbox.post(
        tx.tx,
        to=to,
        template=template,
        values={
            "link": rooms.link(secret),
            "way": "" if by is None else by.masked(),
            "until": until.astimezone(rooms.zone()).date().isoformat(),
            "number": number,
        },
        language=language,
        until=until,
        channel_id=channel,
        share_id=share_id,
        grant_id=grant_id,
        requested_by=actor,
    )


def send_notice(rooms: Rooms, tx: Act, template: str, grant_id: int, actor: str) -> None:
    """Tell whom a grant came from, or whom the share names, what became of it."""
    row = tx.execute(SQL.whom_to_tell, (grant_id,)).fetchone()
    if row is None or row[0] is None:
        return
    values = {"number": row[2]}
    if template == "opened":
        values["when"] = now().isoformat(timespec="seconds")
    if template == "shared":
        values["until"] = row[4].astimezone(rooms.zone()).date().isoformat()
    rooms.outbox.post(
        tx.tx,
        to=open_channel(rooms, tx, row[0]),
        template=template,
        values=values,
        language=row[1],
        until=None,
        channel_id=row[0],
        share_id=None,
        grant_id=None,  # it is to go out although the grant has ended
        requested_by=actor,
    )


def channel_id(rooms: Rooms, tx: Act, to: Channel, actor: str) -> int:
    """Find a channel or take it in; one that was given up is not written to. Raises `Conflict`."""
    asked = {"kind": to.kind, "value_mac": rooms.keys.channel_mac(to.kind, to.value)}
    row = tx.execute(SQL.find_channel, asked).fetchone()
    if row is None:
        fresh = new_id()
        sealed = rooms.keys.seal(_CHANNEL, fresh, to.value.encode())
        new = {
            **asked,
            "channel_id": fresh,
            "sealed": sealed,
            "masked": to.masked(),
            "created_at": now(),
        }
        if tx.execute(SQL.add_channel, new).rowcount:
            tx.write_down(records.CHANNEL, {"channel": fresh}, new, actor)
        row = tx.execute(SQL.find_channel, asked).fetchone()
    if row is None or row[1] in ("replaced", "revoked"):
        raise Conflict(marked("This address was given up by its owner; ask for another one."))
    return int(row[0])


def open_channel(rooms: Rooms, tx: Runs, number: int) -> Channel:
    """Read a channel to write to it."""
    row = tx.execute(SQL.open_channel, (number,)).fetchone()
    if row is None:
        raise Conflict(marked("The address is not there any more."))
    return Channel(row[1], rooms.keys.unseal(_CHANNEL, row[0], row[2]).decode())


def seal_owner_key(
    rooms: Rooms, share_id: int, share_key: bytes, located: Iterable[Located]
) -> bytes:
    """Seal a share's key for grants that come later: under a key of each of its studies.

    Not under the archive's key alone, or the database would open what was destroyed with its study.
    """
    return _seal_under(rooms, _OWNER, share_id, share_key, located)


def seal_link(rooms: Rooms, share_id: int, secret: str, located: Iterable[Located]) -> bytes:
    """Seal a link's secret that is not sent yet in the same way."""
    return _seal_under(rooms, _LINK, share_id, secret.encode(), located)


def open_owner_key(rooms: Rooms, share_id: int, sealed: bytes) -> bytes:
    """Open it. Raises `Conflict` when a study of the share was destroyed, `Corrupt`."""
    return _open_under(rooms, _OWNER, share_id, sealed)


def open_link(rooms: Rooms, share_id: int, sealed: bytes) -> str:
    """Open the secret of a link. Raises `Conflict` as above, `Corrupt`."""
    return _open_under(rooms, _LINK, share_id, sealed).decode()


def _seal_under(
    rooms: Rooms, purpose: bytes, share_id: int, data: bytes, located: Iterable[Located]
) -> bytes:
    of_study = {one.ref.study: (bytes(one.key_id), one.key_version) for one in located}
    named = [of_study[study] for study in sorted(of_study)]
    sealed = rooms.keys.seal(purpose, share_id, data, under=_study_keys(rooms, named))
    head = b"".join(key_id + version.to_bytes(4, "big") for key_id, version in named)
    return len(named).to_bytes(2, "big") + head + sealed


def _open_under(rooms: Rooms, purpose: bytes, share_id: int, sealed: bytes) -> bytes:
    end = 2 + 20 * int.from_bytes(sealed[:2], "big")
    named = [
        (sealed[at : at + 16], int.from_bytes(sealed[at + 16 : at + 20], "big"))
        for at in range(2, end, 20)
    ]
    try:
        under = _study_keys(rooms, named)
    except Gone as exc:
        raise Conflict(marked("A study of this share was deleted for good: share anew.")) from exc
    return rooms.keys.unseal(purpose, share_id, sealed[end:], under=under)


def _study_keys(rooms: Rooms, named: Sequence[tuple[bytes, int]]) -> bytes:
    return b"".join(rooms.store.keys.open(key_id, version).key for key_id, version in named)


def seal_person(rooms: Rooms, share_id: int, person: Person) -> bytes:
    """Seal how a person is shown."""
    said = {
        "name": person.name,
        "birth_date": person.birth_date and person.birth_date.isoformat(),
        "confirmed": sorted(one.value for one in person.confirmed),
    }
    return rooms.keys.seal(_PERSON, share_id, orjson.dumps(said))


def seal_recipient(rooms: Rooms, grant_id: int, recipient: Recipient) -> bytes:
    """Seal to whom images are given."""
    said = {"name": recipient.name, "organisation": recipient.organisation}
    return rooms.keys.seal(_RECIPIENT, grant_id, orjson.dumps(said))


def open_person(rooms: Rooms, share_id: int, sealed: bytes) -> Person:
    """Read how a person is shown. Raises `Corrupt`."""
    said = orjson.loads(rooms.keys.unseal(_PERSON, share_id, sealed))
    born = said["birth_date"]
    return Person(
        name=said["name"],
        birth_date=born and dt.date.fromisoformat(born),
        confirmed=frozenset(Confirmed(one) for one in said["confirmed"]),
    )


def open_recipient(rooms: Rooms, grant_id: int, sealed: bytes) -> Recipient:
    """Read to whom images are given. Raises `Corrupt`."""
    said = orjson.loads(rooms.keys.unseal(_RECIPIENT, grant_id, sealed))
    return Recipient(name=said["name"], organisation=said["organisation"])


def parts_of(offer: Forward) -> tuple[Part, ...] | None:
    """Name what a child may see of what its parent sees; None is all of it."""
    parts: list[Part] = [(ref.study, None) for ref in offer.studies]
    parts += [(ref.study, ref.series) for ref in offer.series]
    return tuple(sorted(parts, key=str)) or None


def parts_as_text(parts: Any) -> str | None:  # JSON, as it is kept
    """Write parts as the table keeps them."""
    return None if parts is None else orjson.dumps(parts).decode()


def _free_printed(rooms: Rooms) -> str:
    with rooms.database.reading() as conn:
        for _ in range(_DRAWS):
            code = shares.new_printed()
            row = conn.execute(SQL.is_printed_taken, (shares.printed_parts(code)[0],)).fetchone()
            if row is not None and not row[0]:
                return code
    raise Conflict(marked("There are too many printed codes; revoke old ones."))
