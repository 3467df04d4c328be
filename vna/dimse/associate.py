"""Calling AE title and address -> who that is, or the rejection.

An AE title is a name anyone may write, not a proof: outside `--dev` only registered ones are let
in, and what each may do is written with it. One that is called under TLS calls under TLS, too.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from vna.access.principal import Action, Kind, Label, Principal
from vna.access.remotes import Remote, Remotes
from vna.access.roles import clears, known
from vna.config import Settings
from vna.dimse.negotiate import CONGESTED, UNKNOWN_CALLING
from vna.dimse.upper_layer import Rejected
from vna.errors import Unavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls: its rights, and what is registered of it; under `--dev` that may be nothing.

    `response` answers User Identity Negotiation, where an answer was asked for; `user` is who it
    named, where that is one of ours.
    """

    principal: Principal
    remote: Remote | None
    response: bytes | None = field(default=None, repr=False)
    user: str | None = None


def caller_of(
    calling: str,
    address: str,
    settings: Settings,
    remotes: Remotes | None,
    *,
    is_secured: bool = False,
) -> Caller | Rejected:
    """Say who calls: a registered AE with its rights; under `--dev` any other one with all."""
    try:
        remote = remotes.find(calling) if remotes is not None else None
    except Unavailable as exc:
        log.warning("caller not looked up", extra={"calling": calling, "why": str(exc)})
        return CONGESTED
    if not settings.dev and (remote is None or (remote.tls and not is_secured)):
        return UNKNOWN_CALLING
    role = known(settings.access.roles).ae
    actions = frozenset(Action) if remote is None else remote.actions & role.actions
    principal = Principal(
        kind=Kind.AE,
        name=calling,
        actions=actions,
        address=address,
        clearances=frozenset(Label) if settings.dev else clears(settings.access.ae_clears),
    )
    return Caller(principal=principal, remote=remote)
