"""Sending on to a hospital's archive from the pages of a share: chosen, checked, sent, followed."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape

import pytest

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.web.conftest import Site, serving
from tests.web.guests import caller, inside, offered
from tests.web.people import signed_in
from vna.access.principal import system
from vna.access.remotes import Remote
from vna.sharing.values import Purpose

FIRST = ct(1)
CLINIC, PRACTICE = "Example Clinic", "Practice <Gray> & Partners"
WHO = system("test")


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as site:
        site.archive.take(FIRST.part10())
        for title, name in (("CLINIC", CLINIC), ("PRACTICE", PRACTICE), ("HIDDEN", None)):
            remote = Remote(ae_title=title, host="127.0.0.1", port=1, offered_as=name)
            site.archive.remotes.add(WHO, remote)
        yield site


@pytest.fixture(autouse=True)
def fresh_limits(site: Site) -> None:
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM rate")


def jobs(site: Site) -> int:
    with site.archive.database.reading() as conn:
        row = conn.execute("SELECT count(*) FROM job WHERE kind = 'hand-over'").fetchone()
    return int(row[0]) if row else 0


def test_it_is_chosen_looked_at_and_sent(site: Site) -> None:
    before = jobs(site)
    share = offered(site, FIRST)
    gray = inside(site, share)
    assert 'href="/s/archive"' in gray.get("/s/home").text
    page = unescape(gray.get("/s/archive").text)
    assert CLINIC in page
    assert PRACTICE in page
    assert "HIDDEN" not in page
    check = gray.post("/s/archive", "/s/archive", to="remote:PRACTICE")
    assert check.status_code == 200
    assert "Practice &lt;Gray&gt; &amp; Partners" in check.text
    assert "Doe, Jane" in check.text
    assert jobs(site) == before  # looked at, not sent
    sent = gray.post("/s/archive", "/s/archive", to="remote:PRACTICE", sure="yes")
    assert (sent.status_code, sent.headers["location"]) == (303, "/s/archive")
    assert jobs(site) == before + 1
    page = unescape(gray.get("/s/archive").text)
    assert "What you have sent" in page
    assert "0 of 1" in page
    twice = gray.post("/s/archive", "/s/archive", to="remote:PRACTICE", sure="yes")
    assert twice.status_code == 409
    assert "on its way to that archive already" in twice.text
    assert jobs(site) == before + 1
    # staff see it on the share, in its history, and who follows it sees the cause
    clerk = signed_in(site, "clerk-sending", "records-clerk")
    with site.archive.database.transaction() as tx:
        tx.execute("UPDATE job SET cause = 'PRACTICE cannot be reached.' WHERE kind = 'hand-over'")
    shown = unescape(clerk.get(f"/share/{share.share_id}").text)
    for text in ("Sent on to archives", PRACTICE, "PRACTICE cannot be reached."):
        assert text in shown
    assert "To be sent on to an archive" in shown
    german = unescape(gray.get("/s/archive", accept_language="de").text)
    assert "Das Archiv ist im Moment nicht zu erreichen" in german
    assert "An welches Archiv" in german


@pytest.mark.parametrize("to", ["remote:HIDDEN", "remote:NOBODY", "peer:CLINIC", "", "CLINIC"])
@pytest.mark.parametrize("sure", ["yes", ""])
def test_no_other_archive_can_be_named(site: Site, to: str, sure: str) -> None:
    before = jobs(site)
    gray = inside(site, offered(site, FIRST))
    answer = gray.post("/s/archive", "/s/archive", to=to, sure=sure)
    assert answer.status_code == 400
    assert "Choose an archive." in answer.text
    assert jobs(site) == before


@pytest.mark.parametrize("changed", [{"purpose": Purpose.INSURANCE}, {"download": False}])
def test_who_may_not_finds_no_such_page(site: Site, changed: dict[str, object]) -> None:
    before = jobs(site)
    gray = inside(site, offered(site, FIRST, **changed))
    assert "/s/archive" not in gray.get("/s/home").text
    assert gray.get("/s/archive").status_code == 404
    answer = gray.post("/s/archive", "/s/home", to="remote:CLINIC", sure="yes")
    assert answer.status_code in (400, 404)
    assert jobs(site) == before


def test_a_form_of_another_site_sends_nothing(site: Site) -> None:
    before = jobs(site)
    gray = inside(site, offered(site, FIRST))
    fields = {"to": "remote:CLINIC", "sure": "yes", "form": "x"}
    answer = gray.client.post(f"{site.address.url}/s/archive", data=fields)
    assert answer.status_code == 403
    assert caller(site).get("/s/archive").status_code == 401
    assert jobs(site) == before
