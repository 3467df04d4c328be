"""DICOMweb archives that instances are stored to: where each is, and what it is shown."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from vna.access.audit import Audit, Event
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.access.remotes import require_free, require_offered_as
from vna.access.routes import require_name, require_no_route
from vna.config import Settings, address
from vna.crypto.credentials import Vault
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.dicom.refs import uid
from vna.errors import Conflict, InvalidRequest, NotFound
from vna.outbound import Gate, Use, named, trusting
from vna.reachable import is_address, is_here

_SQL = statements.load("routes")

_TOKEN_MOST = 8192
_AUTHORITY_MOST = 256 << 10
_SEALED_AS = 1 << 62  # numbers of peers and of accounts never meet under the archive's key


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One DICOMweb archive. Raises `InvalidRequest` when a value is not one the archive can use.

    `url` is the base URI of its Studies service (PS3.18 10.1.1), without `/studies`.
    """

    name: str
    url: str
    authority: str | None = None  # certificates (PEM); None: the system's
    transfer_syntaxes: tuple[str, ...] = ()  # best first; empty: as stored
    offered_as: str | None = None  # to recipients of shares, under this name; None: not to them
    has_token: bool = False
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check what the database would refuse, and say it in words."""
        require_name(self.name, "A DICOMweb archive")
        _require_url(self.url)
        require_offered_as(self.offered_as)
        for syntax in self.transfer_syntaxes:
            uid(syntax)
        if self.token is not None and not (
            0 < len(self.token) <= _TOKEN_MOST
            and self.token.isascii()
            and self.token.isprintable()
            and " " not in self.token
        ):
            raise InvalidRequest("A bearer token is printable ASCII without spaces.")
        if self.authority is not None:
            _require_certificates(self.authority)

    @property
    def host(self) -> str:
        """The host of its URL."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_secure(self) -> bool:
        """Whether it is spoken to over TLS, or is on this machine."""
        return self.url.startswith("https://") or is_here(self.host)


class Peers:
    """The DICOMweb archives one archive stores to. Safe to use from many threads."""

    def __init__(
        self, *, database: Database, audit: Audit, vault: Vault, settings: Settings
    ) -> None:
        self._database = database
        self._audit = audit
        self._vault = vault
        self._listen = settings.http.listen
        self._plain_allowed = settings.dev
        self._gate = Gate(settings.outbound)

    def all(self, principal: Principal) -> list[Peer]:
        """List them by name, never with their tokens. Raises `NotPermitted`."""
        require(principal, Action.MANAGE)
        with self._database.reading() as conn:
            rows = conn.execute(_SQL.list_peers).fetchall()
        return [_peer(row) for row in rows]

    def find(self, name: str) -> Peer | None:
        """Return one with its token, for who calls it; None when there is none."""
        with self._database.reading() as conn:
            row = conn.execute(_SQL.find_peer, (name,)).fetchone()
        if row is None:
            return None
        *shown, peer_id, sealed = row
        token = None if sealed is None else self._vault.open(_SEALED_AS + peer_id, sealed).decode()
        return _peer(tuple(shown), token)

    def add(self, principal: Principal, peer: Peer) -> bool:
        """Add one, or change all of a known one; True when it is new.

        Raises `InvalidRequest`, and `NotPermitted` for an address no archive has.
        """
        require(principal, Action.MANAGE)
        if not (peer.is_secure or self._plain_allowed):
            raise InvalidRequest("A DICOMweb archive elsewhere is spoken to over https only.")
        if self._is_ourselves(peer):
            raise InvalidRequest("This is the address of this archive itself.")
        if is_address(peer.host):  # a name is looked up when it is called: it may be away now
            self._gate.addresses(peer.host, 0, Use(named=named(peer.url)))
        syntaxes = list(peer.transfer_syntaxes)
        values = (peer.name, peer.url, peer.authority, syntaxes, peer.offered_as)
        with self._database.transaction() as tx:
            require_free(tx, peer.offered_as, peer=peer.name)
            peer_id, is_new = tx.execute(_SQL.put_peer, values).fetchone() or (0, False)
            self._keep_token(tx, peer_id, peer.token)
            kind = "peer.added" if is_new else "peer.changed"
            detail = {"peer": peer.name, "host": peer.host, "token": peer.token is not None}
            detail["offered_as"] = peer.offered_as
            self._audit.write(tx, principal, [Event(kind=kind, outcome="done", detail=detail)])
        return bool(is_new)

    def remove(self, principal: Principal, name: str) -> None:
        """Forget one. Raises `NotFound`, and `Conflict` while a rule or work leads to it."""
        require(principal, Action.MANAGE)
        with self._database.transaction() as tx:
            require_no_route(tx, peer=name)
            if tx.execute(_SQL.remove_peer, (name,)).fetchone() is None:
                raise NotFound("There is no DICOMweb archive of this name.")
            row = tx.execute(_SQL.count_peer_jobs, (name,)).fetchone()
            if row and row[0]:
                raise Conflict("There is work for it that is not done: `vna jobs`.")
            event = Event(kind="peer.removed", outcome="done", detail={"peer": name})
            self._audit.write(tx, principal, [event])

    def _keep_token(self, tx: Connection, peer_id: int, token: str | None) -> None:
        sealed = None
        if token is not None:
            sealed = self._vault.seal(_SEALED_AS + peer_id, token.encode())
        tx.execute(_SQL.put_peer_token, (sealed, peer_id))

    def _is_ourselves(self, peer: Peer) -> bool:
        """Whether a URL is that of our own listener, as far as that can be told from here."""
        host, port = address(self._listen)
        parts = urlsplit(peer.url)
        theirs = parts.port or (443 if parts.scheme == "https" else 80)
        is_ours = peer.host == host or (is_here(peer.host) and _is_near(host))
        return port == theirs and is_ours


def _require_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_one = is_one and (parts.port is None or parts.port > 0)
    except ValueError:
        is_one = False
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= 1000
    if not is_one or not plain or parts.query or parts.fragment or parts.username is not None:
        raise InvalidRequest(
            "The address of a DICOMweb archive is https://HOST[:PORT]/PATH, without a user name."
        )


def _require_certificates(pem: str) -> None:
    if len(pem) > _AUTHORITY_MOST:
        raise InvalidRequest("The certificates of an authority have at most 256 KiB.")
    try:
        trusting(pem=pem)
    except (ssl.SSLError, ValueError) as exc:
        raise InvalidRequest("The certificates of an authority are in PEM.") from exc


def _is_near(host: str) -> bool:
    """Whether who listens there is reached from this machine by its loopback address."""
    return host in ("0.0.0.0", "::") or is_here(host)  # noqa: S104 -- compared, not listened on


def _peer(row: tuple[object, ...], token: str | None = None) -> Peer:
    name, url, authority, syntaxes, offered_as, has_token = row
    return Peer(
        name=str(name),
        url=str(url),
        authority=None if authority is None else str(authority),
        transfer_syntaxes=tuple(map(str, syntaxes if isinstance(syntaxes, list) else ())),
        offered_as=None if offered_as is None else str(offered_as),
        has_token=bool(has_token),
        token=token,
    )
