"""Signing in over HTTP: forms, cookies, tokens, what is refused and what every page carries."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pyotp
import pytest

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.web.conftest import NO_TLS, Site, body_of, running, serving
from tests.web.people import (
    PASSPHRASE,
    SHELL,
    bearer,
    enrolled,
    lets_out_within_a_second,
    people_of,
    signed_in,
    surfer,
    token_of,
)
from vna.access.signing import SignIn
from vna.crypto import certificates
from vna.web.asgi import create
from vna.web.multipart import multipart_type


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as site:
        yield site


@pytest.fixture(autouse=True)
def fresh_limits(site: Site) -> None:
    """Every test comes from the same address; none is to be slowed down by another."""
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM rate")


def test_a_person_enrols_signs_out_and_in_again(site: Site) -> None:
    people_of(site).accounts.add(SHELL, "ada", ["radiologist"])
    link = people_of(site).accounts.invite(SHELL, "ada")
    ada = surfer(site)
    assert ada.post("/enrol", link=link).headers["location"] == "/enrol/passphrase"
    wrong = ada.post("/enrol/passphrase", passphrase=PASSPHRASE, again="another")
    assert (wrong.status_code, "not the same" in wrong.text) == (400, True)
    done = ada.post("/enrol/passphrase", passphrase=PASSPHRASE, again=PASSPHRASE)
    assert done.headers["location"] == "/enrol/factor"
    page = ada.get("/enrol/factor").text
    assert "<svg" in page
    found = re.search(r'class="secret">([A-Z2-7 ]+)<', page)
    assert found is not None
    app = pyotp.TOTP(found[1].replace(" ", ""))
    codes = re.findall(
        r"<code>([0-9A-Z-]{14})</code>", ada.post("/enrol/factor", code=app.now()).text
    )
    assert len(codes) == 10
    assert "Studies" in ada.get("/").text
    assert ada.post("/logout", page="/account").headers["location"] == "/login"
    assert ada.get("/account").headers["location"] == "/login"
    assert ada.post("/login", login="ADA", passphrase=PASSPHRASE).status_code == 303
    assert ada.get("/").headers["location"] == "/login/factor"
    later = app.at(int(time.time()) + 30)
    assert ada.post("/login/factor", code=later).headers["location"] == "/"
    assert ada.get("/").status_code == 200


def test_a_wrong_name_and_a_wrong_passphrase_look_alike(site: Site) -> None:
    enrolled(site, "berta")
    pages = []
    for login, passphrase in (("berta", "wrong wrong wrong"), ("nobody", "wrong wrong wrong")):
        answer = surfer(site).post("/login", login=login, passphrase=passphrase)
        assert answer.status_code == 401
        pages.append(re.sub(r'(value|nonce|data-form)="[^"]*"', "", answer.text))
    assert pages[0] == pages[1]


def test_who_guesses_is_locked_out_and_told_when_to_come_back(site: Site) -> None:
    enrolled(site, "carl")
    guesser = surfer(site)
    for _ in range(5):
        assert guesser.post("/login", login="carl", passphrase="no no no no").status_code == 401
    locked = guesser.post("/login", login="carl", passphrase=PASSPHRASE)
    assert locked.status_code == 429


def test_a_planted_cookie_is_never_signed_in(site: Site) -> None:
    _, codes = enrolled(site, "dora")
    dora = surfer(site)
    planted = "P" * 43
    dora.client.cookies.set("vna", planted, domain="127.0.0.1", path="/")
    seen = {planted}
    for path, fields in (
        ("/login", {"login": "dora", "passphrase": PASSPHRASE}),
        ("/login/factor", {"code": codes[0]}),
    ):
        assert dora.post(path, **fields).status_code == 303
        now = [c.value for c in dora.client.cookies.jar if c.name == "vna" and c.value not in seen]
        assert len(now) == 1
        dora.client.cookies.clear()
        dora.client.cookies.set("vna", str(now[0]))
        seen.add(str(now[0]))
    assert dora.get("/").status_code == 200
    for old in seen - {dora.cookie()}:
        stranger = surfer(site)
        stranger.client.cookies.set("vna", old)
        assert stranger.get("/account").status_code == 303


def test_a_form_without_its_token_or_from_another_site_is_refused(site: Site) -> None:
    emil = signed_in(site, "emil")
    url = site.address.url + "/account/recovery-codes"
    token = emil.token("/account")
    for fields, headers in (
        ({"x": "y"}, {}),
        ({"form": "x"}, {}),
        ({"form": surfer(site).token("/login")}, {}),
        ({"form": token}, {"origin": "https://evil.example"}),
        ({"form": token}, {"sec-fetch-site": "cross-site"}),
        ({"form": token}, {"origin": "null", "sec-fetch-site": "cross-site"}),
    ):
        assert emil.client.post(url, data=fields, headers=headers).status_code == 403
    assert emil.client.post(url, json={"form": token}).status_code == 400
    assert emil.client.post(url, data={"form": token, "x": "y" * 20000}).status_code == 413
    assert emil.client.post(url, data={"form": token}).status_code == 200


def test_another_site_cannot_store_with_somebody_s_cookie(site: Site) -> None:
    franz = signed_in(site, "franz")
    headers = {"content-type": multipart_type("application/dicom", "b")}
    for more, status in (({"origin": "https://evil.example"}, 403), ({}, 200)):
        answer = franz.client.post(
            f"{site.root}/studies", content=body_of(ct().part10()), headers={**headers, **more}
        )
        assert answer.status_code == status, answer.text


def test_the_session_works_for_pages_viewer_and_dicomweb(site: Site) -> None:
    greta = signed_in(site, "greta")
    assert greta.get("/").status_code == 200
    assert greta.get("/viewer/").status_code == 503  # not installed here, but let in
    assert greta.get("/viewer/app-config.js").status_code == 200
    assert greta.get("/dicom-web/studies").status_code == 200


def test_who_is_not_signed_in_is_led_to_sign_in_and_programs_are_told(site: Site) -> None:
    for path in ("/account", "/study/1.2", "/viewer/x"):
        assert surfer(site).get(path).headers["location"] == "/login"
    told = surfer(site).get("/dicom-web/studies")
    assert told.status_code == 401
    assert told.headers["www-authenticate"] == 'Bearer realm="vna"'
    assert surfer(site).get("/metrics").status_code == 401
    for probe in ("/livez", "/readyz"):
        assert surfer(site).get(probe).json() == {"status": "ok"}


def test_who_sends_a_form_after_the_session_ended_is_told_that_nothing_was_done(
    site: Site,
) -> None:
    said = "What you sent last was not done"
    grace = signed_in(site, "grace", "records-clerk")
    grace.client.cookies.clear()
    fields = {"form": "x", "recipient": "Dr. Kim"}
    way = grace.client.post(f"{site.address.url}/study/1.2/share", data=fields)
    assert (way.status_code, way.headers["location"]) == (303, "/login?ended=yes")
    page = grace.get(way.headers["location"]).text
    assert said in page
    assert "Kim" not in page
    assert said not in grace.get("/login").text
    out = grace.client.post(f"{site.address.url}/logout", data={"form": "x"})
    assert out.headers["location"] == "/login"  # which was done, in a way


@pytest.mark.parametrize(
    ("sent", "back"),
    [
        ("/my/share/17/whom", "/my/share/17/whom"),
        ("/my/share/17/send", "/my/share/17/check"),
        ("/my/share/17/test", "/my/share/17/check"),
        ("/my/requests", "/my/requests"),
        ("/my/requests/5/withdraw", "/my/requests"),
        ("/my/account/contact", "/my/account"),
        ("/my/study/1.2.3/sealed", "/my"),
    ],
)
def test_a_patient_whose_session_ended_is_led_back_to_what_they_were_at(
    site: Site, sent: str, back: str
) -> None:
    who = surfer(site)
    way = who.client.post(f"{site.address.url}{sent}", data={"form": "x", "words": "Ada"})
    assert (way.status_code, way.headers["location"]) == (303, f"/login?ended=yes&next={back}")
    page = who.get(way.headers["location"]).text
    assert "What you sent last was not done" in page
    assert f'name="next" value="{back}"' in page
    assert who.get(back).headers["location"] == f"/login?next={back}"


def test_the_viewer_s_study_is_gone_on_with_and_nothing_else(site: Site) -> None:
    _, codes = enrolled(site, "hans")
    hans = surfer(site)
    wanted = "/viewer/viewer?StudyInstanceUIDs=1.2.3"
    way = hans.get(wanted).headers["location"]
    assert way.startswith("/login?next=")
    found = re.search(r'name="next" value="([^"]*)"', hans.get(way).text)
    assert found is not None
    assert unescape(found[1]) == wanted
    hans.post("/login", login="hans", passphrase=PASSPHRASE, next=wanted)
    gone_on = hans.post("/login/factor", code=codes[0], next=wanted)
    assert gone_on.headers["location"] == wanted
    for evil in (
        "https://evil.example",
        "//evil.example",
        "/?name=Ada",
        wanted + "&x=//",
        "/my/../login",
        "/my//evil",
    ):
        assert (
            'name="next" value="/"'
            in surfer(site).client.get(f"{site.address.url}/login", params={"next": evil}).text
        )


def test_a_token_lets_a_program_in_until_it_is_revoked(site: Site) -> None:
    secret = token_of(site, "pacs")
    assert site.get("/studies", **bearer(secret)).status_code == 200
    assert site.get("/studies", authorization=f"bearer  {secret}").status_code == 200
    token = next(t for t in people_of(site).tokens.all(SHELL) if t.login == "pacs")
    people_of(site).tokens.revoke(SHELL, token.token_id)
    lets_out_within_a_second(lambda: site.get("/studies", **bearer(secret)))
    # who guessed here before has used up the address's failures
    assert site.get("/studies", **bearer(secret)).status_code in (401, 429)


def test_a_disabled_person_is_out_within_a_second(site: Site) -> None:
    ida = signed_in(site, "ida")
    assert ida.get("/dicom-web/studies").status_code == 200
    people_of(site).accounts.disable(SHELL, "ida")
    lets_out_within_a_second(lambda: ida.get("/dicom-web/studies"))


@pytest.mark.parametrize(
    "field", ["Basic YTpi", "Bearer", "Bearer x", "Bearer vna_" + "A" * 43, "x", "Bearer \xff"]
)
def test_a_credential_that_is_none_is_refused_and_a_cookie_does_not_mend_it(
    site: Site, field: str
) -> None:
    kurt = signed_in(site, f"kurt{abs(hash(field)) % 10**9}")
    answer = kurt.client.get(
        f"{site.root}/studies", headers=[(b"authorization", field.encode("latin-1"))]
    )
    assert answer.status_code in (401, 429)


def test_who_guesses_tokens_is_told_to_slow_down_and_the_right_one_still_works(
    site: Site,
) -> None:
    secret = token_of(site, "gateway")
    found = [site.get("/studies", **bearer(f"vna_{n:043}")).status_code for n in range(30)]
    assert set(found) <= {401, 429}
    assert found[-1] == 429
    assert site.get("/studies", **bearer(secret)).status_code == 200


def test_a_viewer_s_many_requests_ask_the_database_seldom(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = token_of(site, "viewer")
    asked = []
    tokens = type(people_of(site).tokens)
    before = tokens.principal

    def counting(self: object, *args: object) -> object:
        asked.append(args)
        return before(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(tokens, "principal", counting)
    began = time.monotonic()
    for _ in range(50):
        assert site.get("/studies/1.2.3", **bearer(secret)).status_code == 404
    took = time.monotonic() - began
    assert len(asked) <= took / 0.5 + 1


def test_hashing_a_passphrase_holds_nobody_else_up(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(*_: object) -> str:
        begun.set()
        assert go_on.wait(60)
        return before(*_)  # type: ignore[arg-type]

    before = SignIn.passphrase
    monkeypatch.setattr(SignIn, "passphrase", slow)
    page = surfer(site)
    token = page.token("/login")
    sent = {"form": token, "login": "nobody", "passphrase": "x"}
    poster = threading.Thread(
        target=page.client.post, args=(site.address.url + "/login",), kwargs={"data": sent}
    )
    poster.start()
    assert begun.wait(60)
    assert surfer(site).get("/login").status_code == 200
    assert surfer(site).get("/readyz").status_code == 200
    go_on.set()
    poster.join(60)


def test_one_ends_another_browser_of_one_s_own(site: Site) -> None:
    here = signed_in(site, "lara")
    there = surfer(site)
    codes = re.findall(
        r"<code>([0-9A-Z-]{14})</code>",
        here.post("/account/recovery-codes", page="/account").text,
    )
    there.post("/login", login="lara", passphrase=PASSPHRASE)
    there.post("/login/factor", code=codes[0])
    assert there.get("/account").status_code == 200
    found = re.search(r'name="session" value="(\d+)"', here.get("/account").text)
    assert found is not None
    assert here.post("/account/sessions/end", page="/account", session="0").status_code == 404
    here.post("/account/sessions/end", page="/account", session="others")
    lets_out_within_a_second(lambda: there.get("/account"))
    assert here.get("/account").status_code == 200


PAGES = ["/login", "/enrol", "/", "/account", "/viewer/", "/static/portal.css"]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_carries_what_keeps_it_to_itself(site: Site, path: str) -> None:
    is_open = path in ("/login", "/enrol")
    visitor = surfer(site) if is_open else signed_in(site, f"m{PAGES.index(path)}")
    headers = visitor.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers
    if not path.startswith("/static"):
        assert headers["cache-control"] == "no-store"
        policy = headers["content-security-policy"]
        for rule in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self'"):
            assert rule in policy
        assert "unsafe-inline" not in policy


def test_under_tls_the_cookie_is_bound_to_the_host_and_plain_is_over(
    site: Site, tmp_path: Path
) -> None:
    files = tmp_path / "server.crt", tmp_path / "server.key"
    certificates.make(*files, ["127.0.0.1"])
    with running(create(site.engines), tls=files) as address:
        with httpx.Client(verify=False) as client:  # noqa: S501 -- our own, made a moment ago
            answer = client.get(f"https://127.0.0.1:{address.port}/login")
            probe = client.get(f"https://127.0.0.1:{address.port}/livez")
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-vna=")
        for part in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
            assert part in cookie
        assert "Domain" not in cookie
        for one in (answer, probe):
            assert one.headers["strict-transport-security"] == "max-age=31536000"
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{address.url}/login", verify=NO_TLS)


def test_under_development_there_is_nothing_to_sign_in_to(
    postgres: TestPostgres, tmp_path: Path
) -> None:
    with serving(postgres, tmp_path) as site:
        assert surfer(site).get("/login").status_code == 404
        assert surfer(site).get("/").status_code == 200


def test_a_wrong_passphrase_is_told_with_a_way_to_get_in(site: Site) -> None:
    """What was typed is not sent back: it may be a mail address, or a passphrase in its place."""
    enrolled(site, "lou")
    lou = surfer(site)
    refused = lou.post("/login", login="lou@example.org", passphrase="four green bananas")
    assert refused.status_code == 401
    assert "You get a new code at the desk" in refused.text
    assert "lou@" not in refused.text
    assert "four green bananas" not in refused.text
    lou.post("/login", login="lou", passphrase=PASSPHRASE)
    assert "You get a new code at the desk" in lou.get("/login/factor").text
