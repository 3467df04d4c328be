"""Giving on, by those who may share: offer, renew, unlock, extend, test."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

from vna.access.audit import Event
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.crypto import shares
from vna.db.pool import Connection
from vna.dicom.refs import UID, StudyRef
from vna.errors import Conflict, InvalidRequest, NotFound
from vna.index.arrays import Blobs, Longs, Texts
from vna.index.deleted import mark_applied
from vna.sharing import choosing, consents, granting, records
from vna.sharing.ids import new_id
from vna.sharing.keys import Made
from vna.sharing.records import Item
from vna.sharing.rooms import SQL, Rooms, now
from vna.sharing.rules import check_consents, check_offer, default_until
from vna.sharing.values import (
    Offer,
    Offered,
    Preview,
    PreviewStudy,
    Protection,
    Purpose,
    Recipient,
)
from vna.sharing.visible import visible_series
from vna.telemetry import SHARE_ACTS

_BATCH = 1000


class ShareRow(NamedTuple):
    """A share as it is held."""

    share_id: int
    number: str
    owner: str
    purpose: str
    consent_id: int | None
    legal_basis: str | None
    issuer: str
    patient_id: str
    person: bytes
    studies: list[str]
    reports: bool
    download: bool
    forward: bool
    created_at: dt.datetime
    ends_at: dt.datetime
    max_opens: int | None
    opens: int
    owner_key: bytes
    state: str


class GrantRow(NamedTuple):
    """A grant as it is held; from `why` on what holds of it, over all it came from."""

    grant_id: int
    share_id: int
    parent_id: int | None
    depth: int
    recipient: bytes
    proof: list[str]
    to_channel: int | None
    by_channel: int | None
    language: str
    only_parts: Any  # JSON
    reports: bool
    download: bool
    forward: bool
    created_at: dt.datetime
    ends_at: dt.datetime
    state: str
    is_printed: bool
    why: str | None
    until: dt.datetime
    holds_reports: bool
    holds_download: bool
    holds_forward: bool
    all_parts: Any  # JSON: of each grant of the line that is narrower than its parent


class Offers:
    """Makes shares and grants. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def offer(self, who: Principal, offer: Offer) -> Offered:
        """Share; see `SharingEngine.offer`."""
        rooms, settings = self._rooms, self._rooms.settings.sharing
        require(who, Action.SHARE)
        check_offer(offer, settings, now())
        with rooms.database.reading() as conn:
            chosen = choosing.choose(conn, who, offer, most=settings.most_items)
        share_key = shares.new_key()
        items = choosing.freeze(rooms.store, chosen.located, share_key)
        made = granting.make_secrets(
            rooms,
            share_key,
            passcode=Protection.PASSCODE in offer.proof,
            printed=offer.printed,
        )

        def work(tx: Connection) -> Offered:
            valid = consents.hold(tx, chosen.issuer, chosen.patient_id)
            check_consents(offer, valid, chosen.facts)
            share_id, number = self._add_share(
                tx, who, offer, chosen=chosen, items=items, share_key=share_key
            )
            terms = granting.terms_of(
                offer,
                share_id=share_id,
                number=number,
                parent_id=None,
                depth=0,
                parts=None,
                reports=offer.reports,
                download=offer.download,
                forward=offer.forward,
                until=offer.until,
                actor=who.name,
            )
            grant_id = granting.add(rooms, tx, terms, made)
            told = (share_id, grant_id, len(items))
            self._tell_offered(tx, who, offer, studies=chosen.studies, made=told)
            return _offered(share_id, grant_id, number, made, is_handed=_is_handed(offer))

        offered = rooms.database.changing(work)
        SHARE_ACTS.labels("offered").inc()
        return offered

    def renew(self, who: Principal, grant_id: int, *, only_locked: bool = False) -> Offered:
        """Issue new secrets; see `SharingEngine.renew`."""
        rooms = self._rooms
        grant, share = self.look(who, grant_id)
        _require_renewable(grant, only_locked=only_locked)
        share_key = granting.open_owner_key(rooms, share.share_id, share.owner_key)
        made = granting.make_secrets(
            rooms, share_key, passcode="passcode" in grant.proof, printed=grant.is_printed
        )

        def work(tx: Connection) -> Offered:
            held, of = self.hold(tx, who, grant_id)
            _require_renewable(held, only_locked=only_locked)
            if held.why == "expired":
                self._extend(tx, who, of, self._later(of))
                held, of = self.hold(tx, who, grant_id)
                if held.why not in (None, "locked"):
                    raise Conflict("This ended with what it was given on from: renew that first.")
            self._reissue(tx, who, held, of, made)
            return _offered(
                of.share_id, grant_id, of.number, made, is_handed=held.to_channel is None
            )

        offered = rooms.database.changing(work)
        SHARE_ACTS.labels("renewed").inc()
        return offered

    def extend(self, who: Principal, share_id: int, until: dt.datetime) -> None:
        """Let a share end later; see `SharingEngine.extend`."""
        most = now() + dt.timedelta(days=self._rooms.settings.sharing.most_days)
        if not now() < until <= most:
            raise InvalidRequest(
                "A share ends in the future, and within the longest time there is."
            )

        def work(tx: Connection) -> None:
            share = hold_share(tx, who, share_id)
            if share.state in ("revoked", "suspended"):
                raise Conflict("This share does not hold any more.")
            self._extend(tx, who, share, until)

        self._rooms.database.changing(work)

    def test(self, who: Principal, share_id: int) -> Preview:
        """Open everything as a stranger would; see `SharingEngine.test`."""
        rooms = self._rooms
        with rooms.database.transaction() as tx:
            share = hold_share(tx, who, share_id)
            proofs = [row[0] for row in tx.execute(SQL.proofs_of, (share_id,)).fetchall()]
            if not proofs:
                raise Conflict("Nobody can open this share: no grant of it holds.")
        share_key = granting.open_owner_key(rooms, share_id, share.owner_key)
        self._open_items(share_id, share_key)
        with rooms.database.reading() as conn:
            seen = visible_series(conn, share_id, share.studies, reports=share.reports)
            documents = visible_series(conn, -1, share.studies, reports=share.reports)
        reports = {(one.study, one.series): len(one.instances) for one in documents}
        found: dict[str, list[int]] = {study: [0, 0, 0] for study in share.studies}
        for one in seen:
            counts = found[one.study]
            added = reports.get((one.study, one.series), 0)
            counts[0] += 1
            counts[1] += len(one.instances) - added
            counts[2] += added
        with rooms.database.transaction() as tx:
            tx.execute(SQL.note_tested, (share_id,))
            detail = {"share": share_id, "instances": sum(c[1] + c[2] for c in found.values())}
            rooms.tell(tx, who, Event(kind="share.tested", outcome="done", detail=detail))
        return Preview(
            number=share.number,
            studies=tuple(
                PreviewStudy(study=study, series=c[0], images=c[1], reports=c[2])
                for study, c in found.items()
            ),
            reports=share.reports,
            download=share.download,
            asked=tuple(frozenset(Protection(way) for way in proof) for proof in proofs),
            until=share.ends_at,
        )

    def look(self, who: Principal, grant_id: int) -> tuple[GrantRow, ShareRow]:
        """Look at a grant and its share before the work on it begins."""
        with self._rooms.database.transaction() as tx:
            return self.hold(tx, who, grant_id)

    def hold(self, tx: Connection, who: Principal, grant_id: int) -> tuple[GrantRow, ShareRow]:
        """Hold a grant and its share, the share first. Raises `NotFound`, `NotPermitted`."""
        require(who, Action.SHARE)
        row = tx.execute(SQL.share_of_grant, (grant_id,)).fetchone()
        if row is None:
            raise NotFound("There is no such grant.")
        share = hold_share(tx, who, int(row[0]))
        return hold_grant(tx, grant_id), share

    # ---- parts -----------------------------------------------------------------------------

    def _add_share(
        self,
        tx: Connection,
        who: Principal,
        offer: Offer,
        *,
        chosen: choosing.Chosen,
        items: list[Item],
        share_key: bytes,
    ) -> tuple[int, str]:
        rooms = self._rooms
        share_id, number = new_id(), shares.new_number()
        row = {
            "share_id": share_id,
            "number": number,
            "owner": who.name,
            "purpose": offer.purpose.value,
            "consent_id": offer.consent_id,
            "legal_basis": offer.legal_basis,
            "issuer": chosen.issuer,
            "patient_id": chosen.patient_id,
            "person": granting.seal_person(rooms, share_id, offer.person),
            "studies": list(chosen.studies),
            "items_sha256": choosing.digest_of(items),
            "reports": offer.reports,
            "download": offer.download,
            "forward": offer.forward,
            "created_at": now(),
            "ends_at": offer.until,
            "max_opens": offer.max_opens,
            "owner_key": granting.seal_owner_key(rooms, share_id, share_key),
            "state": "sent",
        }
        tx.execute(SQL.add_share, row)
        for part in range(0, len(items), records.ITEMS_OF_ENTRY):
            some = items[part : part + records.ITEMS_OF_ENTRY]
            add_items(tx, share_id, some)
            entry = rooms.journal.append(
                records.ITEMS, {"share": share_id}, {"items": records.encode_items(some)}, who.name
            )
            mark_applied(tx, [entry], records.ITEMS)
        rooms.write_down(tx, records.SHARE, {"share": share_id}, row, who.name)
        return share_id, number

    def _tell_offered(
        self,
        tx: Connection,
        who: Principal,
        offer: Offer,
        *,
        studies: Sequence[str],
        made: tuple[int, int, int],  # share, grant, items
    ) -> None:
        share_id, grant_id, items = made
        detail = {
            "share": share_id,
            "grant": grant_id,
            "instances": items,
            "purpose": offer.purpose.value,
            "consent": offer.consent_id,
            "legal_basis": offer.legal_basis,
            "proof": sorted(way.value for way in offer.proof),
            "to": offer.to and offer.to.kind,
            "confirmed": sorted(one.value for one in offer.person.confirmed),
            "until": offer.until.isoformat(),
        }
        self._rooms.tell(
            tx,
            who,
            *(
                Event(kind="share.offered", outcome="done", study=study, detail=detail)
                for study in studies
            ),
        )

    def _later(self, share: ShareRow) -> dt.datetime:
        return default_until(self._rooms.settings.sharing, Purpose(share.purpose), now())

    def _extend(self, tx: Connection, who: Principal, share: ShareRow, until: dt.datetime) -> None:
        row = {"share_id": share.share_id, "ends_at": until}
        tx.execute(SQL.extend_share, row)
        target = {"share": share.share_id}
        self._rooms.write_down(tx, records.SHARE_EXTEND, target, row, who.name)
        detail = {"share": share.share_id, "until": until.isoformat()}
        self._rooms.tell(tx, who, Event(kind="share.extended", outcome="done", detail=detail))

    def _reissue(
        self, tx: Connection, who: Principal, grant: GrantRow, share: ShareRow, made: Made
    ) -> None:
        """Exchange a grant's secrets: the old ones open nothing, who came in by them is out."""
        rooms = self._rooms
        to = (
            None if grant.to_channel is None else granting.open_channel(rooms, tx, grant.to_channel)
        )
        by = (
            None if grant.by_channel is None else granting.open_channel(rooms, tx, grant.by_channel)
        )
        row = {
            "grant_id": grant.grant_id,
            "share_id": grant.share_id,
            "parent_id": grant.parent_id,
            "depth": grant.depth,
            "recipient": bytes(grant.recipient),
            **granting.kept(made),
            "proof": list(grant.proof),
            "to_channel": grant.to_channel,
            "by_channel": grant.by_channel,
            "language": grant.language,
            "only_parts": granting.parts_as_text(grant.only_parts),
            "reports": grant.reports,
            "download": grant.download,
            "forward": grant.forward,
            "created_at": grant.created_at,
            "issued_at": now(),
            "ends_at": grant.ends_at,
            "state": "pending" if to is None else "invited",
        }
        tx.execute(SQL.end_sessions, (Longs([grant.grant_id]),))
        tx.execute(SQL.void_codes, (grant.grant_id,))
        rooms.outbox.cancel_grant(tx, grant.grant_id)
        granting.write(rooms, tx, row, who.name)
        if to is not None:
            granting.send_link(
                rooms,
                tx,
                "renewed",
                secret=made.secret,
                to=to,
                by=by,
                grant_id=grant.grant_id,
                share_id=grant.share_id,
                number=share.number,
                until=min(grant.ends_at, share.ends_at),
                language=grant.language,
                channel=grant.to_channel,
                actor=who.name,
            )
        detail = {"share": grant.share_id, "grant": grant.grant_id, "was": grant.why or "holding"}
        rooms.tell(tx, who, Event(kind="grant.renewed", outcome="done", detail=detail))

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
            raise Conflict("There is nothing in this share.")


