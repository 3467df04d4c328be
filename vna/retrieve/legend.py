"""The lines of text that annotation burns into a picture (PS3.18 8.3.5.1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vna.pixels.elements import text

_LONGEST = 64
_PATIENT = (("", "00100010"), ("ID ", "00100020"), ("born ", "00100030"), ("", "00100040"))
_TECHNIQUE = (
    *(("", "00080060"), ("", "00080020"), ("", "00081030"), ("", "0008103E")),
    *(("slice ", "00180050"), ("kV ", "00180060"), ("TR ", "00180080"), ("TE ", "00180081")),
    *(("image ", "00200013"), ("", "00080080")),
)


def legend(members: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Write the lines about the patient and about how the image was made."""
    return {"patient": _lines(members, _PATIENT), "technique": _lines(members, _TECHNIQUE)}


def _lines(members: Mapping[str, Any], wanted: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    found = ((label, text(members, tag).replace("^", " ")) for label, tag in wanted)
    return tuple(f"{label}{value}"[:_LONGEST].strip() for label, value in found if value)


def frame_ms(members: Mapping[str, Any]) -> float:
    """Say how long a frame is shown: Frame Time, or a rate, or a tenth of a second."""
    for tag, is_rate in (("00181063", False), ("00082144", True), ("00180040", True)):
        try:
            value = float(text(members, tag))
        except ValueError:
            continue
        if 0 < value < 1e6:
            return 1000 / value if is_rate else value
    return 100.0
