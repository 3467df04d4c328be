"""The worklist of patients in a browser: two side by side, decided with a reason."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.web.conftest import Site, serving
from tests.web.people import signed_in


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as found:
        yield found


def pair_in(page: str) -> dict[str, str]:
    names = ("first", "second")
    found = {name: re.search(rf'name="{name}" value="([0-9a-f]+)"', page) for name in names}
    return {name: match[1] for name, match in found.items() if match}


def test_two_are_shown_side_by_side_and_decided(site: Site) -> None:
    for number in (1, 2):
        made = ct(number, patient_id=f"P-{number}", patient_name="Doe^<b>Jane")
        site.archive.take(made.part10())
    clerk = signed_in(site, "clerk", "records-clerk")
    page = clerk.get("/patients").text
    assert "Name, birth date and sex are the same" in page
    assert "P-1" in page
    assert "P-2" in page
    assert "<b>Jane" not in page
    pair = pair_in(page)
    silent = clerk.post("/patients", **pair, verdict="link", reason="")
    assert (silent.status_code, "Say why" in silent.text) == (400, True)
    later = clerk.post("/patients", **pair, verdict="defer", reason="")
    assert later.status_code == 303
    assert "Put off" in clerk.get("/patients").text
    done = clerk.post("/patients", **pair, verdict="link", reason="Asked her")
    assert (done.status_code, "They are one person now" in done.text) == (200, True)
    assert done.text.count('<a href="/study/') == 2
    assert "Nothing waits" in clerk.get("/patients").text
    parted = clerk.post("/patients", **pair, verdict="part", reason="It was her sister")
    assert "They are two people" in parted.text
    again = clerk.post("/patients", **pair, verdict="part", reason="Again")
    assert (again.status_code, "apart already" in again.text) == (409, True)


def test_a_name_from_right_to_left_leaves_the_number_beside_it_as_it_is(site: Site) -> None:
    """After Arabic letters 12-34 is drawn as 34-12 (UAX #9 W2, W4): who is linked would be another.

    Names and numbers stand apart.
    """
    for number, patient in ((70, "12-34"), (71, "56-78")):
        made = ct(
            number, patient_id=patient, patient_name="سالم^كريم", charset="ISO_IR 192", codec="utf8"
        )
        site.archive.take(made.part10())
    clerk = signed_in(site, "clerk3", "records-clerk")
    page = clerk.get("/patients").text
    shown = next(one for one in page.split('<h2 id="pair-') if "12-34" in one)
    for patient in ("12-34", "56-78"):
        assert f"<bdi>سالم كريم</bdi>, <bdi>{patient}</bdi>" in shown.partition("</h2>")[0]
    clerk.post("/patients", **pair_in(shown), verdict="link", reason="Asked him")
    study = clerk.get(f"/study/{ct(70).study}").text
    assert "<strong><bdi>سالم, كريم</bdi></strong>" in study
    assert "ID <bdi>12-34</bdi>" in study


def test_what_is_no_decision_is_refused(site: Site) -> None:
    clerk = signed_in(site, "clerk2", "records-clerk")
    unknown = {"first": "0" * 32, "second": "1" * 32}
    for sent, status in (
        ({"verdict": "link", "reason": "x"}, 400),
        ({**unknown, "verdict": "fly", "reason": "x"}, 400),
        ({**unknown, "verdict": "link", "reason": "x"}, 404),
        ({**unknown, "verdict": "defer"}, 404),
        ({"first": "../etc", "second": "1" * 32, "verdict": "link", "reason": "x"}, 400),
    ):
        assert clerk.post("/patients", **sent).status_code == status
