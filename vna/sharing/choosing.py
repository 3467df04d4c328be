"""From what was chosen to a frozen list: which instances, whose, and what consents say of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.blobs.store import BlobStore
from vna.crypto import shares
from vna.db.pool import Connection
from vna.dicom.refs import Ref
from vna.errors import Conflict, InvalidRequest, NotFound, TooLarge
from vna.index.arrays import Texts
from vna.index.locate import Located, instances
from vna.sharing.records import Item
from vna.sharing.rooms import SQL, Runs
from vna.sharing.rules import REPORTS, Facts
from vna.sharing.values import Offer
from vna.texts import filled, marked


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What an offer freezes. `identities` are those of its one person: issuer and Patient ID."""

    located: tuple[Located, ...]
    studies: tuple[str, ...]
    identities: tuple[tuple[str, str], ...]
    facts: tuple[Facts, ...]


def choose(conn: Connection, who: Principal, offer: Offer, *, most: int) -> Chosen:
    """Find what was chosen. Raises `NotPermitted`, `NotFound`, `InvalidRequest`, `Conflict`.

    `TooLarge` past `most` instances, before any of them is read.
    """
    refs: list[Ref] = [*offer.studies, *offer.series, *offer.instances]
    for ref in refs:
        require(who, Action.SHARE, ref)
    if _size_of(conn, offer) > most:
        raise TooLarge(filled("One share holds %(most)s images: choose less at a time.", most=most))
    found: dict[str, Located] = {}
    for ref in refs:
        there = instances(conn, ref, within=who.scope.within())
        if not there:
            raise NotFound(marked("What was chosen is not there any more."))
        found.update((one.ref.instance, one) for one in there)
    kept = [one for one in found.values() if offer.reports or one.sop_class not in REPORTS]
    if not kept:
        raise InvalidRequest(marked("Only reports were chosen, and this share is without reports."))
    if not offer.without_images and not any(_is_picture(one) for one in kept):
        raise InvalidRequest(
            marked("There are no images in this, only documents: say so if that is meant.")
        )
    studies = tuple(sorted({one.ref.study for one in kept}))
    identities = identities_of(conn, studies)
    _require_certain(conn, studies)
    return Chosen(
        located=tuple(sorted(kept, key=lambda one: one.ref.instance)),
        studies=studies,
        identities=identities,
        facts=_facts(conn, studies, kept),
    )


def freeze(store: BlobStore, located: Iterable[Located], share_key: bytes) -> list[Item]:
    """Wrap the data key of each under the share's: whoever has that one needs no other."""
    return [
        Item(
            one.ref,
            bytes(one.blob_id),
            shares.wrap(share_key, store.data_key(bytes(one.blob_id), one.header)),
            one.size,
        )
        for one in located
    ]


def digest_of(items: Sequence[Item]) -> bytes:
    """Hash a frozen list: what was agreed to, of which bytes."""
    hashed = hashlib.sha256()
    for item in sorted(items, key=_uids):
        hashed.update("\\".join((*_uids(item), item.blob_id.hex())).encode() + b"\n")
    return hashed.digest()


def _size_of(conn: Connection, offer: Offer) -> int:
    asked = {
        "studies": Texts(ref.study for ref in offer.studies),
        "of_studies": Texts(ref.study for ref in offer.series),
        "series": Texts(ref.series for ref in offer.series),
    }
    row = conn.execute(SQL.count_instances, asked).fetchone()
    return len(offer.instances) + (int(row[0]) if row else 0)


def _uids(item: Item) -> tuple[str, str, str]:
    return item.ref.study, item.ref.series, item.ref.instance


def _is_picture(one: Located) -> bool:
    return one.pixel is not None


def identities_of(conn: Runs, studies: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Name the identities of some studies. One share is one person's: two identities are two
    persons until a link makes them one.

    Raises `Conflict`.
    """
    rows = conn.execute(SQL.persons_of, (Texts(studies),)).fetchall()
    persons = {person for *_, person in rows}
    if len({tuple(row[:3]) for row in rows}) != 1 and (len(persons) != 1 or None in persons):
        raise Conflict(marked("These studies are not of one patient: share those of each apart."))
    return tuple(sorted({(issuer, patient_id) for issuer, patient_id, *_ in rows}))


def _require_certain(conn: Connection, studies: Sequence[str]) -> None:
    row = conn.execute(SQL.in_doubt, (Texts(studies),)).fetchone()
    if row and row[0]:
        raise Conflict(
            marked("Whose studies these are must be settled first: see `vna patient work`.")
        )


def _facts(conn: Connection, studies: Sequence[str], kept: Iterable[Located]) -> tuple[Facts, ...]:
    chosen = {(one.ref.study, one.ref.series) for one in kept}
    modalities: dict[str, set[str]] = {study: set() for study in studies}
    found: dict[str, Facts] = {}
    for study, date, accession, series, modality in conn.execute(SQL.facts_of, (Texts(studies),)):
        if (study, series) in chosen and modality:
            modalities[study].add(modality)
        found[study] = Facts(
            study=study, date=date, accession=accession, modalities=frozenset(modalities[study])
        )
    return tuple(found[study] for study in studies)
