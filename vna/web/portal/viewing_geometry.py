"""What lies where in a picture of the light viewer, and how large it is: told per frame.

The pages draw it beside the picture, and the script asks for a series of it, after the pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from vna.access.principal import Principal
from vna.dicom.refs import InstanceRef, SeriesRef
from vna.engines import Engines
from vna.pixels.elements import groups_of, integer
from vna.pixels.orientation import Sides, sides_of
from vna.pixels.spacing import Extent, extent_of

_FRAMES, _SOP_INSTANCE = "00280008", "00080018"


@dataclass(frozen=True, slots=True)
class Geometry:
    """What is known of one frame."""

    sides: Sides | None = None
    extent: Extent | None = None

    def told(self) -> dict[str, Any]:
        """Write it for the page's script: edges from the top on, clockwise."""
        found: dict[str, Any] = {}
        if (sides := self.sides) is not None:
            found["sides"] = [sides.top, sides.right, sides.bottom, sides.left]
        if (extent := self.extent) is not None:
            found["extent"] = [round(extent.wide, 6), round(extent.high, 6)]
            found["where"] = extent.where.value
        return found


def geometry_of(members: Mapping[str, Any], number: int) -> Geometry:
    """Read the geometry of a frame, from 1."""
    return Geometry(sides_of(members, number), extent_of(members, number))


def shown(engines: Engines, who: Principal, ref: InstanceRef, number: int) -> Geometry:
    """Read the geometry of the frame a page shows. Raises `NotFound`."""
    return geometry_of(next(engines.retrieve.metadata(who, ref)).members(), number)


def listed(engines: Engines, who: Principal, ref: SeriesRef) -> dict[str, Any]:
    """Tell the geometry of a series as far as it may be seen. Raises `NotFound`."""
    return told(one.members() for one in engines.retrieve.metadata(who, ref))


def told(described: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Write that of many instances for the script: each that differs once, then who has it.

    `of` has SOP Instance UID -> runs of frames: how many, and which of `kinds` they have.
    """
    kinds: dict[Geometry, int] = {}
    found: dict[str, list[list[int]]] = {}
    for members in described:
        uid = str(next(iter(members.get(_SOP_INSTANCE, {}).get("Value") or ()), ""))
        numbered = [kinds.setdefault(one, len(kinds)) for one in _frames(members)]
        found[uid] = [[len(list(run)), kind] for kind, run in groupby(numbered)]
    return {"kinds": [one.told() for one in kinds], "of": found}


def _frames(members: Mapping[str, Any]) -> list[Geometry]:
    count = max(1, integer(members, _FRAMES, 1))
    if not any(True for _ in groups_of(members, 1)):
        return [geometry_of(members, 1)] * count
    return [geometry_of(members, number) for number in range(1, count + 1)]
