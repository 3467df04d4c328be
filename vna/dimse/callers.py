"""Who calls: what the connection, the AE title and User Identity Negotiation prove together.

An AE title with certificates in `dicom.identities` is taken only from who shows one of them. User
identities are verified under TLS alone, where the passcode was not read on its way; elsewhere they
are passed over without an answer, as PS3.7 D.3.3.7 lets an acceptor do.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from vna.access.identities import Identities, Verifier, watched
from vna.access.labels import Labels
from vna.access.remotes import Remote, Remotes
from vna.config import Settings
from vna.dimse.associate import Caller, caller_of
from vna.dimse.negotiate import CONGESTED, NOT_AUTHENTICATED, UNKNOWN_CALLING
from vna.dimse.pdu import AssociateRequest, UserIdentity
from vna.dimse.secured import Certificate
from vna.dimse.upper_layer import Rejected
from vna.errors import NotAuthenticated, Unavailable

log = logging.getLogger(__name__)

_NAME, _PASSCODE, _TOKEN = 1, 2, 5  # User-Identity-Type (PS3.7 D.3.3.7.1)
_MOST_NAME_BYTES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What is known of a connection before anything is said on it."""

    address: str
    is_secured: bool = False
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All that changes who may call, as it was at one moment."""

    remotes: tuple[Remote, ...]
    identities: Identities


class Callers:
    """Names the callers of one process."""

    def __init__(
        self, settings: Settings, remotes: Remotes | None, labels: Labels | None = None
    ) -> None:
        self.narrowed = None if labels is None else labels.narrowed
        self._settings = settings
        self._remotes = remotes
        self._identities = watched(settings.dicom.identities)
        self._identities.value()  # a file that cannot be read is told at the start
        self._verifier = Verifier(self._identities)
        self._standing: Standing | None = None

    def named(self, request: AssociateRequest, line: Line) -> Caller | Rejected:
        """Say who asks for this association, or why nobody may."""
        caller = self._by_title(request.calling, line)
        if isinstance(caller, Rejected):
            return caller
        identity = request.user.identity
        if identity is None or not line.is_secured or not self._settings.dicom.identities:
            return caller
        try:
            user = self._user(identity, line.address)
        except NotAuthenticated as exc:
            why = {"calling": request.calling, "address": line.address, "why": str(exc)}
            log.warning("user not verified", extra=why)
            return NOT_AUTHENTICATED
        return _with_user(caller, user, identity)

    def look(self, within_s: float) -> Standing | None:
        """Read what is registered anew when it is older than this; None while it is not known.

        As long as nothing has changed it is the same `Standing`: what stood under it stands.
        """
        try:
            if self._remotes is not None:
                self._remotes.look(within_s)
            found = Standing(
                remotes=() if self._remotes is None else tuple(self._remotes.all()),
                identities=self._identities.value(),
            )
        except Unavailable:
            return None
        if found != self._standing:
            self._standing = found
        return self._standing

    def stands(self, calling: str, line: Line, let_in: Caller) -> bool:
        """Say whether who was let in would be let in now, with no fewer rights.

        Where it may have something moved to is one of them. What proved a user is not asked for
        again, only whether the user is still known.
        """
        now = self._by_title(calling, line)
        if now is CONGESTED:  # not known: what began stays
            return True
        if isinstance(now, Rejected) or not let_in.principal.actions <= now.principal.actions:
            return False
        if not _moves_as_far(now.remote, let_in.remote):
            return False
        return let_in.user is None or let_in.user in self._identities.value().users

    def _by_title(self, calling: str, line: Line) -> Caller | Rejected:
        identities, dev = self._identities.value(), self._settings.dev
        proven = line.certificate is not None and identities.proves(
            calling,
            fingerprint=line.certificate.fingerprint,
            subject=line.certificate.subject,
        )
        if identities.is_certified(calling) and not proven and not dev:
            return UNKNOWN_CALLING
        return caller_of(
            calling,
            line.address,
            self._settings,
            self._remotes,
            is_secured=line.is_secured,
        )

    def _user(self, identity: UserIdentity, address: str) -> str | None:
        """Return the user's name, None for a kind of identity we do not verify."""
        if identity.kind == _TOKEN:
            return self._verifier.by_token(identity.primary)
        if identity.kind not in (_NAME, _PASSCODE):
            return None
        name = _text(identity.primary)
        if identity.kind == _NAME:
            return self._verifier.by_name(name)
        return self._verifier.by_passcode(name, _text(identity.secondary), address=address)


def _moves_as_far(now: Remote | None, before: Remote | None) -> bool:
    """Whether no destination of C-MOVE was taken away; without a list it is every one."""
    if now is None or now.destinations is None:
        return True
    if before is None or before.destinations is None:
        return False
    return set(before.destinations) <= set(now.destinations)


def _with_user(caller: Caller, user: str | None, identity: UserIdentity) -> Caller:
    if user is None:
        return caller
    principal = replace(caller.principal, name=f"{user}@{caller.principal.name}")
    # the answer to all three kinds has no content: only tickets and assertions are answered
    response = b"" if identity.wants_response else None
    known = user if identity.kind in (_NAME, _PASSCODE) else None  # a token is its issuer's word
    return replace(caller, principal=principal, response=response, user=known)


def _text(value: bytes) -> str:
    try:
        if 0 < len(value) <= _MOST_NAME_BYTES:
            return value.decode()
    except UnicodeDecodeError:
        pass  # answered as an unknown name is
    raise NotAuthenticated("A user's name and passcode are UTF-8 of 1 to 256 bytes.")
