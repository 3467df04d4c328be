"""A retrieval that was authorised and counted: what it sends, located a part at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from vna.dicom.refs import UID
from vna.errors import NotFound
from vna.index.locate import Located
from vna.index.select import Selected
from vna.retrieve.outgoing import Body, Outgoing
from vna.retrieve.representation import Forms, forms

_AT_ONCE = 256  # instances located by one query


@dataclass(frozen=True, slots=True)
class Retrieval:
    """The instances that match, in the order they are to be sent in."""

    listed: Sequence[Selected]
    _locate: Callable[[Sequence[Selected]], dict[int, Located]]
    _outgoing: Callable[[Located], Outgoing]

    def __len__(self) -> int:
        """Count them."""
        return len(self.listed)

    @property
    def kinds(self) -> frozenset[tuple[str, Forms]]:
        """The SOP Classes, each with the Transfer Syntaxes its instances can be sent in."""
        pairs = {(one.sop_class, one.transfer_syntax) for one in self.listed}
        return frozenset((sop_class, forms(stored)) for sop_class, stored in pairs)

    @property
    def size_bytes(self) -> int:
        """The size of all blobs."""
        return sum(one.size for one in self.listed)

    def by_study(self) -> list[tuple[UID, int, int]]:
        """Count instances and bytes study by study."""
        counts: Counter[UID] = Counter()
        sizes: Counter[UID] = Counter()
        for one in self.listed:
            counts[one.ref.study] += 1
            sizes[one.ref.study] += one.size
        return [(study, count, sizes[study]) for study, count in counts.items()]

    def instances(self) -> Iterator[Outgoing]:
        """Walk them; one that went meanwhile is there too, and fails when it is loaded."""
        for at in range(0, len(self.listed), _AT_ONCE):
            part = self.listed[at : at + _AT_ONCE]
            found = self._locate(part)
            for one in part:
                located = found.get(one.key)
                yield self._outgoing(located) if located is not None else _gone(one)


def _gone(one: Selected) -> Outgoing:
    def load(_: str) -> Body:
        raise NotFound("The instance was taken away while others were sent.")

    return Outgoing(
        ref=one.ref,
        sop_class=one.sop_class,
        transfer_syntax=one.transfer_syntax,
        forms=forms(one.transfer_syntax),
        load=load,
    )


@dataclass(slots=True)
class Tally:
    """How the sub-operations of a retrieval went so far."""

    total: int
    completed: int = 0
    warning: int = 0
    failed: int = 0
    failures: list[UID] = field(default_factory=list)

    @property
    def remaining(self) -> int:
        """Those of which nothing is known yet."""
        return self.total - self.completed - self.warning - self.failed
