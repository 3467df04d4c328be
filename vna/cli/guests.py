"""The process that serves guests: a program of its own, which never had a key of the archive.

It is not forked but begun anew, so that nothing of its parent's memory is in it, and without the
environment, where a root key or a password may stand. It is told what it needs over a socket, reads
the certificate, and then becomes another OS user where there is one for it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

import vna
from vna import telemetry
from vna.access.roles import known
from vna.apart import Given, guests_opened
from vna.app import tls_files
from vna.blobs.archive import Archive as Described
from vna.blobs.backends import Backend, connect
from vna.blobs.handed import HandedBackend
from vna.cli.desk_talk import Asking, packed, unpacked
from vna.cli.itself import be_called, keep_memory
from vna.cli.memory import keep_freed_memory, settle
from vna.cli.supervisor import end_with
from vna.cli.told import when_told
from vna.config import Settings
from vna.crypto.lent import Lent
from vna.db import account
from vna.errors import Unavailable, VNAError
from vna.loading import built
from vna.web.asgi import create_for_guests
from vna.web.server import context, run

_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
_OF_CLOUDS = ("AWS_", "GOOGLE_", "AZURE_")


class Desk:
    """The guests' side of the desk."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def append(
        self, op: str, target: dict[str, object], args: dict[str, object], actor: str
    ) -> bytes:
        """Have an act written down; durable on return. Raises `Unavailable`."""
        said, _ = self._asking.ask("append", op=op, target=target, args=args, actor=actor)
        return unpacked({"entry": said}, "entry")

    def later_key(self, share_id: int, blob_id: bytes) -> bytes | None:
        """Have the data key wrapped of what a share shows although it came later."""
        said, _ = self._asking.ask("later", share=share_id, blob=packed(blob_id))
        return None if said is None else unpacked({"key": said}, "key")

    def open(self, name: str) -> int:
        """Be handed a blob's file. Raises `NotFound`."""
        _, fd = self._asking.ask("blob", name=name)
        if fd is None:
            raise VNAError("A blob was announced, and no file came.")
        return fd


def begin(listening: int, desk: int, lifeline: int) -> None:
    """Become this program, in a child that was forked for it; does not return."""
    for fd in (listening, desk, lifeline):
        os.set_inheritable(fd, True)
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _ENVIRONMENT or name.startswith(_OF_CLOUDS)
    }
    kept["PYTHONPATH"] = str(Path(vna.__file__).parent.parent)
    command = [sys.executable, "-m", "vna.cli.guests", *map(str, (listening, desk, lifeline))]
    os.execve(sys.executable, command, kept)  # noqa: S606 -- ourselves, with nothing from outside


def main(arguments: list[str]) -> int:
    """Serve guests until SIGTERM."""
    listening, desk, lifeline = map(int, arguments)
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    when_told(stop.set)
    be_called("vna guests")
    threading.Thread(target=end_with, args=(lifeline,), daemon=True).start()
    keep_freed_memory()
    asking = Asking(socket.socket(fileno=desk))
    told, _ = asking.ask("lend")
    settings = built(told["settings"])
    telemetry.start_logging(settings.log.level)
    tls = None if settings.dev else context(tls_files(settings))
    known(settings.access.roles)  # read while their file may be
    account.for_guests(Path(vna.__file__).parent, Path(os.__file__).parent).become()
    keep_memory(dev=settings.dev)  # begun anew it could be read again
    archive_id, store_id, created = told["store"]
    ours = Desk(asking)
    given = Given(
        lent=Lent.unpack(unpacked(told, "lent")),
        desk=ours,
        backend=_blobs(settings, ours),
        described=Described(
            archive_id=unpacked({"id": archive_id}, "id"),
            store_id=unpacked({"id": store_id}, "id"),
            created=str(created),
            escrow_key=None,
        ),
    )
    sock = socket.socket(fileno=listening)
    with guests_opened(settings, str(told["dsn"]), given) as archive:
        settle()
        run(create_for_guests(archive.engines), settings.http, sock, stop=stop, tls=tls)
    with suppress(Unavailable):  # who is at the desk may have gone before us
        asking.ask("bye")
    return 0


def _blobs(settings: Settings, desk: Desk) -> Backend:
    return connect(settings.blobs.url) if settings.blobs.url else HandedBackend(desk.open)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
