"""The inbox of --dev: what would have been sent is read there; elsewhere there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TestPostgres
from tests.web.conftest import Site, serving
from vna.delivery.channels import email, phone
from vna.delivery.outbox import KIND
from vna.jobs.notify import notifying
from vna.jobs.worker import Worker

LINK = "http://127.0.0.1:8080/s#c2VjcmV0"


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site")) as site:
        yield site


def kept(site: Site, **named: Any) -> int:
    """Post a message and let it be kept."""
    archive = site.archive
    with archive.database.transaction() as tx:
        number = archive.messages.post(tx, **named)
    does = {KIND: notifying(site.engines, archive.settings)}
    assert Worker(archive.database, does, archive.settings.jobs, node="here").do_one()
    return number


def invited(site: Site, to: Any) -> int:
    values = {"link": LINK, "way": "…42", "until": "2026-12-20", "number": "7KQ2-M4"}
    return kept(site, to=to, template="invitation", values=values)


def test_a_mail_and_its_link_can_be_read(site: Site) -> None:
    number = invited(site, email("kim@example.org"))
    page = site.client.get(f"{site.address.url}/dev/inbox")
    assert page.status_code == 200
    assert f'href="/dev/inbox/{number}"' in page.text
    assert "Medical images for you" in page.text
    letter = site.client.get(f"{site.address.url}/dev/inbox/{number}").text
    assert f'<a class="button" href="{LINK}">' in letter
    assert "kim@example.org" in letter


def test_a_code_can_be_read_off_a_short_message(site: Site) -> None:
    values = {"code": "12345678", "minutes": "10", "host": "localhost"}
    number = kept(site, to=phone("+49 30 123456"), template="code", values=values)
    assert "@localhost #12345678" in site.client.get(f"{site.address.url}/dev/inbox/{number}").text
    assert "12345678 is your code" in site.client.get(f"{site.address.url}/dev/inbox").text


@pytest.mark.parametrize("number", ["0", "x", "9" * 30, "%2e%2e", "²"])
def test_what_is_not_there_is_not_there(site: Site, number: str) -> None:
    assert site.client.get(f"{site.address.url}/dev/inbox/{number}").status_code == 404


def test_outside_dev_there_is_no_inbox(postgres: TestPostgres, tmp_path: Path) -> None:
    with serving(postgres, tmp_path, dev=False) as site:
        for path in ("/dev/inbox", "/dev/inbox/1"):
            assert site.client.get(f"{site.address.url}{path}").status_code == 404
