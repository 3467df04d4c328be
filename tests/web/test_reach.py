"""Who sees which study: every route that names one, each role, and what was given, ended, never.

Beside `test_matrix`, which asks whether a role has an action at all. What is out of reach looks
like what is not there: the same status and the same body.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.conftest import TestPostgres
from tests.factories import Instance, ct
from tests.web.conftest import Site, serving
from tests.web.people import SHELL, bearer, patient_of, people_of, signed_in, token_of, withhold
from tests.web.test_matrix import NEEDED, PAGES, ROLES
from vna.access.care import Whom
from vna.access.principal import Action, Label
from vna.access.roles import Role
from vna.dicom.refs import StudyRef, uid
from vna.web.exchange import URI_ROOT

BORN = {"PatientBirthDate": "19700101", "PatientSex": "F"}


def made(number: int, patient: str) -> Instance:
    return ct(number, patient_id=patient, rows=8, columns=8, values=BORN)


OWN = made(1, "P-1")  # of the patient who has an account
GIVEN = made(2, "P-2")  # by a care relation, or because it is linked with one's own
ENDED = made(3, "P-3")  # given once, and no more
OTHER = made(4, "P-4")
WITHHELD = made(5, "P-5")  # given, too, and labelled then
GONE = made(6, "P-6")  # deleted: only who would have seen it is told so
STUDIES = {"own": OWN, "given": GIVEN, "ended": ENDED, "other": OTHER, "withheld": WITHHELD}
NOWHERE = made(99, "P-0")

PER_PAGE = re.compile(r'nonce="[^"]*"')
LOOKED_AT = [pair for pair in NEEDED if pair[0] == "GET" and "{study}" in pair[1]]
LISTS = ["studies", "series", "instances", "changefeed?limit=500"]
OF_PAGES = [path for (verb, path) in PAGES if verb == "GET" and "{study}" in path]
STAFF = {path: PAGES["GET", path] for path in OF_PAGES if isinstance(PAGES["GET", path], Action)}
PATIENTS = [path for path in OF_PAGES if PAGES["GET", path] == "own"]


@dataclass(slots=True)
class World:
    """A site with the five studies; a program and a person of each role, and a patient."""

    site: Site
    clients: dict[str, httpx.Client]
    headers: dict[str, dict[str, str]]

    def ask(self, role: str, path: str, *, by_token: bool = True) -> httpx.Response:
        headers = self.headers[role] if by_token and role in self.headers else {}
        client = self.site.client if headers else self.clients[role]
        return client.get(self.site.address.url + path, headers=headers)


def sees(role: Role, which: str) -> bool:
    """Say whether a role reaches one of the five studies, by what the fixture made."""
    if role.is_own:
        return which in ("own", "given")
    if not role.scope.everything:
        return which == "given"
    return which != "withheld" or Label.SENSITIVE in role.clearances


@pytest.fixture(scope="module")
def world(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as site:
        archive = site.archive
        for one in (*STUDIES.values(), GONE):
            archive.take(one.part10())
        archive.lifecycle.delete(archive.who, StudyRef(uid(GONE.study)))
        withhold(site, WITHHELD.study)  # before anybody signs in
        clients, headers = {}, {}
        for name, role in ROLES.by_name.items():
            if not role.is_own:
                headers[name] = bearer(token_of(site, f"s-{name}", name))
                clients[name] = signed_in(site, f"p-{name}", name).client
            if not role.scope.everything and not role.is_own:
                give(site, f"s-{name}")
                give(site, f"p-{name}")
        clients["patient"] = patient_of(site, OWN.study).client
        link(site)
        yield World(site, clients, headers)


def give(site: Site, login: str) -> None:
    """Let an account see three studies, and one of them no more."""
    care = people_of(site).care
    for one in (GIVEN, WITHHELD, ENDED):
        number = care.give(SHELL, login, Whom(study=uid(one.study)), ground="referring", days=7)
    care.end(SHELL, number)


def link(site: Site) -> None:
    """Make three identities one person with the patient's own, and one of them no more."""
    engine, who = site.archive.identities, site.archive.who
    engine.keep_up()
    own, *others = (engine.views.named(who, "LOCAL", f"P-{n}")[0].id for n in (1, 2, 5, 3))
    for other in others:
        site.archive.join(own, other)
    engine.part(who, own, others[-1], reason="It was her sister")


def path_of(one: Instance, names: str) -> str:
    values = {
        "study": one.study, "series": one.series, "instance": one.instance, "frames": "1",
        "path": "7FE00010",
    }  # fmt: skip
    return names.format(**values)


