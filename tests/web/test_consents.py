"""Consents at the desk: recorded from paper, in the way of a share or its ground, and withdrawn."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.web.conftest import Site, serving
from tests.web.people import Surfer, surfer
from vna.sharing.values import ShareState

URL = {"url": "https://images.example.org"}
PERSON = {"00100030": "19700102", "00100010": "Adams^Ada"}


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site"), sharing=URL) as site:
        for number in range(1, 5):  # a patient of its own for each test
            made = ct(number, values={**PERSON, "00100020": f"P-{number}"})
            assert site.store(made.part10()).status_code == 200
        nameless = ct(5, values={"00100020": ""})
        assert site.store(nameless.part10()).status_code == 200
        yield site


@pytest.fixture
def browser(site: Site) -> Surfer:
    found = surfer(site)
    found.get("/")  # takes a cookie
    return found


def recorded(browser: Surfer, number: int, **differs: str) -> str:
    """Record a consent; return the page that lists them."""
    path = f"/study/{ct(number).study}/consents"
    fields = {"answer": "yes", "purpose": "treatment", "signed_by": "Ada Adams", **differs}
    assert browser.post(path, **fields).status_code == 303
    return browser.get(path).text


def shared(browser: Surfer, number: int, **differs: str) -> tuple[int, str]:
    """Share the study; return the status and the page."""
    path = f"/study/{ct(number).study}/share"
    fields = {
        "confirmed.name": "on",
        "confirmed.birth-date": "on",
        "recipient": "Dr Kim",
        "to": "kim@example.org",
        "by": "+44 20 7946 0018",
        "purpose": "treatment",
        "basis": "legal:treatment",
        "until": "2027-01-31",
        f"series.{ct(number).series}": "on",
        **differs,
    }
    answer = browser.post(path, **fields)
    return answer.status_code, answer.text


def test_what_was_signed_is_recorded_and_listed(browser: Surfer) -> None:
    page = recorded(browser, 1, accession="A-1", valid_to="2099-12-31")
    assert "accession A-1" in page
    assert "2099-12-31" in page
    assert "Ada Adams" not in page.partition("<form")[0]
    assert "Withdraw" in page


def test_a_no_stands_in_the_way_and_says_why(browser: Surfer) -> None:
    recorded(browser, 2, answer="no")
    status, page = shared(browser, 2)
    assert status == 409
    assert "a consent that says no" in page
    assert "<strong>no</strong>" in page


def test_withdrawing_suspends_what_rests_on_it(site: Site, browser: Surfer) -> None:
    page = recorded(browser, 3)
    consent = re.search(r'name="consent" value="(\d+)"', page)
    assert consent is not None
    assert f"consent:{consent[1]}" in browser.get(f"/study/{ct(3).study}/share").text
    status, made = shared(browser, 3, basis=f"consent:{consent[1]}")
    assert status == 200
    share = re.search(r"/share/(\d+)", made)
    assert share is not None
    path = f"/study/{ct(3).study}/consents"
    answer = browser.post(f"{path}/withdraw", path, consent=consent[1])
    summary = site.archive.sharing.detail(site.archive.who, int(share[1])).summary
    assert summary.state is ShareState.SUSPENDED
    assert summary.number in answer.text
    assert "withdrawn" in browser.get(path).text
    assert browser.post(f"{path}/withdraw", path, consent=consent[1]).status_code == 404


def test_a_consent_is_withdrawn_at_its_own_patient_only(browser: Surfer) -> None:
    page = recorded(browser, 4)
    consent = re.search(r'name="consent" value="(\d+)"', page)
    assert consent is not None
    other = f"/study/{ct(1).study}/consents"
    assert browser.post(f"{other}/withdraw", other, consent=consent[1]).status_code == 404
    assert browser.post(f"{other}/withdraw", other, consent="x").status_code == 400


@pytest.mark.parametrize(
    ("differs", "told"),
    [
        ({"answer": ""}, "yes or no"),
        ({"signed_by": " "}, "signed by name"),
        ({"purpose": "fun"}, "for a purpose"),
        ({"valid_to": "soon"}, "year-month-day"),
        ({"valid_to": "2001-01-01"}, "ends in the future"),
    ],
)
def test_what_is_not_right_is_said(browser: Surfer, differs: dict[str, str], told: str) -> None:
    path = f"/study/{ct(1).study}/consents"
    fields = {"answer": "yes", "purpose": "treatment", "signed_by": "Kept", **differs}
    answer = browser.post(path, **fields)
    assert answer.status_code == 400
    assert told in answer.text


def test_nobody_without_an_id_can_be_asked(site: Site) -> None:
    answer = site.client.get(f"{site.address.url}/study/{ct(5).study}/consents")
    assert answer.status_code == 404
    assert "no Patient ID" in answer.text
