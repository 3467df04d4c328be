"""Trying an offer that is not made yet: would a stranger with link and proof see what is meant?

Everything is done that an offer does, and everything a stranger's browser does with the link that
would come of it; nothing is written, and the secrets are forgotten.
"""

from __future__ import annotations

from vna.access.principal import Principal
from vna.crypto import shares
from vna.errors import Conflict
from vna.sharing.offers import Offers, Prepared, allow
from vna.sharing.previews import NO_SHARE
from vna.sharing.rooms import Rooms
from vna.sharing.values import Offer, Preview, PreviewStudy
from vna.sharing.visible import visible_series
from vna.texts import marked

_NONE = ""


class Rehearsals:
    """Tries offers. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms, offers: Offers) -> None:
        self._rooms = rooms
        self._offers = offers

    def rehearse(self, who: Principal, offer: Offer) -> Preview:
        """Say what a stranger would see. Raises as an offer does; may cost two hashes."""
        prepared = self._offers.prepare(who, offer)
        self._rooms.act(lambda tx: allow(tx, offer, prepared.chosen))
        self._open(prepared)
        return Preview(
            number=_NONE,
            studies=self._studies(offer, prepared),
            reports=offer.reports,
            download=offer.download,
            asked=(offer.proof,),
            until=offer.until,
        )

    def _open(self, prepared: Prepared) -> None:
        """Open the link as a stranger, then each item's key. Raises `Conflict`, `WrongKey`."""
        made, keys = prepared.drawn.made, self._rooms.keys
        stretched = b""
        if made.passcode is not None and made.passcode_salt is not None:
            stretched = keys.stretch(made.passcode, made.passcode_salt, made.stretch)
        root = shares.link_root(made.secret)
        share_key = keys.open(root, made.link_wrap, made.pepper, stretched=stretched)
        if share_key is None:
            raise Conflict(marked("The link would not open: try again, or ask for help."))
        for item in prepared.items:
            shares.unwrap(share_key, item.data_key)

    def _studies(self, offer: Offer, prepared: Prepared) -> tuple[PreviewStudy, ...]:
        """Count what would be seen: what is frozen, and reports where they are added."""
        studies = prepared.chosen.studies
        with self._rooms.database.reading() as conn:
            added = visible_series(conn, NO_SHARE, studies, reports=offer.reports)
        reports = {(one.study, one.series, uid) for one in added for uid in one.instances}
        refs = (item.ref for item in prepared.items)
        pictures = {(ref.study, ref.series, ref.instance) for ref in refs} - reports
        return tuple(
            PreviewStudy(
                study=study,
                series=len({series for of, series, _ in pictures | reports if of == study}),
                images=sum(of == study for of, _, _ in pictures),
                reports=sum(of == study for of, _, _ in reports),
            )
            for study in studies
        )
