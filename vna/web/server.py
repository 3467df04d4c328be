"""uvicorn, set up for an archive: our protocol on a given socket, a stop from outside."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from collections.abc import Generator

import uvicorn
from starlette.types import ASGIApp

from vna.config import Http
from vna.web.protocol import Door, LimitedProtocol

GRACE_S = 20


class _Server(uvicorn.Server):
    """Ends when the event is set; signals are the process's own matter then."""

    def __init__(self, config: uvicorn.Config, stop: threading.Event | None) -> None:
        super().__init__(config)
        self._stop = stop

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or (self._stop is not None and self._stop.is_set())

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        if self._stop is not None:
            yield
            return
        with super().capture_signals():
            yield


def run(
    app: ASGIApp, limits: Http, sock: socket.socket, *, stop: threading.Event | None = None
) -> None:
    """Serve `app` on a listening socket until told to stop, then finish what is under way.

    `stop` ends it within a tenth of a second; without it SIGTERM and SIGINT do. No new connection
    is taken then, and requests have 20 seconds to finish. The socket is closed at the end.
    """
    config = uvicorn.Config(
        app,
        http=functools.partial(LimitedProtocol, limits=limits, door=Door(limits)),  # type: ignore[arg-type]  # only called
        loop="uvloop",
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=limits.keep_alive_s,  # type: ignore[arg-type]  # given to call_later
        timeout_graceful_shutdown=GRACE_S,
    )
    _Server(config, stop).run(sockets=[sock])
