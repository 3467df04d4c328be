"""The scanner against pydicom, over every sample file: the same JSON and the same frames.

What differs on purpose is named in one table, DIFFERENCES; nothing else may differ.
"""

from __future__ import annotations

import base64
import io
import logging
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.encaps import generate_frames

from tests.dicom.corpus import Read, files, read
from vna.dicom.text import decode
from vna.errors import MalformedInstance

REFUSED = {
    "3gb-bulk-data-truncated.dcm": "a value is cut off",
    "MR_truncated.dcm": "a value is cut off",
    "rtplan_truncated.dcm": "cut off inside a sequence",
    "no_meta.dcm": "a stray byte stands before the first element",
}
PYDICOM_CANNOT = {
    "GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm": "a private big endian syntax",
    "badVR.dcm": "an IS that is no number",
    "video-h264-2fragments.dcm": "a second sequence delimiter",
    "no_preamble_dicm_in_data.dcm": "DICM at offset 128 by chance",
}

Element = dict[str, Any]  # one attribute of the DICOM JSON Model
Context = tuple[str, Element, Read]  # tag, our element, our reading


def _padding(theirs: Element, _: Context) -> Element:
    """Every value loses its padding, not only the last one."""
    if theirs["vr"] in ("AE", "AS", "CS", "DA", "DT", "LO", "SH", "TM", "UI", "UC"):
        values = [v.rstrip(" \0") if isinstance(v, str) else v for v in theirs.get("Value", ())]
        return theirs | ({"Value": values} if values else {})
    return theirs


def _null(theirs: Element, _: Context) -> Element:
    """An empty value among others is null (PS3.18 F.2.5), an empty name group is left out."""
    if "Value" not in theirs or theirs["vr"] == "SQ":
        return theirs
    values = theirs["Value"]
    if theirs["vr"] == "PN":
        values = [{k: v for k, v in (name or {}).items() if v} for name in values]
    return theirs | {"Value": [None if v in ("", {}) else v for v in values]}


def _empty_sequence(theirs: Element, _: Context) -> Element:
    """A sequence without items has no Value (PS3.18 F.2.5)."""
    return {"vr": "SQ"} if theirs["vr"] == "SQ" and not theirs.get("Value") else theirs


def _private(theirs: Element, context: Context) -> Element:
    """Private elements without a VR stay UN: pydicom guesses by its own private dictionary."""
    tag, ours, _ = context
    return ours if int(tag[:4], 16) % 2 and ours["vr"] == "UN" else theirs


def _depends(theirs: Element, context: Context) -> Element:
    """A VR that depends is settled for 50xx as well: pydicom leaves "OB or OW"."""
    return theirs | {"vr": "OW"} if theirs["vr"] == "OB or OW" else theirs


def _encapsulated(theirs: Element, context: Context) -> Element:
    """Encapsulated Pixel Data is OB (PS3.5 A.4), whatever was written."""
    frames = context[2].scan.frames
    is_pixel = context[0] == "7FE00010" and frames is not None and frames.encapsulated
    return theirs | {"vr": "OB"} if is_pixel else theirs


def _little_endian(theirs: Element, context: Context) -> Element:
    """Inline binary is little endian (PS3.5 7.3, PS3.18 F.2.7): pydicom does not swap."""
    reading = context[2]
    is_big = reading.meta.transfer_syntax == pydicom.uid.ExplicitVRBigEndian
    if is_big and theirs["vr"] == "OW" and "InlineBinary" in theirs:
        raw = bytearray(base64.b64decode(theirs["InlineBinary"]))
        raw[::2], raw[1::2] = raw[1::2], raw[::2]
        return theirs | {"InlineBinary": base64.b64encode(raw).decode()}
    return theirs


def _resets(theirs: Element, context: Context) -> Element:
    """ISO 2022 escapes vanish: pydicom leaves those of GB 2312 that follow a delimiter."""
    if "\x1b" in str(theirs.get("Value")).replace("\\x1b", "\x1b"):
        bare = str(theirs["Value"]).replace("\\x1b$)A", "")
        if bare == str(context[1].get("Value")):
            return context[1]
    return theirs


def _text_numbers(theirs: Element, context: Context) -> Element:
    """A DS or IS that is no JSON number stays text; its value is the same."""
    _, ours, _ = context
    if theirs["vr"] in ("DS", "IS") and "Value" in theirs:
        same = [float(v) if v is not None else None for v in ours.get("Value", ())]
        if same == theirs["Value"]:
            return ours
    return theirs


def _bulk(theirs: Element, context: Context) -> Element:
    """Large values go by URI: the bytes it points at are the value."""
    _, ours, reading = context
    if "BulkDataURI" not in ours or theirs["vr"] != ours["vr"]:
        return theirs
    path = ours["BulkDataURI"].removeprefix("bulkdata/")
    scan = reading.scan
    bulk = next(b for b in (*scan.bulk, *filter(None, [scan.pixel])) if b.path == path)
    assert bulk.vr == ours["vr"]
    raw = inflated(reading)[bulk.offset : bulk.offset + bulk.length]
    if "InlineBinary" in theirs:
        same = base64.b64decode(theirs["InlineBinary"]) == raw
    else:
        same = theirs.get("Value", [""]) == [decode(raw, scan.charset, bulk.vr)[0].rstrip(" \0")]
    return ours if same else theirs


