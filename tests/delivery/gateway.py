"""A real HTTPS server that stands for a provider: keeps what comes, answers what it is told."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import trustme


@dataclass(slots=True)
class Call:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Gateway:
    """What it was called with; `answers` are given in turn, the last one for ever."""

    port: int = 0
    calls: list[Call] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://127.0.0.1:{self.port}"

    def next_answer(self) -> tuple[int, dict[str, str], bytes]:
        """Take the answer whose turn it is."""
        if not self.answers:
            return 200, {}, b"{}"
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    gateway: Gateway

    def get_request(self) -> tuple[ssl.SSLSocket, tuple[str, int]]:
        self.gateway.connections += 1
        found: tuple[ssl.SSLSocket, tuple[str, int]] = super().get_request()
        return found

    def handle_error(self, request: object, client_address: object) -> None:
        """A peer that hangs up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.gateway.calls.append(Call(self.path, headers, body))
        status, fields, content = self.server.gateway.next_answer()
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST  # noqa: N815 -- as http.server calls it

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as declared there
        """Say nothing."""


@contextmanager
def serving(ca: trustme.CA, *names: str) -> Iterator[Gateway]:
    """Serve HTTPS on this machine under these names."""
    gateway = Gateway()
    server = _Server(("127.0.0.1", 0), _Handler)
    server.gateway = gateway
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*(names or ("127.0.0.1",))).configure_cert(tls)
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    gateway.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
