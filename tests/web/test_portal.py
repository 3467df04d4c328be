"""The pages for people: the list of studies, its search, the viewer and what stands in for it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlencode

import pytest

from tests.conftest import TestPostgres
from tests.factories import ct, uid
from tests.web.conftest import Site, serving
from tests.web.people import signed_in, surfer

NUMBER = ct().patient_id


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site")) as site:
        for number, name in enumerate(["Adams^Ada", "<script>^alert", "Brown^Ben"]):
            made = ct(
                study=number, patient_name=name, values={"00080020": f"2026010{number + 1}"}
            ).part10()
            assert site.store(made).status_code == 200
        yield site


def rows(site: Site, query: str = "") -> list[str]:
    page = site.client.get(f"{site.address.url}/{query}").text
    return re.findall(r'<th scope="row">(?:<a[^>]*>)?([^<]*)', page)


def test_studies_are_listed_newest_first(site: Site) -> None:
    assert rows(site) == ["Brown, Ben", "&lt;script&gt;, alert", "Adams, Ada"]


def test_what_a_patient_is_called_is_never_markup(site: Site) -> None:
    page = site.client.get(site.address.url).text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_the_beginning_of_a_name_is_enough(site: Site) -> None:
    assert rows(site, "?name=bro") == ["Brown, Ben"]
    assert rows(site, "?name=*en") == ["Brown, Ben"]


_PEOPLE = {
    "Doe^Jane": "Doe, Jane",
    "DOE^JOHN^PAUL^^JR": "DOE, JOHN PAUL JR",
    "Jones Parker^Amy": "Jones Parker, Amy",
    "Roe,Rita": "Roe,Rita",  # as some modalities write it
}
_TYPED = {
    "Doe, Jane": ["Doe, Jane"],
    "doe,jane": ["Doe, Jane"],
    "doe , j": ["DOE, JOHN PAUL JR", "Doe, Jane"],
    "Doe Jane": ["Doe, Jane"],
    " jane  doe ": ["Doe, Jane"],
    "DOE, JOHN PAUL JR": ["DOE, JOHN PAUL JR"],
    "jones parker": ["Jones Parker, Amy"],
    "Jones Parker, Amy": ["Jones Parker, Amy"],
    "amy jones": [],
    "Roe,Rita": ["Roe,Rita"],
    "doe^jane": ["Doe, Jane"],
    "doe,": ["DOE, JOHN PAUL JR", "Doe, Jane"],
    ",": [],
}


def test_a_name_is_found_as_people_type_it_and_as_the_list_writes_it(
    postgres: TestPostgres, tmp_path: Path
) -> None:
    """Who is told that nothing matches takes a patient for one without a study."""
    with serving(postgres, tmp_path) as site:
        for number, name in enumerate(_PEOPLE):
            made = ct(
                study=number, patient_name=name, values={"00080020": f"2026010{number + 1}"}
            ).part10()
            assert site.store(made).status_code == 200
        for typed, expected in _TYPED.items():
            assert rows(site, f"?{urlencode({'name': typed})}") == expected, typed
        for typed in ("CT", "ct", " ct, mr", "MR CT"):
            assert len(rows(site, f"?{urlencode({'modality': typed})}")) == len(_PEOPLE), typed
        assert rows(site, "?modality=mr") == []


def test_days_are_searched_from_one_to_another(site: Site) -> None:
    assert rows(site, "?from=2026-01-01&to=2026-01-02") == ["&lt;script&gt;, alert", "Adams, Ada"]
    assert rows(site, "?from=2026-01-03") == ["Brown, Ben"]


def test_a_date_that_is_none_is_said_so(site: Site) -> None:
    answer = site.client.get(f"{site.address.url}/?from=yesterday")
    assert answer.status_code == 400
    assert "written as year-month-day" in answer.text


def test_nothing_found_says_what_to_do(site: Site) -> None:
    assert "No study matches" in site.client.get(f"{site.address.url}/?name=zzz").text


def test_pages_go_on_where_the_one_before_ended(site: Site) -> None:
    assert rows(site, "?offset=2") == ["Adams, Ada"]
    assert rows(site, "?offset=" + "9" * 5000) == rows(site)
    page = site.client.get(f"{site.address.url}/?offset=2&name=*").text
    assert 'href="/?name=%2A"' in page


def test_whom_somebody_looks_for_stands_in_no_address(site: Site) -> None:
    """Addresses rest in histories of shared workstations, and in the logs of proxies."""
    us, stranger = surfer(site), surfer(site)
    shows = f'value="{NUMBER}"'
    led = us.post("/", name="*a*", id=NUMBER, offset="1")
    where = led.headers["location"]
    assert (led.status_code, where.startswith("/?q=")) == (303, True)
    page = us.get(where).text
    assert shows in page
    ways = re.findall(r'(?:href|action)="(/\?[^"]*)"', page)
    assert ways
    for address in (where, *ways):
        assert NUMBER not in unquote(address)
    shown = [us.get(address).text for address in ways]
    assert all(shows in text for text in shown)
    for who, address in ((stranger, where), (us, where[:-2] + "AA"), (us, "/?q=%C3%A9")):
        answer = who.get(address)
        assert (answer.status_code, shows in answer.text) == (200, False)
    assert us.post("/", name=" ").headers["location"] == "/"
    assert us.client.post(site.address.url + "/", data={"name": "Adams"}).status_code == 403


def test_the_viewer_leads_back_to_the_search_somebody_came_from(site: Site) -> None:
    """It led to the whole list: whoever went through ten hits searched ten times."""
    us = surfer(site)
    where = us.post("/", name="adams").headers["location"]
    way = way_of(us.get(where).text, r'href="(/view/[^"]+)"')
    assert NUMBER not in unquote(way)
    viewer = us.get(way).text
    back = way_of(viewer, r'<a class="tool" href="([^"]+)"')
    assert 'value="adams"' in us.get(back).text
    onward = way_of(viewer, r'data-do="next" href="([^"]+)"')
    assert way_of(us.get(onward).text, r'<a class="tool" href="([^"]+)"') == back
    assert way_of(us.get("/?offset=1").text, r'href="/view/[^"?]+\?from=([^"]+)"') == "offset%3D1"


@pytest.mark.parametrize(
    ("origin", "back"),
    [
        ("study", f"/study/{uid(1)}"),
        ("", "/"),
        ("https://evil.example/", "/"),
        ("//evil.example", "/"),
        ("name=Doe&offset=25", "/?offset=25"),
    ],
)
def test_the_viewer_leads_back_to_pages_of_ours_alone(site: Site, origin: str, back: str) -> None:
    text = site.client.get(f"{site.address.url}/view/{uid(1)}", params={"from": origin}).text
    assert way_of(text, r'<a class="tool" href="([^"]+)"') == back


def test_the_page_of_a_study_leads_into_the_viewer_and_back(site: Site) -> None:
    us = surfer(site)
    ways = re.findall(r'href="(/view/[^"]+)"', us.get(f"/study/{uid(1)}").text)
    assert len(ways) >= 2
    for way in map(unescape, ways):
        back = way_of(us.get(way).text, r'<a class="tool" href="([^"]+)"')
        assert back == f"/study/{uid(1)}"


def way_of(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, pattern
    return unescape(found[1])


def test_every_page_carries_the_headers_of_a_page(site: Site) -> None:
    for path, status in (("/", 200), ("/viewer/", 503), ("/viewer/none.js", 503)):
        answer = site.client.get(f"{site.address.url}{path}")
        assert answer.status_code == status
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_without_the_viewer_the_pages_say_how_to_get_it(site: Site) -> None:
    assert "make viewer" in site.client.get(site.address.url).text
    assert "vna viewer install" in site.client.get(f"{site.address.url}/viewer").text


def test_who_cannot_bring_the_viewer_is_not_told_to(postgres: TestPostgres, tmp_path: Path) -> None:
    with serving(postgres, tmp_path, dev=False) as site:
        site.archive.take(ct().part10())
        assert "make viewer" not in signed_in(site, "clerk", "records-clerk").get("/").text
        assert "make viewer" in signed_in(site, "head", "archive-administrator").get("/").text


def test_only_the_files_of_the_list_are_served(postgres: TestPostgres, tmp_path: Path) -> None:
    with serving(postgres, tmp_path) as site:
        folder = site.archive.settings.data / "viewer"
        folder.mkdir(parents=True)
        (folder / "0").write_text("<html>index</html>")
        (folder / "1").write_text("x" * 2000)
        (folder / "1.gz").write_bytes(b"zipped")
        (folder / "secret").write_text("secret")
        entry = {"media": "text/html; charset=utf-8", "zipped": False, "etag": "e"}
        files = {
            "index.html": {**entry, "file": 0, "scripts": ["sha256-abc"]},
            "app.js": {"file": 1, "media": "text/javascript", "zipped": True, "etag": "f"},
        }
        (folder / "files.json").write_text(json.dumps(files))
        get = site.client.get
        base = f"{site.address.url}/viewer"

        index = get(f"{base}/")
        assert index.text == "<html>index</html>"
        assert "'sha256-abc'" in index.headers["content-security-policy"]
        assert index.headers["cross-origin-embedder-policy"] == "require-corp"
        assert get(f"{base}/viewer?StudyInstanceUIDs=1.2").text == index.text
        plain = get(f"{base}/app.js", headers={"accept-encoding": "identity"})
        assert plain.text == "x" * 2000
        with site.client.stream("GET", f"{base}/app.js", headers={"accept-encoding": "gzip"}) as a:
            assert a.headers["content-encoding"] == "gzip"
            assert b"".join(a.iter_raw()) == b"zipped"
        assert get(f"{base}/app.js", headers={"if-none-match": '"f"'}).status_code == 304
        for path in ("secret.txt", "files.json", "../secret.x", "%2e%2e/keys/root.key"):
            assert get(f"{base}/{path}").status_code == 404
        config = get(f"{base}/app-config.js").text
        assert '"routerBasename": "/viewer"' in config
        assert "http" not in config  # nothing but this site
