"""The light viewer tells of each frame where the patient's sides are, and how large it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest

from tests.conftest import TestPostgres
from tests.factories import ct, multi_frame, uid
from tests.web.conftest import Site, serving

TRANSVERSE, CORONAL = ["1", "0", "0", "0", "1", "0"], ["1", "0", "0", "0", "0", "-1"]
AXIAL_SIDES, CORONAL_SIDES = ["A", "L", "P", "R"], ["H", "L", "F", "R"]


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site")) as site:
        many = [
            ct(instance=n, rows=64, columns=32, values=PLANE | {"ImageOrientationPatient": plane})
            for n, plane in enumerate((CORONAL, TRANSVERSE, TRANSVERSE), 1)
        ]
        movie = multi_frame(3, study=2)
        assert site.store(*(one.part10() for one in (*many, movie))).status_code == 200
        yield site


PLANE = {"PixelSpacing": ["0.5", "0.25"]}


def geometry(site: Site, study: int) -> Any:
    answer = site.client.get(f"{site.address.url}/view/{uid(study)}/{uid(study, 1)}/geometry")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def of(told: Any, instance: str) -> list[Any]:
    return [(frames, told["kinds"][kind]) for frames, kind in told["of"][instance]]


def test_each_image_of_a_series_has_the_sides_of_its_own_plane(site: Site) -> None:
    told = geometry(site, 1)
    sized = {"extent": [8.0, 32.0], "where": "patient"}
    for number, sides in ((1, CORONAL_SIDES), (2, AXIAL_SIDES), (3, AXIAL_SIDES)):
        assert of(told, uid(1, 1, number)) == [(1, {"sides": sides, **sized})]
    assert len(told["kinds"]) == 2


def test_frames_that_are_alike_are_told_once(site: Site) -> None:
    ((frames, kind),) = of(geometry(site, 2), uid(2, 1, 1))
    assert frames == 3
    assert "extent" in kind


@pytest.mark.parametrize(("at", "sides"), [(1, CORONAL_SIDES), (2, AXIAL_SIDES)])
def test_the_sides_stand_on_the_page_without_scripts(site: Site, at: int, sides: list[str]) -> None:
    text = site.client.get(f"{site.address.url}/view/{uid(1)}?at={at}").text
    assert re.findall(r'data-side="\w+">(\w*)<', text) == sides
    first = re.search(r'data-first="([^"]+)"', text)
    assert first is not None
    assert json.loads(unescape(first[1]))["told"]["sides"] == sides


def test_what_says_nothing_of_its_sides_shows_none(site: Site) -> None:
    blind = ct(3, values={"ImageOrientationPatient": None, "PixelSpacing": None})
    assert site.store(blind.part10()).status_code == 200
    text = site.client.get(f"{site.address.url}/view/{uid(3)}").text
    assert re.findall(r'data-side="\w+">(\w*)<', text) == [""] * 4
    assert re.search(r"data-sides [^>]*\bhidden\b", text)
    ((_, kind),) = of(geometry(site, 3), uid(3, 1, 1))
    assert kind["where"] == "pixels"
    assert "sides" not in kind
