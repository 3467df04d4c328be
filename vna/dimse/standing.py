"""Associations end when who called may not call any more; what is being sent ends with them.

Twice a second, and only while there are any, it is looked whether what decides who may call has
changed. Then each association is asked for anew: is the AE title still registered, with the rights
it came with, is its certificate still one of its own? One for which that is not so is cut, whatever
it is doing: nothing incomplete is kept, nothing more is sent.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from vna.dicom.refs import UID, StudyRef
from vna.dimse.exchange import Peer
from vna.errors import NotFound, NotPermitted, Unavailable
from vna.retrieve.outgoing import Body, Buffer, Outgoing
from vna.telemetry import ASSOCIATIONS_REFUSED

if TYPE_CHECKING:
    from vna.dimse.association import Association
    from vna.dimse.callers import Callers, Standing

LOOK_S = 0.4

log = logging.getLogger(__name__)


class Watch:
    """Looks at the associations of one worker in a thread of its own, until `stop`."""

    def __init__(self, callers: Callers, found: Callable[[], Sequence[Association]]) -> None:
        self._callers = callers
        self._found = found
        self._stood: dict[Association, Standing] = {}  # under what each was last found to stand
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="standing", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_S):
            try:
                self._look()
            except Exception:  # the end of the thread: nobody would be cut off any more
                log.exception("associations not looked at")

    def _look(self) -> None:
        found = [one for one in self._found() if one.is_open]
        if not found:
            self._stood.clear()
            return
        standing = self._callers.look(LOOK_S)
        if standing is None:  # it is not known who may call: what began stays
            return
        for association in found:
            if self._stood.get(association) is not standing and not association.may_stand():
                ASSOCIATIONS_REFUSED.labels("ended").inc()
                association.cut()
        self._stood = dict.fromkeys(found, standing)


def guarded(
    instances: Iterator[Outgoing],
    peer: Peer,
    *,
    is_over: Callable[[], bool] = lambda: False,
) -> Iterator[Outgoing]:
    """Give what is to be sent as long as it may be.

    With the asker's association it ends. Once `is_over`, or when a study is withheld by now, the
    instances that are left fail; so does one that is being sent when `is_over` becomes true.
    """

    def is_stopped() -> bool:
        return peer.is_ended() or is_over()

    for outgoing in instances:
        if peer.is_ended():
            return
        still = partial(_require, outgoing, peer, is_over)
        is_given = not is_over() and _may_see(peer, outgoing.ref.study)
        load = _watched(outgoing.load, is_stopped) if is_given else _gone
        yield replace(outgoing, load=load, still=still)


def _require(outgoing: Outgoing, peer: Peer, is_over: Callable[[], bool]) -> None:
    outgoing.still()
    if is_over() or not _may_see(peer, outgoing.ref.study):
        raise _not_any_more()


def _may_see(peer: Peer, study: UID) -> bool:
    try:
        return peer.asker().scope.touches(StudyRef(study))
    except Unavailable:  # not known now: what began goes on
        return True


def _gone(_: str) -> Body:
    raise _not_any_more()


def _not_any_more() -> NotFound:
    return NotFound("The instance may not be sent any more.")


def _watched(load: Callable[[str], Body], is_stopped: Callable[[], bool]) -> Callable[[str], Body]:
    def watched(form: str) -> Body:
        body = load(form)
        return replace(body, chunks=_until(body.chunks, is_stopped))

    return watched


def _until(chunks: Iterator[Buffer], is_stopped: Callable[[], bool]) -> Iterator[Buffer]:
    for chunk in chunks:
        if is_stopped():
            raise NotPermitted("This may not be sent any more.")
        yield chunk
