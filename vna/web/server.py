"""uvicorn, set up for an archive: our protocol on a given socket, a stop from outside."""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from starlette.types import ASGIApp

from vna.config import Http
from vna.errors import ConfigError
from vna.web.door import Door
from vna.web.handed import Handed
from vna.web.protocol import LimitedProtocol

GRACE_S = 20
_HANDSHAKE_S = 10.0
_STRICT = ("strict-transport-security", "max-age=31536000")  # RFC 6797: never in plain again


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


class Loop(uvloop.Loop):
    """uvloop that does not wait long for a TLS handshake: nobody is counted before it is over."""

    async def create_server(self, *args: Any, **named: Any) -> Any:  # as asyncio declares it
        """Listen, or take what the supervisor accepts; a short time for handshakes."""
        tls, sock = named.get("ssl"), named.get("sock")
        if tls is not None:
            named.setdefault("ssl_handshake_timeout", _HANDSHAKE_S)
        if sock is not None and sock.family == socket.AF_UNIX:
            late_s = named.get("ssl_handshake_timeout")
            return Handed(self, args[0], sock, tls=tls, handshake_s=late_s)
        return await super().create_server(*args, **named)


def context(files: tuple[Path, Path]) -> ssl.SSLContext:
    """Make what TLS is spoken with: 1.2 with ephemeral keys and sealed suites, or 1.3 (RFC 9325).

    Raises `ConfigError`.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    # no tickets: that of one process would open at no other
    made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
    made.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    made.num_tickets = 0
    try:
        made.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2")
        made.load_cert_chain(*files, password=_nothing)
    except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
        raise ConfigError(f"The certificate {files[0]} and its key cannot be used: {exc}.") from exc
    return made


def _context(tls: tuple[Path, Path] | ssl.SSLContext) -> ssl.SSLContext:
    return tls if isinstance(tls, ssl.SSLContext) else context(tls)


def _nothing() -> str:
    # a sealed key would make OpenSSL ask at a terminal that a server does not have
    raise ValueError("the key is sealed with a password")


def run(
    app: ASGIApp,
    limits: Http,
    sock: socket.socket,
    *,
    stop: threading.Event | None = None,
    tls: tuple[Path, Path] | ssl.SSLContext | None = None,
) -> None:
    """Serve `app` on a listening socket until told to stop, then finish what is under way.

    Instead of one that listens it may be the supervisor's, which hands connections over (`Handed`).

    `stop` ends it within a tenth of a second; without it SIGTERM and SIGINT do. No new connection
    is taken then, and requests have 20 seconds to finish. The socket is closed at the end.
    """
    config = uvicorn.Config(
        app,
        http=functools.partial(LimitedProtocol, limits=limits, door=Door(limits)),  # type: ignore[arg-type]  # only called
        loop="vna.web.server:Loop",
        ssl_context_factory=(lambda *_: _context(tls)) if tls else None,
        headers=[_STRICT] if tls else [],
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