DIFFERENCES: tuple[Callable[[Element, Context], Element], ...] = (
    *(_padding, _null, _empty_sequence, _private, _depends, _encapsulated, _bulk),
    *(_little_endian, _resets, _text_numbers),
)


def inflated(reading: Read) -> bytes:
    """The data set's bytes, which is what offsets count."""
    if reading.meta.transfer_syntax == pydicom.uid.DeflatedExplicitVRLittleEndian:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(reading.dataset)
    return reading.dataset


def by_pydicom(data: bytes) -> pydicom.Dataset:
    """Read as pydicom does, forgiving."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(io.BytesIO(data), force=True)


def theirs_of(data: bytes) -> dict[str, Any]:
    """The DICOM JSON as pydicom makes it."""
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values: dict[str, Any] = by_pydicom(data).to_json_dict(bulk_data_threshold=1 << 40)
        return values


def unlike(
    theirs: dict[str, Any], ours: dict[str, Any], reading: Read, where: str = ""
) -> list[str]:
    """Name the attributes that differ, beyond what DIFFERENCES allows."""
    attributes = {tag for tag in theirs if not tag.endswith("0000")}  # group lengths are dropped
    found = [f"{where}{tag} only on one side" for tag in sorted(attributes ^ set(ours))]
    for tag in sorted(attributes & set(ours)):
        theirs_now = theirs[tag] | {"vr": str(theirs[tag]["vr"])}
        for difference in DIFFERENCES:
            theirs_now = difference(theirs_now, (tag, ours[tag], reading))
        if theirs_now["vr"] == "SQ" == ours[tag]["vr"]:
            pairs = (theirs_now.get("Value", []), ours[tag].get("Value", []))
            if len(pairs[0]) != len(pairs[1]):
                found.append(f"{where}{tag} has other items")
            for number, (a, b) in enumerate(zip(*pairs, strict=False), 1):
                found += unlike(a, b, reading, f"{where}{tag}.{number}.")
        elif theirs_now != ours[tag]:
            found.append(f"{where}{tag}: {str(theirs_now)[:80]} | {str(ours[tag])[:80]}")
    return found


def test_the_corpus_is_there() -> None:
    assert len(files()) > 80


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_json_is_what_pydicom_reads(path: Path) -> None:
    data = path.read_bytes()
    if path.name in REFUSED:
        with pytest.raises(MalformedInstance):
            read(data)
        return
    reading = read(data)
    assert list(reading.json) == sorted(reading.json)
    assert reading.scan.length == len(reading.dataset)
    if path.name not in PYDICOM_CANNOT:
        assert unlike(theirs_of(data), reading.json, reading) == []


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_indexed_attributes_are_those_of_the_json(path: Path) -> None:
    if path.name in REFUSED:
        return
    reading = read(path.read_bytes())
    for tag, element in reading.scan.attributes.items():
        assert reading.json[tag] == element
    assert reading.scan.study == _first(reading.json, "0020000D")
    assert reading.scan.sop_instance == _first(reading.json, "00080018")


def _first(values: dict[str, Any], tag: str) -> str | None:
    found: list[str] = values.get(tag, {}).get("Value", [None])
    return found[0]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_frames_are_what_pydicom_cuts(path: Path) -> None:
    if path.name in REFUSED or path.name in PYDICOM_CANNOT:
        return
    reading = read(path.read_bytes())
    table = reading.scan.frames
    if table is None or table.is_stream or table.bits is not None:
        return
    dataset = by_pydicom(path.read_bytes())
    wanted = _cut(dataset, reading)
    body = inflated(reading)
    got = [
        b"".join(body[offset : offset + length] for offset, length in table.frame(number))
        for number in range(1, table.count + 1)
    ]
    assert got == wanted
    decoded = type(table).decode(table.encode())
    assert [decoded.frame(n) for n in range(1, table.count + 1)] == [
        table.frame(n) for n in range(1, table.count + 1)
    ]


def _cut(dataset: pydicom.Dataset, reading: Read) -> list[bytes]:
    assert reading.scan.frames is not None
    assert reading.scan.pixel is not None
    value: bytes = dataset[int(reading.scan.pixel.path, 16)].value
    if not reading.scan.frames.encapsulated:
        count = reading.scan.frames.count
        length = reading.scan.frames.frame(1)[0][1]
        assert length * count <= len(value)
        return [value[i * length : (i + 1) * length] for i in range(count)]
    count = int(dataset.get("NumberOfFrames", 1) or 1)
    return list(generate_frames(value, number_of_frames=count))


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_any_cutting_gives_the_same(path: Path) -> None:
    data = path.read_bytes()
    if path.name in REFUSED or len(data) > 300_000:
        return
    whole = read(data)
    step = max(1, len(data) // 997)
    for cuts in (range(1, len(data), step), range(7, len(data), 4096)):
        assert same(read(data, *cuts), whole)


def same(a: Read, b: Read) -> bool:
    """Whether two readings came to the same results."""
    return (a.text, a.meta, describe(a)) == (b.text, b.meta, describe(b))


def describe(reading: Read) -> tuple[Any, ...]:
    """What a scan found, comparable."""
    scan = reading.scan
    frames = None if scan.frames is None else scan.frames.encode()
    return scan.attributes, scan.bulk, scan.pixel, scan.charset, scan.flags, scan.length, frames
