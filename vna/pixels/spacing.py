"""How large what a frame shows is, and where that was measured (PS3.3 10.7.1.3)."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from vna.pixels.elements import Members, groups_of, item, numbers, text
from vna.pixels.shape import PIXEL_MEASURES, PIXEL_SPACING, shape_of

_IMAGER, _SCANNED = "00181164", "00182010"
_CALIBRATION = "00280A02"  # Pixel Spacing Calibration Type
_FRAME_PROPERTIES = "00289443"  # the functional group that holds Imager Pixel Spacing
_ROWS, _COLUMNS, _MODALITY = "00280010", "00280011", "00080060"

# of a shadow: what is nearer to the source is drawn larger than it is
_PROJECTIONS = frozenset({"CR", "DX", "MG", "IO", "PX", "RG", "XA", "RF"})


class Where(enum.Enum):
    """In which plane a size holds."""

    PATIENT = "patient"
    DETECTOR = "detector"
    FILM = "film"
    NOWHERE = "pixels"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """The size of a whole frame, in mm; in pixels where no size is known."""

    high: float
    wide: float
    where: Where


def extent_of(members: Members, number: int) -> Extent | None:
    """Measure a frame, from 1; None for what has no rows or columns."""
    rows, columns = _first(members, _ROWS), _first(members, _COLUMNS)
    if not (rows and columns):
        return None
    spacing, where = _spacing(members, number)
    if not spacing:
        shape = shape_of(members)
        spacing = [shape.down, shape.across]
    return Extent(high=rows * spacing[0], wide=columns * spacing[1], where=where)


def _spacing(members: Members, number: int) -> tuple[list[float], Where]:
    for group in groups_of(members, number):
        if measured := _pair(item(group, PIXEL_MEASURES), PIXEL_SPACING):
            return measured, Where.PATIENT
        if measured := _pair(item(group, _FRAME_PROPERTIES), _IMAGER):
            return measured, Where.DETECTOR
    own, imager = _pair(members, PIXEL_SPACING), _pair(members, _IMAGER)
    if own:
        return own, Where.PATIENT if _is_corrected(members, own, imager) else Where.DETECTOR
    if imager:
        return imager, Where.DETECTOR
    scanned = _pair(members, _SCANNED)
    return scanned, Where.FILM if scanned else Where.NOWHERE


def _is_corrected(members: Members, own: Sequence[float], imager: Sequence[float]) -> bool:
    """Tell whether Pixel Spacing is that in the patient: of a shadow it need not be.

    There it is corrected when it says how, or differs from that at the detector (PS3.3 10.7.1.3).
    """
    if text(members, _MODALITY) not in _PROJECTIONS and not imager:
        return True
    differs = bool(imager) and any(
        not math.isclose(one, other, rel_tol=1e-3) for one, other in zip(own, imager, strict=True)
    )
    return differs or bool(text(members, _CALIBRATION))


def _pair(members: Members, tag: str) -> list[float]:
    """Read what is vertical and what is across; nothing where one of them is no length."""
    found = numbers(members, tag)
    return found if len(found) == 2 and min(found) > 0 else []


def _first(members: Members, tag: str) -> float:
    return next(iter(numbers(members, tag)), 0.0)
