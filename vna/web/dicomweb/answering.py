"""Payloads -> one answer: a single part or a multipart, whole or a range of it, for GET and HEAD.

What is small is complete when the thread that made it is done; what is large follows in pieces.
Everything that can be refused is refused before the first byte; what fails later breaks the
connection and never looks like a short answer.

A multipart whose parts can all be walked is the same octets each time: its boundary is told from
the blobs it holds. Nobody can foresee it, since a blob's id is chosen when its bytes have come, and
it is shown to nobody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from vna.dicom.uids import EXPLICIT_LITTLE, transfer_syntax
from vna.errors import NotAcceptable
from vna.retrieve.payload import Buffer, Payload, Stretch, joined, ready
from vna.web.dicomweb import caching, ranges
from vna.web.dicomweb.accept import OCTETS
from vna.web.exchange import Ask, Reply, warning
from vna.web.multipart import closing, multipart_type, new_boundary, part_head
from vna.web.problems import Headers
from vna.web.threads import coalesced, take

READY = 1 << 20  # up to this size an answer is made in one hop

_SANDBOX = (b"content-security-policy", b"sandbox; default-src 'none'; style-src 'unsafe-inline'")


def content_type(payload: Payload) -> str:
    """Write the Content-Type of a payload; Explicit VR Little Endian is not said (8.7.3)."""
    syntax = payload.transfer_syntax
    known = transfer_syntax(syntax) if syntax else None
    if syntax in (None, EXPLICIT_LITTLE) or (
        payload.media_type == OCTETS and not (known and known.encapsulated)
    ):
        return payload.media_type  # native frames are little endian, whatever they came in
    return f"{payload.media_type}; transfer-syntax={syntax}"


def sandbox(media: str) -> Headers:
    """Say of a document that what it brings along, a style sheet with a script, say, must not run.

    A browser that is led to it would take it for a page of ours.
    """
    return [_SANDBOX] if media.startswith("text/") else []


def single(
    ask: Ask, payload: Payload, root: str, *, status: int = 200, fields: Headers | None = None
) -> Reply:
    """Answer with one payload by itself, or a range of it (PS3.18 8.6.1.1)."""
    state = caching.State(
        [payload.revision or "", payload.location or "", payload.transfer_syntax or ""],
        is_strong=payload.stretch is not None,
        changed_at=payload.changed_at,
    )
    if payload.revision and caching.is_fresh(ask, state):
        return caching.not_modified(state)
    told = [*(fields or ()), *caching.headers(state if payload.revision else None)]
    if payload.location:
        told.append((b"content-location", f"{root}{payload.location}".encode("latin-1")))
    media = content_type(payload)
    if payload.stretch is not None:
        return walked(ask, media, payload.stretch, state, told, status=status)
    return streamed(ask, media, payload.chunks, told, payload.length, status=status)


def multipart(
    ask: Ask,
    payloads: Sequence[Payload],
    root: str,
    *,
    status: int = 200,
    fields: Headers | None = None,
) -> Reply:
    """Answer with one part a payload (PS3.18 8.6.1.2); there is at least one."""
    is_same = all(payload.stretch is not None for payload in payloads)
    parts = [
        f"{p.revision}{p.location}{p.transfer_syntax}" for p in payloads if p.revision is not None
    ]
    since = caching.since(ask, (payload.changed_at for payload in payloads))
    state = caching.State([root, *parts], is_strong=is_same, changed_at=since)
    if parts and caching.is_fresh(ask, state):
        return caching.not_modified(state)
    told = [*(fields or ()), *caching.headers(state if parts else None)]
    boundary = _boundary([root, *parts]) if is_same else new_boundary()
    syntaxes = {payload.transfer_syntax for payload in payloads}
    syntax = syntaxes.pop() if len(syntaxes) == 1 else None
    first = payloads[0]
    named = syntax if content_type(first) != first.media_type else None
    media = multipart_type(first.media_type, boundary, named)
    heads = _heads(payloads, root, boundary)
    if is_same:
        stretches = chain.from_iterable(
            (ready(head), p.stretch) for head, p in zip(heads, payloads, strict=True) if p.stretch
        )
        whole = joined((*stretches, ready(closing(boundary))))
        return walked(ask, media, whole, state, told, status=status)
    lengths = [payload.length for payload in payloads]
    length = None
    if None not in lengths:
        length = sum(n or 0 for n in lengths) + sum(map(len, heads)) + len(closing(boundary))
    return streamed(ask, media, _parts(heads, payloads, boundary), told, length, status=status)


def converted(
    ask: Ask,
    payloads: Iterable[Payload],
    root: str,
    state: caching.State,
    *,
    refused: int = 0,
) -> Reply:
    """Answer with parts that are converted as they go; those that turn out not to can be left out.

    A part is begun only when its first bytes are there. Once the answer has begun nothing can be
    left out any more: what fails then breaks the connection. Raises `NotAcceptable` when no part
    is left.
    """
    if caching.is_fresh(ask, state):
        return caching.not_modified(state)
    trial = _Trial()
    tried = trial.of(payloads)
    first = next(tried, None)
    if first is None:
        raise trial.refusal or NotAcceptable
    boundary = new_boundary()

    def parts() -> Iterator[Buffer]:
        for payload in chain((first,), tried):
            yield _head(payload, root, boundary, first=payload is first)
            yield from payload.chunks
        yield closing(boundary)

    chunks = parts()
    data, is_last = ([], False) if ask.is_head else take(chunks, READY)
    trial.is_over = True
    status, said = told(root, refused + trial.refused)
    return Reply(
        status=status,
        media=multipart_type(first.media_type, boundary),
        headers=[*said, *caching.headers(state)],
        body=data,
        rest=None if is_last else chunks,
    )


@dataclass(slots=True)
class _Trial:
    """Makes the first bytes of payloads, and leaves out those that have none, until it is over."""

    is_over: bool = False
    refused: int = 0
    refusal: NotAcceptable | None = None

    def of(self, payloads: Iterable[Payload]) -> Iterator[Payload]:
        for payload in payloads:
            try:
                first = next(payload.chunks, b"")
            except NotAcceptable as exc:
                if self.is_over:
                    raise
                self.refused += 1
                self.refusal = self.refusal or exc
            else:
                yield replace(payload, chunks=chain((first,), payload.chunks))


def told(root: str, refused: int) -> tuple[int, Headers]:
    """Say with status and warning that some parts have no form asked for (PS3.18 10.4.3.1)."""
    if not refused:
        return 200, []
    text = f"{refused} parts cannot be given in a form that was asked for and are left out."
    return 206, [warning(root, text)]


def walked(
    ask: Ask,
    media: str,
    whole: Stretch,
    state: caching.State,
    fields: Headers,
    *,
    status: int = 200,
) -> Reply:
    """Answer with octets that can be walked from anywhere: all of them, or the range asked for."""
    fields.append((b"accept-ranges", b"bytes"))
    most = ask.counter.engines.settings.limits.ranges
    wanted = ranges.wanted(ask, whole.length, state.etag, most)
    if wanted is None:
        chunks = whole.walk(0, whole.length)
        return streamed(ask, media, chunks, fields, whole.length, status=status)
    fields.append((b"content-range", wanted.content_range))
    if wanted.is_outside:
        return Reply(status=416, headers=fields)
    chunks = whole.walk(wanted.start, wanted.start + wanted.length)
    return streamed(ask, media, chunks, fields, wanted.length, status=206)


def streamed(
    ask: Ask,
    media: str,
    chunks: Iterator[Buffer],
    fields: Headers,
    length: int | None = None,
    *,
    status: int = 200,
    most: int = READY,
) -> Reply:
    """Make the reply complete where it is small; for HEAD nothing is read at all."""
    if ask.is_head:
        return Reply(status=status, media=media, headers=fields, rest=chunks, length=length)
    data, is_last = take(chunks, most)
    rest = None if is_last else chunks
    return Reply(
        status=status, media=media, headers=fields, body=coalesced(data), rest=rest, length=length
    )


def _boundary(parts: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=16, person=b"multipart")
    for part in parts:
        digest.update(part.encode())
    return digest.hexdigest()


def _heads(payloads: Sequence[Payload], root: str, boundary: str) -> list[bytes]:
    return [_head(p, root, boundary, first=number == 0) for number, p in enumerate(payloads)]


def _head(payload: Payload, root: str, boundary: str, *, first: bool) -> bytes:
    return part_head(
        boundary,
        content_type(payload),
        first=first,
        length=payload.length,
        location=f"{root}{payload.location}" if payload.location else None,
    )


def _parts(heads: Sequence[bytes], payloads: Sequence[Payload], boundary: str) -> Iterator[Buffer]:
    for head, payload in zip(heads, payloads, strict=True):
        yield head
        yield from payload.chunks
    yield closing(boundary)
