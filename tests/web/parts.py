"""Requests that carry metadata and bulk data apart, written by hand."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import orjson
import pydicom
from pydicom.dataset import Dataset

from tests.factories import SECONDARY_CAPTURE, uid
from tests.web.conftest import Site
from vna.web.dicomweb.xml import native_model

JSON = "application/dicom+json"
XML = "application/dicom+xml"
Elements = dict[str, Any]

GREY = np.arange(24 * 40, dtype=np.uint8).reshape(24, 40)
COLOR = np.dstack([GREY, GREY[::-1], GREY[:, ::-1]])

PartLike = tuple[str, str | None, bytes]
"""Content-Type, Content-Location, content."""


def one(vr: str, *values: Any) -> Elements:
    """One element."""
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def metadata(study: int, instance: int = 1, **more: Elements) -> Elements:
    """Metadata of a Secondary Capture, its pixels not described; `more` by tag: `x00280010`."""
    return {
        "00080016": one("UI", SECONDARY_CAPTURE),
        "00080018": one("UI", uid(study, 1, instance)),
        "00080020": one("DA", "20240102"),
        "00080060": one("CS", "OT"),
        "00100010": one("PN", {"Alphabetic": "Doe^Jane"}),
        "00100020": one("LO", "P-0001"),
        "0020000D": one("UI", uid(study)),
        "0020000E": one("UI", uid(study, 1)),
        "00200013": one("IS", instance),
        **{tag[1:]: element for tag, element in more.items()},
    }


def described(rows: int = 4, columns: int = 4, **more: Elements) -> Elements:
    """Image Pixel attributes of a native 8-bit image, as keyword arguments of `metadata`."""
    return {
        "x00280002": one("US", 1),
        "x00280004": one("CS", "MONOCHROME2"),
        "x00280010": one("US", rows),
        "x00280011": one("US", columns),
        "x00280100": one("US", 8),
        "x00280101": one("US", 8),
        "x00280102": one("US", 7),
        "x00280103": one("US", 0),
        **more,
    }


def pixels(uri: str = "pixels", vr: str = "OB") -> Elements:
    """Pixel Data by URI, as a keyword argument of `metadata`."""
    return {"x7FE00010": {"vr": vr, "BulkDataURI": uri}}


def written(parts: Sequence[PartLike], boundary: str = "b") -> bytes:
    """Write a multipart body."""
    pieces = []
    for media, location, content in parts:
        lines = [f"--{boundary}", f"Content-Type: {media}"]
        lines += [f"Content-Location: {location}"] if location is not None else []
        pieces += ["\r\n".join([*lines, "", ""]).encode("latin-1"), content, b"\r\n"]
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()])


def json_part(*instances: Elements) -> PartLike:
    """Write the metadata of instances as one part."""
    return JSON, None, orjson.dumps(instances)


def xml_part(instance: Elements) -> PartLike:
    """Write the metadata of one instance."""
    return XML, None, native_model(instance)


def post(
    site: Site, *parts: PartLike, path: str = "/studies", root: str = JSON, **headers: str
) -> httpx.Response:
    """Store metadata and bulk data."""
    fields = {"content-type": f'multipart/related; type="{root}"; boundary=b', **headers}
    return site.client.post(f"{site.root}{path}", content=written(parts), headers=fields)


def stored(site: Site, study: int, instance: int = 1) -> Dataset:
    """Fetch a stored instance as it is kept."""
    path = f"/studies/{uid(study)}/series/{uid(study, 1)}/instances/{uid(study, 1, instance)}"
    answer = site.get(path, "application/dicom; transfer-syntax=*")
    assert answer.status_code == 200, answer.text
    return pydicom.dcmread(io.BytesIO(answer.content))


def count(site: Site, study: int) -> int:
    """How many instances of a study are found."""
    return len(site.get(f"/studies/{uid(study)}/instances").json())


def values(elements: Elements, tag: str) -> list[Any]:
    """Values of an attribute, [] when there are none."""
    return list(elements.get(tag, {}).get("Value", []))


def reasons(answer: httpx.Response) -> list[int]:
    """Failure reasons of instances, then of what is no instance."""
    told = answer.json()
    failed = [*values(told, "00081198"), *values(told, "0008119A")]
    return [reason for item in failed for reason in values(item, "00081197")]
