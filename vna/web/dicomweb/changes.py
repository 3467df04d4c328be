"""GET `changefeed`: what was stored, changed, deleted, brought back and shared, in order.

No part of PS3.18. A reader keeps the address in `next` of the last answer and goes on there; with
`wait` the answer is held back until there is something to tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from vna.dicom.refs import InstanceRef, SeriesRef
from vna.errors import InvalidRequest, NotAcceptable
from vna.operate.changes import MOST, Change, Page
from vna.web.dicomweb import caching
from vna.web.dicomweb.accept import JSON, PLAIN_JSON
from vna.web.exchange import Ask, ClientGone, Reply, warning
from vna.web.media import media_list

WAIT_MOST_S = 15
"""The longest wait for a change: shorter than the time in which a stopping archive must be done."""

_LIMIT = 100
_LOOK_S = 0.25
_TAKEN = frozenset(("*/*", "application/*", PLAIN_JSON, JSON))


@dataclass(frozen=True, slots=True)
class _Asked:
    after: int = 0
    limit: int = _LIMIT
    wait: int = 0
    feed: str | None = None


async def changes(ask: Ask) -> Reply:
    """Give the changes behind `after`, at most `limit`, waiting up to `wait` seconds for one."""
    accept = ask.header(b"accept")
    if accept and not any(entry.name in _TAKEN for entry in media_list(accept)):
        raise NotAcceptable(f"The change feed is given as {PLAIN_JSON}.")
    asked = _asked(ask)
    root = ask.root()
    page = await _page(ask, asked)
    state = caching.State([page.feed, *map(str, (page.after, page.following, page.last))])
    if caching.is_fresh(ask, state):
        return caching.not_modified(state)
    url = f"{root}/changefeed?feed={page.feed}&after={page.following}&limit={asked.limit}"
    fields = [*caching.headers(state), (b"link", f'<{url}>; rel="next"'.encode("latin-1"))]
    if page.has_more:
        count = page.last - page.following
        some = f"{count} more" if not page.is_behind else f"more than {count}"
        fields.append(warning(root, f"There are {some} changes that can be requested"))
    body = orjson.dumps(
        {
            "feed": page.feed,
            "after": page.after,
            "following": page.following,
            "last": page.last,
            "changes": [_entry(change) for change in page.changes],
            "next": url,
        }
    )
    return Reply(media=PLAIN_JSON, headers=fields, body=(body,))


async def _page(ask: Ask, asked: _Asked) -> Page:
    """Read a page; read again while there is nothing and the client is there and waits.

    Who waits is asked for anew each time: they may have been shut out meanwhile.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + asked.wait
    gone = asyncio.ensure_future(_gone(ask))
    try:
        after = asked.after
        while True:
            page = await ask.hop(functools.partial(_read, ask, asked, after))
            left = until - loop.time()
            if page.changes or left <= 0 or not asked.limit:
                return page
            after = page.following
            if not page.has_more:
                await asyncio.wait((gone,), timeout=min(left, _LOOK_S))
            if gone.done():
                raise ClientGone
            ask.principal = await ask.counter.identity.principal(ask.scope)
    finally:
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone


def _read(ask: Ask, asked: _Asked, after: int) -> Page:
    return ask.counter.engines.changes.read(
        ask.principal, after=after, limit=asked.limit, feed_id=asked.feed
    )


async def _gone(ask: Ask) -> None:
    while (await ask.receive())["type"] != "http.disconnect":
        pass


def _asked(ask: Ask) -> _Asked:
    found: dict[str, Any] = {}
    for name, value in ask.query():
        if name in found:
            raise InvalidRequest(f"The parameter {name} may be given once.")
        if name in ("after", "limit", "wait"):
            found[name] = _number(name, value)
        elif name == "feed":
            found[name] = _feed(value)
        elif name != "accept":
            raise InvalidRequest(f"The change feed knows after, limit, wait and feed, not {name}.")
    if found.get("limit", 0) > MOST:
        raise InvalidRequest(f"The parameter limit is a number from 0 to {MOST}.")
    if found.get("wait", 0) > WAIT_MOST_S:
        raise InvalidRequest(f"The parameter wait is a number of seconds from 0 to {WAIT_MOST_S}.")
    return _Asked(**found)


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) <= 18):
        raise InvalidRequest(f"The parameter {name} is a number from 0.")
    return int(value)


def _feed(value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError as exc:
        raise InvalidRequest("The parameter feed is the id the feed gave itself.") from exc


def _entry(change: Change) -> dict[str, object]:
    ref = change.ref
    entry: dict[str, object] = {
        "sequence": change.sequence,
        "at": change.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "action": change.action,
    }
    if ref is not None:
        entry["study"] = ref.study
    if isinstance(ref, SeriesRef | InstanceRef):
        entry["series"] = ref.series
    if isinstance(ref, InstanceRef):
        entry["instance"] = ref.instance
    if change.shared is not None:
        # as text: they are longer than what JavaScript takes for a number
        numbers = {"share": change.shared.share, "grant": change.shared.grant}
        entry |= {name: str(number) for name, number in numbers.items() if number is not None}
    return entry
