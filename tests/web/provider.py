"""An identity provider in a process of its own, and somebody who signs in at it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import httpx

from tests.web.conftest import NO_TLS

NPM = Path(__file__).parents[1] / "flows" / "npm"
SECRET = "a secret with: signs & spaces"
AUDIENCE = "urn:archive"


@dataclass(frozen=True, slots=True)
class Provider:
    """Where it listens."""

    issuer: str

    def token(self, scope: str = "vna.query vna.retrieve") -> str:
        """Give the program `gateway` a token."""
        form = {"grant_type": "client_credentials", "scope": scope, "resource": AUDIENCE}
        answer = httpx.post(
            f"{self.issuer}/token",
            data=form,
            auth=("gateway", "gateway-secret"),
            timeout=20,
            verify=NO_TLS,
        )
        found: str = answer.json()["access_token"]
        return found

    def signed_in(self, client: httpx.Client, where: str, name: str) -> str:
        """Follow the flow at the provider as `name`; return where it sends the browser back to."""
        for _ in range(12):
            answer = client.get(where)
            if answer.status_code in (302, 303):
                where = str(answer.url.join(answer.headers["location"]))
                if not where.startswith(self.issuer):
                    return where
                continue
            form = re.search(r'<form[^>]* action="([^"]+)"', answer.text)
            assert form is not None, answer.text
            fields = {"prompt": "login", "login": name, "password": "any"}
            if 'name="prompt" value="consent"' in answer.text:
                fields = {"prompt": "consent"}
            sent = client.post(str(answer.url.join(unescape(form[1]))), data=fields)
            where = str(sent.url.join(sent.headers["location"]))
        raise AssertionError("the provider leads round in circles")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def provider(redirect: str, *, claims_in_token: bool = True, port: int = 0) -> Iterator[Provider]:
    """Run it."""
    node = shutil.which("node")
    assert node is not None, "the tests need Node: run `make tools`"
    assert (NPM / "node_modules").is_dir(), "the tests need the npm packages: run `make tools`"
    port = port or free_port()
    words = [str(port), redirect, "yes" if claims_in_token else "no"]
    process = subprocess.Popen(
        [node, str(NPM / "provider.mjs"), *words],
        cwd=NPM,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert any(line.strip() == "ready" for line in process.stdout)
        yield Provider(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait(20)
        process.stdout.close()
