"""Giving on, by those who may share: a frozen list, its keys, a grant and its link, in one act."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vna.access.audit import Event
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.crypto import shares
from vna.errors import Conflict
from vna.index import corrections
from vna.index.arrays import Blobs, Longs, Texts
from vna.patients import store as patients
from vna.sharing import choosing, consents, granting, records, refusals, seconds, telling
from vna.sharing.ids import new_id
from vna.sharing.keys import Made
from vna.sharing.known_ways import doubt_of
from vna.sharing.records import Item
from vna.sharing.rooms import SQL, Act, Rooms, Runs, now
from vna.sharing.rules import are_one, check_consents, check_offer
from vna.sharing.values import Confirmed, Doubt, Offer, Offered, Protection
from vna.telemetry import SHARE_ACTS
from vna.texts import marked


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What is drawn once for an offer, however often its transaction is tried."""

    share_id: int
    grant_id: int
    number: str
    share_key: bytes = field(repr=False)
    made: Made


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An offer that could be made: what it freezes, its secrets, its items under its key."""

    chosen: choosing.Chosen
    drawn: Drawn
    items: list[Item]


class Offers:
    """Makes shares. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def offer(
        self,
        who: Principal,
        offer: Offer,
        *,
        also: Callable[[Act, int], None] | None = None,
    ) -> Offered:
        """Share; see `SharingEngine.offer`. `also` is done in the transaction of the share."""
        rooms = self._rooms
        prepared = self.prepare(who, offer)
        chosen, drawn, items = prepared.chosen, prepared.drawn, prepared.items

        def work(tx: Act) -> Doubt | None:
            allow(tx, offer, chosen)
            doubt = doubt_of(rooms, tx, chosen.identities[0], offer)
            self._add_share(
                tx, who, offer, chosen=chosen, items=items, drawn=drawn, waits=doubt is not None
            )
            terms = _terms(who, offer, drawn)
            granting.add(rooms, tx, terms, drawn.made, waits=doubt is not None)
            if doubt is not None:
                seconds.ask(
                    rooms,
                    tx,
                    who,
                    offer,
                    why=doubt,
                    share_id=drawn.share_id,
                    secret=drawn.made.secret,
                    located=chosen.located,
                )
            if also is not None:
                also(tx, drawn.share_id)
            self._tell(tx, who, offer, drawn=drawn, chosen=chosen, items=len(items), doubt=doubt)
            return doubt

        doubt = rooms.act(work)
        SHARE_ACTS.labels("offered").inc()
        return Offered(
            share_id=drawn.share_id,
            grant_id=drawn.grant_id,
            number=drawn.number,
            # a link that was sent is nobody else's
            secret=drawn.made.secret if offer.to is None or offer.printed else None,
            passcode=drawn.made.passcode,
            printed_code=drawn.made.printed_code,
            doubt=doubt,
        )

    def prepare(self, who: Principal, offer: Offer) -> Prepared:
        """Do all that writes nothing: look, check, draw, wrap. Raises as `offer` does."""
        rooms = self._rooms
        settings = rooms.settings.sharing
        require(who, Action.SHARE)
        check_offer(offer, settings, now())
        with rooms.database.reading() as conn:
            chosen = choosing.choose(conn, who, offer, most=settings.most_items)
        if not rooms.labels.withheld(rooms.guests_clearances()).isdisjoint(chosen.studies):
            raise Conflict(
                marked("A label withholds a study of this: it is not shared while it does.")
            )
        drawn = self._draw(offer)
        items = choosing.freeze(rooms.store, chosen.located, drawn.share_key)
        return Prepared(chosen=chosen, drawn=drawn, items=items)

    def _draw(self, offer: Offer) -> Drawn:
        share_key = shares.new_key()
        made = granting.make_secrets(
            self._rooms,
            share_key,
            passcode=Protection.PASSCODE in offer.proof,
            printed=offer.printed,
        )
        return Drawn(
            share_id=new_id(),
            grant_id=new_id(),
            number=shares.new_number(),
            share_key=share_key,
            made=made,
        )

    def _add_share(
        self,
        tx: Act,
        who: Principal,
        offer: Offer,
        *,
        chosen: choosing.Chosen,
        items: list[Item],
        drawn: Drawn,
        waits: bool,
    ) -> None:
        rooms, share_id = self._rooms, drawn.share_id
        issuer, patient_id = chosen.identities[0]
        row: dict[str, Any] = {
            "share_id": share_id,
            "number": drawn.number,
            "owner": who.name,
            "purpose": offer.purpose.value,
            "consent_id": offer.consent_id,
            "legal_basis": offer.legal_basis,
            "issuer": issuer,
            "patient_id": patient_id,
            "person": granting.seal_person(rooms, share_id, offer.person),
            "studies": list(chosen.studies),
            "items_sha256": choosing.digest_of(items),
            "reports": offer.reports,
            "download": offer.download,
            "forward": offer.forward,
            "created_at": now(),
            "ends_at": offer.until,
            "max_opens": offer.max_opens,
            "owner_key": granting.seal_owner_key(rooms, share_id, drawn.share_key, chosen.located),
            "notify": offer.notify and granting.channel_id(rooms, tx, offer.notify, who.name),
            "language": offer.language,
            "state": "ready" if waits else "sent",
        }
        tx.execute(SQL.add_share, row)
        for part in range(0, len(items), records.ITEMS_OF_ENTRY):
            some = items[part : part + records.ITEMS_OF_ENTRY]
            add_items(tx, share_id, some)
            listed = {"items": records.encode_items(some)}
            tx.write_down(records.ITEMS, {"share": share_id}, listed, who.name)
        tx.write_down(records.SHARE, {"share": share_id}, row, who.name)

    def _tell(
        self,
        tx: Act,
        who: Principal,
        offer: Offer,
        *,
        drawn: Drawn,
        chosen: choosing.Chosen,
        items: int,
        doubt: Doubt | None,
    ) -> None:
        """Leave a row for each study, tell whom the share names and whom it shows.

        While it waits for a colleague nobody is told: who is asked tells them.
        """
        told: list[str] = []
        if doubt is None:
            told = self._told(tx, who, offer, drawn=drawn, chosen=chosen)
        detail = {
            "share": drawn.share_id,
            "grant": drawn.grant_id,
            "instances": items,
            "purpose": offer.purpose.value,
            "consent": offer.consent_id,
            "legal_basis": offer.legal_basis,
            "proof": sorted(way.value for way in offer.proof),
            "to": offer.to and offer.to.kind,
            "confirmed": sorted(one.value for one in offer.person.confirmed),
            "until": offer.until.isoformat(),
            "told": told,
            "second": doubt and doubt.value,
        }
        events = [
            Event(kind="share.offered", outcome="done", study=study, detail=detail)
            for study in chosen.studies
        ]
        self._rooms.tell(tx, who, *events)

    def _told(
        self, tx: Act, who: Principal, offer: Offer, *, drawn: Drawn, chosen: choosing.Chosen
    ) -> list[str]:
        if Confirmed.ACCOUNT in offer.person.confirmed:
            if offer.notify is not None and (
                offer.to is None or not are_one(offer.notify, offer.to)
            ):
                granting.send_notice(self._rooms, tx, "shared", drawn.grant_id, who.name)
            return []
        return telling.tell_all(
            self._rooms,
            tx,
            chosen.identities[0],
            offer.recipient,
            share_id=drawn.share_id,
            grant_id=drawn.grant_id,
            to=offer.to,
            by=offer.by,
            notify=offer.notify,
            actor=who.name,
        )


