"""/s/c/<capability>/dicom-web: DICOMweb below a share, for its viewers and for programs.

The same resources by the same code, asked by the share's principal: policy and search see to it
that nothing else is there. Nothing can be stored, deleted or followed here, and what is shared to
be looked at only is not given as DICOM. A body that is under way ends when the share does.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from starlette.types import Receive, Scope

from vna.errors import NotAuthenticated, NotPermitted
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

    async def _reply(
        self, route: Route, names: dict[str, str], scope: Scope, receive: Receive
    ) -> Reply:
        capability = scope[CAPABILITY]
        await self._identity.principal(scope)  # who is nobody is not told what there is
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
