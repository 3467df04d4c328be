"""Shares and grants, held for an act: the share before its grants, here as everywhere."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from vna.access.policy import reach, require
from vna.access.principal import Action, Principal
from vna.dicom.refs import UID, StudyRef
from vna.errors import NotFound
from vna.sharing.rooms import SQL, Runs


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
    issued_at: dt.datetime
    ends_at: dt.datetime
    state: str
    is_printed: bool
    why: str | None
    until: dt.datetime
    holds_reports: bool
    holds_download: bool
    holds_forward: bool
    all_parts: Any  # JSON: of each grant of the line that is narrower than its parent


def hold_share(tx: Runs, who: Principal, share_id: int) -> ShareRow:
    """Hold a share of what this principal may share. Raises `NotFound`, `NotPermitted`."""
    require(who, Action.SHARE)
    row = tx.execute(SQL.find_share, (share_id,)).fetchone()
    if row is None:
        raise NotFound("There is no such share.")
    share = ShareRow._make(row)
    if not may_see(who, share.studies):
        raise NotFound("There is no such share.")
    return share._replace(owner_key=bytes(share.owner_key), person=bytes(share.person))


def hold_grant(tx: Runs, grant_id: int) -> GrantRow:
    """Hold a grant. Raises `NotFound`."""
    row = tx.execute(SQL.find_grant, (grant_id,)).fetchone()
    if row is None:
        raise NotFound("There is no such grant.")
    return GrantRow._make(row)


def hold_both(tx: Runs, who: Principal, grant_id: int) -> tuple[GrantRow, ShareRow]:
    """Hold a grant and its share. Raises `NotFound`, `NotPermitted`."""
    require(who, Action.SHARE)
    row = tx.execute(SQL.share_of_grant, (grant_id,)).fetchone()
    if row is None:
        raise NotFound("There is no such grant.")
    share = hold_share(tx, who, int(row[0]))
    return hold_grant(tx, grant_id), share


def may_see(who: Principal, studies: list[str]) -> bool:
    """Whether a share lies within what a principal may share: an emergency lends nothing of it."""
    within = reach(who, Action.SHARE)
    return all(within.covers(StudyRef(UID(study))) for study in studies)
