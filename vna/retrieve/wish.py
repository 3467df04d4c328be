"""How someone wants to see things: media types by preference, and how images are to look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from vna.errors import InvalidRequest
from vna.pixels.description import PixelDescription
from vna.pixels.rendering import WITH_PROFILE, Profile, Rendering, Viewport, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """`media` are types and ranges (`image/*`) by preference, `refused` what must not be given.

    `all_frames`: of an image of several frames each is wanted, not only the first.
    `annotation` are the keywords of PS3.18 8.3.5.1.1 that are known: patient, technique.
    """

    media: tuple[str, ...] = ("*/*",)
    refused: frozenset[str] = frozenset()
    all_frames: bool = False
    quality: int = 90
    window: Window | None = None
    viewport: Viewport | None = None
    annotation: frozenset[str] = frozenset()
    profile: Profile = Profile.NO
    enlarge: bool = True
    thinned: bool = False

    def choose(self, offered: Sequence[str]) -> str | None:
        """Pick the media type to give out of those offered, the default first; None: none fits."""
        for wanted in self.media:
            for media in offered:
                if media.lower() not in self.refused and _covers(wanted, media.lower()):
                    return media
        return None

    def rendering(self, media: str, texts: dict[str, tuple[str, ...]]) -> Rendering:
        """Say it for one frame. `texts` are lines for each keyword of annotation."""
        return Rendering(
            media=media,
            quality=self.quality,
            window=self.window,
            viewport=self.viewport,
            enlarge=self.enlarge,
            thinned=self.thinned,
            overlays=bool(self.annotation),
            patient=texts["patient"] if "patient" in self.annotation else (),
            technique=texts["technique"] if "technique" in self.annotation else (),
            profile=self.profile,
        )

    def require_profile(self, media: str) -> None:
        """Refuse a colour space in a picture that cannot say so (PS3.18 8.3.5.1.5)."""
        is_picture = media.startswith("image/")
        if self.profile is not Profile.NO and is_picture and media not in WITH_PROFILE:
            allowed = ", ".join(sorted(WITH_PROFILE))
            raise InvalidRequest(
                f"The parameter iccprofile goes with {allowed}; with {media} it must be no."
            )

    def require_region(self, image: PixelDescription) -> None:
        """Refuse a region that lies outside the image (PS3.18 8.3.5.1.3)."""
        region = self.viewport.region if self.viewport is not None else None
        if region is not None and (region[0] >= image.columns or region[1] >= image.rows):
            raise InvalidRequest(
                "The region of the parameter viewport lies outside the image of "
                f"{image.columns} columns and {image.rows} rows."
            )

    def looks(self) -> tuple[object, ...]:
        """Return everything that a picture of one media type depends on."""
        how = (self.quality, self.window, self.viewport, self.annotation, self.profile)
        return (*how, self.enlarge, self.thinned)

    def but(self, **changes: Any) -> Wish:  # any field of this class
        """Return it with something changed."""
        return replace(self, **changes)


def _covers(wanted: str, media: str) -> bool:
    if wanted in ("*/*", media):
        return True
    return wanted.endswith("/*") and media.startswith(wanted[:-1])
