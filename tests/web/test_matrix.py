"""Every route of the house, asked by every role: who is let in, who is refused, who is led away.

The routes come from the tables that serve them. A route without a row here fails the build.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from starlette.routing import Route

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.web.conftest import Site, body_of, serving
from tests.web.people import SHELL, Surfer, bearer, people_of, signed_in, surfer, token_of
from vna.access import roles
from vna.access.principal import Action
from vna.web.asgi import _house
from vna.web.dicomweb import routes as dicomweb
from vna.web.exchange import URI_ROOT, Counter
from vna.web.identity import Identity
from vna.web.multipart import multipart_type
from vna.web.standing import Standing
from vna.web.threads import Threads

ROLES = roles.load()
FILE = ct()
STUDY, SERIES, INSTANCE = FILE.study, FILE.series, FILE.instance

# DICOMweb: method and path of the route table -> the action its engine asks for
NEEDED: dict[tuple[str, str], Action] = {
    ("GET", "studies"): Action.QUERY,
    ("POST", "studies"): Action.STORE,
    ("GET", "series"): Action.QUERY,
    ("GET", "instances"): Action.QUERY,
    ("GET", "studies/{study}"): Action.RETRIEVE,
    ("POST", "studies/{study}"): Action.STORE,
    ("DELETE", "studies/{study}"): Action.DELETE,
    ("GET", "studies/{study}/metadata"): Action.RETRIEVE,
    ("GET", "studies/{study}/series"): Action.QUERY,
    ("GET", "studies/{study}/instances"): Action.QUERY,
    ("GET", "studies/{study}/series/{series}"): Action.RETRIEVE,
    ("DELETE", "studies/{study}/series/{series}"): Action.DELETE,
    ("GET", "studies/{study}/series/{series}/metadata"): Action.RETRIEVE,
    ("GET", "studies/{study}/series/{series}/instances"): Action.QUERY,
    ("GET", "studies/{study}/series/{series}/instances/{instance}"): Action.RETRIEVE,
    ("DELETE", "studies/{study}/series/{series}/instances/{instance}"): Action.DELETE,
    ("GET", "studies/{study}/series/{series}/instances/{instance}/metadata"): Action.RETRIEVE,
    ("GET", "studies/{study}/series/{series}/instances/{instance}/frames/{frames}"): (
        Action.RETRIEVE
    ),
    ("GET", "studies/{study}/series/{series}/instances/{instance}/bulkdata/{path}"): (
        Action.RETRIEVE
    ),
    ("POST", "commitment-requests/{transaction}"): Action.COMMIT,
    ("GET", "commitment-requests/{transaction}"): Action.COMMIT,
    ("GET", "changefeed"): Action.QUERY,
}

_STUDY = "studies/{study}"
_SERIES = f"{_STUDY}/series/{{series}}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"
for _level in (_STUDY, _SERIES, _INSTANCE):
    NEEDED["GET", f"{_level}/bulkdata"] = NEEDED["GET", f"{_level}/pixeldata"] = Action.RETRIEVE
for _level in (_STUDY, _SERIES, _INSTANCE, f"{_INSTANCE}/frames/{{frames}}"):
    NEEDED["GET", f"{_level}/rendered"] = NEEDED["GET", f"{_level}/thumbnail"] = Action.RETRIEVE

# Pages: who may have them. "all" tells nothing; "nobody" is for who is not signed in yet
OPEN, NOBODY, PERSON, ENROLLING, HALF = "all", "nobody", "person", "enrolling", "half"
START = "start"  # who is not known has the ways in, staff the list, patients their own pages
OWN = "own"  # patients alone
GUEST = "guest"  # who was sent a link: nobody of the house is
ABSENT = "absent"  # nobody's: no identity provider is named in these settings
FOR_ALL = {OPEN: (200,), GUEST: (400, 401), ABSENT: (404,)}  # whatever their role
PAGES: dict[tuple[str, str], str | Action] = {
    ("GET", "/livez"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/metrics"): Action.MONITOR,
    ("GET", "/"): START,
    ("POST", "/"): START,
    ("GET", "/static/portal.css"): OPEN,
    ("GET", "/static/icon.svg"): OPEN,
    ("GET", "/static/sign-in.js"): OPEN,
    ("GET", "/static/light.css"): OPEN,
    ("GET", "/static/light.js"): OPEN,
    ("GET", "/static/light-geometry.js"): OPEN,
    ("GET", "/static/staff.css"): OPEN,
    ("GET", "/static/imports.css"): OPEN,
    ("GET", "/static/imports.js"): OPEN,
    ("GET", "/imports"): Action.IMPORT,
    ("POST", "/imports"): Action.IMPORT,
    ("GET", "/import/{number:int}"): Action.IMPORT,
    ("POST", "/import/{number:int}/expect"): Action.IMPORT,
    ("PUT", "/import/{number:int}/file/{mark}"): Action.IMPORT,
    ("POST", "/import/{number:int}/form"): Action.IMPORT,
    ("POST", "/import/{number:int}/finish"): Action.IMPORT,
    ("POST", "/import/{number:int}/confirm"): Action.IMPORT,
    ("POST", "/import/{number:int}/reject"): Action.IMPORT,
    ("GET", "/static/once.js"): OPEN,
    ("GET", "/static/idle.js"): OPEN,
    ("GET", "/static/staff.js"): OPEN,
    ("GET", "/study/{study}"): Action.QUERY,
    ("GET", "/study/{study}/opened"): Action.AUDIT,
    ("POST", "/study/{study}/disc"): Action.RETRIEVE,
    ("POST", "/study/{study}/sealed"): Action.RETRIEVE,
    ("GET", "/study/{study}/correct"): Action.CORRECT,
    ("POST", "/study/{study}/correct"): Action.CORRECT,
    ("GET", "/rules"): Action.MANAGE,
    ("POST", "/rules"): Action.MANAGE,
    ("GET", "/study/{study}/share"): Action.SHARE,
    ("POST", "/study/{study}/share"): Action.SHARE,
    ("GET", "/consents"): Action.SHARE,
    ("POST", "/consents"): Action.SHARE,
    ("GET", "/study/{study}/consents"): Action.SHARE,
    ("POST", "/consents/record"): Action.SHARE,
    ("POST", "/consents/withdraw"): Action.SHARE,
    ("POST", "/consents/kiosk"): Action.SHARE,
    ("GET", "/consents/texts"): Action.SHARE,
    ("POST", "/consents/texts"): Action.MANAGE,
    ("POST", "/shares/automatic"): Action.SHARE,
    ("GET", "/kiosk"): GUEST,
    ("GET", "/kiosk/form"): GUEST,
    ("POST", "/kiosk/answer"): GUEST,
    ("POST", "/kiosk/leave"): GUEST,
    ("GET", "/static/kiosk.js"): OPEN,
    ("GET", "/discs"): Action.RETRIEVE,
    ("GET", "/disc/{disc:int}"): Action.RETRIEVE,
    ("GET", "/disc/{disc:int}/image.iso"): Action.RETRIEVE,
    ("GET", "/disc/{disc:int}/label.pdf"): Action.RETRIEVE,
    ("POST", "/disc/{disc:int}/retry"): Action.RETRIEVE,
    ("POST", "/disc/{disc:int}/without"): Action.RETRIEVE,
    ("POST", "/disc/{disc:int}/cancel"): Action.RETRIEVE,
    ("GET", "/shares"): Action.SHARE,
    ("POST", "/shares/retry"): Action.SHARE,
    ("GET", "/share/{share:int}"): Action.SHARE,
    ("POST", "/share/{share:int}/revoke"): Action.SHARE,
    ("POST", "/share/{share:int}/renew"): Action.SHARE,
    ("POST", "/share/{share:int}/extend"): Action.SHARE,
    ("POST", "/share/{share:int}/test"): Action.SHARE,
    ("POST", "/share/{share:int}/second"): Action.SHARE,
    ("POST", "/share/{share:int}/disc"): Action.SHARE,
    ("POST", "/share/{share:int}/retry"): Action.SHARE,
    ("POST", "/share/{share:int}/sheet.pdf"): Action.SHARE,
    ("POST", "/share/{share:int}/passcode.pdf"): Action.SHARE,
    ("GET", "/view/{study}"): Action.RETRIEVE,
    ("GET", "/view/{study}/{series}"): Action.RETRIEVE,
    ("GET", "/view/{study}/{series}/geometry"): Action.RETRIEVE,
    ("GET", "/static/guest.js"): OPEN,
    ("GET", "/requests"): Action.IMPORT,
    ("POST", "/requests"): Action.IMPORT,
    ("POST", "/request/{number:int}/stop"): Action.IMPORT,
    ("GET", "/u"): OPEN,
    ("POST", "/u/open"): GUEST,
    ("GET", "/u/files"): GUEST,
    ("POST", "/u/expect"): GUEST,
    ("PUT", "/u/file/{mark}"): GUEST,
    ("POST", "/u/form"): GUEST,
    ("POST", "/u/done"): GUEST,
    ("POST", "/u/leave"): GUEST,
    ("GET", "/send"): OPEN,
    ("POST", "/send"): GUEST,
    ("GET", "/send/code"): GUEST,
    ("POST", "/send/code"): GUEST,
    ("POST", "/send/again"): GUEST,
    ("GET", "/send/files"): GUEST,
    ("POST", "/send/expect"): GUEST,
    ("PUT", "/send/file/{mark}"): GUEST,
    ("POST", "/send/form"): GUEST,
    ("POST", "/send/done"): GUEST,
    ("GET", "/send/status"): OPEN,
    ("POST", "/send/status"): GUEST,
    ("POST", "/send/stop"): GUEST,
    ("POST", "/send/leave"): GUEST,
    ("GET", "/g"): OPEN,
    ("POST", "/g/open"): GUEST,
    ("POST", "/g/not-me"): GUEST,
    ("GET", "/g/images"): GUEST,
    ("GET", "/g/images.zip"): GUEST,
    ("GET", "/g/document/{number:int}"): GUEST,
    ("POST", "/g/leave"): GUEST,
    ("GET", "/g/view/{study}"): GUEST,
    ("GET", "/g/view/{study}/{series}"): GUEST,
    ("GET", "/g/view/{study}/{series}/geometry"): GUEST,
    ("GET", "/g/held/studies/{study}/series/{series}/thumbnail"): GUEST,
    ("GET", "/g/held/studies/{study}/series/{series}/instances/{instance}/rendered"): GUEST,
    (
        "GET",
        "/g/held/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered",
    ): GUEST,
    ("GET", "/s"): OPEN,
    ("GET", "/s/help"): OPEN,
    ("POST", "/s/open"): GUEST,
    ("GET", "/s/prove"): GUEST,
    ("POST", "/s/prove"): GUEST,
    ("POST", "/s/code"): GUEST,
    ("POST", "/s/not-me"): GUEST,
    ("POST", "/s/leave"): GUEST,
    ("GET", "/s/stay"): GUEST,
    ("GET", "/s/home"): GUEST,
    ("GET", "/s/download"): GUEST,
    ("GET", "/s/forward"): GUEST,
    ("POST", "/s/forward"): GUEST,
    ("POST", "/s/sealed"): GUEST,
    ("GET", "/s/archive"): GUEST,
    ("POST", "/s/archive"): GUEST,
    ("GET", "/s/view/{study}"): GUEST,
    ("GET", "/s/view/{study}/{series}"): GUEST,
    ("GET", "/s/view/{study}/{series}/geometry"): GUEST,
    ("GET", "/s/viewer/app-config.js"): GUEST,
    ("GET", "/s/viewer/{path:path}"): GUEST,
    ("GET", "/viewer/app-config.js"): PERSON,
    ("GET", "/viewer"): PERSON,
    ("GET", "/viewer/{path:path}"): PERSON,
    ("GET", "/login"): NOBODY,
    ("POST", "/login"): NOBODY,
    ("GET", "/login/factor"): HALF,
    ("POST", "/login/factor"): HALF,
    ("POST", "/login/passkey/begin"): NOBODY,
    ("POST", "/login/passkey"): NOBODY,
    ("POST", "/logout"): PERSON,
    ("GET", "/login/sso"): ABSENT,
    ("GET", "/login/sso/return"): ABSENT,
    ("POST", "/login/sso/return"): ABSENT,
    ("GET", "/enrol"): NOBODY,
    ("POST", "/enrol"): NOBODY,
    ("GET", "/enrol/passphrase"): ENROLLING,
    ("POST", "/enrol/passphrase"): ENROLLING,
    ("GET", "/enrol/factor"): ENROLLING,
    ("POST", "/enrol/factor"): ENROLLING,
    ("POST", "/enrol/passkey/begin"): ENROLLING,
    ("POST", "/enrol/passkey"): ENROLLING,
    ("POST", "/enrol/done"): ENROLLING,
    ("GET", "/account"): PERSON,
    ("POST", "/account/sessions/end"): PERSON,
    ("POST", "/account/recovery-codes"): PERSON,
    ("POST", "/account/passkeys/begin"): PERSON,
    ("POST", "/account/passkeys"): PERSON,
    ("POST", "/account/passkeys/remove"): PERSON,
    ("GET", "/confirm"): PERSON,
    ("POST", "/confirm"): PERSON,
    ("POST", "/confirm/passkey/begin"): PERSON,
    ("POST", "/confirm/passkey"): PERSON,
    ("GET", "/static/own.css"): OPEN,
    ("GET", "/study/{study}/account"): Action.CORRECT,
    ("POST", "/study/{study}/account"): Action.CORRECT,
    ("POST", "/study/{study}/account.pdf"): Action.CORRECT,
    ("GET", "/study/{study}/carers"): Action.CORRECT,
    ("POST", "/study/{study}/carers"): Action.CORRECT,
    ("GET", "/my/carers"): OWN,
    ("POST", "/my/carers"): OWN,
    ("POST", "/my/acting"): OWN,
    ("POST", "/my/study/{study}/carers"): OWN,
    ("GET", "/my/start"): NOBODY,
    ("POST", "/my/start"): NOBODY,
    ("GET", "/s/account"): GUEST,
    ("POST", "/s/account"): GUEST,
    ("GET", "/my"): OWN,
    ("GET", "/my/study/{study}"): OWN,
    ("POST", "/my/study/{study}/sealed"): OWN,
    ("GET", "/my/view/{study}"): OWN,
    ("GET", "/my/view/{study}/{series}"): OWN,
    ("GET", "/my/view/{study}/{series}/geometry"): OWN,
    ("GET", "/my/access"): OWN,
    ("GET", "/my/account"): OWN,
    ("GET", "/my/stay"): OWN,
    ("GET", "/my/share"): OWN,
    ("POST", "/my/share"): OWN,
    ("GET", "/my/share/{draft:int}/what"): OWN,
    ("POST", "/my/share/{draft:int}/what"): OWN,
    ("GET", "/my/share/{draft:int}/whom"): OWN,
    ("POST", "/my/share/{draft:int}/whom"): OWN,
    ("GET", "/my/share/{draft:int}/how"): OWN,
    ("POST", "/my/share/{draft:int}/how"): OWN,
    ("GET", "/my/share/{draft:int}/check"): OWN,
    ("POST", "/my/share/{draft:int}/test"): OWN,
    ("POST", "/my/share/{draft:int}/send"): OWN,
    ("GET", "/my/shares"): OWN,
    ("GET", "/my/shares/{share:int}"): OWN,
    ("POST", "/my/shares/{share:int}/stop"): OWN,
    ("POST", "/my/shares/{share:int}/renew"): OWN,
    ("POST", "/my/shares/{share:int}/ask-stop"): OWN,
    ("POST", "/my/shares/{share:int}/sheet.pdf"): OWN,
    ("POST", "/my/shares/{share:int}/passcode.pdf"): OWN,
    ("GET", "/my/consents"): OWN,
    ("POST", "/my/consents/withdraw"): OWN,
    ("GET", "/my/requests"): OWN,
    ("POST", "/my/requests"): OWN,
    ("POST", "/my/requests/{number:int}/withdraw"): OWN,
    ("GET", "/requests/patients"): Action.SHARE,
    ("GET", "/requests/patients/report.csv"): Action.SHARE,
    ("GET", "/requests/patients/{number:int}"): Action.SHARE,
    ("POST", "/requests/patients/{number:int}/answer"): Action.SHARE,
    ("POST", "/my/account/language"): OWN,
    ("POST", "/my/account/contact"): OWN,
    ("POST", "/my/account/code"): OWN,
    ("GET", "/patients"): Action.CORRECT,
    ("POST", "/patients"): Action.CORRECT,
    ("GET", "/emergency"): Action.EMERGENCY,
    ("POST", "/emergency"): Action.EMERGENCY,
    ("POST", "/emergency/end"): PERSON,
    ("GET", "/emergency/second"): Action.AGREE,
    ("POST", "/emergency/second"): Action.AGREE,
    ("GET", "/emergencies"): Action.AUDIT,
    ("POST", "/emergencies"): Action.AUDIT,
}


@dataclass(slots=True)
class World:
    """A site with a study in it, a person and a program of each role."""

    site: Site
    people: dict[str, Surfer]
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def world(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("site")
    with serving(postgres, folder, dev=False, guests={"enabled": True}) as site:
        site.archive.take(FILE.part10())
        people = {name: signed_in(site, f"p-{name}", name) for name in ROLES.by_name}
        tokens = {name: token_of(site, f"s-{name}", name) for name in ROLES.by_name}
        yield World(site, people, tokens)


def test_every_route_of_dicomweb_has_its_row() -> None:
    served = {(m, r.path) for r in dicomweb.ROUTES for m in r.methods}
    assert served == set(NEEDED)


def test_every_page_has_its_row(world: World) -> None:
    engines = world.site.engines
    threads = Threads(1)
    identity = Identity(engines, threads)
    house = _house(
        Counter(engines=engines, threads=threads, identity=identity, standing=Standing(identity))
    )
    threads.close()
    served = set()
    for route in house.routes:
        assert isinstance(route, Route)
        served |= {(m, route.path) for m in route.methods or () if m != "HEAD"}
    assert served == set(PAGES)


def asked(path: str, *, study: str = STUDY) -> str:
    names = {
        "study": study, "series": SERIES, "instance": INSTANCE, "frames": "1",
        "path": "7FE00010", "transaction": "1.2.3.4.5",
    }  # fmt: skip
    return "/" + path.format(**names)


def send(world: World, method: str, path: str, headers: dict[str, str]) -> int:
    """Send a request the engine behind the route understands; return its status."""
    url = world.site.root + path
    content = b""
    if method == "POST" and path.startswith("/studies"):
        content = body_of(FILE.part10())
        headers = {**headers, "content-type": multipart_type("application/dicom", "b")}
    elif method == "POST":
        content = (
            b'{"00081199": {"vr": "SQ", "Value": [{"00081150": {"vr": "UI", "Value": ["1.2"]},'
        )
        content += b'"00081155": {"vr": "UI", "Value": ["1.2"]}}]}}'
        headers = {**headers, "content-type": "application/dicom+json"}
    return world.site.client.request(method, url, content=content, headers=headers).status_code


@pytest.mark.parametrize("role", [None, *ROLES.by_name])
@pytest.mark.parametrize("route", NEEDED, ids=lambda r: f"{r[0]} {r[1]}")
def test_dicomweb_asks_each_role_for_its_action(
    world: World, route: tuple[str, str], role: str | None
) -> None:
    method, path = route
    if role is None:
        assert send(world, method, asked(path), {}) == 401
        return
    found = ROLES.by_name[role]
    # what is deleted stays for the other rows: a study that is not there is asked for
    where = asked(path, study="9.9.9") if method == "DELETE" else asked(path)
    status = send(world, method, where, bearer(world.tokens[role]))
    if NEEDED[route] not in found.actions:
        assert status == 403
    elif not found.scope.everything and "{study}" in path and NEEDED[route] is Action.RETRIEVE:
        assert status == 404
    else:
        assert status not in (401, 403, 500)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("role", [None, *ROLES.by_name])
def test_pages_are_for_whom_the_table_says(world: World, method: str, role: str | None) -> None:
    who = surfer(world.site) if role is None else world.people[role]
    for (verb, path), whose in PAGES.items():
        if verb != method or path == "/logout":
            continue
        if role is None:
            who.client.cookies.clear()
        names = {"{path:path}": "x", "{study}": STUDY, "{series}": SERIES}
        names |= {
            "{share:int}": "1",
            "{disc:int}": "1",
            "{number:int}": "1",
            "{draft:int}": "1",
        }  # there is none
        url = world.site.address.url + path
        for name, value in names.items():
            url = url.replace(name, value)
        answer = who.client.request(verb, url)
        own = of_patients(verb, path, whose, role)
        if own:
            assert answer.status_code == own, path
        elif whose in FOR_ALL:
            assert answer.status_code in FOR_ALL[whose]
        elif isinstance(whose, Action) and role is None:
            assert answer.status_code in (303, 401)
        elif isinstance(whose, Action):
            has = whose in ROLES.by_name[str(role)].actions
            is_hidden = has and "{study}" in path and not ROLES.by_name[str(role)].scope.everything
            is_hidden |= has and verb == "GET" and ":int}" in path
            let_in = 200 if verb == "GET" else 400  # a POST without a form of ours
            assert answer.status_code == (404 if is_hidden else let_in if has else 403), path
        elif (whose == PERSON and role is None) or (whose != PERSON and role is not None):
            assert answer.status_code == 303
        elif whose in (ENROLLING, HALF):
            sent = "?ended=yes" if verb == "POST" else ""  # who sent a form is told of its end
            assert answer.headers["location"] == f"/login{sent}"
        elif verb == "POST":  # let in, and refused: no form of ours came with it
            assert answer.status_code in (400, 403)
        else:
            assert answer.status_code in (200, 503)


def of_patients(verb: str, path: str, whose: str | Action, role: str | None) -> int:
    """Say how pages answer where patients and staff part ways; 0 where they are asked alike."""
    found = None if role is None else ROLES.by_name[role]
    if whose == START:
        may_look = found is None or Action.QUERY in found.actions
        if found is not None and (found.is_own or not may_look):
            return 303 if found.is_own else 403
        return 400 if found is not None and verb == "POST" else 200  # there is no form in it
    if found is None:
        return 303 if whose == OWN else 0
    if not found.is_own:
        return 403 if whose == OWN else 0
    if whose == OWN:  # its account is nobody's, so that it sees no study
        is_one = "{study}" in path or ":int}" in path
        return (
            404
            if "{draft:int}" in path or (is_one and verb == "GET")
            else 400
            if verb == "POST"
            else 204
            if path == "/my/stay"
            else 200
        )
    if isinstance(whose, Action) or path.startswith("/viewer"):
        return 403
    return 303 if (verb, path) == ("GET", "/account") else 0


@pytest.mark.parametrize("role", [None, *ROLES.by_name])
def test_the_uri_service_asks_each_role_too(world: World, role: str | None) -> None:
    url = f"{world.site.address.url}{URI_ROOT}"
    names = {"studyUID": STUDY, "seriesUID": SERIES, "objectUID": INSTANCE}
    asked = {"requestType": "WADO", "contentType": "application/dicom", **names}
    headers = {} if role is None else bearer(world.tokens[role])
    status = world.site.client.get(url, params=asked, headers=headers).status_code
    found = None if role is None else ROLES.by_name[role]
    if found is None:
        assert status == 401
    elif Action.RETRIEVE not in found.actions:
        assert status == 403
    else:
        assert status == (200 if found.scope.everything else 404)


@pytest.mark.parametrize("path", ["/dicom-web/studies", "/dicom-web/", URI_ROOT])
def test_capabilities_are_told_to_who_is_known(world: World, path: str) -> None:
    url = world.site.address.url + path
    assert world.site.client.options(url).status_code == 401
    known = world.site.client.options(url, headers=bearer(world.tokens["auditor"]))
    assert known.status_code == 200


def test_granted_reach_sees_nothing_of_what_is_there(world: World) -> None:
    headers = bearer(world.tokens["referring"])
    there = world.site.client.get(world.site.root + asked("studies/{study}"), headers=headers)
    absent = world.site.client.get(
        world.site.root + asked("studies/{study}", study="9.9.9"), headers=headers
    )
    assert (there.status_code, there.content) == (absent.status_code, absent.content)
    assert there.status_code == 404
    assert world.site.client.get(f"{world.site.root}/studies", headers=headers).json() == []


def test_a_narrower_token_does_less_than_its_account(world: World) -> None:
    people_of(world.site).accounts.find("s-service")
    _, secret = people_of(world.site).tokens.add(
        SHELL, "s-service", name="narrow", days=1, actions=["query"]
    )
    assert send(world, "GET", "/studies", bearer(secret)) == 200
    assert send(world, "GET", asked("studies/{study}"), bearer(secret)) == 403
    assert send(world, "POST", "/studies", bearer(secret)) == 403
