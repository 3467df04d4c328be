"""The last day of a share is the day that was meant, wherever the archive is.

West of Greenwich the end of a day is the next one in UTC: links were told to be good a day longer
than they were, and each time staff extended one the form put a day on top.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import pytest

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.web.conftest import Site, serving
from tests.web.guests import caller, coded, offered
from tests.web.people import Surfer, signed_in
from vna.texts import Texts

ZONE = "America/New_York"
DAY = dt.datetime.now(ZoneInfo(ZONE)).date() + dt.timedelta(days=20)
END = dt.datetime.combine(DAY, dt.time(23, 59, 59), ZoneInfo(ZONE))
SAID = Texts().date(DAY)


@dataclass(frozen=True, slots=True)
class Desk:
    """A desk that shared something until a day of its own."""

    site: Site
    clerk: Surfer
    share: int
    secret: str
    passcode: str


@pytest.fixture(scope="module")
def desk(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder, place = tmp_path_factory.mktemp("site"), {"timezone": ZONE}
    with serving(postgres, folder, dev=False, site=place) as site:
        one = ct(1)
        site.archive.take(one.part10())
        made = offered(site, one, until=END)
        assert made.secret is not None
        assert made.passcode is not None
        clerk = signed_in(site, "clerk", "records-clerk")
        yield Desk(site, clerk, made.share_id, made.secret, made.passcode)


def test_staff_see_the_day_and_extend_from_it(desk: Desk) -> None:
    page = desk.clerk.get(f"/share/{desk.share}").text
    assert f"<dd>{DAY}" in page
    assert f'name="until" value="{DAY}"' in page
    assert f">{DAY}</td>" in desk.clerk.get("/shares?tab=all").text


def test_who_was_sent_the_link_is_told_the_day(desk: Desk) -> None:
    guest = caller(desk.site)
    guest.open(desk.secret)
    assert f"until {SAID}" in guest.get("/s/prove").text
    assert guest.prove(desk.passcode).headers["location"] == "/s/home"
    assert f"<dd>{SAID}</dd>" in guest.get("/s/home").text


def test_messages_tell_the_day(desk: Desk) -> None:
    offered(desk.site, ct(1), until=END, **coded())
    posted = desk.site.archive.posted.messages[-1]
    assert posted.values["until"] == DAY.isoformat()


def test_a_share_begins_with_a_day_of_ours(desk: Desk) -> None:
    """In the evening of New York it is the next day in UTC."""
    days = desk.site.archive.settings.sharing.patient_days
    page = desk.clerk.get(f"/study/{ct(1).study}/share").text
    found = re.search(r'type="date" name="until" value="([^"]+)"', page)
    assert found is not None
    today = dt.datetime.now(ZoneInfo(ZONE)).date()
    assert found[1] == (today + dt.timedelta(days=days)).isoformat()
