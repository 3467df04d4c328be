"""Pages for staff: a study with its series, its report and who opened it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import TestPostgres
from tests.factories import ct, uid
from tests.web.conftest import Site, serving
from tests.web.people import signed_in

REPORT = "1.2.840.10008.5.1.4.1.1.88.11"


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site")) as site:
        for series in (1, 2):
            for number in (1, 2, 3):
                made = ct(
                    1, series, number, patient_name="<b>Adams^Ada", values={"0008103E": "Chest"}
                )
                assert site.store(made.part10()).status_code == 200
        yield site


def test_a_study_is_shown_with_its_series(site: Site) -> None:
    page = site.client.get(f"{site.address.url}/study/{ct(1).study}").text
    assert "&lt;b&gt;Adams, Ada" in page
    assert "<b>Adams" not in page
    assert page.count('alt="CT Chest, 3 images"') == 2
    assert "2 series, 6 objects" in page
    assert "No report is here yet." in page
    assert f"/dicom-web/studies/{ct(1).study}?accept=application/zip" in page


def test_the_list_leads_to_the_study(site: Site) -> None:
    page = site.client.get(site.address.url).text
    assert f'href="/study/{ct(1).study}"' in page


@pytest.mark.parametrize(
    ("number", "values", "told"),
    [
        (11, {"0040A491": "COMPLETE", "0040A493": "VERIFIED"}, "Report, verified"),
        (12, {"0040A491": "COMPLETE", "0040A493": "UNVERIFIED"}, "Report, not verified"),
        (13, {"0040A491": "PARTIAL", "0040A493": "UNVERIFIED"}, "Report, not complete"),
    ],
)
def test_a_report_says_how_far_it_is(
    site: Site, number: int, values: dict[str, str], told: str
) -> None:
    made = ct(number, sop_class=REPORT, values={"00080060": "SR", **values})
    assert site.store(made.part10()).status_code == 200
    page = site.client.get(f"{site.address.url}/study/{made.study}").text
    assert told in page
    assert "/thumbnail" not in page


def test_who_opened_it_is_listed_newest_first(site: Site) -> None:
    study = ct(1).study
    assert site.get(f"/studies/{study}/metadata").status_code == 200
    assert site.get(f"/studies/{study}").status_code == 200
    page = site.client.get(f"{site.address.url}/study/{study}/opened").text
    assert 0 < page.index("instances, 6 objects") < page.index("metadata, 6 objects")
    assert "dev (developer)" in page
    address, german = f"{site.address.url}/study/{study}/opened", {"accept-language": "de"}
    page = site.client.get(address, headers=german).text
    assert 0 < page.index("Originaldateien, 6 Objekte") < page.index("Metadaten, 6 Objekte")


@pytest.mark.parametrize(("path", "status"), [(uid(9, 9), 404), ("x", 400)])
def test_what_is_no_study_is_said_so(site: Site, path: str, status: int) -> None:
    for page in ("", "/opened"):
        answer = site.client.get(f"{site.address.url}/study/{path}{page}")
        assert answer.status_code == status
        assert "That did not work" in answer.text


def test_only_who_may_sees_the_trail(
    postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(postgres, tmp_path_factory.mktemp("closed"), dev=False) as site:
        made = ct(1)
        site.archive.take(made.part10())
        clerk = signed_in(site, "clerk", "records-clerk")
        assert "Who opened it" not in clerk.get(f"/study/{made.study}").text
        closed = clerk.get(f"/study/{made.study}/opened")
        assert (closed.status_code, "whoever manages the accounts" in closed.text) == (403, True)
        head = signed_in(site, "head", "privacy-officer")
        assert "Who opened it" in head.get(f"/study/{made.study}").text
        assert head.get(f"/study/{made.study}/opened").status_code == 200
        nobody = site.client.get(f"{site.address.url}/study/{made.study}")
        assert (nobody.status_code, nobody.headers["location"]) == (303, "/login")
