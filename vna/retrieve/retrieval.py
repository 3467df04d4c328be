"""A retrieval that was authorised and counted: what it sends, located a part at a time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from vna.dicom.refs import UID
from vna.errors import NotFound, Unavailable
from vna.index.locate import Located
from vna.index.select import Selected
from vna.retrieve.outgoing import Body, Outgoing
from vna.retrieve.representation import Forms, forms

_AT_ONCE = 256  # instances located by one query
LOOK_S = 0.4  # how old may be what is known of what is still there

_Locate = Callable[[Sequence[Selected]], dict[int, Located]]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """The instances that match, in the order they are to be sent in."""

    listed: Sequence[Selected]
    _locate: _Locate
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
        """Walk them; one that went meanwhile is there too, and fails when it is loaded or sent."""
        for at in range(0, len(self.listed), _AT_ONCE):
            part = _Part(self.listed[at : at + _AT_ONCE], self._locate)
            for one in part.listed:
                located = part.find(one)
                if located is None:
                    yield _gone(one)
                else:
                    yield replace(self._outgoing(located), still=partial(part.require, one))


class _Part:
    """Some of the instances and where they lie, looked for again while they are walked.

    What was deleted lies there for its time of grace, so that no blob store would refuse it.
    """

    def __init__(self, listed: Sequence[Selected], locate: _Locate) -> None:
        self.listed = listed
        self._locate = locate
        self._found, self._looked = locate(listed), time.monotonic()

    def find(self, one: Selected) -> Located | None:
        """Say where an instance lies, as of just now; None when it was taken away."""
        begun = time.monotonic()
        if begun - self._looked > LOOK_S:
            self._looked = begun
            with suppress(Unavailable):  # not known now: what began goes on
                self._found = self._locate(self.listed)
        return self._found.get(one.key)

    def require(self, one: Selected) -> None:
        """Make sure that an instance is still there. Raises `NotFound`."""
        if self.find(one) is None:
            raise _taken_away()


def _taken_away() -> NotFound:
    return NotFound("The instance was taken away while others were sent.")


def _gone(one: Selected) -> Outgoing:
    def load(_: str) -> Body:
        raise _taken_away()

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
