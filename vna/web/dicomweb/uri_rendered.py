"""The renderings of WADO-URI: its own parameters, said to the same engine (PS3.18 9.5).

One picture, or one document, an answer. Each refusal names its parameter and what is allowed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from vna.dicom.refs import InstanceRef, uid
from vna.errors import InvalidRequest, InvalidUID, NotFound
from vna.pixels.rendering import Viewport, Window
from vna.retrieve.kinds import kind_of
from vna.retrieve.wish import Wish
from vna.web.dicomweb import answering, caching
from vna.web.dicomweb.rendering import MOST_SIDE, annotation
from vna.web.exchange import Ask, Reply, warning

Values = Mapping[str, str]
Region = tuple[float, float, float, float]
Size = Callable[[], tuple[int, int]]

_WHOLE = re.compile(r"[1-9]\d{0,8}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})([eE][+-]?\d{1,3})?", re.ASCII)
_NOT_UNDER_A_STATE = ("windowCenter", "windowWidth", "frameNumber")


async def picture(ask: Ask, ref: InstanceRef, values: Values, media: Sequence[str]) -> Reply:
    """Answer with an instance rendered to the first of the media types it can be given in."""
    asked = _Rendered(values, media)
    root = ask.restful()

    def render() -> Reply:
        engine = ask.counter.engines.render
        found = engine.find(ask.principal, ref)
        number = asked.number(found[0].frame_count)
        state = engine.state(ask.principal, asked.presentation(ref)) if asked.has_state else None
        shown = (*found, *((state,) if state else ()))
        parts = [f"{located.blob_id.hex()}{located.changed_at}" for located in shown]
        parts += [ask.scope["query_string"].decode("latin-1"), *media]
        kept = caching.State(
            parts,
            is_strong=kind_of(found[0]).is_as_stored,
            changed_at=max(located.changed_at for located in shown),
        )
        if caching.is_fresh(ask, kept):
            return caching.not_modified(kept)
        wish = asked.wish(lambda: ask.counter.engines.retrieve.forms.image_size(found[0]))
        try:
            made, _ = engine.rendered(
                ask.principal,
                found,
                wish,
                numbers=None if number is None else [number],
                state=state,
            )
            first = next(made)
        except NotFound as exc:
            if number is None:
                raise
            raise InvalidRequest(f"The parameter frameNumber is out of range. {exc}") from exc
        fields = caching.headers(kept)
        if asked.unknown:
            text = f"The following annotation values are not supported: {asked.unknown}"
            fields.append(warning(root, text))
        fields.append((b"content-location", f"{root}{first.location}".encode("latin-1")))
        fields += answering.sandbox(first.media_type)
        if first.stretch is not None:
            return answering.walked(ask, first.media_type, first.stretch, kept, fields)
        return answering.streamed(ask, first.media_type, first.chunks, fields, first.length)

    return await ask.hop(render)


class _Rendered:
    """What the parameters of a rendering say. Raises `InvalidRequest`."""

    def __init__(self, values: Values, media: Sequence[str]) -> None:
        self._values = values
        self._media = tuple(media)
        self.has_state = self._are_both("presentationSeriesUID", "presentationUID")
        if self.has_state:
            for name in _NOT_UNDER_A_STATE:
                if name in values:
                    raise InvalidRequest(
                        f"The parameter {name} does not go with a presentation state."
                    )
        self._window = self._read_window()
        self._region = self._read_region()
        self._sides = (self._side("columns"), self._side("rows"))
        self._quality = self._whole("imageQuality", 100) or 90
        self._frame = self._whole("frameNumber", 10**9)
        texts = [values[name] for name in ("annotation", "imageAnnotation") if name in values]
        known, unknown = annotation(",".join(texts) if texts else None)
        self._annotation = frozenset(known)
        self.unknown = ", ".join(unknown)

    def number(self, frame_count: int | None) -> int | None:
        """Tell which frame is asked for (9.5.1.2.1)."""
        if self._frame is not None and frame_count is None:
            raise InvalidRequest("The parameter frameNumber goes with images only.")
        return self._frame

    def presentation(self, ref: InstanceRef) -> InstanceRef:
        """Name the presentation state; it belongs to the same study (9.5.1.2.7)."""
        names = ("presentationSeriesUID", "presentationUID")
        for name in names:
            try:
                uid(self._values[name])
            except InvalidUID as exc:
                raise InvalidUID(f"The parameter {name} is not a UID.") from exc
        series, instance = (uid(self._values[name]) for name in names)
        return InstanceRef(ref.study, series, instance)

    def wish(self, size: Size) -> Wish:
        """Say how the picture is to look; `size` gives rows and columns where they matter."""
        return Wish(
            media=self._media,
            quality=self._quality,
            window=self._window,
            viewport=self._viewport(size),
            annotation=self._annotation,
        )

    def _viewport(self, size: Size) -> Viewport | None:
        """Fit into columns and rows; one of them alone keeps the aspect ratio (9.5.2.5)."""
        columns, rows = self._sides
        if self._region is None:
            if columns is None and rows is None:
                return None
            return Viewport(width=columns or MOST_SIDE, height=rows or MOST_SIDE)
        height, width = size()
        left, top, right, bottom = self._region
        region = (left * width, top * height, (right - left) * width, (bottom - top) * height)
        if columns is None and rows is None:
            columns, rows = max(round(region[2]), 1), max(round(region[3]), 1)
        return Viewport(width=columns or MOST_SIDE, height=rows or MOST_SIDE, region=region)

    def _read_window(self) -> Window | None:
        if not self._are_both("windowCenter", "windowWidth"):
            return None
        width = self._decimal("windowWidth")
        if width < 1:
            raise InvalidRequest("The parameter windowWidth must be at least 1.")
        return Window(center=self._decimal("windowCenter"), width=width)

    def _read_region(self) -> Region | None:
        text = self._values.get("region")
        if text is None:
            return None
        found = [float(part) for part in text.split(",") if _DECIMAL.fullmatch(part.strip())]
        if len(found) != 4 or text.count(",") != 3:
            raise InvalidRequest("The parameter region is xmin,ymin,xmax,ymax.")
        left, top, right, bottom = found
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise InvalidRequest(
                "In the parameter region each minimum is below its maximum, in 0-1."
            )
        return left, top, right, bottom

    def _are_both(self, one: str, other: str) -> bool:
        if (one in self._values) != (other in self._values):
            missing = other if one in self._values else one
            raise InvalidRequest(
                f"The parameter {missing} is missing: {one} and {other} go together."
            )
        return one in self._values

    def _side(self, name: str) -> int | None:
        return self._whole(name, MOST_SIDE)

    def _whole(self, name: str, most: int) -> int | None:
        text = self._values.get(name)
        if text is None:
            return None
        if not _WHOLE.fullmatch(text) or int(text) > most:
            raise InvalidRequest(f"The parameter {name} must be a whole number from 1 to {most}.")
        return int(text)

    def _decimal(self, name: str) -> float:
        text = self._values[name].strip()
        value = float(text) if _DECIMAL.fullmatch(text) else math.nan
        if not math.isfinite(value):
            raise InvalidRequest(f"The parameter {name} must be a number.")
        return value
