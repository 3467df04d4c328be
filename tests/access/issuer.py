"""An identity provider of a test that says what it is told to, wrong things too.

One that behaves is in `tests/web/provider.py`: it would never answer with another's nonce.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey

CLIENT = "archive"


@dataclass(slots=True)
class Issuer:
    """What it says: claims beside the usual ones, or in their place; None leaves one out."""

    url: str = ""
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "one"}))
    signing: ECKey | None = None  # another key than the one it publishes
    nonce: str = ""
    says: dict[str, Any] = field(default_factory=dict)
    tells: dict[str, Any] = field(default_factory=dict)  # at the userinfo endpoint

    def asked(self, where: str) -> str:
        """Follow a browser there; remember the nonce, return the state."""
        query = parse_qs(urlsplit(where).query)
        self.nonce = query["nonce"][0]
        return query["state"][0]

    def token(self) -> str:
        """Sign an ID token (OpenID Connect Core 2)."""
        now = int(time.time())
        said = {
            "iss": self.url, "sub": "s-1", "aud": CLIENT, "exp": now + 60, "iat": now,
            "auth_time": now, "nonce": self.nonce, "preferred_username": "ada", **self.says,
        }  # fmt: skip
        claims = {name: value for name, value in said.items() if value is not None}
        return jwt.encode({"alg": "ES256", "kid": "one"}, claims, self.signing or self.key)

    def answer(self, path: str) -> dict[str, Any]:
        """Say what stands at a path."""
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/auth",
                "token_endpoint": f"{self.url}/token",
                "userinfo_endpoint": f"{self.url}/me",
                "jwks_uri": f"{self.url}/keys",
            }
        if path == "/keys":
            return {"keys": [self.key.as_dict(private=False)]}
        return {"id_token": self.token(), "access_token": "a"} if path == "/token" else self.tells


@contextmanager
def issuing() -> Iterator[Issuer]:
    """Serve one on loopback."""
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(issuer.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing: what a test prints is what failed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join(20)
