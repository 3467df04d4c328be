"""Request -> Principal: who asks. The only place where a request's credentials are read.

`Authorization: Bearer` with a token of ours or of `jwt.issuer`, the cookie of a session, the
certificate a named proxy was shown, or the capability of a share in the path. What was verified is
believed for half a second, so that a viewer's hundreds of requests ask the database twice a second
and a revocation works within one.
"""

from __future__ import annotations

import asyncio
import functools
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from starlette.types import Scope

from vna.access.principal import Kind, Principal, developer
from vna.access.sessions import Visitor
from vna.errors import NotAuthenticated, NotPermitted, TooMany
from vna.texts import marked
from vna.web.proxies import CERTIFICATE
from vna.web.threads import Threads

if TYPE_CHECKING:
    from vna.engines import Engines

CAPABILITY = "vna.capability"
"""Where the scope of a request below a share holds the capability its path named."""

BELIEVED_S = 0.5
_REMEMBERED = 4096
_FAILURES = 10  # of one address in a minute, before it is told to slow down
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_AMBIENT = (b"cookie", b"certificate")  # a browser sends these for any site that asks it to

_Key = tuple[bytes, bytes, str | None]  # sort of credential, the header field or cookie, address


@dataclass(frozen=True, slots=True)
class _Found:
    """What a credential was found to be, and until when that is believed."""

    until: float
    who: Principal | None
    visitor: Visitor | None = None


class Identity:
    """Finds out who asks. One a process; belongs to its event loop."""

    def __init__(self, engines: Engines, threads: Threads) -> None:
        self._people = engines.people
        self._sharing = engines.sharing
        self._dev = engines.settings.dev
        self._threads = threads
        self._found: dict[_Key, _Found] = {}
        self._asking: dict[_Key, asyncio.Task[_Found]] = {}

    async def principal(self, scope: Scope) -> Principal:
        """Return who makes this request. Raises `NotAuthenticated`, `TooMany`.

        With the setting `dev` everybody is the developer.
        """
        if self._dev and CAPABILITY not in scope:
            return _developer(address_of(scope))
        key = _credential(scope)
        if key is None:
            raise NotAuthenticated
        found = self._found.get(key)
        if found is None or found.until < time.monotonic():
            found = await self._ask(key)
        if found.who is None:
            raise await self._failed(key[0], key[2])
        if key[0] in _AMBIENT and scope["method"] not in _SAFE:
            require_own_origin(scope)
        return found.who

    async def visitor(self, scope: Scope) -> Visitor | None:
        """Return who a browser's cookie stands for, at whatever step of signing in."""
        key = _credential(scope)
        if key is None or key[0] != b"cookie":
            return None
        found = self._found.get(key)
        if found is None or found.until < time.monotonic():
            found = await self._ask(key)
        return found.visitor

    async def again(self, scope: Scope, within_s: float) -> Principal | None:
        """Return who a request's credential stands for as of `within_s` ago, None for nobody's.

        Raises `Unavailable`.
        """
        if self._dev:
            return _developer(address_of(scope))
        key = _credential(scope)
        if key is None:
            return None
        found = self._found.get(key)
        if found is None or found.until - BELIEVED_S + within_s < time.monotonic():
            found = await self._ask(key)
        return found.who

    def forget(self, scope: Scope) -> None:
        """Look again at the next request: this one changed what its cookie stands for."""
        key = _credential(scope)
        if key is not None:
            self._found.pop(key, None)

    async def _ask(self, key: _Key) -> _Found:
        """Ask the database, once for all requests that want to know the same."""
        task = self._asking.get(key)
        if task is None:
            task = asyncio.ensure_future(self._verified(key))
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(task)

    async def _verified(self, key: _Key) -> _Found:
        until = time.monotonic() + BELIEVED_S  # from before it is asked: a revocation may come
        sort, field, address = key
        if sort == b"bearer":
            token = field[7:].strip().decode("latin-1")
            # whoever issued it may have to be asked for its keys: not in the threads of all
            threads = self._threads.hops if token.startswith("vna_") else self._threads.streams
            who = await threads.call(lambda: self._people.bearer(token, address))
            found = _Found(until, who)
        elif sort == b"certificate":
            shown_by = self._people.certificates
            who = await self._threads.hops.call(lambda: shown_by.principal(field, address))
            found = _Found(until, who)
        elif sort == b"capability":
            capability = field.decode("latin-1")
            who = await self._threads.hops.call(lambda: self._sharing.by_capability(capability))
            # the engine believes for half a second, too: together they stay below one
            found = _Found(until - BELIEVED_S / 2, who)
        else:
            secret = field.decode("latin-1")
            visitor = await self._threads.hops.call(
                lambda: self._people.sessions.visitor(secret, address)
            )
            is_in = visitor is not None and visitor.is_signed_in
            found = _Found(until, visitor.principal if visitor and is_in else None, visitor)
        if found.who is not None and found.who.kind is Kind.SHARE:
            shared, labels = found.who, self._people.labels
            narrowed = await self._threads.hops.call(lambda: labels.narrowed(shared))
            found = replace(found, who=narrowed)
        while len(self._found) >= _REMEMBERED:
            del self._found[next(iter(self._found))]
        self._found.pop(key, None)
        self._found[key] = found
        return found

    async def _failed(self, sort: bytes, address: str | None) -> NotAuthenticated | TooMany:
        """Count a credential that is nobody's. The right one is heard all the same.

        A cookie is not counted: a session ends while its viewer asks for hundreds of images, and
        whoever sits behind the same address is to be led to sign in again.
        """
        if sort == b"cookie":
            return NotAuthenticated()
        strangers = self._people.strangers
        if not strangers.is_quiet(address):
            most = _FAILURES
            if not await self._threads.hops.call(lambda: strangers.count(address, most)):
                return NotAuthenticated()
        return TooMany("Too many credentials from this address are nobody's; wait a minute.")


