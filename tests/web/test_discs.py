"""Pages of discs: asked for at a study, watched, tried again, fetched whole or from anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.jobs.conftest import worker_of
from tests.retrieve.test_papers import text_of
from tests.web.conftest import Site, serving
from tests.web.people import Surfer, signed_in, surfer

STUDY = ct(1).study


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site")) as site:
        for number in (1, 2, 3):
            assert site.store(ct(1, 1, number, patient_name="Adams^Ada").part10())
        yield site


def asked(browser: Surfer) -> str:
    """Ask for a disc of the study; return the path of its page."""
    answer = browser.post(f"/study/{STUDY}/disc", f"/study/{STUDY}")
    assert answer.status_code == 303
    return answer.headers["location"]


def made(site: Site) -> None:
    while worker_of(site.archive).do_one():
        pass


def browser_of(site: Site) -> Surfer:
    found = surfer(site)
    found.get("/")  # takes a cookie
    return found


def test_a_disc_is_asked_for_at_the_study_and_fetched_when_it_is_ready(site: Site) -> None:
    browser = browser_of(site)
    disc = asked(browser)
    page = browser.get(disc).text
    assert "0 of 3 objects were read" in page
    assert 'data-reload="2000"' in page
    assert browser.get(f"{disc}/image.iso").status_code == 409
    made(site)
    page = browser.get(disc).text
    assert "Ready" in page
    assert "Adams, Ada" in page
    assert "data-reload" not in page
    image = browser.get(f"{disc}/image.iso")
    assert image.status_code == 200
    assert image.headers["content-type"] == "application/x-iso9660-image"
    assert re.fullmatch(
        r'attachment; filename="disc-\d+.iso"', image.headers["content-disposition"]
    )
    assert image.content[32769:32774] == b"CD001"
    part = browser.client.get(
        f"{site.address.url}{disc}/image.iso",
        headers={"range": "bytes=32769-32773", "if-range": image.headers["etag"]},
    )
    assert (part.status_code, part.content) == (206, b"CD001")
    label = browser.get(f"{disc}/label.pdf")
    assert label.headers["content-type"] == "application/pdf"
    assert label.content.startswith(b"%PDF-")
    browser.client.headers["accept-language"] = "de"
    assert "Ihre medizinischen Bilder" in text_of(browser.get(f"{disc}/label.pdf").content)
    browser.client.headers["accept-language"] = "en"
    assert disc in browser.get("/discs").text
    assert disc in browser.get(f"/study/{STUDY}").text


def test_a_disc_that_failed_says_why_and_is_tried_again(site: Site) -> None:
    browser = browser_of(site)
    disc = asked(browser)
    number = int(disc.rpartition("/")[2])
    with site.archive.database.transaction() as tx:
        tx.execute(
            "UPDATE job SET state = 'failed', finished_at = now(),"
            " cause = '1 of 3 objects could not be read.' WHERE job_id = %s",
            (number,),
        )
        tx.execute(
            "UPDATE job_item SET state = 'failed', cause = 'Stored bytes do not verify.'"
            " WHERE job_id = %s AND number = 2",
            (number,),
        )
    page = browser.get(disc).text
    assert "1 of 3 objects could not be read." in page
    assert "Stored bytes do not verify." in page
    smaller = browser.post(f"{disc}/without", disc)
    assert smaller.status_code == 303
    assert "0 of 2 objects" in browser.get(smaller.headers["location"]).text
    assert browser.post(f"{disc}/retry", disc).status_code == 303
    assert browser.post(f"{disc}/cancel", disc).status_code == 303
    assert "Cancelled" in browser.get(disc).text
    assert browser.post(f"{disc}/retry", disc).status_code == 303
    made(site)
    assert "Ready" in browser.get(disc).text


@pytest.mark.parametrize("path", ["/disc/999999", "/disc/9223372036854775808", "/disc/0/image.iso"])
def test_what_is_no_disc_is_said_so(site: Site, path: str) -> None:
    assert site.client.get(f"{site.address.url}{path}").status_code == 404


def test_a_form_of_elsewhere_makes_no_disc(site: Site) -> None:
    answer = httpx.post(f"{site.address.url}/study/{STUDY}/disc", data={"form": "x"})
    assert answer.status_code == 403


def test_who_may_not_see_studies_sees_no_discs(
    postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(postgres, tmp_path_factory.mktemp("closed"), dev=False) as site:
        site.archive.take(ct(1).part10())
        clerk = signed_in(site, "clerk", "records-clerk")
        disc = asked(clerk)
        made(site)
        assert clerk.get(f"{disc}/image.iso").status_code == 200
        doctor = signed_in(site, "doctor", "referring")  # sees what was granted: nothing
        assert doctor.get("/discs").text.count("/disc/") == 0
        for path in (disc, f"{disc}/image.iso"):
            assert doctor.get(path).status_code == 404
        officer = signed_in(site, "officer", "privacy-officer")  # finds studies, retrieves none
        assert officer.get(f"{disc}/image.iso").status_code == 403
