"""One-time links, as they are printed: the secret stands in the fragment, which no server sees."""

from __future__ import annotations

import json

from vna.config import Settings, address

_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 -- told apart, not listened on


def show(settings: Settings, login: str, secret: str) -> None:
    """Print the link of an account that is to be enrolled."""
    print(f"one-time link of {login}, good for {settings.access.link_s / 3600:g} hours:")
    print(f"    {_base(settings)}/enrol#{secret}")


def _base(settings: Settings) -> str:
    where = settings.http.listen
    try:  # what serves knows its port, and whether it has TLS
        found = json.loads((settings.data / "run" / "serve.json").read_text(encoding="utf-8"))
        return f"{found['scheme']}://{_named(found['http'])}"
    except (OSError, ValueError, KeyError):
        return f"https://{_named(where)}"


def _named(where: str) -> str:
    host, port = address(where)
    if host in _ANYWHERE:
        host = "localhost"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
