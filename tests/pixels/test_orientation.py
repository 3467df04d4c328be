"""The letters at the edges of a picture say where the patient's sides are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vna.pixels.orientation import Sides, sides_of

AXES = np.array(["RL", "AP", "FH"])  # x to the left, y to the back, z to the head
TRANSVERSE = (1, 0, 0, 0, 1, 0)


def element(*values: object) -> dict[str, Any]:
    return {"vr": "DS", "Value": list(values)}


def sequence(**inside: object) -> dict[str, Any]:
    return {"vr": "SQ", "Value": [{tag[1:]: value for tag, value in inside.items()}]}


def planes(*cosines: object) -> dict[str, Any]:
    return sequence(_00209116=sequence(_00200037=element(*cosines)))


def told(found: Sides | None) -> tuple[str, str, str, str]:
    assert found is not None
    return found.top, found.right, found.bottom, found.left


def letters(direction: Any) -> str:
    """Walk a metre that way from the middle of the patient, and see by numpy where one is."""
    order = np.argsort(-np.abs(direction), kind="stable")
    leans = [axis for axis in order if np.abs(direction[axis]) >= np.sin(np.deg2rad(5))]
    return "".join(AXES[axis][int(direction[axis] > 0)] for axis in leans)


@given(st.tuples(*[st.floats(-1, 1) for _ in range(4)]))
def test_oblique_planes_are_told_as_numpy_finds_them(quaternion: tuple[float, ...]) -> None:
    """PS3.3 C.7.6.2.1.1: rows and columns are unit vectors in the patient, at a right angle."""
    turn = np.array(quaternion) if np.linalg.norm(quaternion) > 0.1 else np.array([1.0, 0, 0, 0])
    w, x, y, z = turn / np.linalg.norm(turn)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation = np.eye(3) + 2 * w * cross + 2 * cross @ cross
    row, column = rotation[:, 0].round(6), rotation[:, 1].round(6)
    found = sides_of({"00200037": element(*map(str, (*row, *column)))}, 1)
    assert told(found) == (letters(-column), letters(row), letters(column), letters(-row))


@pytest.mark.parametrize(
    ("cosines", "wanted"),
    [
        (TRANSVERSE, "ALPR"),
        ((-1, 0, 0, 0, 1, 0), "ARPL"),  # flipped
        ((0, -1, 0, 1, 0, 0), "RALP"),  # turned by a quarter
        ((0, 1, 0, 0, 0, -1), "HPFA"),  # sagittal
        ((1, 0, 0, 0, 0, -1), "HLFR"),  # coronal
        ((-1, 0, 0, 0, -1, 0), "PRAL"),  # prone
    ],
)
def test_planes_as_they_come_every_day(cosines: tuple[int, ...], wanted: str) -> None:
    assert told(sides_of({"00200037": element(*cosines)}, 1)) == tuple(wanted)


@pytest.mark.parametrize(
    "cosines",
    [
        (1, 0, 0, 0, 1),
        (1, 0, 0, 0, 1, 0, 0),
        (1, 0, 0, 1, 0, 0),
        (0, 0, 0, 0, 0, 0),
        (1, 0, 0, 0, 2, 0),
        (1, 0, 0, None, 1, 0),
        (1, 0, 0, "left", 1, 0),
        (1, 0, 0, "NaN", 1, 0),
    ],
)
def test_what_is_no_plane_has_no_letters(cosines: tuple[object, ...]) -> None:
    assert sides_of({"00200037": element(*cosines)}, 1) is None


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (("L", "F"), ("H", "L", "F", "R")),
        (("A", "FR"), ("HL", "A", "FR", "P")),
        (("P ", "F"), ("H", "P", "F", "A")),
        (("AFL", "HRA"), ("FLP", "AFL", "HRA", "PHR")),
    ],
)
def test_projections_say_it_in_letters(
    values: tuple[str, str], wanted: tuple[str, str, str, str]
) -> None:
    """PS3.3 C.7.6.1.1.1: first where rows lead, then where columns lead."""
    assert told(sides_of({"00200020": element(*values)}, 1)) == wanted


@pytest.mark.parametrize(
    "values",
    [("L",), ("L", ""), ("L", "R"), ("L", "L"), ("X", "F"), ("L", "F", "H"), (None, "F"), ("", "")],
)
def test_letters_that_contradict_each_other_are_none(values: tuple[object, ...]) -> None:
    assert sides_of({"00200020": element(*values)}, 1) is None


def test_a_plane_and_letters_that_contradict_each_other_tell_nothing() -> None:
    """PS3.3 C.7.6.1.1.1: they shall agree; which of them is wrong nobody knows."""
    plane = {"00200037": element(*TRANSVERSE)}
    assert sides_of({**plane, "00200020": element("R", "P")}, 1) is None
    assert told(sides_of({**plane, "00200020": element("L", "P")}, 1)) == tuple("ALPR")


def test_each_frame_has_its_own_plane_or_that_of_all() -> None:
    """PS3.3 C.7.6.16: what a frame says of itself stands over what is said of all."""
    groups = [planes(0, 1, 0, 0, 0, -1)["Value"][0], {}, planes(1, 0, 0, 0, 0, -1)["Value"][0]]
    several = {
        "52009229": planes(*TRANSVERSE),
        "52009230": {"vr": "SQ", "Value": groups},
        "00200037": element(-1, 0, 0, 0, 1, 0),
    }
    found = ["".join(told(sides_of(several, number))) for number in (1, 2, 3, 4)]
    assert found == ["HPFA", "ALPR", "HLFR", "ALPR"]


def test_an_item_that_is_none_moves_no_plane_to_another_frame() -> None:
    groups = [None, planes(*TRANSVERSE)["Value"][0]]
    several = {"52009230": {"vr": "SQ", "Value": groups}}
    assert sides_of(several, 1) is None
    assert told(sides_of(several, 2)) == tuple("ALPR")


def test_frames_of_projections_say_it_in_their_group() -> None:
    """PS3.3 C.7.6.16.2.15: Patient Orientation in Frame."""
    group = sequence(_00209450=sequence(_00200020=element("P", "F")))
    assert told(sides_of({"52009229": group, "00200020": element("L", "F")}, 1)) == tuple("HPFA")


QUADRUPED = {"00102210": {"vr": "CS", "Value": ["QUADRUPED"]}}


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (("LE", "CD"), ("CR", "LE", "CD", "RT")),
        (("CD", "V"), ("D", "CD", "V", "CR")),
        (("R", "VLE"), ("DRT", "R", "VLE", "CD")),
        (("D", "DI"), ("PR", "D", "DI", "")),  # of a limb: palmar or plantar, nobody says which
        (("PA", "DI"), ("PR", "PA", "DI", "D")),
        (("M", "PR"), ("DI", "M", "PR", "L")),
    ],
)
def test_animals_on_four_legs_have_letters_of_their_own(
    values: tuple[str, str], wanted: tuple[str, str, str, str]
) -> None:
    """PS3.3 C.7.6.1.1.1: there R is rostral and L is lateral, not right and left."""
    found = sides_of({**QUADRUPED, "00200020": element(*values)}, 1)
    assert told(found) == wanted


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        ("CHEST", ("V", "LE", "D", "RT")),
        ("HEAD", ("V", "LE", "D", "RT")),
        ("CARPUS", ("", "LE", "", "RT")),
        ("", ("", "LE", "", "RT")),
    ],
)
def test_planes_of_an_animal_are_named_by_the_part_of_its_body(
    part: str, wanted: tuple[str, str, str, str]
) -> None:
    """PS3.3 C.7.6.2.1.1: what y and z lead to has another name in a limb."""
    members = {**QUADRUPED, "00200037": element(*TRANSVERSE), "00180015": element(part)}
    assert told(sides_of(members, 1)) == wanted


def test_of_an_unknown_anatomy_nothing_is_told() -> None:
    other = {"00102210": element("OCTOPOD"), "00200037": element(*TRANSVERSE)}
    assert sides_of(other, 1) is None
