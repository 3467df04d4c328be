"""Pages of shares over HTTP, without scripts: opening, proving, looking, giving on, ways out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest

from tests.conftest import TestPostgres
from tests.factories import ct, uid
from tests.web.conftest import Site, running, serving
from tests.web.guests import NAME, caller, coded, inside, offered
from tests.web.people import signed_in
from vna.crypto import certificates
from vna.dicom.refs import UID, SeriesRef
from vna.web.asgi import create
from vna.web.portal import study, viewing

CANARIES = (NAME, "Doe", "Jane", "1970", "P-0001", "A-0001", "Chest", "Axial")
FILE = ct()


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as site:
        site.archive.take(FILE.part10())
        yield site


@pytest.fixture(autouse=True)
def fresh_limits(site: Site) -> None:
    """Every test comes from the same address; none is to be slowed down by another."""
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM rate")


def alert(answer: httpx.Response) -> str:
    found = re.search(r'role="(?:alert|status)">([^<]+)<', answer.text)
    assert found is not None, answer.text
    return unescape(found[1])


# -- the door --------------------------------------------------------------------------------------


def test_a_person_opens_a_link_shows_the_passcode_and_sees_whose_images_they_are(
    site: Site,
) -> None:
    share = offered(site, FILE)
    gray = caller(site)
    assert gray.open(str(share.secret)).headers["location"] == "/s/prove"
    asked = gray.get("/s/prove")
    assert "Type the passcode" in asked.text
    assert gray.prove(str(share.passcode)).headers["location"] == "/s/home"
    home = gray.get("/s/home").text
    for told in (NAME, "January 1, 1970", "Dr. Gray", "Example Practice", "Chest", share.number):
        assert told in home


def test_the_viewer_bears_the_name_of_who_sent_the_link(site: Site) -> None:
    undated = ct(7, values={"StudyDate": ""})
    site.archive.take(undated.part10())
    page = inside(site, offered(site, undated)).get(f"/s/view/{undated.study}").text
    assert f"<title>Images · {site.engines.settings.site.name}</title>" in page
    assert '<h1 class="unseen">Chest</h1>' in page  # no comma after which nothing comes


def test_a_study_of_more_series_than_a_page_lists_says_so_and_counts_them_all(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for series in range(1, 6):
        site.archive.take(ct(8, series).part10())
    first = SeriesRef(UID(uid(8)), UID(uid(8, 1)))
    whole, part = offered(site, ct(8)), offered(site, ct(8), studies=frozenset(), series={first})
    for module in (viewing, study):
        monkeypatch.setattr(module, "MOST_SERIES", 3)
    said = "It has more series than are listed here: 2 objects are in the others."
    gray = inside(site, whole)
    home = gray.get("/s/home").text
    assert "5 images" in home
    assert said in home
    assert "no report yet" not in home  # it may be in one of the others
    assert said in gray.get("/s/download").text
    clerk = signed_in(site, "clerk-of-many", "records-clerk")
    for path in (f"/study/{uid(8)}", f"/study/{uid(8)}/share"):
        assert said in clerk.get(path).text
    monkeypatch.setattr(viewing, "MOST_SERIES", 1)
    assert "more series" not in inside(site, part).get("/s/home").text


def test_nothing_of_the_patient_is_told_before_the_proof(site: Site) -> None:
    share = offered(site, FILE)
    gray = caller(site)
    pages = [gray.get("/s"), gray.open(str(share.secret)), gray.get("/s/prove")]
    pages += [gray.prove("WRONG-WRONG"), gray.get("/s/home"), gray.get(f"/s/view/{FILE.study}")]
    for answer in pages:
        assert not [word for word in CANARIES if word in answer.text]
        assert FILE.study not in answer.text


def test_who_only_looks_at_the_link_fifty_times_leaves_it_as_it_was(site: Site) -> None:
    share = offered(site, FILE)
    for number in range(50):
        scanner = caller(site)
        method = "HEAD" if number % 2 else "GET"
        answer = scanner.client.request(method, f"{site.address.url}/s")
        assert answer.status_code in (200, 405)
    detail = site.archive.sharing.detail(site.archive.who, share.share_id)
    assert (detail.summary.opens, detail.grants[0].first_open_at) == (0, None)
    assert inside(site, share).get("/s/home").status_code == 200


def test_a_whole_link_can_be_pasted_where_there_are_no_scripts(site: Site) -> None:
    share = offered(site, FILE)
    pasted = f"https://images.example.org/s#{share.secret}"
    assert caller(site).open(pasted).headers["location"] == "/s/prove"


def test_a_code_from_paper_opens_however_it_is_typed(site: Site) -> None:
    share = offered(site, FILE, printed=True)
    assert share.printed_code is not None
    typed = share.printed_code.lower().replace("-", " ")
    assert caller(site).open(typed).headers["location"] == "/s/prove"


@pytest.mark.parametrize("typed", ["A" * 43, "ABCD-EFGH-JKMN-PQRS", "nonsense", "", "#", "é" * 40])
def test_what_opens_nothing_gets_one_and_the_same_page(site: Site, typed: str) -> None:
    answer = caller(site).open(typed)
    assert answer.status_code in (400, 404)
    if answer.status_code == 404:
        assert alert(answer) == "There is no share for this link or code."
    assert "vna-share" not in answer.headers.get("set-cookie", "")


def test_wrong_passcodes_are_counted_and_the_last_locks_for_good(site: Site) -> None:
    share = offered(site, FILE)
    guesser = caller(site)
    guesser.open(str(share.secret))
    first = guesser.prove("NOT-THIS-ONE")
    assert (first.status_code, "19 tries are left" in first.text) == (401, True)
    for _ in range(18):
        assert guesser.prove("NOT-THIS-ONE").status_code == 401
    last = guesser.prove("NOT-THIS-ONE")
    assert last.status_code in (401, 403)
    again = caller(site).open(str(share.secret))
    assert (again.status_code, alert(again)[:9]) == (403, "There wer")
    assert "Ask the sender for a new link" in again.text
    assert share.number in again.text


def test_a_code_goes_out_when_a_person_opened_and_its_way_is_masked(site: Site) -> None:
    offered(site, FILE, **coded())
    secret = site.archive.posted.secret()
    gray = caller(site)
    opened = gray.open(secret)
    assert re.fullmatch(r"/s/prove\?wait=\d+", opened.headers["location"])
    asked = gray.get(opened.headers["location"]).text
    assert "A code is on its way to the phone …23." in asked
    assert 'autocomplete="one-time-code"' in asked
    assert "7700" not in asked
    wrong = gray.prove("00000000", way="sms")
    assert wrong.status_code == 401
    assert gray.prove(site.archive.posted.code(), way="sms").headers["location"] == "/s/home"


def test_a_link_that_ended_says_why_and_what_to_do(site: Site) -> None:
    revoked = offered(site, FILE)
    site.archive.sharing.revoke(site.archive.who, revoked.share_id, reason="a mistake")
    answer = caller(site).open(str(revoked.secret))
    assert (answer.status_code, "was ended" in answer.text) == (410, True)
    assert "a mistake" not in answer.text
    assert revoked.number in answer.text
    spent = offered(site, FILE, max_opens=1)
    inside(site, spent)
    used = caller(site).open(str(spent.secret))
    assert (used.status_code, "as often as it may" in used.text) == (410, True)


def test_a_link_whose_time_is_over_says_so_and_how_to_get_another(site: Site) -> None:
    share = offered(site, FILE)
    gray = inside(site, share)
    with site.archive.database.transaction() as tx:  # time passes
        for table in ("share", "share_grant"):
            tx.execute(
                f"UPDATE {table} SET created_at = now() - interval '9 days', "  # noqa: S608 -- ours
                "ends_at = now() - interval '1 day' WHERE share_id = %s",
                (share.share_id,),
            )
    answer = caller(site).open(str(share.secret))
    assert (answer.status_code, "The time is over" in answer.text) == (410, True)
    assert "Ask the sender for a new link" in answer.text
    while gray.get("/s/home").status_code == 200:  # what was believed is asked again
        pass
    assert "This page is closed" in gray.get("/s/home").text


def test_who_gets_somebody_elses_link_stops_it(site: Site) -> None:
    share = offered(site, FILE)
    other = caller(site)
    other.open(str(share.secret))
    told = other.post("/s/not-me", "/s/prove")
    assert (told.status_code, "The link is stopped" in told.text) == (200, True)
    assert "stopped" in caller(site).open(str(share.secret)).text
    assert other.get("/s/prove").status_code == 401


def test_closing_ends_the_session(site: Site) -> None:
    gray = inside(site, offered(site, FILE))
    base = gray.base(FILE.study)
    assert gray.get(f"{base}/studies").status_code == 200
    kept = dict(gray.client.cookies)
    assert gray.post("/s/leave", "/s/home").headers["location"] == "/s"
    gray.client.cookies.update(kept)
    assert gray.get("/s/home").status_code == 401


# -- forms and cookies -----------------------------------------------------------------------------


def test_a_form_that_is_not_ours_does_nothing(site: Site) -> None:
    share = offered(site, FILE)
    gray = caller(site)
    gray.get("/s")
    url = f"{site.address.url}/s/open"
    bare = gray.client.post(url, data={"link": str(share.secret)})
    assert bare.status_code == 403
    foreign = {"origin": "https://elsewhere.example", "sec-fetch-site": "cross-site"}
    token = re.search(r'name="form" value="([^"]+)"', gray.get("/s").text)
    assert token is not None
    sent = {"form": token[1], "link": str(share.secret)}
    assert gray.client.post(url, data=sent, headers=foreign).status_code == 403
    assert gray.client.post(url, data=sent).status_code == 303


def test_cookies_of_a_share_are_hosts_own_strict_and_no_staff_cookie(
    site: Site, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    certificates.make(certificate, key, ["127.0.0.1"])
    share = offered(site, FILE)
    with running(create(site.engines), tls=(certificate, key)) as address:
        url = f"https://127.0.0.1:{address.port}"
        with httpx.Client(verify=False, base_url=url) as client:  # noqa: S501 -- made above
            first = client.get("/s")
            door = first.headers["set-cookie"]
            assert re.match(
                r"__Host-vna-door=[\w-]{43}; HttpOnly; Path=/; SameSite=lax; Secure", door
            )
            token = re.search(r'name="form" value="([^"]+)"', first.text)
            assert token is not None
            sent = {"form": token[1], "link": str(share.secret)}
            opened = client.post("/s/open", data=sent).headers["set-cookie"]
            wanted = r"__Host-vna-share=[\w-]{43}; HttpOnly; Path=/; SameSite=strict; Secure"
            assert re.match(wanted, opened)


@pytest.mark.parametrize("path", ["/s", "/s/prove", "/s/home", f"/s/view/{FILE.study}"])
def test_every_page_is_kept_by_nobody_and_tells_nobody(site: Site, path: str) -> None:
    answer = inside(site, offered(site, FILE)).get(path)
    assert answer.headers["cache-control"] == "no-store"
    if answer.status_code == 200:
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-robots-tag"] == "noindex"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_a_session_before_the_proof_is_led_to_the_proof(site: Site) -> None:
    half = caller(site)
    half.open(str(offered(site, FILE).secret))
    for path in ("/s/home", "/s/download", "/s/forward", f"/s/view/{FILE.study}"):
        assert half.get(path).headers["location"] == "/s/prove"


def test_staff_signed_in_are_nobody_on_the_pages_of_a_share(site: Site) -> None:
    ada = signed_in(site, "ada-at-shares")
    assert ada.get("/s/home").status_code == 401
    assert ada.get("/s/prove").status_code == 401


def test_pages_speak_the_language_of_the_browser(site: Site) -> None:
    german = caller(site).get("/s", accept_language="de-AT, en;q=0.5").text
    assert '<html lang="de" dir="ltr">' in german
    assert "Medizinische Bilder für Sie" in german


# -- giving on -------------------------------------------------------------------------------------


def test_who_may_gives_on_and_what_is_given_on_ends_with_the_first(site: Site) -> None:
    share = offered(site, FILE, forward=True)
    gray = inside(site, share)
    sent = gray.post(
        "/s/forward", "/s/forward", name="Dr. House", proof="passcode", days="5", download="yes"
    )
    assert sent.status_code == 200, sent.text
    link = re.search(r"/s#([\w-]{43})<", sent.text)
    passcode = re.search(r'class="shown-once">([^<]+)<', sent.text)
    assert link is not None
    assert passcode is not None
    house = caller(site)
    assert house.open(link[1]).headers["location"] == "/s/prove"
    assert house.prove(passcode[1]).headers["location"] == "/s/home"
    assert house.get("/s/forward").status_code == 404
    site.archive.sharing.revoke(site.archive.who, share.share_id, reason="over")
    assert caller(site).open(link[1]).status_code == 410


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "", "proof": "passcode", "days": "5"},
        {"name": "X", "proof": "none", "days": "5"},
        {"name": "X", "proof": "passcode", "days": "many"},
        {"name": "X", "proof": "sms", "phone": "12", "days": "5"},
        {"name": "X", "proof": "sms", "phone": "", "days": "5"},
    ],
)
def test_a_form_with_something_missing_is_shown_again_as_it_was_filled_in(
    site: Site, fields: dict[str, str]
) -> None:
    gray = inside(site, offered(site, FILE, forward=True))
    again = gray.post("/s/forward", "/s/forward", organisation="Princeton", **fields)
    assert again.status_code == 400
    assert 'role="alert"' in again.text
    assert 'value="Princeton"' in again.text


def test_who_may_not_give_on_finds_no_such_page(site: Site) -> None:
    gray = inside(site, offered(site, FILE))
    assert gray.get("/s/forward").status_code == 404
    assert "/s/forward" not in gray.get("/s/home").text


# -- the advanced viewer ---------------------------------------------------------------------------


def installed(site: Site) -> None:
    """Put a viewer of two files where an installed one would be."""
    folder = site.archive.settings.data / "viewer"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "0").write_text('<script src="/viewer/app-config.js"></script>')
    (folder / "1").write_text("code")
    entry = {"media": "text/html; charset=utf-8", "zipped": False, "etag": "e"}
    files = {
        "index.html": {**entry, "file": 0, "scripts": ["sha256-abc"]},
        "app.js": {"file": 1, "media": "text/javascript", "zipped": False, "etag": "f"},
    }
    (folder / "files.json").write_text(json.dumps(files))


def test_the_advanced_viewer_stands_on_the_shares_own_base(site: Site) -> None:
    installed(site)
    gray = inside(site, offered(site, FILE))
    light = gray.get(f"/s/view/{FILE.study}").text
    way = f"/s/viewer/viewer?StudyInstanceUIDs={FILE.study}"
    assert f'href="{way}"' in light
    page = gray.get(way)
    assert page.text == '<script src="/s/viewer/app-config.js"></script>'
    assert "'sha256-abc'" in page.headers["content-security-policy"]
    config = gray.get("/s/viewer/app-config.js").text
    base = re.search(r'"wadoRoot": "(/s/c/[\w-]{43}/dicom-web)"', config)
    assert base is not None
    assert '"showStudyList": false' in config
    assert gray.get(f"{base[1]}/studies").status_code == 200
    assert gray.get("/viewer/app.js").text == "code"


@pytest.mark.parametrize("path", ["/viewer/app-config.js", "/viewer/index.html", "/viewer/"])
def test_of_staffs_viewer_a_guest_gets_nothing_but_the_program(site: Site, path: str) -> None:
    installed(site)
    gray = inside(site, offered(site, FILE))
    assert gray.get(path).headers["location"].startswith("/login")
    assert caller(site).get("/viewer/app.js").headers["location"].startswith("/login")


def test_who_may_only_look_has_no_advanced_viewer(site: Site) -> None:
    installed(site)
    gray = inside(site, offered(site, FILE, download=False))
    assert "/s/viewer" not in gray.get(f"/s/view/{FILE.study}").text
    assert gray.get("/s/viewer/viewer").status_code == 404
    assert gray.get("/s/viewer/app-config.js").status_code == 404
    assert gray.get("/s/download").status_code == 404


def test_the_guide_is_there_for_anybody_in_plain_words_of_their_language(site: Site) -> None:
    for language, said in (("en", "Show that it is for you"), ("de", "Sehen Sie die Bilder an")):
        answer = site.client.get(
            f"{site.address.url}/s/help", headers={"accept-language": language}
        )
        assert answer.status_code == 200
        assert said in answer.text
        assert f'<html lang="{language}"' in answer.text
        assert "<form" not in answer.text
