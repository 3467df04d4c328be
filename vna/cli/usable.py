"""What no process of `vna serve` could work with is told once, before any of them is started.

Told by the processes it would be a log of children that end and begin anew, below a line that says
that the archive serves.
"""

from __future__ import annotations

import sys

from vna import app
from vna.access.trail import Trail
from vna.app import Index
from vna.archive import Archive
from vna.cli import sockets
from vna.cli.rebuilding import require_whole
from vna.config import Settings
from vna.errors import ConfigError
from vna.jobs.kinds import handlers
from vna.operate.syslog import Syslog
from vna.web import server


def require_usable(settings: Settings, index: Index) -> None:
    """Open the archive as its processes do, and let go of it. Raises `ConfigError`."""
    require_whole(settings)
    if not settings.dev:
        server.context(app.tls_files(settings))
    with app.opened(settings, index.dsn) as archive:
        if not settings.dev:
            _require_administrator(archive)
        handlers(archive.engines, settings)
        trail = Trail(archive.database, archive.audit)
        Syslog(database=archive.database, trail=trail, settings=settings)


def _require_administrator(archive: Archive) -> None:
    """On loopback an archive without one serves, and says that it is of little use yet."""
    try:
        app.require_administrator(archive)
    except ConfigError as exc:
        if not sockets.is_loopback(archive.settings.http.listen):
            raise
        print(f"note: {exc}", file=sys.stderr)