def same(one: httpx.Response, other: httpx.Response) -> bool:
    return (one.status_code, one.content) == (other.status_code, other.content)


@pytest.mark.parametrize("role", ROLES.by_name)
def test_every_resource_of_a_study_is_for_whom_it_was_given(world: World, role: str) -> None:
    found = ROLES.by_name[role]
    for which, one in STUDIES.items():
        for _, names in LOOKED_AT:
            answer = world.ask(role, f"/dicom-web/{path_of(one, names)}")
            about = (which, names)
            if NEEDED["GET", names] not in found.actions:
                assert answer.status_code == 403, about
            elif sees(found, which):
                assert answer.status_code == 200, about
            elif NEEDED["GET", names] is Action.QUERY:
                assert (answer.status_code, answer.json()) == (200, []), about
            else:
                absent = world.ask(role, f"/dicom-web/{path_of(NOWHERE, names)}")
                assert answer.status_code == 404, about
                assert same(answer, absent), about


@pytest.mark.parametrize("role", ROLES.by_name)
def test_what_was_deleted_is_told_to_whom_it_was_there_for(world: World, role: str) -> None:
    found = ROLES.by_name[role]
    for _, names in LOOKED_AT:
        if NEEDED["GET", names] is not Action.RETRIEVE:
            continue
        answer = world.ask(role, f"/dicom-web/{path_of(GONE, names)}")
        if Action.RETRIEVE not in found.actions:
            assert answer.status_code == 403, names
        elif found.scope.everything:
            assert answer.status_code == 410, names
        else:
            assert same(answer, world.ask(role, f"/dicom-web/{path_of(NOWHERE, names)}")), names


@pytest.mark.parametrize("role", ROLES.by_name)
def test_no_list_names_what_is_out_of_reach(world: World, role: str) -> None:
    found = ROLES.by_name[role]
    for asked in LISTS:
        answer = world.ask(role, f"/dicom-web/{asked}")
        if Action.QUERY not in found.actions:
            assert answer.status_code == 403
            continue
        assert answer.status_code == 200
        for which, one in STUDIES.items():
            assert (one.study in answer.text) == sees(found, which), (asked, which)
    wanted = f"/dicom-web/studies?PatientID={WITHHELD.patient_id}&includefield=all"
    if Action.QUERY in found.actions and not sees(found, "withheld"):
        assert same(world.ask(role, wanted), world.ask(role, "/dicom-web/studies?PatientID=no"))


@pytest.mark.parametrize("role", ROLES.by_name)
def test_the_uri_service_reaches_no_further(world: World, role: str) -> None:
    found = ROLES.by_name[role]
    for which, one in STUDIES.items():
        names = f"studyUID={one.study}&seriesUID={one.series}&objectUID={one.instance}"
        answer = world.ask(role, f"{URI_ROOT}?requestType=WADO&{names}")
        may = Action.RETRIEVE in found.actions
        assert answer.status_code == (403 if not may else 200 if sees(found, which) else 404), which


@pytest.mark.parametrize("role", ROLES.by_name)
def test_every_page_of_a_study_is_for_whom_it_was_given(world: World, role: str) -> None:
    found = ROLES.by_name[role]
    for which, one in STUDIES.items():
        for path in PATIENTS if found.is_own else STAFF:
            answer = world.ask(role, path_of(one, path), by_token=False)
            action = Action.QUERY if found.is_own else STAFF[path]
            expected = 403 if action not in found.actions else 200 if sees(found, which) else 404
            if expected == 200 and Action.QUERY not in found.actions:
                expected = 403  # each of them shows the study itself, whatever else it is for
            assert answer.status_code == expected, (which, path)
            if expected == 404:
                absent = world.ask(role, path_of(NOWHERE, path), by_token=False)
                assert one.patient_id not in answer.text
                told = [PER_PAGE.sub("", page.text) for page in (answer, absent)]
                assert (told[0], 404) == (told[1], absent.status_code), (which, path)


def test_the_table_names_every_route_of_a_study() -> None:
    """What names a study and is not looked at here is named here, so that nobody forgets one."""
    assert {path for path in OF_PAGES if path not in STAFF and path not in PATIENTS} == {
        "/s/view/{study}",
        "/s/view/{study}/{series}",
        "/s/view/{study}/{series}/geometry",
        "/g/view/{study}",
        "/g/view/{study}/{series}",
        "/g/view/{study}/{series}/geometry",
        "/g/held/studies/{study}/series/{series}/thumbnail",
        "/g/held/studies/{study}/series/{series}/instances/{instance}/rendered",
        "/g/held/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered",
    }
