"""Signing in at an identity provider, and its tokens on DICOMweb: at a real one, over HTTP."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.web.conftest import NO_TLS, Site, serving
from tests.web.people import SHELL, Surfer, bearer, people_of, signed_in, surfer
from tests.web.provider import AUDIENCE, SECRET, Provider, free_port, provider
from vna.access import federation, issuers
from vna.access.accounts import SERVICE
from vna.errors import ConfigError, Conflict, NotPermitted
from vna.web import identity

BACK = "/login/sso/return"
FILE = ct()


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def site(
    postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory, port: int
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    secret = folder / "secret"
    secret.write_text(SECRET + "\n")
    issuer = f"http://127.0.0.1:{port}"
    oidc = {
        "issuer": issuer,
        "client_id": "archive",
        "client_secret_file": str(secret),
        "roles_claim": "groups",
        "roles_of": "readers=radiologist,clinic=referring",
        "provision": True,
    }
    jwt = {"issuer": issuer, "audience": AUDIENCE, "scope_prefix": "vna."}
    with serving(postgres, folder, dev=False, oidc=oidc, jwt=jwt) as site:
        site.archive.take(FILE.part10())
        yield site


@pytest.fixture(scope="module", params=["yes", "no"], ids=["id-token", "userinfo"])
def idp(request: pytest.FixtureRequest, site: Site, port: int) -> Iterator[Provider]:
    back = site.address.url + BACK
    with provider(back, claims_in_token=request.param == "yes", port=port) as found:
        yield found


@pytest.fixture(autouse=True)
def at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "BELIEVED_S", -1.0)
    monkeypatch.setattr(identity, "_FAILURES", 10_000)
    # the provider is started anew between tests, with other keys
    monkeypatch.setattr(issuers, "_AGAIN_S", -1.0)
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM rate")
        tx.execute("DELETE FROM account WHERE kind = 'person'")
        tx.execute("DELETE FROM ceremony")


def away(who: Surfer) -> str:
    """Press the button of the page of signing in; return where it leads."""
    assert "organisation" in who.get("/login").text
    led = who.get("/login/sso")
    assert led.status_code == 303
    return led.headers["location"]


def back(who: Surfer, where: str, **other: str) -> httpx.Response:
    """Come back as a browser does: without the cookie, then by the form of that page."""
    with httpx.Client(verify=NO_TLS) as stranger:
        page = stranger.get(where)
    assert (page.status_code, "set-cookie" in page.headers) == (200, False)
    fields = dict(re.findall(r'name="(state|code)" value="([^"]*)"', page.text))
    sent = {name: unescape(value) for name, value in fields.items()} | other
    return who.client.post(who.site.address.url + BACK, data=sent)


def sign_in(site: Site, idp: Provider, name: str) -> tuple[Surfer, httpx.Response]:
    who = surfer(site)
    with httpx.Client(verify=NO_TLS) as there:
        return who, back(who, idp.signed_in(there, away(who), name))


def test_who_is_expected_comes_in_and_is_known_by_the_subject_from_then_on(
    site: Site, idp: Provider
) -> None:
    people = people_of(site)
    people.accounts.add(SHELL, "ann", ["referring"])
    people.federation.expect(SHELL, "ann")
    who, answer = sign_in(site, idp, "ann+readers")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert FILE.study in who.get("/dicom-web/studies").text
    assert people.accounts.find("ann").roles == ("radiologist",)
    # another subject that claims the same login is not ann
    _, refused = sign_in(site, idp, "ann+clinic")
    assert refused.status_code == 401
    with site.archive.database.reading() as conn:
        kinds = conn.execute("SELECT kind, outcome, principal FROM audit ORDER BY id").fetchall()
    assert ("login", "done", "ann") in kinds
    assert ("login", "refused", "unknown") in kinds


def test_who_has_a_group_gets_an_account_and_who_has_none_does_not(
    site: Site, idp: Provider
) -> None:
    who, answer = sign_in(site, idp, "bob+clinic+unheard-of")
    assert answer.status_code == 303
    account = people_of(site).accounts.find("bob")
    assert (account.roles, account.is_federated, account.state) == (("referring",), True, "active")
    assert who.get("/dicom-web/studies").json() == []
    _, none = sign_in(site, idp, "eve+strangers")
    assert (none.status_code, "None of your groups" in none.text) == (401, True)
    _, again = sign_in(site, idp, "bob+clinic+unheard-of")
    assert again.status_code == 303


def test_who_comes_back_from_the_provider_reads_their_own_language(
    site: Site, idp: Provider
) -> None:
    who = surfer(site)
    who.client.headers["accept-language"] = "de"
    page = who.get(f"{BACK}?state=x&code=y").text
    assert '<html lang="de"' in page
    assert "Weiter" in page
    with httpx.Client(verify=NO_TLS) as there:
        none = back(who, idp.signed_in(there, away(who), "eve+strangers"))
    assert (none.status_code, "Keine Ihrer Gruppen" in none.text) == (401, True)


def test_what_is_begun_and_not_ended_is_limited_and_who_comes_back_does_not_count(
    site: Site, idp: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(federation, "_FLOWS", 2)
    for number in range(4):
        assert sign_in(site, idp, f"n{number}+clinic")[1].status_code == 303
    for _ in range(2):
        away(surfer(site))
    assert surfer(site).get("/login/sso").status_code == 429


def test_a_local_account_of_the_same_login_is_not_taken_over(site: Site, idp: Provider) -> None:
    people_of(site).accounts.add(SHELL, "root", ["system-administrator"])
    _, answer = sign_in(site, idp, "root+readers")
    assert answer.status_code == 401
    assert people_of(site).accounts.find("root").roles == ("system-administrator",)


def test_a_disabled_account_stays_out(site: Site, idp: Provider) -> None:
    who, _ = sign_in(site, idp, "cid+readers")
    people_of(site).accounts.disable(SHELL, "cid")
    assert who.get("/dicom-web/studies").status_code == 401
    _, answer = sign_in(site, idp, "cid+readers")
    assert answer.status_code == 401


def test_an_answer_counts_once_and_in_the_browser_that_asked(site: Site, idp: Provider) -> None:
    mallory, victim = surfer(site), surfer(site)
    with httpx.Client(verify=NO_TLS) as there:
        where = idp.signed_in(there, away(mallory), "mal+readers")
    away(victim)
    assert back(victim, where).status_code == 401  # a planted sign-in
    first = back(mallory, where)
    assert first.status_code == 303
    assert back(mallory, where).status_code in (401, 403)
    with httpx.Client(verify=NO_TLS) as there:
        other = surfer(site)
        where = idp.signed_in(there, away(other), "mal+readers")
        assert back(other, where, state="A" * 43).status_code == 401
        assert back(other, where).status_code == 401  # the flow is used up


def test_a_code_without_its_verifier_is_of_no_use(site: Site, idp: Provider) -> None:
    thief, owner = surfer(site), surfer(site)
    with httpx.Client(verify=NO_TLS) as there:
        stolen = idp.signed_in(there, away(owner), "own+readers")
    code = parse_qs(urlsplit(stolen).query)["code"][0]
    state = parse_qs(urlsplit(away(thief)).query)["state"][0]
    where = site.address.url + BACK + "?" + urlencode({"code": code, "state": state})
    assert back(thief, where).status_code == 401


def test_confirming_asks_there_anew(site: Site, idp: Provider) -> None:
    who, _ = sign_in(site, idp, "dora+readers")
    with site.archive.database.transaction() as tx:
        tx.execute("UPDATE session SET proven_at = now() - interval '6 minutes'")
    assert "Sign in again" in who.get("/confirm?next=/account").text
    led = who.get("/login/sso").headers["location"]
    assert parse_qs(urlsplit(led).query)["prompt"] == ["login"]
    with httpx.Client(verify=NO_TLS) as there:
        answer = back(who, idp.signed_in(there, led, "dora+readers"))
    assert answer.headers["location"] == "/account"
    assert who.get("/emergency").status_code == 200
    with site.archive.database.transaction() as tx:
        tx.execute("UPDATE session SET proven_at = now() - interval '6 minutes'")
    with httpx.Client(verify=NO_TLS) as there:
        led = who.get("/login/sso").headers["location"]
        other = back(who, idp.signed_in(there, led, "else+readers"))
    assert other.status_code == 401
    assert who.get("/emergency").headers["location"] == "/confirm?next=/emergency"


def test_no_passphrase_opens_such_an_account(site: Site, idp: Provider) -> None:
    sign_in(site, idp, "fay+readers")
    answer = surfer(site).post("/login", login="fay", passphrase="four green bicycles")
    assert answer.status_code == 401
    for act in (people_of(site).accounts.invite, people_of(site).accounts.reset):
        with pytest.raises(Conflict):
            act(SHELL, "fay")


def test_such_an_account_is_offered_no_factor_of_its_own(site: Site, idp: Provider) -> None:
    who, _ = sign_in(site, idp, "gil+readers")
    page = who.get("/account").text
    assert "This browser" in page
    for way in ("passkey", "Authenticator app", "Make new ones"):
        assert way not in page
    sent = {"form": who.token("/confirm?next=/emergency") if "form" in page else ""}
    for path in ("/account/recovery-codes", "/account/passkeys/begin"):
        answer = who.client.post(
            site.address.url + path, data=sent, headers={"x-vna-form": sent["form"]}
        )
        assert answer.status_code == 403, path


def test_a_provider_that_is_away_is_told_and_local_sign_in_stays(
    postgres: TestPostgres, tmp_path: Path
) -> None:
    issuer = f"http://127.0.0.1:{free_port()}"
    oidc = {"issuer": issuer, "client_id": "archive"}
    jwt = {"issuer": issuer, "audience": AUDIENCE}
    with serving(postgres, tmp_path, dev=False, oidc=oidc, jwt=jwt) as lonely:
        assert surfer(lonely).get("/login/sso").status_code == 503
        assert surfer(lonely).get("/login").status_code == 200
        claims = base64.urlsafe_b64encode(json.dumps({"iss": issuer}).encode()).decode()
        token = f"eyJhbGciOiJSUzI1NiJ9.{claims.rstrip('=')}.AAAA"
        assert asked(lonely, token) == 503
        signed_in(lonely, "local", "radiologist")


# ---- bearer tokens ------------------------------------------------------------------------------


@pytest.fixture
def gateway(site: Site, idp: Provider) -> Iterator[Provider]:
    people = people_of(site)
    people.accounts.add(SHELL, "gateway", ["service"], kind=SERVICE)
    people.federation.name(SHELL, "gateway", "gateway")
    yield idp
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM account WHERE login = 'gateway'")


def asked(site: Site, token: str, path: str = "/studies") -> int:
    return site.client.get(site.root + path, headers=bearer(token)).status_code


def test_a_token_of_the_issuer_opens_what_its_scopes_say(site: Site, gateway: Provider) -> None:
    token = gateway.token()
    assert asked(site, token) == 200
    assert asked(site, token, f"/studies/{FILE.study}") == 200
    narrow = gateway.token("vna.query")
    assert asked(site, narrow) == 200
    assert asked(site, narrow, f"/studies/{FILE.study}") == 403
    stored = site.store(FILE.part10(), authorization=f"Bearer {token}")
    assert stored.status_code == 403
    with site.archive.database.reading() as conn:
        rows = conn.execute("SELECT principal FROM audit WHERE kind = 'read'").fetchall()
    assert ("gateway",) in rows


def test_a_token_of_a_disabled_service_or_of_nobody_known_opens_nothing(
    site: Site, gateway: Provider
) -> None:
    token = gateway.token()
    people_of(site).accounts.disable(SHELL, "gateway")
    assert asked(site, token) == 401
    people_of(site).accounts.enable(SHELL, "gateway")
    assert asked(site, token) == 200
    with site.archive.database.transaction() as tx:
        tx.execute("UPDATE external_identity SET subject = 'another'")
    assert asked(site, token) == 401


def test_a_token_that_was_changed_opens_nothing(site: Site, gateway: Provider) -> None:
    head, body, sign = gateway.token().split(".")
    flipped = "B" if sign[10] != "B" else "C"
    for token in (
        f"{head}.{body}.{sign[:10]}{flipped}{sign[11:]}",
        f"{head}.{body}.",
        f"eyJhbGciOiJub25lIn0.{body}.",
        "x.y.z",
        "x" * 20000,
    ):
        assert asked(site, token) == 401


def test_people_s_tokens_open_nothing(site: Site, idp: Provider) -> None:
    sign_in(site, idp, "gil+readers")
    people = people_of(site)
    with pytest.raises(Conflict):
        people.federation.name(SHELL, "gil", "gateway")
    assert asked(site, idp.token()) == 401


def test_who_may_not_manage_accounts_does_not(site: Site) -> None:
    nobody = people_of(site).tokens.service(1, "x", ["service"], None, None)
    for act in (
        lambda: people_of(site).federation.expect(nobody, "x"),
        lambda: people_of(site).federation.name(nobody, "x", "y"),
    ):
        with pytest.raises(NotPermitted):
            act()


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.example",
        "ftp://127.0.0.1",
        "//idp.example",
        "https://",
        "https://user:pass@idp.example",
        "http://169.254.169.254/",
        "file:///etc/passwd",
    ],
)
def test_a_provider_is_spoken_to_by_https(url: str) -> None:
    with pytest.raises(ConfigError):
        issuers.require_safe(url)
    issuers.require_safe("https://idp.example/realm")


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("oidc", {"issuer": "https://idp.example"}),
        ("oidc", {"issuer": "https://idp.example", "client_id": "x", "roles_of": "a=nothing"}),
        ("oidc", {"issuer": "https://idp.example", "client_id": "x", "ca": "/nowhere"}),
        ("jwt", {"issuer": "https://idp.example"}),
        ("jwt", {"issuer": "http://idp.example", "audience": "x"}),
    ],
)
def test_settings_that_are_not_sound_are_told_at_the_start(
    postgres: TestPostgres, tmp_path: Path, section: str, values: dict[str, str]
) -> None:
    with pytest.raises(ConfigError), serving(postgres, tmp_path, **{section: values}):
        raise AssertionError("it must not start")
