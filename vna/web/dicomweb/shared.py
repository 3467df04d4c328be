"""/s/c/<capability>/dicom-web: DICOMweb below a share, for its viewers and for programs.

The same resources by the same code, asked by the share's principal: policy and search see to it
that nothing else is there. Nothing can be stored, deleted or followed here, and what is shared to
be looked at only is not given as DICOM. A body that is under way ends when the share does, and one
link cannot keep the archive busy: so many answers are under way for it at once, and no more.
"""

from __future__ import annotations

import re
import threading
import time
import weakref
from collections import Counter as Counts
from collections.abc import Callable, Iterator
from dataclasses import replace

from starlette.types import Receive, Scope

from vna.errors import NotAuthenticated, NotPermitted, Unavailable
from vna.web import problems
from vna.web.dicomweb.accept import ZIP
from vna.web.dicomweb.routes import DicomWeb, Route
from vna.web.exchange import ROOT, Counter, Reply
from vna.web.identity import CAPABILITY
from vna.web.threads import Buffer

PREFIX = "/s/c/"

_PATH = re.compile(rf"/s/c/([A-Za-z0-9_-]{{32,64}}){re.escape(ROOT)}(?:/.*)?", re.ASCII | re.DOTALL)
_SAFE = frozenset({"GET", "HEAD"})
_LOOK_S = 0.5
_AT_ONCE = 32  # answers of one link under way in a process; a browser asks for six at a time
_PRIVATE = [problems.NOT_KEPT, (b"x-robots-tag", b"noindex")]

SHARED = frozenset(
    {
        *("studies", "series", "instances", "study", "one-series", "instance", "metadata"),
        *("frames", "bulkdata", "all-bulkdata", "pixeldata", "rendered", "thumbnail"),
    }
)
"""Resources there are below a share, by the names of the route table."""

LOOKED_AT = frozenset({"studies", "series", "instances", "rendered", "thumbnail"})
"""Those there are when it may not be downloaded."""


def below_share(scope: Scope) -> Scope | None:
    """Return the scope as DICOMweb takes it, for a path below a share; None for any other."""
    found = _PATH.fullmatch(scope["path"])
    if found is None:
        return None
    capability = found[1]
    root = f"{scope['root_path']}{PREFIX}{capability}{ROOT}"
    return {**scope, "root_path": root, CAPABILITY: capability}


class SharedDicomWeb(DicomWeb):
    """The DICOMweb service of shares as an ASGI application."""

    def __init__(self, counter: Counter) -> None:
        super().__init__(counter)
        self._sharing = counter.engines.sharing
        self._identity = counter.identity
        self._hops = counter.threads.hops
        self._turns = Turns()

    async def _reply(
        self, route: Route, names: dict[str, str], scope: Scope, receive: Receive
    ) -> Reply:
        guest = await self._identity.principal(scope)  # who is nobody is not told what there is
        turn = self._turns.take(guest.name)  # its link's, however often that was opened
        try:
            reply = await self._answer(route, names, scope, receive)
        except BaseException:
            turn.end()
            raise
        if reply.rest is None:
            turn.end()
            return reply
        return replace(reply, rest=_Ending(reply.rest, turn))

    async def _answer(
        self, route: Route, names: dict[str, str], scope: Scope, receive: Receive
    ) -> Reply:
        capability = scope[CAPABILITY]
        if scope["method"] not in _SAFE or route.name not in SHARED:
            raise NotPermitted("This share is for looking and downloading only.")
        if route.name not in LOOKED_AT and not await self._may_download(capability):
            raise NotPermitted("This share is for looking only.")
        reply = await super()._reply(route, names, scope, receive)
        rest = reply.rest
        if reply.media == ZIP and not await self._may_download(capability):
            close(rest)  # pictures by the hundred are a download
            raise NotPermitted("This share is for looking only.")
        if rest is not None:
            rest = watched(rest, lambda: self._sharing.by_capability(capability) is not None)
        return replace(reply, rest=rest)

    def _keeping(self, _scope: Scope) -> problems.Headers:
        """Let nobody keep, or list, anything of a share: refusals neither."""
        return list(_PRIVATE)

    async def _may_download(self, capability: str) -> bool:
        find = self._sharing.guest_by_capability
        guest = await self._hops.call(lambda: find(capability))
        return guest is not None and guest.share.download


class Turns:
    """Counts the answers that are under way for each link. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counts[str] = Counts()

    def take(self, link: str) -> Turn:
        """Count one in. Raises `Unavailable`."""
        with self._lock:
            if self._counts[link] >= _AT_ONCE:
                raise Unavailable("Too much is asked for by this link at once; try again.")
            self._counts[link] += 1
        return Turn(self._end, link)

    def _end(self, link: str) -> None:
        with self._lock:
            self._counts[link] -= 1
            if not self._counts[link]:
                del self._counts[link]


class Turn:
    """One answer that is under way: until it is ended, or forgotten."""

    def __init__(self, end: Callable[[str], None], link: str) -> None:
        self._finalizer = weakref.finalize(self, end, link)

    def end(self) -> None:
        """Count it out; a second time changes nothing."""
        self._finalizer()


class _Ending:
    """The pieces of a body, and the turn that is over with them."""

    def __init__(self, pieces: Iterator[Buffer], turn: Turn) -> None:
        self._pieces = pieces
        self._turn = turn

    def __iter__(self) -> Iterator[Buffer]:
        return self

    def __next__(self) -> Buffer:
        try:
            return next(self._pieces)
        except BaseException:
            self._turn.end()
            raise

    def close(self) -> None:
        """End the walk."""
        self._turn.end()
        close(self._pieces)


def watched(pieces: Iterator[Buffer], holds: Callable[[], bool]) -> Iterator[Buffer]:
    """Give the pieces of a body as long as the share holds. Raises `NotAuthenticated`."""
    until = time.monotonic() + _LOOK_S
    try:
        for piece in pieces:
            if time.monotonic() >= until:
                if not holds():
                    raise NotAuthenticated("The sharing was ended.")
                until = time.monotonic() + _LOOK_S
            yield piece
    finally:
        close(pieces)


def close(pieces: Iterator[Buffer] | None) -> None:
    """End what gives the pieces of a body nobody wants any more."""
    end = getattr(pieces, "close", None)
    if end is not None:
        end()
