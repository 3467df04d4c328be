"""Pictures that come back, and small images to be looked at."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.factories import CT, MULTI_FRAME, Instance, ct, uid
from tests.web.conftest import Site

Array = NDArray[Any]


def path_of(instance: Instance) -> str:
    """Path of an instance below the service."""
    return f"/studies/{instance.study}/series/{instance.series}/instances/{instance.instance}"


def kept(site: Site, *instances: Instance) -> str:
    """Store instances and give the path of the first."""
    answer = site.store(*(instance.part10() for instance in instances))
    assert answer.status_code == 200, answer.text
    return path_of(instances[0])


def opened(data: bytes) -> Image.Image:
    """Open a picture."""
    return Image.open(io.BytesIO(data))


def cells(data: bytes) -> Array:
    """The cells of a lossless picture."""
    return np.asarray(opened(data))


def ramp(number: int, *, rows: int = 16, columns: int = 32, **options: Any) -> Instance:
    """A grey image of 8 bits whose values rise from left to right, top to bottom."""
    frames = options.get("frames") or 1
    size = rows * columns
    pixels = b"".join(bytes((n + frame) % 256 for n in range(size)) for frame in range(frames))
    values = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    values |= {"RescaleSlope": None, "RescaleIntercept": None}
    values |= options.pop("values", {})
    return ct(number, rows=rows, columns=columns, pixels=pixels, values=values, **options)


def moving(number: int, frames: int = 3, **options: Any) -> Instance:
    """An image of several frames."""
    return ramp(number, frames=frames, sop_class=MULTI_FRAME, modality="OT", **options)


def deep(number: int, instance: int = 1, **values: Any) -> Instance:
    """A CT image of 12 bits, its values the numbers of its pixels."""
    pixels = np.arange(1024, dtype="<u2").tobytes()
    return ct(number, 1, instance, rows=32, columns=32, pixels=pixels, values=values)


def state(number: int, image: Instance, **more: Any) -> Instance:
    """A Grayscale Softcopy Presentation State of one image of the same study."""
    reference = {"00081150": image.sop_class, "00081155": image.instance}
    series = {"0020000E": image.series, "00081140": [_item(reference)]}
    values: dict[str, Any] = {
        "00081115": [_item(series)],
        "RescaleSlope": None,
        "RescaleIntercept": None,
        "00280002": None,
        "00280004": None,
        "00280010": None,
        "00280011": None,
        "00280100": None,
        "00280101": None,
        "00280102": None,
        "00280103": None,
        "PresentationLUTShape": "IDENTITY",
    }
    return ct(
        number,
        9,
        9,
        sop_class="1.2.840.10008.5.1.4.1.1.11.1",
        modality="PR",
        pixel_element=b"",
        values=values | more,
    )


def _item(values: dict[str, Any]) -> list[tuple[str, str, Any]]:
    from tests.factories import elements_of

    return elements_of(values)


__all__ = ["CT", "cells", "deep", "kept", "moving", "opened", "path_of", "ramp", "state", "uid"]
