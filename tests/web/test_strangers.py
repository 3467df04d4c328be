"""Credentials that are nobody's are counted for all processes together, and at little cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from tests.conftest import TestPostgres
from tests.web.conftest import NO_TLS, Address, Site, running, serving
from tests.web.people import bearer, token_of
from vna.access import rates
from vna.access.rates import Rates, Strangers
from vna.access.sessions import Sessions
from vna.web.asgi import create

WRONG = "vna_" + "A" * 43


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as site:
        yield site


@pytest.fixture(autouse=True)
def fresh(site: Site) -> None:
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM rate")


@pytest.fixture
def other(site: Site) -> Iterator[Address]:
    """Another process: what the first knows of strangers it knows by the database alone."""
    strangers = Strangers(Rates(site.archive.database))
    people = dataclasses.replace(site.engines.people, strangers=strangers)
    with running(create(dataclasses.replace(site.engines, people=people))) as address:
        yield address


def asked(where: Address, secret: str, source: str = "127.0.0.1") -> int:
    """Ask for studies from an address of this machine; return the status."""
    with httpx.Client(transport=httpx.HTTPTransport(local_address=source, verify=NO_TLS)) as client:
        return client.get(f"{where.url}/dicom-web/studies", headers=bearer(secret)).status_code


def counted(site: Site) -> list[int]:
    with site.archive.database.reading() as conn:
        return [row[0] for row in conn.execute("SELECT taken FROM rate").fetchall()]


def wrong(number: int) -> str:
    return f"vna_{number:043}"


def test_two_processes_share_the_count_and_good_tokens_still_work(
    site: Site, other: Address
) -> None:
    good = token_of(site, "gateway")
    found = [asked(site.address, wrong(n)) for n in range(6)]
    found += [asked(other, wrong(n)) for n in range(6, 12)]
    assert found == [401] * 10 + [429] * 2
    assert asked(other, good) == asked(site.address, good) == 200
    assert asked(other, good, "127.0.0.2") == 200
    assert asked(other, WRONG, "127.0.0.2") == 401


def test_the_count_outlives_the_process_that_counted(site: Site) -> None:
    database = site.archive.database
    for _ in range(3):
        before = Strangers(Rates(database))
        assert not before.count("192.0.2.1", 3)
    assert Strangers(Rates(database)).count("192.0.2.1", 3)


def test_who_goes_on_past_the_limit_writes_nothing_more(site: Site, other: Address) -> None:
    found = [asked(other, wrong(n)) for n in range(40)]
    assert found == [401] * 10 + [429] * 30
    assert counted(site) == [11]


def test_a_session_that_ended_slows_nobody_down(site: Site) -> None:
    url = f"{site.address.url}/dicom-web/studies"
    found = [
        httpx.get(url, cookies={"vna": f"{n:043}"}, verify=NO_TLS).status_code for n in range(15)
    ]
    assert found == [401] * 15
    assert counted(site) == []


def test_a_right_token_is_never_counted(
    site: Site, other: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, said = token_of(site, "viewer"), []
    asks = psycopg.Cursor.execute

    def execute(self: object, query: object, *args: object, **named: object) -> object:
        said.append(str(query))
        return asks(self, query, *args, **named)  # type: ignore[arg-type]  # as it came

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", execute)
        assert asked(other, good) == 200
        assert said
        assert not [one for one in said if "rate" in one.split()]
        assert asked(other, WRONG) == 401
        assert [one for one in said if "rate" in one.split()]


@pytest.mark.parametrize(
    ("one", "another", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        (None, "not an address", True),
    ],
)
def test_an_address_counts_with_those_its_owner_has_anyhow(
    site: Site, one: str | None, another: str, same: bool
) -> None:
    strangers = Strangers(Rates(site.archive.database))
    assert not strangers.count(one, 1)
    assert strangers.count(another, 1) is same


def test_however_many_addresses_there_are_the_table_is_not_filled(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "_BUCKETS", 8)
    strangers = Strangers(Rates(site.archive.database))
    for n in range(64):
        strangers.count(f"198.51.100.{n}", 1000)
    assert len(counted(site)) == 8
    assert sum(counted(site)) == 64


def test_upkeep_forgets_counts_that_are_over(site: Site) -> None:
    strangers = Strangers(Rates(site.archive.database))
    strangers.count("192.0.2.1", 10)
    with site.archive.database.transaction() as tx:
        tx.execute("UPDATE rate SET ends_at = now() - interval '1 s'")
    strangers.count("192.0.2.2", 10)
    sessions: Sessions = site.engines.people.sessions
    sessions.sweep()
    assert counted(site) == [1]
