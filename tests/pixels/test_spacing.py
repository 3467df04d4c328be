"""How large what a frame shows is, and where that holds (PS3.3 10.7.1.3)."""

from __future__ import annotations

from typing import Any

import pytest

from vna.pixels.spacing import Extent, Where, extent_of


def element(*values: object) -> dict[str, Any]:
    return {"vr": "DS", "Value": list(values)}


def sequence(**inside: object) -> dict[str, Any]:
    return {"vr": "SQ", "Value": [{tag[1:]: value for tag, value in inside.items()}]}


SIZE = {"00280010": element(100), "00280011": element(200)}
OWN, IMAGER = {"00280030": element("0.5", "0.25")}, {"00181164": element(0.5, 0.25)}
CORRECTED = {"00280030": element(0.4, 0.2)}
CR, CT = {"00080060": element("CR")}, {"00080060": element("CT")}


def extent(members: dict[str, Any], number: int = 1) -> tuple[float, float, Where]:
    found = extent_of({**SIZE, **members}, number)
    assert found is not None
    return found.high, found.wide, found.where


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        ({**CT, **OWN}, (50, 50, Where.PATIENT)),
        ({**CR, **IMAGER}, (50, 50, Where.DETECTOR)),
        ({**CR, **OWN, **IMAGER}, (50, 50, Where.DETECTOR)),
        ({**CR, **OWN}, (50, 50, Where.DETECTOR)),
        ({**CR, **CORRECTED, **IMAGER}, (40, 40, Where.PATIENT)),
        ({**CR, **OWN, "00280A02": element("FIDUCIAL")}, (50, 50, Where.PATIENT)),
        ({"00182010": element(0.1, 0.1)}, (10, 20, Where.FILM)),
        ({}, (100, 200, Where.NOWHERE)),
        ({**CT, "00280030": element(0, 0)}, (100, 200, Where.NOWHERE)),
        ({**CT, "00280030": element(0.5)}, (100, 200, Where.NOWHERE)),
        ({"00280034": element(2, 1)}, (200, 200, Where.NOWHERE)),
    ],
)
def test_a_size_says_where_it_was_measured(
    members: dict[str, Any], wanted: tuple[float, float, Where]
) -> None:
    """What is at the detector is larger than in the patient; what is nowhere is pixels."""
    high, wide, where = extent(members)
    assert (high, wide) == pytest.approx(wanted[:2])
    assert where is wanted[2]


def test_frames_have_a_size_of_their_own() -> None:
    """PS3.3 C.7.6.16.2.1: Pixel Measures of a frame stand over those of all."""
    groups = [sequence(_00289110=sequence(_00280030=element(1, 1)))["Value"][0], {}]
    members = {
        "52009229": sequence(_00289110=sequence(_00280030=element(2, 2))),
        "52009230": {"vr": "SQ", "Value": groups},
    }
    assert extent(members, 1)[:2] == (100, 200)
    assert extent(members, 2)[:2] == (200, 400)
    at_detector = {"52009229": sequence(_00289443=sequence(_00181164=element(3, 3)))}
    assert extent(at_detector) == (300, 600, Where.DETECTOR)


def test_what_has_no_rows_has_no_size() -> None:
    found: Extent | None = extent_of({}, 1)
    assert found is None
