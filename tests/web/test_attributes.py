"""Attributes as pages show them."""

from __future__ import annotations

import pytest

from vna.imports.values import Person as Brought
from vna.web.portal.attributes import Reading, shown, straight
from vna.web.portal.imports import label
from vna.web.portal.pages import person

TURNING = [chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))]


@pytest.mark.parametrize("mark", TURNING, ids=[f"U+{ord(one):04X}" for one in TURNING])
def test_what_somebody_wrote_turns_nothing_round_that_stands_beside_it(mark: str) -> None:
    name = f"Do{mark}e^Jane{mark}"
    assert shown({"Alphabetic": name}) == "Doe, Jane"
    assert person(name) == "Doe, Jane"
    assert straight(name) == "Doe^Jane"
    read = Reading({"00081030": {"vr": "LO", "Value": [f"{mark}Chest"]}})
    assert read.text("00081030") == "Chest"
    brought = Brought(key="a", name=name, patient_id="P", birth_date="19700101", sex="F")
    assert label(brought) == "Doe, Jane"


def test_names_of_every_script_stay_as_they_are() -> None:
    assert shown({"Ideographic": "山田^太郎"}) == "山田, 太郎"
    assert shown({"Alphabetic": "כהן^דוד"}) == "כהן, דוד"
    assert shown({"Alphabetic": "الحسن^علي\u200f"}) == "الحسن, علي\u200f"
