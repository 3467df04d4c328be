"""Parameters of rendered resources and thumbnails (PS3.18 8.3.5.1), and what a client takes.

Pure: text in, values out. Every refusal names its parameter and what is allowed.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vna.errors import InvalidRequest, NotAcceptable
from vna.pixels.rendering import Function, Profile, Viewport, Window
from vna.retrieve.wish import Wish
from vna.web.media import MediaType, media_list

Pairs = list[tuple[str, str]]
Asked = tuple[tuple[str, str], ...]

_CACHED_MOST = 1024  # characters of a request that is read once and for all
MOST_SIDE = 8192  # pixels of a viewport's side
_ANNOTATIONS = ("patient", "technique")
_KEYWORD = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_WHOLE = re.compile(r"\d{1,5}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})([eE][+-]?\d{1,3})?", re.ASCII)
_FUNCTIONS = {
    "linear": Function.LINEAR,
    "linear-exact": Function.LINEAR_EXACT,
    "sigmoid": Function.SIGMOID,
}
_VIEWPORT = "vw,vh or vw,vh,sx,sy,sw,sh"
_TYPES = (
    "image/jpeg, image/png, image/gif, image/jp2, image/jxl, image/webp, video/mpeg, video/mp4, "
    "video/H265, text/html, text/plain, text/xml, application/pdf"
)
_DICOM = ("application/dicom", "application/octet-stream")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A request for something rendered: the wish, and annotation nobody knows here."""

    wish: Wish
    unknown: tuple[str, ...] = ()
    multipart: bool = False  # every acceptable media type is one of a multipart


def one_value(pairs: Pairs, name: str) -> str | None:
    """Return the value of a parameter that may stand once. Raises `InvalidRequest`."""
    found = [value for key, value in pairs if key == name]
    if len(found) > 1:
        raise InvalidRequest(f"The parameter {name} may be given once.")
    return found[0] if found else None


def rendering(
    pairs: Pairs, header: str | None, *, strict: bool = False, is_thumbnail: bool = False
) -> Rendered:
    """Read a request. Raises `InvalidRequest`, `NotAcceptable`."""
    written = sum(len(name) + len(value) for name, value in pairs) + len(header or "")
    if written <= _CACHED_MOST:  # a viewer asks for hundreds of pictures in the same words
        return _cached(tuple(pairs), header, strict, is_thumbnail)
    return _read(tuple(pairs), header, strict, is_thumbnail)


def _read(asked: Asked, header: str | None, strict: bool, is_thumbnail: bool) -> Rendered:
    pairs = list(asked)
    accepted = _accepted(header, [value for key, value in pairs if key == "accept"], strict)
    positive = [one for one in accepted if one.q > 0]
    if is_thumbnail:
        port = viewport(one_value(pairs, "viewport"), region=False) or Viewport(
            width=256, height=256
        )
        wish = Wish(viewport=port, enlarge=False, thinned=True, quality=80)
        known: tuple[str, ...] = ()
        unknown: tuple[str, ...] = ()
    else:
        known, unknown = annotation(one_value(pairs, "annotation"))
        wish = Wish(
            quality=quality(one_value(pairs, "quality")),
            window=window(one_value(pairs, "window")),
            viewport=viewport(one_value(pairs, "viewport"), region=True),
            annotation=frozenset(known),
            profile=profile(one_value(pairs, "iccprofile")),
        )
    return Rendered(
        wish=wish.but(
            media=tuple(dict.fromkeys(one.media for one in positive)),
            refused=frozenset(one.media for one in accepted if not one.q),
            all_frames=positive[0].multipart is True,
        ),
        unknown=unknown,
        multipart=all(one.multipart is True for one in positive),
    )


_cached = functools.lru_cache(maxsize=1024)(_read)


def window(text: str | None) -> Window | None:
    """Read `center,width,function`, all three of them (8.3.5.1.4). Raises `InvalidRequest`."""
    if text is None:
        return None
    parts = text.split(",")
    function = _FUNCTIONS.get(parts[2].strip().lower()) if len(parts) == 3 else None
    if function is None:
        raise InvalidRequest(
            f"The parameter window is center,width,function with one of {', '.join(_FUNCTIONS)}."
        )
    center, width = _decimal("window", parts[0]), _decimal("window", parts[1])
    if width < 1 if function is Function.LINEAR else width <= 0:
        least = "at least 1" if function is Function.LINEAR else "more than 0"
        raise InvalidRequest(f"The width of the parameter window must be {least}.")
    return Window(center=center, width=width, function=function)


