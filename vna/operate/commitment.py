"""Storage Commitment in no protocol: an instance is committed when its bytes were read again.

Read from the store, decrypted segment by segment, and compared with the digest the index took down
when the instance came in: nothing less is answered with "committed" (PS3.4 J, PS3.18 13).
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vna import telemetry
from vna.access.policy import permits, require
from vna.access.principal import Action, Principal
from vna.blobs.store import BlobStore
from vna.db.pool import Database
from vna.dicom.refs import UID
from vna.errors import Corrupt, NotFound, TooLarge
from vna.index.held import Held, held

log = logging.getLogger(__name__)

_AT_ONCE = 500  # instances of one question to the index


class Reason(enum.IntEnum):
    """Failure Reason (0008,1197) of an instance that is not committed (PS3.3 C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_INSTANCE = 0x0112
    CLASS_CONFLICT = 0x0119
    DUPLICATE_TRANSACTION = 0x0131
    RESOURCE_LIMITATION = 0x0213


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One instance a sender wants to know safe; study and series only where it said them."""

    sop_class: UID
    instance: UID
    study: UID | None = None
    series: UID | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """The instance was read back whole and is what came in."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class FailedRef:
    """The archive does not commit to this instance."""

    claim: Claim
    reason: Reason


Verdict = Committed | FailedRef


class CommitmentEngine:
    """Checks what is asked to be committed. One a process, shared by its threads."""

    def __init__(self, *, store: BlobStore, database: Database) -> None:
        self._store = store
        self._database = database

    def check(self, principal: Principal, claims: Sequence[Claim]) -> list[Verdict]:
        """Read every instance back and answer in the order of the claims.

        Raises `NotPermitted`, and `Unavailable` when the index or the store is away: then nothing
        is known of any of them, and the question is to be asked again.
        """
        return list(self.walk(principal, claims))

    def walk(self, principal: Principal, claims: Sequence[Claim]) -> Iterator[Verdict]:
        """Answer one by one, as `check` does. Raises as it does."""
        require(principal, Action.COMMIT)
        for start in range(0, len(claims), _AT_ONCE):
            some = claims[start : start + _AT_ONCE]
            with self._database.reading() as conn:
                found = held(conn, (claim.instance for claim in some))
            for claim in some:
                reason = self._fault(principal, claim, found.get(claim.instance))
                telemetry.COMMITMENTS.labels("failed" if reason else "committed").inc()
                yield Committed(claim) if reason is None else FailedRef(claim, reason)

    def bytes_of(self, principal: Principal, claims: Sequence[Claim]) -> int:
        """Add up what would have to be read: how long an answer takes tells of nothing else.

        Raises `NotPermitted`.
        """
        require(principal, Action.COMMIT)
        total = 0
        for start in range(0, len(claims), _AT_ONCE):
            some = claims[start : start + _AT_ONCE]
            with self._database.reading() as conn:
                found = held(conn, (claim.instance for claim in some))
            total += sum(
                one.payload_len
                for one in found.values()
                if permits(principal, Action.COMMIT, one.ref)
            )
        return total

    def _fault(self, principal: Principal, claim: Claim, there: Held | None) -> Reason | None:
        """What stands against committing; None when nothing does."""
        if there is None or not permits(principal, Action.COMMIT, there.ref):
            return Reason.NO_SUCH_INSTANCE
        if claim.study not in (None, there.ref.study) or claim.series not in (
            None,
            there.ref.series,
        ):
            return Reason.NO_SUCH_INSTANCE
        if claim.sop_class != there.sop_class:
            return Reason.CLASS_CONFLICT
        try:
            self._prove(there)
        except (NotFound, Corrupt, TooLarge) as exc:
            # NotFound: the blob or its key is gone while the store is there (else: Unavailable)
            why = {"blob": there.blob_id.hex(), "why": str(exc)}
            log.error("not committed", extra=why)  # noqa: TRY400 -- damage is a finding, not a fault of ours: no trace
            return Reason.PROCESSING_FAILURE
        return None

    def _prove(self, there: Held) -> None:
        """Read the whole blob as a retrieve would, and as a rebuild of the index would."""
        reader = self._store.reader(there.blob_id)
        reader.meta()
        digest = hashlib.sha256()
        for chunk in self._store.chunks(there.blob_id, there.header, there.payload_len):
            digest.update(chunk)
        same = hmac.compare_digest(digest.digest(), there.digest)
        if not (same and hmac.compare_digest(reader.payload_sha256, there.digest)):
            raise Corrupt("The data set is not the one that came in.")
