"""The import desk over HTTP: bad requests first, then a disc from its first file to the archive."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import TestPostgres
from tests.factories import broken, ct
from tests.imports.conftest import disc, iso_of, mark, zip_of
from tests.jobs.conftest import worker_of
from tests.web.conftest import Site, serving
from tests.web.people import Surfer, signed_in, surfer
from vna.imports import engine

ONE = ct()


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def browser(site: Site) -> Surfer:
    found = surfer(site)
    found.get("/imports")  # takes a cookie
    return found


def begun(browser: Surfer, note: str = "a disc") -> str:
    """Begin an import; return the path of its page."""
    answer = browser.post("/imports", note=note)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def put(browser: Surfer, page: str, name: str, data: bytes, **headers: str) -> httpx.Response:
    """Send one file as the script does."""
    fields = {"x-vna-form": browser.token(page), "x-vna-name": name}
    fields |= {key.replace("_", "-"): value for key, value in headers.items()}
    url = f"{browser.site.address.url}{page}/file/{mark(name)}"
    return browser.client.put(url, content=data, headers=fields)


def ticks(text: str) -> dict[str, str]:
    """Tick every person and study of a page."""
    return dict.fromkeys(re.findall(r'name="((?:person|study):[^"]+)"', text), "1")


def work(site: Site) -> None:
    """Do the jobs that wait."""
    worker = worker_of(site.archive)
    while worker.do_one():
        pass


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "Die Datei ist leer."),
        (b"no DICOM at all", "Sie ist keine DICOM-Datei."),
        (b"PK\x03\x04" + b"x" * 100, "Das ZIP lässt sich nicht lesen"),
        (bytes(4096), "Sie beginnt mit lauter Nullen"),
    ],
)
def test_why_a_file_was_not_taken_is_said_in_the_language_of_the_page(
    browser: Surfer, data: bytes, told: str
) -> None:
    page = begun(browser)
    assert put(browser, page, "one", data).status_code == 200
    found = browser.client.get(
        browser.site.address.url + page, headers={"accept-language": "de"}
    ).text
    assert told in found


@pytest.mark.parametrize("path", ["/import/99", "/import/99999999999999999999", "/import/x"])
def test_an_import_that_is_not_there_is_not_found(browser: Surfer, path: str) -> None:
    assert browser.get(path).status_code == 404


def test_a_file_needs_the_form_of_its_page(browser: Surfer) -> None:
    page = begun(browser)
    url = f"{browser.site.address.url}{page}/file/{mark('a')}"
    assert browser.client.put(url, content=ONE.part10()).status_code == 403
    elsewhere = {"x-vna-form": browser.token(page), "origin": "https://elsewhere.example"}
    assert browser.client.put(url, content=ONE.part10(), headers=elsewhere).status_code == 403


@pytest.mark.parametrize("name", ["x", "0" * 31, "G" * 32, "..%2f..%2fetc"])
def test_a_mark_that_is_none_is_not_found(browser: Surfer, name: str) -> None:
    page = begun(browser)
    url = f"{browser.site.address.url}{page}/file/{name}"
    headers = {"x-vna-form": browser.token(page)}
    assert browser.client.put(url, content=b"x", headers=headers).status_code == 404


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[1]", b'["x"]', b"[" * 5000])
def test_a_list_that_is_none_is_refused(browser: Surfer, content: bytes) -> None:
    page = begun(browser)
    headers = {"x-vna-form": browser.token(page), "content-type": "application/json"}
    answer = browser.client.post(
        f"{browser.site.address.url}{page}/expect", content=content, headers=headers
    )
    assert answer.status_code == 400


def test_a_file_that_changed_on_its_way_is_to_be_sent_again(browser: Surfer) -> None:
    page = begun(browser)
    wrong = f"sha-256=:{base64.b64encode(hashlib.sha256(b'x').digest()).decode()}:"
    refused = put(browser, page, "a", ONE.part10(), content_digest=wrong)
    assert (refused.status_code, "send it again" in refused.json()["message"]) == (409, True)
    assert put(browser, page, "b", ONE.part10(), content_digest="md5=:x:").status_code == 400
    right = f"sha-256=:{base64.b64encode(hashlib.sha256(ONE.part10()).digest()).decode()}:"
    taken = put(browser, page, "a", ONE.part10(), content_digest=right)
    assert taken.json()["result"] == "kept"
    assert put(browser, page, "a", b"anything").json()["result"] == "kept"  # not taken again


def test_a_name_with_markup_is_only_shown(browser: Surfer) -> None:
    page = begun(browser)
    answer = put(browser, page, "%3Cscript%3Ealert(1)%3C%2Fscript%3E%00%0A", broken("text"))
    assert answer.status_code == 200
    text = browser.get(page).text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_form_without_scripts_takes_files(browser: Surfer) -> None:
    page = begun(browser)
    sent = browser.client.post(
        f"{browser.site.address.url}{page}/form",
        data={"form": browser.token(page)},
        files=[("file", ("a.zip", zip_of(disc(2)))), ("file", ("b.iso", iso_of(disc(1, 2))))],
    )
    assert (sent.status_code, sent.headers["location"]) == (303, page)
    found = browser.site.archive.imports.one(browser.site.archive.who, int(page.split("/")[-1]))
    assert (found.images, found.documents) == (3, 2)


@pytest.mark.parametrize(
    ("fields", "status"), [({}, 403), ({"form": "wrong"}, 403), ({"form": "x" * 5000}, 413)]
)
def test_a_form_of_somebody_else_takes_nothing(
    browser: Surfer, fields: dict[str, str], status: int
) -> None:
    page = begun(browser)
    sent = browser.client.post(
        f"{browser.site.address.url}{page}/form",
        data=fields,
        files=[("file", ("a", ONE.part10()))],
    )
    assert sent.status_code == status
    found = browser.site.archive.imports.one(browser.site.archive.who, int(page.split("/")[-1]))
    assert found.files == 0


@pytest.mark.parametrize(
    "content",
    [b"", b"--b\r\n", b'--b\r\nContent-Disposition: form-data; name="form"\r\n\r\nx'],
)
def test_a_form_that_is_cut_off_is_refused(browser: Surfer, content: bytes) -> None:
    page = begun(browser)
    answer = browser.client.post(
        f"{browser.site.address.url}{page}/form",
        content=content,
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    assert answer.status_code in (400, 403)


def test_two_persons_stop_an_import_and_one_is_filed(site: Site, browser: Surfer) -> None:
    page = begun(browser)
    other = ct(32, patient_name="Roe^Richard", patient_id="P-2")
    put(browser, page, "a", ct(31).part10())
    put(browser, page, "b", other.part10())
    assert browser.post(f"{page}/finish", page).status_code == 303
    text = browser.get(page).text
    assert "Stop. 2 persons" in text
    everything = {**ticks(text), "family": "Doe", "born": "1970-01-01"}
    refused = browser.post(f"{page}/confirm", page, **everything)
    assert (refused.status_code, "More than one person" in refused.text) == (409, True)
    persons = re.findall(r"<legend>(.*?)</legend>.*?(person:\w+)", text, re.DOTALL)
    mine = next(key for name, key in persons if name == "Doe, Jane")
    one = {mine: "1", f"study:{ct(31).study}": "1", "family": "doe", "born": "1970-01-01"}
    assert browser.post(f"{page}/confirm", page, **one).status_code == 303
    work(site)
    done = browser.get(page)
    assert "1 object filed" in done.text
    assert browser.get(f"/study/{ct(31).study}").status_code == 200
    assert browser.get(f"/study/{other.study}").status_code == 404


def test_what_does_not_agree_is_told_and_what_was_typed_stays(browser: Surfer) -> None:
    page = begun(browser)
    put(browser, page, "a", ct(41).part10())
    browser.post(f"{page}/finish", page)
    words = {**ticks(browser.get(page).text), "family": "Smith", "born": "1970-01-01"}
    answer = browser.post(f"{page}/confirm", page, **words)
    assert answer.status_code == 409
    assert "The family name is not the one in the images" in answer.text
    assert 'value="Smith"' in answer.text


def ticked(text: str) -> set[str]:
    """Which persons and studies are ticked."""
    return set(re.findall(r'name="((?:person|study):[^"]+)" value="1" checked', text))


def test_a_study_that_was_left_out_stays_out_when_something_else_is_refused(
    browser: Surfer,
) -> None:
    """All were ticked again: who corrected a birth date filed the study of somebody else."""
    page = begun(browser)
    put(browser, page, "a", ct(43).part10())
    put(browser, page, "b", ct(44).part10())
    browser.post(f"{page}/finish", page)
    text = browser.get(page).text
    assert ticked(text) == {f"study:{one.study}" for one in (ct(43), ct(44))}
    words = {**ticks(text), "family": "Doe", "born": "1970-02-01"}
    del words[f"study:{ct(44).study}"]
    refused = browser.post(f"{page}/confirm", page, **words)
    assert refused.status_code == 409
    assert ticked(refused.text) == {f"study:{ct(43).study}"}


def test_who_was_chosen_of_several_stays_chosen_when_something_else_is_refused(
    browser: Surfer,
) -> None:
    page = begun(browser)
    put(browser, page, "a", ct(45).part10())
    put(browser, page, "b", ct(46, patient_name="Roe^Richard", patient_id="P-2").part10())
    browser.post(f"{page}/finish", page)
    persons = re.findall(
        r"<legend>(.*?)</legend>.*?(person:\w+)", browser.get(page).text, re.DOTALL
    )
    mine = next(key for name, key in persons if name == "Roe, Richard")
    chosen = {mine: "1", f"study:{ct(46).study}": "1"}
    refused = browser.post(f"{page}/confirm", page, **chosen, family="Smith", born="1970-01-01")
    assert refused.status_code == 409
    assert ticked(refused.text) == set(chosen)


def test_whoever_has_no_name_is_called_so_in_the_language_of_the_page(browser: Surfer) -> None:
    page = begun(browser)
    put(browser, page, "a", ct(47, patient_name="").part10())
    browser.post(f"{page}/finish", page)
    address = browser.site.address.url + page
    text = browser.client.get(address, headers={"accept-language": "de"}).text
    assert "<legend>Kein Name</legend>" in text


@pytest.mark.parametrize("most", [1, 2])
def test_what_is_too_much_for_a_page_is_counted_and_said(
    browser: Surfer, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """What is not listed cannot be chosen, and what is not chosen is destroyed."""
    monkeypatch.setattr(engine, "_MOST_SERIES", most)
    page = begun(browser)
    for n in (1, 2):
        put(browser, page, f"a{n}", ct(41, n).part10())
    assert ("1 series is not listed" in browser.get(page).text) == (most == 1)
    browser.post(f"{page}/finish", page)
    text = browser.get(page).text
    assert ("1 series is not listed" in text) == (most == 1)
    assert ("bring its files in parts" in text) == (most == 1)


def test_one_of_two_persons_who_is_listed_alone_is_not_ticked_for_anybody(
    browser: Surfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_MOST_SERIES", 1)
    page = begun(browser)
    put(browser, page, "a", ct(42).part10())
    other = dataclasses.replace(ct(43), patient_name="Zoe^Other", patient_id="Z-1")
    put(browser, page, "b", other.part10())
    browser.post(f"{page}/finish", page)
    text = browser.get(page).text
    assert "2 persons are in this import" in text
    assert len(ticks(text)) == 2  # a person and a study, to be ticked
    assert "checked" not in text


def test_quarantine_is_seen_at_the_desk_only(site: Site, browser: Surfer) -> None:
    page = begun(browser)
    hidden = ct(51)
    put(browser, page, "a", hidden.part10())
    assert "Doe, Jane" in browser.get(page).text
    assert site.get(f"/studies?StudyInstanceUID={hidden.study}").json() == []
    for path in ("", "/metadata", "/rendered", "/thumbnail", f"/series/{hidden.series}"):
        assert site.get(f"/studies/{hidden.study}{path}").status_code == 404
    assert browser.get(f"/view/{hidden.study}").status_code == 404


def test_a_rejected_import_is_gone(site: Site, browser: Surfer) -> None:
    page = begun(browser)
    put(browser, page, "a", ct(61).part10())
    browser.post(f"{page}/finish", page)
    assert browser.post(f"{page}/reject", page, why="no").status_code == 400
    assert browser.post(f"{page}/reject", page, why="of another patient").status_code == 303
    work(site)
    text = browser.get(page).text
    assert "1 object destroyed" in text
    assert "Doe" not in text


def test_an_import_without_images_says_so_at_once(browser: Surfer) -> None:
    page = begun(browser)
    put(browser, page, "disc", zip_of({"REPORT.PDF": b"%PDF-1.4 a report"}))
    text = browser.get(page).text
    assert "0 SOP Instances with pixels, 0 reports, 1 document" in text
    refused = browser.post(f"{page}/finish", page)
    assert (refused.status_code, "nothing to confirm" in refused.text) == (409, True)


def test_who_may_not_import_sees_no_desk(
    postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as site:
        auditor = signed_in(site, "an-auditor", "auditor")
        clerk = signed_in(site, "a-clerk", "records-clerk")
        page = begun(clerk)
        assert auditor.get("/imports").status_code == 403
        assert auditor.get(page).status_code == 403
        assert put_without_page(auditor, page).status_code == 403
        assert "Imports" in clerk.get("/imports").text
        assert surfer(site).get(page).status_code == 303


def put_without_page(browser: Surfer, page: str) -> httpx.Response:
    url = f"{browser.site.address.url}{page}/file/{mark('a')}"
    return browser.client.put(url, content=ONE.part10())
