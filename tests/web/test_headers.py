"""What every answer carries, whoever asks and whatever comes of it: pages, DICOMweb, refusals."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.web.conftest import NO_TLS, Site, running, serving
from tests.web.guests import inside, offered
from tests.web.people import Surfer, bearer, signed_in, surfer, token_of
from tests.web.test_matrix import NEEDED, PAGES
from vna.crypto import certificates
from vna.web import identity
from vna.web.asgi import create
from vna.web.exchange import URI_ROOT

FILE = ct(rows=16, columns=16)
NAMES = {
    "study": FILE.study, "series": FILE.series, "instance": FILE.instance, "frames": "1",
    "path": "7FE00010", "transaction": "1.2.3.4.5",
}  # fmt: skip
NUMBERED = ("share", "disc", "number", "draft")
FIXED = ("/static/", "/viewer/")  # the same for everybody, and nothing of a patient


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with serving(postgres, folder, dev=False, guests={"enabled": True}) as site:
        site.archive.take(FILE.part10())
        yield site


@pytest.fixture(autouse=True)
def not_slowed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_FAILURES", 10_000)


def page_of(path: str) -> str:
    """Write the path of a page whose things there are, or are not."""
    for name in NUMBERED:
        path = path.replace(f"{{{name}:int}}", "1")
    path = path.replace("{path:path}", "none.js").replace("{mark}", "m")
    return path.format(**NAMES)


def require_kept_to_itself(answer: httpx.Response, about: object) -> None:
    """What holds for every answer of ours."""
    fields = answer.headers
    assert fields.get_list("x-content-type-options") == ["nosniff"], about
    assert fields.get_list("referrer-policy") == ["no-referrer"], about
    assert fields.get_list("cross-origin-resource-policy") == ["same-origin"], about
    assert "frame-ancestors" in fields["content-security-policy"], about
    assert len(fields.get_list("cache-control")) == 1, about
    assert "access-control-allow-origin" not in fields, about
    assert "server" not in fields, about
    for cookie in fields.get_list("set-cookie"):
        assert "HttpOnly" in cookie and "SameSite=" in cookie, about  # noqa: PT018 -- of one cookie
    if fields.get("content-type", "").startswith("text/html"):
        policy = fields["content-security-policy"]
        assert "default-src 'none'" in policy, about
        assert "script-src 'self' 'nonce-" in policy, about
        assert "require-trusted-types-for 'script'; trusted-types 'none'" in policy, about
        assert "unsafe" not in policy, about
        assert fields["cross-origin-opener-policy"] == "same-origin", about


def kept_by_nobody(answer: httpx.Response, path: str) -> bool:
    return path.startswith(FIXED) or answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("role", [None, "archive-administrator", "system-administrator"])
def test_every_page_and_every_refusal_of_one_is_protected(site: Site, role: str | None) -> None:
    who = surfer(site) if role is None else signed_in(site, f"h-{role}", role)
    asked = [pair for pair in PAGES if pair[1] != "/logout"]
    asked += [("GET", "/there/is/no/such"), ("DELETE", "/login"), ("POST", "/livez")]
    for method, path in asked:
        if role is None:
            who.client.cookies.clear()
        answer = who.client.request(method, site.address.url + page_of(path))
        require_kept_to_itself(answer, (method, path))
        assert kept_by_nobody(answer, path), (method, path)


def dicomweb(ask: Surfer | httpx.Client, base: str, **fields: Any) -> Iterator[httpx.Response]:
    """Ask for every resource there is, and for what there is not."""
    client = ask.client if isinstance(ask, Surfer) else ask
    for method, names in [*NEEDED, ("GET", "no/such"), ("PUT", "studies"), ("OPTIONS", "studies")]:
        if method != "DELETE":
            yield client.request(method, f"{base}/{names.format(**NAMES)}", **fields)


def test_what_a_browser_shows_of_a_patient_is_kept_by_nobody(site: Site) -> None:
    ada = signed_in(site, "ada", "archive-administrator")
    answers = list(dicomweb(ada, site.root))
    names = {"studyUID": FILE.study, "seriesUID": FILE.series, "objectUID": FILE.instance}
    uri = {"requestType": "WADO", **names}
    answers.append(ada.client.get(f"{site.address.url}{URI_ROOT}", params=uri))
    assert sum(answer.status_code == 200 for answer in answers) > 20
    for answer in answers:
        require_kept_to_itself(answer, answer.url)
        assert answer.headers["cache-control"] == "no-store", answer.url


def test_a_guest_s_browser_keeps_nothing_and_nothing_is_listed(site: Site) -> None:
    found = inside(site, offered(site, FILE))
    base = site.address.url + found.base(FILE.study)
    for answer in dicomweb(
        site.closing.enter_context(httpx.Client(timeout=60, verify=NO_TLS)), base
    ):
        require_kept_to_itself(answer, answer.url.path[-20:])
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-robots-tag"] == "noindex"
    for path in ("/s", "/s/home", "/s/download", "/s/forward", f"/s/view/{FILE.study}", "/s/no"):
        require_kept_to_itself(found.get(path), path)


def test_a_program_may_keep_an_answer_and_asks_whether_it_holds(site: Site) -> None:
    token = bearer(token_of(site, "gateway"))
    client = site.closing.enter_context(httpx.Client(timeout=60, verify=NO_TLS))
    for answer in dicomweb(client, site.root, headers=token):
        require_kept_to_itself(answer, answer.url)
        assert answer.headers["cache-control"] == "private, no-cache"
    for answer in dicomweb(client, site.root):
        require_kept_to_itself(answer, answer.url)
        assert answer.status_code in (401, 404, 405)


def test_under_tls_every_answer_says_never_in_plain_again(site: Site, tmp_path: Path) -> None:
    files = tmp_path / "server.crt", tmp_path / "server.key"
    certificates.make(*files, ["127.0.0.1"])
    trusted = ssl.create_default_context(cafile=str(files[0]))
    paths = (
        "/login",
        "/livez",
        "/none",
        "/static/portal.css",
        "/dicom-web/studies",
        "/" + "x" * 9000,
    )
    with (
        running(create(site.engines), tls=files) as address,
        httpx.Client(verify=trusted) as client,
    ):
        for path in paths:
            answer = client.get(f"https://127.0.0.1:{address.port}{path}")
            assert answer.headers["strict-transport-security"] == "max-age=31536000", path
            require_kept_to_itself(answer, path)
