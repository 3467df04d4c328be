"""Whether the audit trail is whole: rows against links, links against checkpoints, with the place.

Checkpoints are compared as they stand in the database and beside the blobs: who puts the database
back to an earlier day, or cuts the trail off and chains it anew, cannot sign for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from vna.access import chain
from vna.access.chain import SQL, START, Link
from vna.blobs.checkpoints import Checkpoint, Checkpoints
from vna.db.pool import Database
from vna.errors import Corrupt, NotFound

_PAGE = 5000
_FIRST_ID = -(1 << 63)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was sealed, and where."""

    what: str  # edited, removed, added, reordered, cut, link, checkpoint, other trail
    place: str


@dataclass(slots=True)
class Verdict:
    """What was looked at, and what of it is wrong."""

    trail: str = ""
    links: int = 0
    checkpoints: int = 0
    signed: int = 0  # the last link under a checkpoint
    waiting: int = 0  # rows not sealed yet
    waiting_s: float = 0.0
    accepted: int = 0  # checkpoints that were said not to be followed any more
    unmatched: list[str] = field(default_factory=list)  # marks of those that are not followed
    findings: list[Finding] = field(default_factory=list)

    def find(self, what: str, place: str) -> None:
        """Note a finding."""
        self.findings.append(Finding(what, place))


class Evidence:
    """Checks the trail of one archive. Changes nothing."""

    def __init__(self, database: Database, checkpoints: Checkpoints) -> None:
        self._database = database
        self._checkpoints = checkpoints

    def verify(self, progress: Callable[[int], None] | None = None) -> Verdict:
        """Walk the whole chain and every checkpoint; `progress` hears how many links were seen."""
        verdict = Verdict()
        with self._database.reading() as conn:
            verdict.trail = chain.trail_id(conn)
        signed = self._signed(verdict)
        walk = _Walk(verdict, signed)
        for page in self._pages():
            first = walk.audit_id
            for link in page:
                walk.step(link)
            self._look_between(verdict, first, walk.audit_id)
            if progress is not None:
                progress(verdict.links)
        for seq in sorted(seq for seq in signed if seq > walk.seal_seq):
            for one in signed[seq]:
                verdict.unmatched.append(one.mark)
            at = signed[seq][0].at
            place = f"the trail ends at link {walk.seal_seq}, link {seq} was signed {at}"
            verdict.find("cut", place)
        with self._database.reading() as conn:
            verdict.waiting, verdict.waiting_s = chain.one(conn, SQL.waiting)
        return verdict

    def _pages(self) -> Iterator[list[Link]]:
        after = -1
        while True:
            with self._database.reading() as conn:
                page = chain.links(conn, after, _PAGE)
            if not page:
                return
            yield page
            after = page[-1].seal_seq

    def _look_between(self, verdict: Verdict, first: int, last: int) -> None:
        """Find rows among the sealed ones that have no link."""
        if last <= first:
            return
        with self._database.reading() as conn:
            for (audit_id,) in conn.execute(SQL.not_linked, (first, last)).fetchall():
                verdict.find("added", f"row {audit_id} stands among sealed rows without a link")

    def _signed(self, verdict: Verdict) -> dict[int, list[Checkpoint]]:
        """Read every checkpoint of this trail; tell of those that are not sound."""
        found: dict[int, list[Checkpoint]] = {}
        others: dict[str, int] = defaultdict(int)
        every = list(self._all(verdict))
        verdict.checkpoints = len(every)
        accepted = frozenset[str]().union(
            *(one.accepts for one in every if one.trail == verdict.trail)
        )
        standing = {one.mark: one for one in every if one.mark not in accepted}
        verdict.accepted = len({one.mark for one in every} - set(standing))
        for checkpoint in standing.values():
            if checkpoint.trail != verdict.trail:
                others[checkpoint.trail] = max(others[checkpoint.trail], checkpoint.seal_seq)
                verdict.unmatched.append(checkpoint.mark)
            else:
                found.setdefault(checkpoint.seal_seq, []).append(checkpoint)
        for trail, seq in others.items():
            verdict.find("other trail", f"{seq} links of trail {trail} are not in this database")
        verdict.signed = max(found, default=0)
        return found

    def _all(self, verdict: Verdict) -> Iterator[Checkpoint]:
        for name in self._checkpoints.names():
            try:
                yield self._checkpoints.read(name)
            except (Corrupt, NotFound) as exc:
                verdict.find("checkpoint", f"{name}: {exc}")
        after = -1
        while True:
            with self._database.reading() as conn:
                rows = conn.execute(SQL.checkpoints, (after, _PAGE)).fetchall()
            for seq, statement, signature in rows:
                place, after = f"checkpoint of link {seq}", seq
                try:
                    checkpoint = self._checkpoints.checked(statement, bytes(signature))
                except Corrupt as exc:
                    verdict.find("checkpoint", f"{place}: {exc}")
                    continue
                if checkpoint.seal_seq != seq:
                    verdict.find("checkpoint", f"{place} was signed for {checkpoint.seal_seq}")
                yield checkpoint
            if not rows:
                return


class _Walk:
    """The place in the chain, going from link to link."""

    def __init__(self, verdict: Verdict, signed: dict[int, list[Checkpoint]]) -> None:
        self._verdict = verdict
        self._signed = signed
        self._hash = START
        self.seal_seq = 0
        self.audit_id = _FIRST_ID

    def step(self, link: Link) -> None:
        """Check one link against the one before it, its row and a checkpoint that names it."""
        verdict, place = self._verdict, f"row {link.audit_id} (link {link.seal_seq})"
        verdict.links += 1
        if link.seal_seq != self.seal_seq + 1:
            gone = f"links {self.seal_seq + 1} to {link.seal_seq - 1} before {place} are gone"
            verdict.find("link", gone)
        elif link.prev_hash != self._hash:
            verdict.find("link", f"{place} does not stand on the link before it")
        if link.audit_id <= self.audit_id:
            verdict.find("reordered", f"{place} comes after row {self.audit_id}")
        if link.event is None:
            verdict.find("removed", place)
        elif chain.link_hash(link.prev_hash, link.event) != link.hash:
            verdict.find("edited", place)
        for checkpoint in self._signed.get(link.seal_seq, ()):
            if checkpoint.hash != link.hash:
                verdict.unmatched.append(checkpoint.mark)
                verdict.find("checkpoint", f"{place} is not what was signed {checkpoint.at}")
        self._hash, self.seal_seq = link.hash, link.seal_seq
        self.audit_id = max(self.audit_id, link.audit_id)
