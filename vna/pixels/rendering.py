"""How a frame is to be shown: plain values, made by those who ask (PS3.18 8.3.5.1)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any


class Function(enum.StrEnum):
    """How a window maps values (PS3.3 C.11.2.1.2, C.11.2.1.3)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


class Profile(enum.StrEnum):
    """Which colour space the image is converted to and says it has (PS3.18 8.3.5.1.5)."""

    NO = "no"
    YES = "yes"
    SRGB = "srgb"
    ADOBE_RGB = "adobergb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The values that are spread over black to white."""

    center: float
    width: float
    function: Function = Function.LINEAR


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewport:
    """The rectangle an image is fitted into, and the region of it that is shown.

    `region` is left, top, width, height in pixels of the image; a negative width or height turns
    it over. None is all of it, a None inside reaches to the edge.
    """

    width: int
    height: int
    region: tuple[float, float, float | None, float | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """How one frame becomes a picture. `patient` and `technique` are lines to be burned in."""

    media: str = "image/jpeg"
    quality: int = 90
    window: Window | None = None
    viewport: Viewport | None = None
    enlarge: bool = True
    thinned: bool = False  # a thumbnail: averaged before it is looked up
    overlays: bool = False
    patient: tuple[str, ...] = ()
    technique: tuple[str, ...] = ()
    profile: Profile = Profile.NO

    @classmethod
    def of(cls, told: dict[str, Any]) -> Rendering:
        """Read it from the wire, where it is JSON."""
        window, viewport = told.pop("window"), told.pop("viewport")
        if window is not None:
            window = Window(**window | {"function": Function(window["function"])})
        if viewport is not None:
            region = viewport["region"]
            viewport = Viewport(**viewport | {"region": tuple(region) if region else None})
        return cls(
            **told | {"window": window, "viewport": viewport, "profile": Profile(told["profile"])}
        )


LOSSY = frozenset(("image/jpeg", "image/jp2", "image/jxl", "image/webp"))
"""Media types `quality` means something for."""

WITH_PROFILE = frozenset(("image/jpeg", "image/png"))
"""Media types that can hold an ICC profile here."""

MEDIA = ("image/jpeg", "image/png", "image/gif", "image/jp2", "image/jxl", "image/webp")
"""Media types a frame can be rendered to, the default first (PS3.18 Table 8.7.4-1)."""
