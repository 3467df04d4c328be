"""A reply goes out: at once when it is complete, else piece by piece while the client reads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from itertools import chain

from starlette.types import Receive, Scope, Send

from vna import telemetry
from vna.web import problems
from vna.web.direct import EXTENSION, ClientIdle, Direct
from vna.web.exchange import Reply
from vna.web.threads import Buffer, Pull, Threads


async def send_reply(
    reply: Reply,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    threads: Threads,
    resource: str,
) -> None:
    """Send a reply; for HEAD only its header fields.

    What fails once the body has begun is logged, and the body left unfinished: the server closes
    the connection then, so that no client takes a part for the whole.
    """
    await send(
        {
            "type": "http.response.start",
            "status": reply.status,
            "headers": reply.all_headers(),
        }
    )
    if scope["method"] == "HEAD":
        await send({"type": "http.response.body", "body": b""})
        if reply.rest is not None:
            await _close(reply.rest, threads)
    elif reply.rest is None:
        for piece in reply.body[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": reply.body[-1] if reply.body else b""})
    elif reply.length is not None and (direct := await _direct(scope)) is not None:
        pieces = chain(reply.body, reply.rest)
        await _past_the_loop(direct, pieces, resource, send, threads)
        await _close(reply.rest, threads)
    else:
        await _stream(reply, resource, receive, send, Pull(threads, reply.rest))


async def _direct(scope: Scope) -> Direct | None:
    """Give the way past the event loop, where the server has one that is open."""
    direct: Direct | None = (scope.get("extensions") or {}).get(EXTENSION)
    return direct if direct is not None and await direct.is_open() else None


async def _past_the_loop(
    direct: Direct, pieces: Iterator[Buffer], resource: str, send: Send, threads: Threads
) -> None:
    try:
        await direct.send(pieces, threads.streams)
        await send({"type": "http.response.body", "body": b""})
    except OSError:
        pass  # the client is gone: there is nobody to tell
    except ClientIdle:
        telemetry.HTTP_REFUSED.labels("reader-idle").inc()
    except Exception as exc:  # whatever it is, the answer ends here
        problems.record(exc, resource, 500)


async def _stream(reply: Reply, resource: str, receive: Receive, send: Send, pull: Pull) -> None:
    gone = asyncio.ensure_future(_gone(receive))
    try:
        for piece in reply.body:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        is_last = False
        while not is_last and not gone.done():
            data, is_last = await pull.next()
            await send({"type": "http.response.body", "body": data, "more_body": not is_last})
    except Exception as exc:  # whatever it is, the answer ends here
        problems.record(exc, resource, 500)
    finally:
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
        await pull.close()


async def _gone(receive: Receive) -> None:
    """Wait until the client has closed the connection; a body it still sends is dropped."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _close(chunks: Iterator[Buffer], threads: Threads) -> None:
    """Let an iterator that is not walked clean up."""
    close = getattr(chunks, "close", None)
    if close is not None:
        await threads.streams.call(close)
