"""The archive's side of the desk: what it does for the process that serves guests.

That process may be taken over, so everything it asks for is bounded here: it is lent keys of five
purposes, is handed sealed blobs by name, has acts of guests written down, and is given the data key
of what a share shows although it came later, wrapped for who holds the share's key.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from vna.apart import lent_of
from vna.app import blobs_at
from vna.blobs.journal import Journal
from vna.blobs.store import BlobStore
from vna.cli.desk_talk import answer, heard, packed, unpacked
from vna.config import Settings
from vna.errors import NotFound, VNAError
from vna.sharing.engine import SharingEngine
from vna.sharing.records import CHANNEL, GRANT, GRANT_END

_LOOK_S = 0.5
_NAME = re.compile(
    r"archive\.json|b/\d{4}-\d\d-\d\d/[0-9a-f]{2}/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.vnb",
    re.ASCII,
)
_OPS = frozenset({CHANNEL, GRANT, GRANT_END})
_TOLD = (
    "site",
    "http",
    "tls",
    "sharing",
    "limits",
    "pixels",
    "corrections",
    "log",
)  # no secrets there

logger = logging.getLogger(__name__)


class GuestDesk:
    """Answers processes that serve guests."""

    def __init__(
        self,
        store: BlobStore,
        settings: Settings,
        sharing: SharingEngine,
        *,
        dsn: str,
        grace_s: float = 0.0,
    ) -> None:
        """`dsn` is how the process connects, as a role of its own."""
        self._grace_s = grace_s
        self._store = store
        self._settings = settings
        self._sharing = sharing
        self._dsn = dsn
        self._journal = Journal(store)
        self._does: dict[str, Callable[[dict[str, Any]], tuple[Any, int | None]]] = {
            "lend": self._lend,
            "blob": self._blob,
            "append": self._append,
            "later": self._later,
            "bye": lambda _said: (None, None),
        }

    def run(self, sock: socket.socket, stop: threading.Event) -> None:
        """Answer what comes in at this end until told to stop, and then until they are done, too.

        What they are sending when the archive stops is finished, which takes blobs.
        """
        sock.settimeout(_LOOK_S)  # so long an answer waits for who does not take it, too
        is_served, latest = False, float("inf")
        with suppress(ConnectionError):
            while is_served or not stop.is_set():
                if stop.is_set():
                    latest = min(latest, time.monotonic() + self._grace_s)
                if time.monotonic() > latest:
                    break
                with suppress(TimeoutError):
                    question = heard(sock)
                    if question is not None:
                        is_served = question[1] != "bye"
                        self._answer(sock, *question)

    def _answer(self, sock: socket.socket, number: int, what: str, said: dict[str, Any]) -> None:
        try:
            done, fd = self._does[what](said)
        except NotFound:
            answer(sock, number, "absent", None)
        except VNAError as exc:
            answer(sock, number, "failed", str(exc))
        except (KeyError, ValueError, TypeError, OverflowError):
            logger.warning("guests asked for what there is not", extra={"what": what[:20]})
            answer(sock, number, "failed", "The archive does not do that for guests.")
        except Exception:
            logger.exception("a question of guests failed", extra={"what": what[:20]})
            answer(sock, number, "failed", "The archive does not do that just now.")
        else:
            answer(sock, number, "done", done, fd)

    def _lend(self, _said: dict[str, Any]) -> tuple[Any, int | None]:
        found = BlobStore.describe(blobs_at(self._settings))
        return {
            "settings": told(self._settings),
            "dsn": self._dsn,
            "lent": packed(lent_of(self._store.keyring).pack()),
            "store": [packed(found.archive_id), packed(found.store_id), found.created],
        }, None

    def _blob(self, said: dict[str, Any]) -> tuple[Any, int | None]:
        name = str(said["name"])
        if not _NAME.fullmatch(name):
            raise ValueError(name)
        try:
            path = os.path.join(blobs_at(self._settings), name)
            return None, os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as exc:
            raise NotFound from exc

    def _append(self, said: dict[str, Any]) -> tuple[Any, int | None]:
        op, actor = said["op"], str(said["actor"])
        target, args = dict(said["target"]), dict(said["args"])
        if op not in _OPS or not actor.startswith("share/"):
            raise ValueError(op)
        if op == GRANT and not isinstance(args.get("parent_id"), int):
            raise ValueError(op)  # guests give on; they do not share
        entry = self._journal.append(op, target, args, actor)
        return packed(entry), None

    def _later(self, said: dict[str, Any]) -> tuple[Any, int | None]:
        blob_id = unpacked(said, "blob")
        wrapped = self._sharing.later_key(int(said["share"]), blob_id)
        return wrapped and packed(wrapped), None


def told(settings: Settings) -> dict[str, Any]:
    """Say what of the settings a process that serves guests is told: nothing secret."""
    whole = asdict(settings)
    found: dict[str, Any] = {name: whole[name] for name in _TOLD}
    found["sharing"].pop("database_url")
    found["data"], found["dev"] = str(settings.data), settings.dev
    found["dicom"] = {"ae_title": settings.dicom.ae_title}
    found["blobs"] = {"url": settings.blobs.url}
    postgres = settings.postgres
    found["postgres"] = {
        "schema": postgres.schema,
        "connections": postgres.connections,
        "statement_s": postgres.statement_s,
    }
    return found
