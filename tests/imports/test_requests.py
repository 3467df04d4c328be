"""Images asked for: who has link and passcode brings files, sees nothing, and nobody else does."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from tests.archive import Archive, open_archive
from tests.factories import ct
from tests.imports.conftest import mark
from vna.access.principal import Action
from vna.crypto.credentials import new_secret
from vna.db.pool import Database
from vna.delivery.channels import email
from vna.errors import Conflict, InvalidRequest, NotAuthenticated, NotFound, NotPermitted, TooMany
from vna.imports.requests import MOST_WRONG, Asked, Bringer, ImageRequest, Standing, Wanted
from vna.imports.values import Origin, State

WANTED = Wanted(
    organisation="Hospital of another town",
    wanted="CT of the chest of Canary Bird, last winter",
    to=email("radiology@example.org"),
    until=dt.datetime.now(dt.UTC).date() + dt.timedelta(days=7),
)


def asked(archive: Archive) -> Asked:
    return archive.imports.requests.ask(archive.who, WANTED)


def opened(archive: Archive, found: Asked) -> Bringer:
    requests = archive.imports.requests
    session = requests.open(found.secret, found.passcode, "192.0.2.1")
    bringer = requests.resume(session, "192.0.2.1")
    assert bringer is not None
    return bringer


def one(archive: Archive) -> ImageRequest:
    (found,) = archive.imports.requests.listed(archive.who)
    return found


def bring(archive: Archive, bringer: Bringer, data: bytes) -> None:
    number = bringer.request.import_number
    taking = archive.imports.intake.take(
        bringer.principal, number, name="a", mark=mark("a"), digest=None
    )
    taking.feed(data)
    taking.finish()


@pytest.mark.parametrize(
    "differs",
    [
        {"organisation": " "},
        {"wanted": ""},
        {"wanted": "x" * 501},
        {"organisation": "a\nb"},
    ],
)
def test_a_request_that_says_too_little_is_refused(
    archive: Archive, differs: dict[str, object]
) -> None:
    with pytest.raises(InvalidRequest):
        archive.imports.requests.ask(archive.who, replace(WANTED, **differs))  # type: ignore[arg-type]  # by the test


@pytest.mark.parametrize("days", [-1, 91])
def test_a_request_ends_within_ninety_days(archive: Archive, days: int) -> None:
    until = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=days)
    with pytest.raises(InvalidRequest):
        archive.imports.requests.ask(archive.who, replace(WANTED, until=until))


def test_a_wrong_passcode_and_an_unknown_link_are_refused_in_the_same_words(
    archive: Archive,
) -> None:
    found, requests = asked(archive), archive.imports.requests
    told = set()
    for secret, passcode in (
        (found.secret, "AAAA-AAAA-AA"),
        (found.secret, ""),
        (new_secret(), found.passcode),
    ):
        with pytest.raises(NotAuthenticated) as refused:
            requests.open(secret, passcode, None)
        told.add(str(refused.value))
    assert len(told) == 1


def test_wrong_passcodes_lock_a_link_for_good(archive: Archive) -> None:
    found, requests = asked(archive), archive.imports.requests
    for n in range(MOST_WRONG):
        with pytest.raises(NotAuthenticated):
            requests.open(found.secret, "WRONG", f"192.0.2.{n}")
    with pytest.raises(NotAuthenticated):
        requests.open(found.secret, found.passcode, "192.0.2.99")
    assert one(archive).standing is Standing.LOCKED
    with archive.database.reading() as conn:  # who looks for a guesser finds each try
        told = conn.execute(
            "SELECT outcome, count(*) FROM audit WHERE kind = 'request.opened' GROUP BY outcome"
        ).fetchall()
    assert told == [("refused", MOST_WRONG + 1)]


def test_an_address_that_guesses_is_told_to_slow_down(archive: Archive) -> None:
    requests = archive.imports.requests
    for _ in range(30):
        with pytest.raises(NotAuthenticated):
            requests.open(new_secret(), "X", "192.0.2.7")
    with pytest.raises(TooMany):
        requests.open(new_secret(), "X", "192.0.2.7")


def test_a_passcode_is_read_as_people_type_it(archive: Archive) -> None:
    found = asked(archive)
    typed = found.passcode.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert archive.imports.requests.open(found.secret, typed, None)


def test_a_stopped_request_ends_what_was_open(archive: Archive) -> None:
    found, requests = asked(archive), archive.imports.requests
    session = requests.open(found.secret, found.passcode, None)
    requests.stop(archive.who, found.request)
    assert requests.resume(session, None) is None
    with pytest.raises(NotAuthenticated):
        requests.open(found.secret, found.passcode, None)
    with pytest.raises(Conflict):
        requests.stop(archive.who, found.request)
    with pytest.raises(NotFound):
        requests.stop(archive.who, 999)


@pytest.mark.parametrize("ended", ["until_at = now()", "wrong = 10"], ids=["over", "locked"])
def test_a_request_that_ended_by_itself_ends_what_was_open(archive: Archive, ended: str) -> None:
    found, requests = asked(archive), archive.imports.requests
    session = requests.open(found.secret, found.passcode, None)
    assert requests.resume(session, None) is not None
    with archive.database.transaction() as tx:
        tx.execute(f"UPDATE upload_request SET {ended}")  # type: ignore[call-overload] # noqa: S608 -- of our own
    assert requests.resume(session, None) is None


def test_who_brings_may_look_at_nothing(archive: Archive) -> None:
    bringer = opened(archive, asked(archive))
    who, number = bringer.principal, bringer.request.import_number
    assert who.actions == {Action.UPLOAD}
    for look in (
        lambda: archive.imports.detail(who, number),
        lambda: archive.imports.listed(who),
        lambda: archive.imports.reject(who, number, "for no good reason"),
        lambda: archive.imports.requests.listed(who),
        lambda: archive.imports.begin(who),
        lambda: archive.ingest.receive(who, None),  # type: ignore[arg-type]  # refused before
    ):
        with pytest.raises(NotPermitted):
            look()


def test_what_is_brought_waits_in_quarantine_for_the_desk(archive: Archive) -> None:
    found = asked(archive)
    assert one(archive).standing is Standing.SENT
    bringer = opened(archive, found)
    assert one(archive).standing is Standing.OPENED
    with pytest.raises(Conflict, match="nothing to confirm"):
        archive.imports.requests.deliver(bringer)
    bring(archive, bringer, ct().part10())
    archive.imports.requests.deliver(bringer)
    assert one(archive).standing is Standing.DELIVERED
    about = archive.imports.one(archive.who, bringer.request.import_number)
    assert (about.state, about.origin, about.images) == (State.NEEDS_IDENTITY, Origin.REQUEST, 1)
    with pytest.raises(Conflict, match="no more files"):
        bring(archive, bringer, ct(1, 1, 2).part10())


def test_neither_secrets_nor_what_is_wanted_stand_in_message_or_trail(
    archive: Archive, database: Database
) -> None:
    found = asked(archive)
    opened(archive, found)
    with database.reading() as conn:
        trail = str(conn.execute("SELECT kind, principal, detail FROM audit").fetchall())
        rows = str(conn.execute("SELECT * FROM upload_request").fetchall())
        messages = str(conn.execute("SELECT * FROM message").fetchall())
    for secret in (found.secret, found.passcode):
        assert secret not in trail + rows + messages
    assert "Canary" not in trail + messages
    assert "radiology@" not in trail + rows + messages


def test_a_session_ends(tmp_path: Path, database: Database) -> None:
    with open_archive(tmp_path, database, sharing={"session_s": 0.0}) as archive:
        found = asked(archive)
        session = archive.imports.requests.open(found.secret, found.passcode, None)
        assert archive.imports.requests.resume(session, None) is None
        archive.imports.sweep()
        with database.reading() as conn:
            assert conn.execute("SELECT count(*) FROM upload_session").fetchone() == (0,)