def _credential(scope: Scope) -> _Key | None:
    """Find the credential of a request; a header given on purpose goes before a cookie.

    Below a share there is its capability alone: who is signed in besides sees no more there.
    """
    if CAPABILITY in scope:
        return (b"capability", scope[CAPABILITY].encode("ascii"), address_of(scope))
    cookie = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if value[:7].lower() != b"bearer ":
                raise NotAuthenticated("The archive takes bearer tokens: `Authorization: Bearer`.")
            return (b"bearer", value, address_of(scope))
        if name == b"cookie" and cookie is None:
            cookie = value
    secret = None if cookie is None else _cookie_in(cookie, cookie_name(scope).encode())
    if secret is not None:
        return (b"cookie", secret, address_of(scope))
    certificate = scope.get(CERTIFICATE)
    return None if certificate is None else (b"certificate", certificate, address_of(scope))


def is_by_cookie(scope: Scope) -> bool:
    """Whether a browser asks with the cookie of a session, and not a program with a token."""
    names = [name for name, _ in scope["headers"]]
    return b"cookie" in names and b"authorization" not in names and secret_of(scope) is not None


def cookie_name(scope: Scope) -> str:
    """Name the cookie. With TLS no other host or plain page can set it (RFC 6265bis 4.1.3.2)."""
    return "__Host-vna" if scope["scheme"] == "https" else "vna"


def secret_of(scope: Scope) -> str | None:
    """Return the secret of a request's cookie."""
    return cookie_in(scope, cookie_name(scope))


def holder_of(scope: Scope) -> str | None:
    """Return the secret a browser asks by: of the path below a share, else of its cookie."""
    if CAPABILITY in scope:
        return str(scope[CAPABILITY])
    return secret_of(scope) if is_by_cookie(scope) else None


def cookie_in(scope: Scope, name: str) -> str | None:
    """Return the value of a cookie of ours, by its name."""
    field = next((value for key, value in scope["headers"] if key == b"cookie"), b"")
    secret = _cookie_in(field, name.encode())
    return None if secret is None else secret.decode("latin-1")


@functools.lru_cache(maxsize=4096)
def _cookie_in(field: bytes, wanted: bytes) -> bytes | None:
    """Find a cookie of ours in a Cookie header field."""
    for part in field.split(b";"):
        name, _, value = part.strip().partition(b"=")
        if name == wanted and 32 <= len(value) <= 64:
            return value
    return None


def origin_of(scope: Scope) -> str:
    """Return the origin a request was sent to, as its browser writes it."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return f"{scope['scheme']}://{host.decode('latin-1')}"


def require_own_origin(scope: Scope) -> None:
    """Refuse what another site makes a browser send with our cookie. Raises `NotPermitted`.

    Chromium writes the origin of our own forms as null, because our pages send no referrer; what a
    sandboxed frame elsewhere sends has that origin, too, and is told apart by Sec-Fetch-Site.
    """
    own = (origin_of(scope), "null")
    for name, value in scope["headers"]:
        foreign = (name == b"origin" and value.decode("latin-1") not in own) or (
            name == b"sec-fetch-site" and value not in (b"same-origin", b"none")
        )
        if foreign:
            raise NotPermitted(marked("This came from another site."))


@functools.lru_cache(maxsize=1024)
def _developer(address: str | None) -> Principal:
    return developer(address=address)


def address_of(scope: Scope) -> str | None:
    """Return the address the connection comes from."""
    client = scope.get("client")
    return str(client[0]) if client else None
