"""Retrieve Capabilities and what shares its method: PS3.18 8.9, Annexes G and H, and CORS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from tests.conftest import TestPostgres
from tests.web.conftest import Site, read_xml, serving
from vna.web.dicomweb.routes import ROUTES

WADL = "application/vnd.sun.wadl+xml"
NS = "{http://wadl.dev.java.net/2009/02}"


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An archive that lets one origin in."""
    settings = {"http": {"cors_origins": "https://viewer.example, https://other.example"}}
    with serving(postgres, tmp_path_factory.mktemp("archive"), **settings) as found:
        yield found


def options(site: Site, path: str = "/", **headers: str) -> httpx.Response:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return site.client.options(site.root + path, headers=fields)


def paths(node: ElementTree.Element, above: str = "") -> Iterator[tuple[str, list[str]]]:
    """Every resource below a node: its path and the methods told."""
    for resource in node.findall(f"{NS}resource"):
        path = f"{above}/{resource.get('path')}"
        yield path, [str(m.get("name")) for m in resource.findall(f"{NS}method")]
        yield from paths(resource, path)


def described(answer: httpx.Response) -> ElementTree.Element:
    assert answer.status_code == 200
    assert answer.headers["content-type"] == WADL
    root = read_xml(answer.content)
    assert root.tag == f"{NS}application"
    (resources,) = root
    return resources


# ---- 8.9, Table H-1 ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", ""])
def test_8_9_1_the_service_tells_of_every_resource_and_method(site: Site, path: str) -> None:
    resources = described(options(site, path))
    assert resources.get("base") == site.root
    told = dict(paths(resources))
    for route in ROUTES:
        assert told[f"///{route.path}"] == list(route.methods), route.path
    assert "OPTIONS" in told["//"]


@pytest.mark.parametrize(
    "path", ["studies/1.2/metadata", "studies/1.2/series/3", "instances", "studies/1"]
)
def test_8_9_1_a_resource_tells_of_itself_and_what_is_below(site: Site, path: str) -> None:
    answer = options(site, f"/{path}")
    (resource,) = described(answer)
    generic = path.replace("1.2", "{study}").replace("/3", "/{series}").replace("s/1", "s/{study}")
    assert resource.get("path") == generic
    assert "GET" in answer.headers["allow"]
    every = [f"{route.path}/" for route in ROUTES]
    below = [one for one in every if one.startswith(f"{generic}/") and one != f"{generic}/"]
    assert len([1 for _, methods in paths(resource) if methods]) == len(below)


def test_8_9_1_the_same_in_json(site: Site) -> None:
    answer = options(site, accept="application/json")
    assert answer.headers["content-type"] == "application/json"
    application = answer.json()["application"]
    assert application["resources"]["@base"] == site.root
    (top,) = application["resources"]["resource"]

    def walk(resource: dict[str, Any], above: str) -> Iterator[str]:
        for one in resource.get("resource", []):
            path = f"{above}/{one['@path']}"
            if "method" in one:
                yield path.strip("/")
            yield from walk(one, path)

    assert sorted(walk(top, "")) == sorted(route.path for route in ROUTES)


def test_annex_h_a_search_names_each_attribute_as_keyword_and_tag(site: Site) -> None:
    root = described(options(site, "/studies"))
    method = next(m for m in root.iter(f"{NS}method") if m.get("id") == "SearchForStudies")
    names = {p.get("name") for p in method.iter(f"{NS}param") if p.get("style") == "query"}
    assert names >= {"PatientName", "00100010", "StudyInstanceUID", "limit", "fuzzymatching"}


def test_annex_h_a_retrieval_names_its_media_types(site: Site) -> None:
    root = described(options(site, "/studies/1/series/2/instances/3"))
    method = next(m for m in root.iter(f"{NS}method") if m.get("id") == "RetrieveInstance")
    accept = next(p for p in method.iter(f"{NS}param") if p.get("name") == "Accept")
    values = [o.get("value") for o in accept]
    assert values[0] == accept.get("default") == 'multipart/related; type="application/dicom"'
    assert {"application/dicom", "application/zip"} <= set(values)


def test_8_9_3_a_copy_that_is_good_is_304(site: Site) -> None:
    first = options(site)
    again = options(site, if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")


def test_8_9_4_other_media_types_are_406_and_the_two_are_told(site: Site) -> None:
    answer = options(site, accept="text/html")
    assert answer.status_code == 406
    assert WADL in answer.json()["message"]
    assert options(site, accept=WADL).headers["content-type"] == WADL


def test_8_9_1_nothing_is_told_of_what_is_not_there(site: Site) -> None:
    assert options(site, "/nonsense").status_code == 404


def test_8_9_1_the_uri_service_tells_of_its_parameters(site: Site) -> None:
    answer = site.client.options(f"{site.address.url}/wado")
    names = {p.get("name") for p in described(answer).iter(f"{NS}param")}
    assert {"requestType", "studyUID", "transferSyntax", "frameNumber"} <= names


# ---- CORS ----------------------------------------------------------------------------------------

PREFLIGHT = {"access_control_request_method": "GET", "access_control_request_headers": "accept"}


@pytest.mark.parametrize("origin", ["https://viewer.example", "https://other.example"])
def test_a_page_of_an_allowed_origin_may_call(site: Site, origin: str) -> None:
    answer = options(site, "/studies/1.2", origin=origin, **PREFLIGHT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == origin
    assert "GET" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "accept"
    assert "Origin" in answer.headers["vary"]
    got = site.get("/studies", origin=origin)
    assert got.headers["access-control-allow-origin"] == origin
    assert "ETag" in got.headers["access-control-expose-headers"]
    missing = site.get("/studies/1.2", origin=origin)
    assert missing.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://viewer.example.evil"])
def test_a_page_of_another_origin_may_not(site: Site, origin: str) -> None:
    answer = options(site, "/studies", origin=origin, **PREFLIGHT)
    assert answer.status_code == 403
    assert "cors_origins" in answer.json()["message"]
    assert "access-control-allow-origin" not in answer.headers
    assert "access-control-allow-origin" not in site.get("/studies", origin=origin).headers


def test_options_with_an_origin_alone_asks_for_capabilities(site: Site) -> None:
    answer = options(site, "/studies/1/metadata", origin="https://viewer.example")
    assert answer.headers["content-type"] == WADL
    assert answer.headers["access-control-allow-origin"] == "https://viewer.example"


def test_nobody_may_call_unless_a_setting_says_so(
    postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(postgres, tmp_path_factory.mktemp("archive")) as site:
        refused = options(site, origin="https://viewer.example", **PREFLIGHT)
        assert refused.status_code == 403
        answer = site.get("/studies", origin="https://viewer.example")
        assert not any(name.startswith("access-control") for name in answer.headers)
    anyone = {"http": {"cors_origins": "*"}}
    with serving(postgres, tmp_path_factory.mktemp("archive"), **anyone) as site:
        assert options(site, origin="https://any.example", **PREFLIGHT).status_code == 204


def test_capabilities_are_for_those_who_are_known_and_preflights_for_all(
    postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    allowed = {"http": {"cors_origins": "https://viewer.example"}}
    with serving(postgres, tmp_path_factory.mktemp("archive"), dev=False, **allowed) as site:
        assert options(site).status_code == 401
        assert options(site, origin="https://viewer.example", **PREFLIGHT).status_code == 204
