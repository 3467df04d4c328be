"""An archive with a relay, and whoever does its jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.archive import Archive, open_archive
from tests.delivery.relay import Relay, authority, relaying
from vna.db.pool import Database
from vna.delivery.channels import email
from vna.delivery.messages import Message
from vna.jobs.kinds import handlers
from vna.jobs.worker import Worker

INVITATION = {
    "link": "https://images.example.org/s#c2VjcmV0",
    "way": "…42",
    "until": "2026-12-20",
    "number": "7KQ2-M4",
}
KIM = email("Kim.Canary@example.org")


@dataclass(slots=True)
class Post:
    """The post office of a test."""

    archive: Archive
    relay: Relay
    worker: Worker

    def posted(self, **named: Any) -> int:
        """Ask for a message."""
        asked = {"to": KIM, "template": "invitation", "values": INVITATION, **named}
        with self.archive.database.transaction() as tx:
            return self.archive.messages.post(tx, **asked)

    def seen(self, message_id: int) -> Message:
        """What a board shows of a message."""
        return self.archive.messages.one(self.archive.who, message_id)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Look at the database, or turn its clock."""
        with self.archive.database.transaction() as tx:
            found = tx.execute(statement)  # type: ignore[call-overload]  # text of a test
            return [] if found.description is None else found.fetchall()

    def later(self) -> None:
        """Let the time pass that was to be waited."""
        self.sql("UPDATE job SET due_at = now() WHERE state = 'waiting'")

    def work(self) -> int:
        """Do what is due; count it."""
        count = 0
        while self.worker.do_one():
            count += 1
        return count


Opening = Callable[..., Post]


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    """An authority, and the file that says to trust it."""
    return authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def opening(tmp_path: Path, database: Database, ca: tuple[trustme.CA, Path]) -> Iterator[Opening]:
    """Open an archive with these settings."""
    with ExitStack() as stack:

        def opened(relay: Relay | None = None, **sections: dict[str, Any]) -> Post:
            archive = stack.enter_context(open_archive(tmp_path, database, **sections))
            engines: Any = archive
            does = handlers(engines, archive.settings)
            worker = Worker(archive.database, does, archive.settings.jobs, node="here")
            return Post(archive, relay or Relay(), worker)

        yield opened


@pytest.fixture
def post(opening: Opening, ca: tuple[trustme.CA, Path]) -> Iterator[Post]:
    """An archive that sends mails through a relay."""
    with relaying(ca[0]) as relay:
        mail = {
            "host": "127.0.0.1",
            "port": relay.port,
            "sender": "images@example.org",
            "ca": str(ca[1]),
            "timeout_s": 5.0,
        }
        yield opening(relay, mail=mail)
