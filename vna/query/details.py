"""Attributes of answers that the index does not keep ready: from the sealed DICOM JSON.

A study is described by its first current instance in sight, a series by its own, as everywhere; an
instance by itself. What is missing there, cannot be read, or is a bulk value is not answered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import orjson

from vna.blobs.meta import read
from vna.blobs.store import BlobStore
from vna.db.pool import Connection
from vna.dicom import privates
from vna.dicom.matching import Detail, Query
from vna.dicom.refs import Level, Within
from vna.dicom.unknown import with_vrs
from vna.errors import Corrupt, NotFound
from vna.index.representatives import Representative, key_of, representatives
from vna.index.rows import Row

log = logging.getLogger(__name__)

Elements = Mapping[str, Any]  # DICOM JSON elements: their values differ by VR
Reading = Callable[[], AbstractContextManager[Connection]]
Describe = Callable[[Reading, Sequence[Row]], list[Row]]

PARSED_MOST = 16 << 20
"""Bytes of DICOM JSON that are looked into: parsing takes several times as much memory."""
_AT_ONCE = 50  # instances: their sealed JSON is held at the same time


def describer(store: BlobStore, query: Query, within: Within | None) -> Describe | None:
    """Make the function that completes a page of rows; None when the index answers it all."""
    if not query.details:
        return None
    by_level = {
        level: [detail for detail in query.details if _place(detail.level, query.level) is level]
        for level in Level
    }

    def describe(reading: Reading, page: Sequence[Row]) -> list[Row]:
        more: list[dict[str, Any]] = [{} for _ in page]
        for level, details in by_level.items():
            if not details:
                continue
            keys = sorted({key_of(row, level) for row in page})
            found: dict[int, dict[str, Any]] = {}
            for at in range(0, len(keys), _AT_ONCE):
                with reading() as conn:
                    some = keys[at : at + _AT_ONCE]
                    rows = representatives(conn, level, some, within=within)
                found |= {key: taken(_elements(store, row), details) for key, row in rows.items()}
            for number, row in enumerate(page):
                more[number] |= found.get(key_of(row, level), {})
        return [_with(row, elements) for row, elements in zip(page, more, strict=True)]

    return describe


def taken(elements: Elements, details: Sequence[Detail]) -> dict[str, Any]:
    """Take what is wanted out of an instance's elements, under the tags it is wanted under."""
    found: dict[str, Any] = {}
    if known := [(detail.names, detail.vr) for detail in details if detail.vr]:
        elements = with_vrs(elements, known)
    for detail in details:
        found = _items(found, _member(elements, detail.path, detail.names))
    return found


def _place(level: Level, asked: Level) -> Level:
    """A patient's attributes are those of the study, unless patients are asked for."""
    return Level.STUDY if level is Level.PATIENT and asked is not Level.PATIENT else level


def _with(row: Row, elements: dict[str, Any]) -> Row:
    attributes = {**elements, **row.attributes}
    return Row(row.study, row.series, row.instance, attributes, row.cursor)


def _elements(store: BlobStore, row: Representative) -> Elements:
    try:
        json: bytes | None = None
        if row.sealed is not None:
            json = store.index_json(row.key_id, row.key_version, row.blob_id, row.sealed)
        if json is None:
            json = read(store.reader(row.blob_id).meta()).json
    except NotFound:
        return {}  # deleted meanwhile, or its key was destroyed
    except Corrupt as exc:
        why = {"blob": row.blob_id.hex(), "why": str(exc)}
        log.error("metadata unreadable", extra=why)  # noqa: TRY400 -- damage is a finding, no fault
        return {}
    if json is None or len(json) > PARSED_MOST:
        return {}
    elements: Elements = orjson.loads(json)
    return elements


def _one(elements: Elements, path: Sequence[str], names: Sequence[str]) -> Any:  # an element
    """Find one attribute; of a sequence the items hold what is wanted of them alone."""
    element = privates.find(elements, names[0])
    if element is None:
        return None
    if len(path) == 1:
        return _without_bulk(element)
    items = element.get("Value", ()) if element.get("vr") == "SQ" else ()
    inner = [_member(item or {}, path[1:], names[1:]) for item in items]
    return {"vr": "SQ", "Value": inner} if inner else {"vr": "SQ"}


def _member(item: Elements, path: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    element = _one(item, path, names)
    if element is None:
        return {}
    if ":" not in names[0]:
        return {path[0]: element}
    creator = {"vr": "LO", "Value": [privates.creator_of(names[0])]}
    return {privates.creator_tag(path[0]): creator, path[0]: element}


def _joined(one: Any, other: Any) -> Any:  # two readings of the same sequence
    if one.get("vr") != "SQ" or "Value" not in one or "Value" not in other:
        return one
    items = [_items(a, b) for a, b in zip(one["Value"], other["Value"], strict=True)]
    return {"vr": "SQ", "Value": items}


def _items(one: Elements, other: Elements) -> dict[str, Any]:
    joined = {**one}
    for tag, element in other.items():
        joined[tag] = _joined(joined[tag], element) if tag in joined else element
    return {tag: joined[tag] for tag in sorted(joined)}


def _without_bulk(element: Any) -> Any:  # DICOM JSON elements
    """Leave out what would have to be fetched by a URI of its own."""
    if "BulkDataURI" in element:
        return None
    if element.get("vr") != "SQ" or "Value" not in element:
        return element
    items = [
        {
            tag: kept
            for tag, inner in (item or {}).items()
            if (kept := _without_bulk(inner)) is not None
        }
        for item in element["Value"]
    ]
    return {"vr": "SQ", "Value": items}
