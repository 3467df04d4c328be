"""Which version of a SOP Instance UID is current: a pure function of the set of its versions.

Insert and reindex ask the same function, so a rebuilt index says the same as the one before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FIRST = ""
ENCODING = "encoding"
CONTENT = "content"
ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One stored version, as far as the choice depends on it.

    `reason` is what it was found to be when it met the one before: another encoding of the same
    content, other content, or the same UID elsewhere.
    """

    created_us: int
    blob_id: bytes
    place: int  # its series, and thereby its study
    reason: str
    current: bool


def settle(versions: Sequence[Version], policy: str) -> dict[bytes, tuple[str, bool]]:
    """Say for each blob id its reason and whether it is current; exactly one is.

    The oldest version settles where the SOP Instance is at home; one in another series or study is
    never current. At home the oldest is current, or, under the policy `newest`, the newest that is
    not merely another encoding.
    """
    ordered = sorted(versions, key=lambda v: (v.created_us, v.blob_id))
    first = ordered[0]
    reasons = {v.blob_id: _reason(v, first) for v in ordered}
    chosen = first
    if policy == "newest":
        chosen = [v for v in ordered if reasons[v.blob_id] in (FIRST, CONTENT)][-1]
    return {blob: (reason, blob == chosen.blob_id) for blob, reason in reasons.items()}


def _reason(version: Version, first: Version) -> str:
    if version is first:
        return FIRST
    if version.place != first.place:
        return ELSEWHERE
    if version.reason in (ENCODING, CONTENT):
        return version.reason
    # It was the first until an older one came: what that one was found to be holds both ways.
    return first.reason if first.reason in (ENCODING, CONTENT) else CONTENT
