"""Remote AEs: what the database keeps of them, and when a change is seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import TestPostgres
from vna.access.audit import Audit
from vna.access.principal import Action, Kind, Principal, system
from vna.access.remotes import FRESH_S, STALE_S, UNKNOWN_S, Remote, Remotes
from vna.db.pool import Database
from vna.errors import Conflict, InvalidRequest, NotFound, NotPermitted, Unavailable

WHO = system("test")
PLAIN = Remote(ae_title="CT1", host="127.0.0.1", port=104)
FULL = Remote(
    ae_title="PACS ONE",
    host="pacs.example",
    port=11112,
    tls=True,
    may_store=False,
    may_find=True,
    may_move=False,
    destinations=("CT1", "WS"),
    character_set="ISO_IR 192",
    transfer_syntaxes=("1.2.840.10008.1.2.1", "1.2.840.10008.1.2"),
    patient_id_issuer="Hôpital",
    max_associations=3,
    parallel=4,
)


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def audit(database: Database) -> Iterator[Audit]:
    audit = Audit(database)
    yield audit
    audit.close()


@pytest.fixture
def remotes(database: Database, audit: Audit, clock: Clock) -> Remotes:
    return Remotes(database, audit, clock=clock)


@pytest.mark.parametrize("remote", [PLAIN, FULL])
def test_what_was_added_is_found_as_it_was(remotes: Remotes, remote: Remote) -> None:
    assert remotes.find(remote.ae_title) is None
    assert remotes.add(WHO, remote)
    assert remotes.find(remote.ae_title) == remote
    assert remotes.find(f" {remote.ae_title}  ") == remote  # spaces around it say nothing
    assert remotes.find(remote.ae_title.lower()) is None


def test_adding_a_known_one_changes_all_of_it(remotes: Remotes) -> None:
    remotes.add(WHO, dataclasses.replace(FULL, ae_title="CT1"))
    assert not remotes.add(WHO, PLAIN)
    assert remotes.all() == [PLAIN]


def test_all_are_listed_by_title(remotes: Remotes) -> None:
    for remote in (FULL, PLAIN):
        remotes.add(WHO, remote)
    assert remotes.all() == [PLAIN, FULL]


def test_one_removed_is_gone_and_an_unknown_one_is_told(remotes: Remotes) -> None:
    remotes.add(WHO, PLAIN)
    remotes.remove(WHO, "CT1")
    assert remotes.all() == []
    with pytest.raises(NotFound):
        remotes.remove(WHO, "CT1")


def test_every_change_leaves_a_row_in_the_trail(remotes: Remotes, database: Database) -> None:
    remotes.add(WHO, PLAIN)
    remotes.add(WHO, PLAIN)
    remotes.remove(WHO, "CT1")
    with database.reading() as conn:
        rows = conn.execute("SELECT kind, principal, detail->>'port' FROM audit ORDER BY id")
        assert rows.fetchall() == [
            ("remote.added", "test", "104"),
            ("remote.changed", "test", "104"),
            ("remote.removed", "test", None),
        ]


def test_who_may_not_manage_changes_nothing(remotes: Remotes) -> None:
    modality = Principal(kind=Kind.AE, name="CT1", actions=PLAIN.actions)
    with pytest.raises(NotPermitted):
        remotes.add(modality, PLAIN)
    with pytest.raises(NotPermitted):
        remotes.remove(modality, "CT1")
    assert remotes.all() == []


def test_the_rights_are_the_actions() -> None:
    assert PLAIN.actions == {Action.STORE, Action.COMMIT, Action.QUERY, Action.RETRIEVE}
    assert FULL.actions == {Action.QUERY}


def test_another_process_sees_a_change_within_seconds(
    remotes: Remotes, database: Database, audit: Audit, clock: Clock
) -> None:
    elsewhere = Remotes(database, audit)
    elsewhere.add(WHO, PLAIN)
    assert remotes.find("CT1") == PLAIN
    changed = dataclasses.replace(PLAIN, port=PLAIN.port + 1)
    elsewhere.add(WHO, changed)
    clock.now += FRESH_S / 2
    assert remotes.find("CT1") == PLAIN
    clock.now += FRESH_S
    assert remotes.find("CT1") == changed


def test_one_that_was_just_added_elsewhere_is_known_at_once(
    remotes: Remotes, database: Database, audit: Audit, clock: Clock
) -> None:
    """Who follows the README adds an AE, and sends to it in the same second."""
    assert remotes.find("CT1") is None
    Remotes(database, audit).add(WHO, PLAIN)
    assert remotes.find("CT1") is None  # asked a moment ago
    clock.now += UNKNOWN_S
    assert remotes.find("CT1") == PLAIN


def test_what_was_read_holds_for_a_while_without_a_database(
    postgres: TestPostgres, audit: Audit, clock: Clock
) -> None:
    dsn = postgres.clone()
    database = Database(dsn, schema="vna")
    remotes = Remotes(database, audit, clock=clock)
    remotes.add(WHO, PLAIN)
    assert remotes.find("CT1") == PLAIN
    postgres.drop(dsn)
    clock.now += STALE_S
    assert remotes.find("CT1") == PLAIN
    clock.now += FRESH_S
    with pytest.raises(Unavailable):
        remotes.find("CT1")
    database.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"ae_title": ""},
        {"ae_title": "A\\B"},
        {"ae_title": "SEVENTEEN LETTERS"},
        {"ae_title": " CT1"},
        {"ae_title": "Ä"},
        {"destinations": ("A\nB",)},
        {"host": ""},
        {"host": "a b"},
        {"port": 0},
        {"port": 65536},
        {"parallel": 0},
        {"parallel": 17},
        {"max_associations": -1},
        {"character_set": "utf-8"},
        {"patient_id_issuer": " "},
        {"transfer_syntaxes": ("JPEG",)},
    ],
)
def test_values_the_archive_cannot_use_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        dataclasses.replace(PLAIN, **wrong)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("ae_title", "A\\B"),
        ("ae_title", "SEVENTEEN LETTERS"),
        ("ae_title", "CT1 "),
        ("ae_title", ""),
        ("host", ""),
        ("port", 0),
        ("character_set", "utf-8"),
        ("transfer_syntaxes", [None]),
        ("destinations", [None]),
        ("patient_id_issuer", ""),
        ("max_associations", -1),
        ("parallel", 0),
    ],
)
def test_the_database_holds_the_same_line(
    remotes: Remotes, database: Database, column: str, value: object
) -> None:
    remotes.add(WHO, PLAIN)
    with pytest.raises(Conflict), database.transaction() as tx:
        tx.execute(f"UPDATE remote SET {column} = %s", (value,))  # noqa: S608 -- columns of our own naming