def viewport(text: str | None, *, region: bool) -> Viewport | None:
    """Read `vw,vh[,[sx],[sy],[sw],[sh]]` (8.3.5.1.3). Raises `InvalidRequest`."""
    if text is None:
        return None
    parts = text.split(",")
    if not 2 <= len(parts) <= (6 if region else 2) or (len(parts) > 2 and not parts[-1]):
        allowed = _VIEWPORT if region else "vw,vh"
        raise InvalidRequest(f"The parameter viewport is {allowed}, without trailing commas.")
    sides = [int(part) if _WHOLE.fullmatch(part) else 0 for part in parts[:2]]
    if not all(1 <= side <= MOST_SIDE for side in sides):
        raise InvalidRequest(
            f"The parameter viewport begins with two whole numbers from 1 to {MOST_SIDE}."
        )
    return Viewport(width=sides[0], height=sides[1], region=_region(parts[2:]))


def _region(parts: list[str]) -> tuple[float, float, float | None, float | None] | None:
    if not parts:
        return None
    left, top, wide, high = (
        _decimal("viewport", part) if part else None for part in (*parts, "", "", "")[:4]
    )
    if wide == 0 or high == 0:
        raise InvalidRequest("The region of the parameter viewport must not be empty.")
    return abs(left or 0.0), abs(top or 0.0), wide, high


def quality(text: str | None) -> int:
    """Read a whole number from 1 to 100 (8.3.5.1.2). Raises `InvalidRequest`."""
    if text is None:
        return 90
    if not _WHOLE.fullmatch(text) or not 1 <= int(text) <= 100:
        raise InvalidRequest("The parameter quality is a whole number from 1 to 100.")
    return int(text)


def annotation(text: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read keywords: those known, and those not (8.3.5.1.1). Raises `InvalidRequest`."""
    if text is None:
        return (), ()
    words = text.split(",")
    if not all(_KEYWORD.fullmatch(word) for word in words):
        allowed = ", ".join(_ANNOTATIONS)
        raise InvalidRequest(f"The parameter annotation is a list of keywords: {allowed}.")
    return (
        tuple(word for word in words if word in _ANNOTATIONS),
        tuple(dict.fromkeys(word for word in words if word not in _ANNOTATIONS)),
    )


def profile(text: str | None) -> Profile:
    """Read which colour space is wanted (8.3.5.1.5). Raises `InvalidRequest`."""
    try:
        return Profile(text) if text is not None else Profile.NO
    except ValueError as exc:
        allowed = ", ".join(Profile)
        raise InvalidRequest(f"The parameter iccprofile is one of {allowed}.") from exc


def _decimal(name: str, text: str) -> float:
    value = float(text) if _DECIMAL.fullmatch(text.strip()) else math.nan
    if not math.isfinite(value):
        raise InvalidRequest(f"The parameter {name} holds something that is no number.")
    return value


# -- what the client takes -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Accepted:
    media: str  # lower case, may be a range
    multipart: bool | None  # None: */*, which covers both
    q: float


def _accepted(header: str | None, parameters: Iterable[str], strict: bool) -> list[_Accepted]:
    """List acceptable media types, best first (8.3.3.1, 8.7.5)."""
    if not header and strict:
        raise NotAcceptable(f"Without an Accept header there is no answer: ask for {_TYPES}.")
    ranges = list(_ranges(media_list(header or "*/*")))
    asked = [
        one
        for one in _ranges(entry for text in parameters for entry in media_list(text))
        if not one.media.endswith("/*") and any(_covers(range_, one) for range_ in ranges)
    ]
    found = sorted(asked, key=lambda one: -one.q) + sorted(ranges, key=lambda one: -one.q)
    positive = [one for one in found if one.q > 0]
    dicom = [one for one in positive if one.media.startswith(_DICOM)]
    if dicom and any(one not in dicom and not one.media.endswith("/*") for one in positive):
        raise InvalidRequest("DICOM and rendered media types must not be mixed in one request.")
    if not [one for one in positive if one not in dicom]:
        raise NotAcceptable(f"This resource is given as one of: {_TYPES}.")
    return [one for one in found if one not in dicom]


def _ranges(entries: Iterable[MediaType]) -> Iterator[_Accepted]:
    for entry in entries:
        try:
            q = float(entry.parameter("q") or "1")
        except ValueError:
            continue
        if not 0 <= q <= 1:
            continue
        if entry.name in ("multipart/related", "multipart/*"):
            yield _Accepted((entry.parameter("type") or "*/*").lower(), True, q)
        else:
            yield _Accepted(entry.name, None if entry.name == "*/*" else False, q)


def _covers(range_: _Accepted, one: _Accepted) -> bool:
    if range_.q <= 0:
        return False
    return range_.media in ("*/*", one.media) or (
        range_.media.endswith("/*") and one.media.startswith(range_.media[:-1])
    )
