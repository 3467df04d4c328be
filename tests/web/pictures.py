"""Pictures that come back, and small images to be looked at."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.factories import MULTI_FRAME, Element, Instance, ct, elements_of
from tests.web.conftest import Site
from vna.dicom.attributes import tag_of

Array = NDArray[Any]
GREY_STATE = "1.2.840.10008.5.1.4.1.1.11.1"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"
CDA = "1.2.840.10008.5.1.4.1.1.104.2"


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


def ramp(study: int, *, rows: int = 16, columns: int = 32, **options: Any) -> Instance:
    """A grey image of 8 bits whose values rise from left to right, top to bottom."""
    frames = options.get("frames") or 1
    size = rows * columns
    pixels = b"".join(bytes((n + frame) % 256 for n in range(size)) for frame in range(frames))
    values = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    values |= {"RescaleSlope": None, "RescaleIntercept": None}
    values |= options.pop("values", {})
    return ct(study, rows=rows, columns=columns, pixels=pixels, values=values, **options)


def moving(study: int, frames: int = 3, **options: Any) -> Instance:
    """An image of several frames."""
    return ramp(study, frames=frames, sop_class=MULTI_FRAME, modality="OT", **options)


def deep(number: int, instance: int = 1, **values: Any) -> Instance:
    """A CT image of 12 bits, its values the numbers of its pixels."""
    pixels = np.arange(1024, dtype="<u2").tobytes()
    return ct(number, 1, instance, rows=32, columns=32, pixels=pixels, values=values)


def item(values: dict[str, Any]) -> list[Element]:
    """An item of a sequence, by keyword or tag."""
    return elements_of({tag_of(name) or name: value for name, value in values.items()})


def state(number: int, image: Instance, frames: str | None = None, **more: Any) -> Instance:
    """A Grayscale Softcopy Presentation State of one image of the same study."""
    reference = {"00081150": image.sop_class, "00081155": image.instance}
    if frames is not None:
        reference["00081160"] = frames.split(",")
    series = {"0020000E": image.series, "00081140": [item(reference)]}
    values: dict[str, Any] = dict.fromkeys(
        (
            *("00281052", "00281053", "00280002", "00280004", "00280010", "00280011"),
            *("00280030", "00280100", "00280101", "00280102", "00280103"),
        )
    )
    values |= {"00081115": [item(series)], "20500020": "IDENTITY"}
    return ct(
        *(number, 9, 9),
        sop_class=GREY_STATE,
        modality="PR",
        pixel_element=b"",
        values=values | more,
    )


def without_pixels(number: int, sop_class: str, **values: Any) -> Instance:
    """An instance that is no image."""
    absent = dict.fromkeys(("00280002", "00280004", "00280010", "00280011", "00280100"))
    return ct(number, sop_class=sop_class, pixel_element=b"", values=absent | values)


def report(number: int, text: str) -> Instance:
    """A structured report with one paragraph, one measurement and one code."""

    def named(meaning: str) -> list[list[Element]]:
        return [item({"00080100": "1", "00080102": "99TEST", "00080104": meaning})]

    units = named("millimeter")
    measured = [item({"0040A30A": "12.5", "004008EA": units})]
    contents = [
        item(
            {
                "0040A010": "CONTAINS",
                "0040A040": "TEXT",
                "0040A043": named("Finding"),
                "0040A160": text,
            }
        ),
        item({"0040A040": "NUM", "0040A043": named("Length"), "0040A300": measured}),
        item(
            {
                "0040A040": "CODE",
                "0040A043": named("Site"),
                "0040A168": named("Liver"),
                "0040A730": [
                    item({"0040A040": "TEXT", "0040A043": named("Side"), "0040A160": "left"})
                ],
            }
        ),
    ]
    values = {"0040A040": "CONTAINER", "0040A043": named("Report of a scan"), "0040A730": contents}
    return without_pixels(number, "1.2.840.10008.5.1.4.1.1.88.33", **values)


def document(number: int, sop_class: str, data: bytes, kind: str) -> Instance:
    """An encapsulated document."""
    values = {"00420011": data + bytes(len(data) % 2), "00420012": kind}
    if len(data) % 2:
        values["00420015"] = len(data)
    return without_pixels(number, sop_class, **values)
