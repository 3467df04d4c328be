"""A registered remote AE -> associations to it, as we call it."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from vna.access.remotes import Remote
from vna.config import Settings
from vna.dimse import tls
from vna.dimse.pdu import Role
from vna.dimse.scu import Requestor
from vna.dimse.sender import Connect, Contexts
from vna.errors import ConfigError, Unavailable


def connecting(remote: Remote, settings: Settings) -> Connect:
    """Return what makes a `Requestor` to this remote AE, under our own AE title."""
    return lambda contexts: requestor(remote, settings, contexts)


def requestor(
    remote: Remote, settings: Settings, contexts: Contexts, *, roles: Sequence[Role] = ()
) -> Requestor:
    """Make a `Requestor` to this remote AE. Raises `Unavailable` as `context_for` does."""
    return Requestor(
        remote.host,
        remote.port,
        calling=settings.dicom.ae_title,
        called=remote.ae_title,
        contexts=contexts,
        timeout_s=settings.dicom.response_s,
        tls=context_for(remote, settings),
        roles=roles,
        slowest_bytes_s=settings.dicom.slowest_bytes_s,
    )


def context_for(remote: Remote, settings: Settings) -> ssl.SSLContext | None:
    """Return what TLS with this remote AE is spoken with, None when it is called without.

    Raises `Unavailable` when TLS is not set up: it is never called without instead.
    """
    if not remote.tls:
        return None
    try:
        return tls.requestor(settings.tls).value()
    except ConfigError as exc:
        raise Unavailable(f"This remote AE is called over TLS only. {exc}") from exc
