"""What the archive does for the process that serves guests, whoever asks in its name."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.archive import Archive, open_archive
from tests.factories import ct
from vna.blobs.backends import connect
from vna.blobs.handed import HandedBackend
from vna.blobs.journal import Journal
from vna.blobs.layout import blob_name
from vna.cli.desk_talk import Asking, pair
from vna.cli.guest_desk import GuestDesk, told
from vna.cli.guests import Desk
from vna.crypto.envelope import MAGIC
from vna.db.pool import Database
from vna.errors import NotFound, NotPermitted, Unavailable
from vna.loading import built

GUEST = "share/0000-0000/1"
SECRET = "nobody-is-told-this"


@dataclass(slots=True)
class Sides:
    """An archive at its desk, and the end of who serves guests."""

    archive: Archive
    theirs: socket.socket
    asking: Asking


@pytest.fixture
def sides(tmp_path: Path, database: Database) -> Iterator[Sides]:
    stop = threading.Event()
    with open_archive(tmp_path, database) as archive:
        archive.take(ct().part10())
        ours, theirs = pair()
        desk = GuestDesk(archive.store, archive.settings, archive.sharing, dsn="dbname=x")
        thread = threading.Thread(target=desk.run, args=(ours, stop))
        thread.start()
        try:
            with theirs:
                yield Sides(archive, theirs, Asking(theirs))
        finally:
            stop.set()
            thread.join()
            ours.close()


def test_the_desk_does_three_things_and_only_in_a_guests_name(sides: Sides) -> None:
    asking, archive = sides.asking, sides.archive
    blob = next(iter(archive.store.blob_ids()))
    fd = Desk(asking).open(blob_name(blob))
    with os.fdopen(fd, "rb") as file:
        assert file.read(8) == MAGIC
        assert os.get_inheritable(file.fileno()) is False
    with pytest.raises(NotFound):
        Desk(asking).open(blob_name(bytes(16)))
    key = next(name for name in connect(archive.settings.data / "blobs").list("k/"))
    for name in (key, "../root.bin", f"b/../{key}", "/etc/passwd", "b/", f"{blob_name(blob)}\n"):
        with pytest.raises(Unavailable):
            Desk(asking).open(name)

    entry = Desk(asking).append("grant-end", {"grant": 1}, {"grants": [1]}, GUEST)
    assert Journal(archive.store).read(entry).actor == GUEST
    with pytest.raises(Unavailable):  # guests give on; they do not share
        Desk(asking).append("grant", {}, {"grant_id": 1, "parent_id": None}, GUEST)
    for op, actor in (("delete", GUEST), ("share", GUEST), ("grant-end", "alice")):
        with pytest.raises(Unavailable):
            Desk(asking).append(op, {}, {}, actor)
    assert [one.op for one in Journal(archive.store).replay()] == ["grant-end"]

    assert Desk(asking).later_key(1, blob) is None  # no share shows it
    for what, said in (("root", {}), ("blob", {}), ("later", {"share": "x", "blob": "!"})):
        with pytest.raises(Unavailable):
            asking.ask(what, **said)


def test_what_it_is_told_holds_no_secret_and_is_enough(sides: Sides) -> None:
    settings = sides.archive.settings
    secret: dict[str, Any] = {
        section.name: dataclasses.replace(
            part, **{f.name: SECRET for f in dataclasses.fields(part) if _may_be_secret(f.name)}
        )
        for section in dataclasses.fields(settings)
        if dataclasses.is_dataclass(part := getattr(settings, section.name))
    }
    secret["postgres"] = dataclasses.replace(settings.postgres, url=SECRET)
    found = told(dataclasses.replace(settings, **secret))
    assert SECRET not in json.dumps(found)
    plain = built(json.loads(json.dumps(told(settings))))
    assert (plain.sharing, plain.limits, plain.data) == (
        settings.sharing,
        settings.limits,
        settings.data,
    )
    lent, _ = sides.asking.ask("lend")
    assert set(lent) == {"settings", "dsn", "lent", "store"}
    root = (settings.data / "root.bin").read_bytes()
    keyring = sides.archive.store.keyring
    packed = json.dumps(lent)
    for key in (root, keyring.current.key, keyring.access_key(keyring.current_id)):
        assert base64.b64encode(key).decode() not in packed
        assert key.hex() not in packed


def test_an_answer_to_who_is_gone_is_passed_over(sides: Sides) -> None:
    sides.theirs.send(json.dumps([7, "later", {"share": 1, "blob": ""}]).encode())
    sides.theirs.send(b"not a question")
    assert Asking(sides.theirs).ask("lend")[0]["dsn"] == "dbname=x"


@pytest.mark.parametrize(
    "question",
    [
        b"[1e300, 'lend', {}]".replace(b"'", b'"'),
        b"[1, 2]",
        b"[null, null, null]",
        b'[1, "later", {"share": 1e308, "blob": "AAAAAAAAAAAAAAAAAAAAAA=="}]',
        b'[1, "later", {"share": 99999999999, "blob": "AAAAAAAAAAAAAAAAAAAAAA=="}]',
        b'[1, "append", {"op": ["grant"], "actor": "share/", "target": {}, "args": {}}]',
        b'[1, "blob", {"name": "\\u0000"}]',
        b"{}",
        b"not JSON",
    ],
)
def test_no_question_ends_the_desk_and_no_file_that_comes_with_it_stays(
    sides: Sides, question: bytes
) -> None:
    """Its other end may be in wrong hands; the next process that serves guests needs it."""
    assert sides.asking.ask("lend")
    read, write = os.pipe()
    with open(read, "rb") as end:
        socket.send_fds(sides.theirs, [question], [write])
        os.close(write)
        assert Asking(sides.theirs).ask("lend")[0]["dsn"] == "dbname=x"
        assert select.select([end], [], [], 10)[0]
        assert end.read() == b""  # nobody holds the other end any more


def test_who_is_still_sending_is_served_when_the_archive_stops(
    tmp_path: Path, database: Database
) -> None:
    stop = threading.Event()
    with open_archive(tmp_path, database) as archive:
        archive.take(ct().part10())
        ours, theirs = pair()
        desk = GuestDesk(archive.store, archive.settings, archive.sharing, dsn="", grace_s=60.0)
        thread = threading.Thread(target=desk.run, args=(ours, stop))
        thread.start()
        with ours, theirs:
            asking = Asking(theirs)
            asking.ask("lend")
            stop.set()
            os.close(Desk(asking).open(blob_name(next(iter(archive.store.blob_ids())))))
            asking.ask("bye")
            thread.join(30.0)
            assert not thread.is_alive()


def test_blobs_that_are_handed_over_are_read_and_nothing_else(sides: Sides) -> None:
    store, folder = sides.archive.store, sides.archive.settings.data / "blobs"
    name = blob_name(next(iter(store.blob_ids())))
    handed, own = HandedBackend(Desk(sides.asking).open), connect(folder)
    assert handed.size(name) == own.size(name)
    assert handed.read(name, 100, 1 << 20) == bytes(own.read(name, 100, 1 << 20))
    assert handed.size("archive.json") == own.size("archive.json")
    for refused in (handed.create, handed.delete, handed.list):
        with pytest.raises(NotPermitted):
            refused(name)
    assert handed.free_bytes() is None
    handed.close()


def _may_be_secret(name: str) -> bool:
    return any(word in name for word in ("password", "secret", "token", "database_url"))
