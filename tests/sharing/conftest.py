"""An archive with studies in it, and people to share them with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import factories
from tests.archive import Archive, open_archive
from tests.conftest import SCHEMA, TestPostgres
from vna.access.principal import EVERYTHING, Action, Kind, Principal
from vna.access.sessions import Browser
from vna.db.pool import Database
from vna.dicom.refs import StudyRef, uid
from vna.ingest.outcome import Stored
from vna.sharing.engine import SharingEngine
from vna.sharing.values import (
    Confirmed,
    Forward,
    Guest,
    Offer,
    Offered,
    Person,
    Protection,
    Purpose,
    Recipient,
    channel,
)

CLERK = Principal(
    kind=Kind.PERSON, name="clerk", actions=frozenset({Action.SHARE}), scope=EVERYTHING
)
PHONE = channel("sms", "+44 20 7946 0018")
MAIL = channel("email", "kim@example.org")
OTHER = channel("email", "lee@example.net")
B = Browser(address="198.51.100.7", agent="a browser")


def in_days(days: float) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(days=days)


def report(*numbers: int) -> factories.Instance:
    """A structured report: text, no image."""
    return factories.ct(
        *numbers,
        sop_class="1.2.840.10008.5.1.4.1.1.88.11",
        modality="SR",
        pixel_element=b"",
    )


def study(made: factories.Instance) -> StudyRef:
    return StudyRef(uid(made.study))


@dataclass(slots=True)
class Desk:
    """A desk at which things are shared; what goes out is read as its addressee would."""

    archive: Archive
    made: list[factories.Instance]

    @property
    def engine(self) -> SharingEngine:
        return self.archive.sharing

    def offer_of(self, **changed: Any) -> Offer:
        """An offer of the first study, by mail, with a code to a telephone."""
        said: dict[str, Any] = {
            "studies": frozenset({study(self.made[0])}),
            "person": Person(
                name="Canary Patient",
                birth_date=dt.date(1970, 1, 2),
                confirmed=frozenset({Confirmed.NAME, Confirmed.BIRTH_DATE}),
            ),
            "recipient": Recipient(name="Dr Kim", organisation="Elsewhere"),
            "purpose": Purpose.TREATMENT,
            "to": MAIL,
            "by": PHONE,
            "proof": frozenset({Protection.SMS}),
            "until": in_days(30),
            "legal_basis": "patient-request",
            **changed,
        }
        return Offer(**said)

    def offer(self, **changed: Any) -> Offered:
        return self.engine.offer(CLERK, self.offer_of(**changed))

    def opened(self, secret: str | None = None) -> tuple[str, Guest]:
        """Open the link that was sent last."""
        found = self.engine.open(secret or self.archive.posted.secret(), B)
        assert isinstance(found, tuple), found
        return found

    def proven(self, secret: str | None = None) -> tuple[str, Guest]:
        """Open it and type the code."""
        session, guest = self.opened(secret)
        self.engine.send_code(session, guest.needs[0])
        found = self.engine.prove(session, guest.needs[0], self.archive.posted.code())
        assert isinstance(found, Guest), found
        return session, found

    def forward_of(self, **changed: Any) -> Forward:
        """Give it on to another one, who gets a code by mail."""
        said: dict[str, Any] = {
            "recipient": Recipient(name="Dr Lee"),
            "to": channel("sms", "+44 20 7946 0099"),
            "by": OTHER,
            "proof": frozenset({Protection.EMAIL}),
            "until": in_days(5),
            **changed,
        }
        return Forward(**said)

    def run(self, statement: str, *values: object) -> None:
        """Change a row by hand: time goes by, or somebody did what we would not."""
        with self.archive.database.transaction() as tx:
            tx.execute(statement, values)  # type: ignore[arg-type]  # a literal of a test

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self.archive.database.reading() as conn:
            return conn.execute(statement, values).fetchall()  # type: ignore[arg-type]  # the same

    def codes_age(self, minutes: int) -> None:
        """Every code that was sent is so much older."""
        by = dt.timedelta(minutes=minutes)
        self.run(
            "UPDATE one_time_code SET created_at = created_at - %s, ends_at = ends_at - %s", by, by
        )

    def a_second_later(self) -> None:
        """What was believed for half a second is asked for again."""
        self.engine._guests._believed.clear()
        self.engine._rooms.labels._looked = float("-inf")


def fill(archive: Archive) -> list[factories.Instance]:
    """Three studies of one patient and one of another: two series of two, then single ones."""
    made = [
        factories.ct(1, 1, 1),
        factories.ct(1, 1, 2),
        factories.ct(1, 2, 1),
        factories.ct(1, 2, 2, modality="MR"),
        factories.ct(2, 1, 1),
    ]
    for one in made:
        assert isinstance(archive.take(one.part10()), Stored)
    return made


@contextmanager
def opening(folder: Path, postgres: TestPostgres) -> Iterator[Desk]:
    """Open a desk in an archive of its own."""
    dsn = postgres.clone()
    # one connection to read and one to change: who holds one and asks for another waits for itself
    database = Database(dsn, schema=SCHEMA, connections=2)
    try:
        with open_archive(
            folder, database, sharing={"url": "https://images.example.org"}
        ) as archive:
            yield Desk(archive, fill(archive))
    finally:
        database.close()
        postgres.drop(dsn)


@pytest.fixture(scope="module")
def house(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The archive of a module's tests."""
    with opening(tmp_path_factory.mktemp("house"), postgres) as desk:
        yield desk


_OF_SHARES = (
    *("contact_channel", "consent", "share", "share_item", "share_later_key", "share_grant"),
    *("share_sending", "one_time_code", "share_session", "capability", "message", "rate"),
    *("consent_text", "consent_plan", "kiosk", "auto_share", "share_notice", "share_draft"),
    *("patient_request", "own_contact", "own_contact_change", "share_second", "former_channel"),
)
# one statement, so that it does not matter which refers to which; of so few rows it takes a sixth
# of what it takes to truncate, which makes new files of every table and index
_NOTHING_SHARED = "WITH {} SELECT".format(
    ", ".join(f"of_{table} AS (DELETE FROM {table})" for table in _OF_SHARES)  # noqa: S608 -- these
)


@pytest.fixture
def desk(house: Desk) -> Desk:
    """A desk at which nothing was shared yet; studies a test adds stay, numbered past these."""
    house.run(_NOTHING_SHARED)
    house.archive.posted.messages.clear()
    house.archive.posted.cancelled.clear()
    return house


@pytest.fixture
def own_desk(postgres: TestPostgres, tmp_path: Path) -> Iterator[Desk]:
    """A desk in an archive of this test alone."""
    with opening(tmp_path, postgres) as desk:
        yield desk
