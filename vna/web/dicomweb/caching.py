"""What lets a client keep an answer, and spare us a second one: ETag, Last-Modified, 304, gzip."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator
from email.utils import format_datetime, parsedate_to_datetime

from vna.web.exchange import Ask, Reply
from vna.web.problems import Headers

VARY = (b"vary", b"Accept, Accept-Encoding, Authorization")
_TAG = re.compile(r'(?:W/)?("[^"]*")')
_CODING = re.compile(r"(gzip|x-gzip|\*)\s*(?:;\s*q=(\d(?:\.\d+)?))?", re.ASCII | re.IGNORECASE)


class State:
    """Which version of a representation an answer is: its entity tag, and since when.

    A weak tag says that the meaning is the same: a multipart has another boundary each time.
    """

    __slots__ = ("changed_at", "etag")

    def __init__(
        self,
        parts: Iterable[str],
        *,
        is_strong: bool = False,
        changed_at: dt.datetime | None = None,
    ) -> None:
        digest = hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()
        self.etag = f'"{digest}"' if is_strong else f'W/"{digest}"'
        self.changed_at = changed_at

    @property
    def stamp(self) -> dt.datetime | None:
        """What Last-Modified says: the first whole second behind the last change, once it has come.

        What changes later is later than that, so who asks by it is never told wrongly that nothing
        did (RFC 9110 8.8.2).
        """
        if self.changed_at is None:
            return None
        stamp = self.changed_at.astimezone(dt.UTC)
        if stamp.microsecond:
            stamp = stamp.replace(microsecond=0) + dt.timedelta(seconds=1)
        return stamp if stamp <= dt.datetime.now(dt.UTC) else None


def since(ask: Ask, changed_at: Iterable[dt.datetime | None]) -> dt.datetime | None:
    """Say since when an answer stands: of one instance, when it changed last.

    Of a study or series, when anything in it did: what was deleted of it leaves no time behind.
    """
    if "instance" not in ask.names:
        return ask.counter.engines.retrieve.state(ask.principal, ask.ref())[1]
    return max((moment for moment in changed_at if moment is not None), default=None)


def headers(state: State | None) -> Headers:
    """Return the header fields that carry a state."""
    if state is None:
        return [VARY]
    fields = [VARY, (b"etag", state.etag.encode("ascii"))]
    if (stamp := state.stamp) is not None:
        fields.append((b"last-modified", format_datetime(stamp, usegmt=True).encode("ascii")))
    return fields


def is_fresh(ask: Ask, state: State) -> bool:
    """Whether the client holds this state already (RFC 9110 13.1.2, 13.1.3, 13.2.2)."""
    known = ask.header(b"if-none-match")
    if known is not None:
        tags = _TAG.findall(known)
        return known.strip() == "*" or state.etag.removeprefix("W/") in tags
    since = ask.header(b"if-modified-since")
    if since is None or state.changed_at is None:
        return False
    try:
        then = parsedate_to_datetime(since)
    except ValueError:
        return False  # RFC 9110 13.1.3: what is no date is ignored
    if then.tzinfo is None:
        then = then.replace(tzinfo=dt.UTC)
    return state.changed_at <= then


def not_modified(state: State) -> Reply:
    """Answer that the client's copy is still good."""
    return Reply(status=304, headers=headers(state))


def takes_gzip(ask: Ask) -> bool:
    """Whether the client wants the answer compressed: `*` is what it does not name (12.5.3)."""
    asked = ask.header(b"accept-encoding") or ""
    entries = (_CODING.fullmatch(entry.strip()) for entry in asked.split(","))
    weights = {found[1].lower(): float(found[2] or 1) for found in entries if found}
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Compress as it goes, quickly rather than well."""
    squeeze = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    for chunk in chunks:
        if data := squeeze.compress(chunk):
            yield data
    yield squeeze.flush()
