"""A registered remote AE -> associations to it, as we call it."""

from __future__ import annotations

from vna.access.remotes import Remote
from vna.config import Settings
from vna.dimse.scu import Requestor
from vna.dimse.sender import Connect, Contexts
from vna.errors import Unavailable


def connecting(remote: Remote, settings: Settings) -> Connect:
    """Return what makes a `Requestor` to this remote AE, under our own AE title."""

    def connect(contexts: Contexts) -> Requestor:
        if remote.tls:
            raise Unavailable("This remote AE is called over TLS only, which is not set up.")
        return Requestor(
            remote.host,
            remote.port,
            calling=settings.dicom.ae_title,
            called=remote.ae_title,
            contexts=contexts,
            timeout_s=settings.dicom.response_s,
        )

    return connect