def allow(tx: Act, offer: Offer, chosen: choosing.Chosen) -> None:
    """Hold what the person said of this, and refuse what they forbade. Raises `Conflict`."""
    # a correction, or the end of a link, waits for us, and then finds the share
    corrections.hold_off(tx.tx, chosen.studies)
    if len(chosen.identities) > 1:
        patients.lock(tx.tx)
    if choosing.identities_of(tx, chosen.studies) != chosen.identities:
        raise Conflict(marked("Whose studies these are was corrected meanwhile: look again."))
    valid = [one for identity in chosen.identities for one in consents.hold(tx, *identity)]
    others = refusals.beside(tx, chosen.identities)
    valid += [one for identity in others for one in consents.hold(tx, *identity) if not one.allowed]
    check_consents(offer, valid, chosen.facts)


def add_items(tx: Runs, share_id: int, items: list[Item]) -> None:
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


def _terms(who: Principal, offer: Offer, drawn: Drawn) -> granting.Terms:
    return granting.terms_of(
        offer,
        share_id=drawn.share_id,
        grant_id=drawn.grant_id,
        number=drawn.number,
        parent_id=None,
        depth=0,
        parts=None,
        reports=offer.reports,
        download=offer.download,
        forward=offer.forward,
        until=offer.until,
        actor=who.name,
    )
