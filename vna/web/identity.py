"""Request -> Principal: who asks. The only place where a request's credentials are read."""

from __future__ import annotations

import functools

from starlette.types import Scope

from vna.access.principal import Principal, developer
from vna.config import Settings
from vna.errors import NotAuthenticated


def principal_of(scope: Scope, settings: Settings) -> Principal:
    """Return who makes this request. Raises `NotAuthenticated`.

    With the setting `dev` everybody is the developer; without it nobody is anybody yet.
    """
    if not settings.dev:
        raise NotAuthenticated
    return _developer(address_of(scope))


@functools.lru_cache(maxsize=1024)
def _developer(address: str | None) -> Principal:
    return developer(address=address)


def address_of(scope: Scope) -> str | None:
    """Return the address the connection comes from."""
    client = scope.get("client")
    return str(client[0]) if client else None
