"""Instances to a remote AE: which Presentation Contexts, on how many associations, until when.

with Sender(connect, kinds, parallel=2) as sender:
    for sent in sender.send(instances): ...

Used by C-MOVE and by forwarding. Every instance gets a result, whatever the remote AE does: one
that breaks an association is connected to again for what is left, one that answers nothing at all
is given up.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from vna.dicom.uids import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from vna.dimse.pdu import MAX_CONTEXTS
from vna.dimse.scu import Requestor
from vna.dimse.stores import Backlog, Sent, failed
from vna.errors import Unavailable, VNAError
from vna.retrieve.outgoing import Forms, Outgoing

Contexts = Sequence[tuple[str, Sequence[str]]]
Connect = Callable[[Contexts], Requestor]
"""What makes a `Requestor` that will propose these Presentation Contexts to the remote AE."""

Kind = tuple[str, Forms]
"""A SOP Class, and the Transfer Syntaxes some of its instances can be sent in."""

_TRIES = 2  # associations in a row without one answer, after which a remote AE is given up


def proposals(
    kinds: Iterable[Kind], wanted: Sequence[str] = ()
) -> list[list[tuple[str, list[str]]]]:
    """Say what to propose for these kinds, an entry an association of at most 128 contexts.

    Each Transfer Syntax has a context of its own, so that the acceptor takes all it can; when that
    are too many, those into which any instance is converted share one. What a codec has to make is
    proposed where it is `wanted`.
    """
    found: dict[str, dict[str, None]] = {}
    for sop_class, usable in sorted(kinds):
        known = found.setdefault(sop_class, {})
        known.update(dict.fromkeys(form for form in wanted if form in usable.made))
        known.update(dict.fromkeys(usable.offered))
    forms = {name: list(known) for name, known in found.items()}
    apart = [[(name, [form]) for form in found] for name, found in forms.items()]
    if sum(map(len, apart)) > MAX_CONTEXTS:
        apart = [_joined(name, found) for name, found in forms.items()]
    return _cut(apart)


def _joined(name: str, forms: list[str]) -> list[tuple[str, list[str]]]:
    plain = [form for form in (EXPLICIT_LITTLE, IMPLICIT_LITTLE) if form in forms]
    alone = [(name, [form]) for form in forms if form not in plain]
    return [*alone, (name, plain)] if plain else alone


def _cut(apart: list[list[tuple[str, list[str]]]]) -> list[list[tuple[str, list[str]]]]:
    cut: list[list[tuple[str, list[str]]]] = [[]]
    for contexts in apart:
        if len(cut[-1]) + len(contexts) > MAX_CONTEXTS:
            cut.append([])
        cut[-1] += contexts[:MAX_CONTEXTS]
    return [contexts for contexts in cut if contexts]


class Sender:
    """Sends instances of these kinds to one remote AE, on up to `parallel` associations at once.

    `wanted` are the Transfer Syntaxes it prefers, best first. `originator` is the AE title and the
    Message ID of the C-MOVE that asked for it.
    """

    def __init__(
        self,
        connect: Connect,
        kinds: Iterable[Kind],
        *,
        wanted: tuple[str, ...] = (),
        priority: int = 0,
        originator: tuple[str, int] | None = None,
        parallel: int = 1,
    ) -> None:
        self._connect = connect
        self._proposals = proposals(kinds, wanted)
        self._wanted = wanted
        self._priority = priority
        self._originator = originator
        self._parallel = max(1, parallel)

    def send(self, instances: Iterable[Outgoing]) -> Generator[Sent, None, None]:
        """Send each instance; yield what became of it, in the order of the answers.

        Leaving early ends it when the objects on their way are answered.
        """
        rest = instances
        for contexts in self._proposals:
            later: list[Outgoing] = []
            classes = {name for name, _ in contexts}
            mine = rest if contexts is self._proposals[-1] else _of(rest, classes, later)
            yield from self._sent(contexts, Backlog(mine))
            rest = later

    def _sent(self, contexts: Contexts, backlog: Backlog) -> Generator[Sent, None, None]:
        why: list[VNAError] = []
        if self._parallel == 1:
            yield from self._carried(contexts, backlog, why)
        else:
            yield from self._side_by_side(contexts, backlog, why)
        while (outgoing := backlog.take()) is not None:
            yield failed(outgoing, why[-1] if why else Unavailable(), is_tried=False)

    def _carried(
        self, contexts: Contexts, backlog: Backlog, why: list[VNAError]
    ) -> Generator[Sent, None, None]:
        """Send on one association, and on another when that one breaks."""
        tries = 0
        while tries < _TRIES and backlog.has_more():
            tries += 1
            try:
                with self._connect(contexts) as remote:
                    stores = remote.stores(
                        wanted=self._wanted, priority=self._priority, originator=self._originator
                    )
                    for sent in stores.run(backlog):
                        if sent.is_answered:
                            tries = 0
                        yield sent
            except ConnectionError as exc:
                why.append(Unavailable(str(exc)))
            except VNAError as exc:  # not connected at all: the next try would fail alike
                why.append(exc)
                return

    def _side_by_side(
        self, contexts: Contexts, backlog: Backlog, why: list[VNAError]
    ) -> Generator[Sent, None, None]:
        done: queue.SimpleQueue[Sent | BaseException | None] = queue.SimpleQueue()

        def carry() -> None:
            try:
                for sent in self._carried(contexts, backlog, why):
                    done.put(sent)
            except BaseException as exc:
                done.put(exc)
            finally:
                done.put(None)

        threads = [
            threading.Thread(target=carry, name=f"sender-{number}", daemon=True)
            for number in range(self._parallel)
        ]
        for thread in threads:
            thread.start()
        working = len(threads)
        try:
            while working:
                result = done.get()
                if isinstance(result, BaseException):
                    raise result
                if result is None:
                    working -= 1
                else:
                    yield result
        finally:
            if working:
                backlog.stop()
            for thread in threads:
                thread.join()


def _of(
    instances: Iterable[Outgoing], classes: set[str], later: list[Outgoing]
) -> Iterator[Outgoing]:
    for outgoing in instances:
        if outgoing.sop_class in classes:
            yield outgoing
        else:
            later.append(outgoing)