def hold_share(tx: Connection, who: Principal, share_id: int) -> ShareRow:
    """Hold a share of whom this principal may share. Raises `NotFound`, `NotPermitted`."""
    require(who, Action.SHARE)
    row = tx.execute(SQL.find_share, (share_id,)).fetchone()
    if row is None:
        raise NotFound("There is no such share.")
    share = ShareRow._make(row)
    if not all(who.scope.touches(StudyRef(UID(study))) for study in share.studies):
        raise NotFound("There is no such share.")
    return share._replace(owner_key=bytes(share.owner_key), person=bytes(share.person))


def hold_grant(tx: Connection, grant_id: int) -> GrantRow:
    """Hold a grant. Raises `NotFound`."""
    row = tx.execute(SQL.find_grant, (grant_id,)).fetchone()
    if row is None:
        raise NotFound("There is no such grant.")
    return GrantRow._make(row)


def add_items(tx: Connection, share_id: int, items: list[Item]) -> None:
    """Write a part of a frozen list."""
    columns = (
        Texts(item.ref.study for item in items),
        Texts(item.ref.series for item in items),
        Texts(item.ref.instance for item in items),
        Blobs(item.blob_id for item in items),
        Blobs(item.data_key for item in items),
        Longs(item.size for item in items),
    )
    tx.execute(SQL.add_items, (share_id, *columns))


def _is_handed(offer: Offer) -> bool:
    """Whether who offers hands the link over: a link that was sent is nobody else's."""
    return offer.to is None or offer.printed


def _offered(share_id: int, grant_id: int, number: str, made: Made, *, is_handed: bool) -> Offered:
    return Offered(
        share_id=share_id,
        grant_id=grant_id,
        number=number,
        secret=made.secret if is_handed or made.printed_code else None,
        passcode=made.passcode,
        printed_code=made.printed_code,
    )


def _require_renewable(grant: GrantRow, *, only_locked: bool) -> None:
    if only_locked and grant.state != "locked":
        raise Conflict("This grant is not locked.")
    if grant.state in ("revoked", "refused") or grant.why not in (None, "expired", "locked"):
        raise Conflict("This does not hold any more: share anew.")


def recipient_of(rooms: Rooms, grant: GrantRow) -> Recipient:
    """Read to whom a grant was given."""
    return granting.open_recipient(rooms, grant.grant_id, bytes(grant.recipient))
