"""The modules of Storage Commitment (PS3.18 Annex J): payload -> claims, verdicts -> payload."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import orjson

from vna.config import Limits
from vna.dicom import nativexml
from vna.dicom.attributes import shown_tag
from vna.dicom.refs import UID, uid
from vna.errors import InvalidRequest, InvalidUID, MalformedInstance, UnsupportedMedia
from vna.operate.commitment import Claim, Committed, FailedRef, Verdict
from vna.operate.transactions import Result
from vna.web.dicomweb.accept import JSON, PLAIN_JSON, XML
from vna.web.media import media_type
from vna.web.multipart import MultipartParser, PartBegins, PartData, boundary_of

Elements = dict[str, Any]  # the DICOM JSON Model is untyped

_SOPS, _FAILED_SOPS = "00081199", "00081198"
_STUDIES, _FAILED_STUDIES = "00081110", "0008119B"
_SERIES, _BY_CLASS, _INSTANCES = "00081115", "00081112", "0008114A"
_CLASS, _INSTANCE, _REASON = "00081150", "00081155", "00081197"
_STUDY_UID, _SERIES_UID = "0020000D", "0020000E"
_NAMES = {
    _SOPS: "Referenced SOP Sequence",
    _STUDIES: "Referenced Study Sequence",
    _SERIES: "Referenced Series Sequence",
    _BY_CLASS: "Referenced Instances by SOP Class Sequence",
    _INSTANCES: "Referenced Instance Sequence",
    _CLASS: "Referenced SOP Class UID",
    _INSTANCE: "Referenced SOP Instance UID",
    _STUDY_UID: "Study Instance UID",
    _SERIES_UID: "Series Instance UID",
}


def asked(content_type: str | None, body: bytes, limits: Limits) -> tuple[list[Claim], bool]:
    """Read a request payload (J.1), and whether it asks by study.

    Raises `UnsupportedMedia`, and `InvalidRequest` naming the attribute that is wrong.
    """
    if content_type is None:
        raise UnsupportedMedia("The Content-Type of the body is missing.")
    claims: list[Claim] = []
    forms: set[bool] = set()
    for data in _objects(content_type, body, limits):
        present = [tag for tag in (_SOPS, _STUDIES) if tag in data]
        if len(present) != 1:
            names = f"{_NAMES[_SOPS]} or {_NAMES[_STUDIES]}"
            raise InvalidRequest(f"A request has one of {names}.")
        forms.add(present[0] == _STUDIES)
        claims += _by_study(data) if present[0] == _STUDIES else _by_instance(data)
    if len(forms) > 1:
        raise InvalidRequest("One request names instances by study or without it, not both.")
    if not claims:
        raise InvalidRequest("There is no instance in this request.")
    return claims, forms.pop()


def answered(found: Result) -> Elements:
    """Write a response payload (J.2): the mirror of the form in which it was asked."""
    committed = [one for one in found.verdicts if isinstance(one, Committed)]
    failed = [one for one in found.verdicts if isinstance(one, FailedRef)]
    if found.by_study:
        parts = ((_STUDIES, _tree(committed)), (_FAILED_STUDIES, _tree(failed)))
    else:
        parts = ((_SOPS, _list(committed)), (_FAILED_SOPS, _list(failed)))
    return {tag: _sequence(items) for tag, items in parts if items}


def _objects(content_type: str, body: bytes, limits: Limits) -> Iterator[Elements]:
    name = media_type(content_type).name
    if name in (JSON, PLAIN_JSON):
        yield from _json(body)
    elif name == XML:
        yield _xml(body, limits)
    elif name == "multipart/related":
        yield from _parts(content_type, body, limits)
    else:
        raise UnsupportedMedia(f"A request for commitment is {JSON} or {XML}.")


def _json(body: bytes) -> Iterator[Elements]:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest("The body is no well-formed JSON.") from exc
    for one in data if isinstance(data, list) else [data]:
        if not isinstance(one, dict):
            raise InvalidRequest("The body is no DICOM JSON object.")
        yield one


def _xml(body: bytes, limits: Limits) -> Elements:
    try:
        return nativexml.read(body, nesting=limits.nesting, most=limits.elements)
    except MalformedInstance as exc:
        raise InvalidRequest(str(exc)) from exc


def _parts(content_type: str, body: bytes, limits: Limits) -> Iterator[Elements]:
    root, boundary = boundary_of(content_type)
    if root not in (JSON, PLAIN_JSON, XML):
        raise UnsupportedMedia(f"The parts of a request for commitment are {JSON} or {XML}.")
    parser = MultipartParser(boundary, limits)
    found: list[tuple[str, list[bytes]]] = []
    for event in parser.feed(body):
        if isinstance(event, PartBegins):
            found.append((event.headers.get("content-type", root), []))
        elif isinstance(event, PartData):
            found[-1][1].append(bytes(event.data))
    parser.finish()
    for kind, pieces in found:
        if media_type(kind).name == "multipart/related":
            raise UnsupportedMedia("A part of a request for commitment has no parts itself.")
        yield from _objects(kind, b"".join(pieces), limits)


def _by_instance(data: Elements) -> Iterator[Claim]:
    for item in _items(data, _SOPS):
        yield Claim(sop_class=_uid(item, _CLASS), instance=_uid(item, _INSTANCE))


def _by_study(data: Elements) -> Iterator[Claim]:
    for study in _items(data, _STUDIES):
        for series in _items(study, _SERIES):
            for of_class in _items(series, _BY_CLASS):
                for item in _items(of_class, _INSTANCES):
                    yield Claim(
                        study=_uid(study, _STUDY_UID),
                        series=_uid(series, _SERIES_UID),
                        sop_class=_uid(of_class, _CLASS),
                        instance=_uid(item, _INSTANCE),
                    )


def _items(data: Elements, tag: str) -> Iterator[Elements]:
    element = data.get(tag)
    items = element.get("Value", []) if isinstance(element, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InvalidRequest(f"{_NAMES[tag]} {shown_tag(tag)} must be a sequence of items.")
    yield from items


def _uid(data: Elements, tag: str) -> UID:
    element = data.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    name = f"{_NAMES[tag]} {shown_tag(tag)}"
    if not isinstance(values, list) or len(values) != 1 or not isinstance(values[0], str):
        raise InvalidRequest(f"{name} must have one value.")
    try:
        return uid(values[0])
    except InvalidUID as exc:
        raise InvalidUID(f"{name} must be 1 to 64 characters of digits and dots.") from exc


def _list(verdicts: Iterable[Verdict]) -> list[Elements]:
    return [
        {_CLASS: _ui(one.claim.sop_class), _INSTANCE: _ui(one.claim.instance), **_why(one)}
        for one in verdicts
    ]


def _tree(verdicts: Sequence[Verdict]) -> list[Elements]:
    """Group by study, series and SOP Class, each in the order of its first instance."""
    return [
        {_STUDY_UID: _ui(study), _SERIES: _sequence(_serieses(of_study))}
        for study, of_study in _grouped(verdicts, lambda claim: claim.study)
    ]


def _serieses(verdicts: Sequence[Verdict]) -> list[Elements]:
    return [
        {_SERIES_UID: _ui(series), _BY_CLASS: _sequence(_classes(of_series))}
        for series, of_series in _grouped(verdicts, lambda claim: claim.series)
    ]


def _classes(verdicts: Sequence[Verdict]) -> list[Elements]:
    return [
        {
            _CLASS: _ui(sop_class),
            _INSTANCES: _sequence(
                [{_INSTANCE: _ui(one.claim.instance), **_why(one)} for one in of_class]
            ),
        }
        for sop_class, of_class in _grouped(verdicts, lambda claim: claim.sop_class)
    ]


def _grouped(
    verdicts: Sequence[Verdict], key: Callable[[Claim], UID | None]
) -> Iterable[tuple[UID | None, list[Verdict]]]:
    found: dict[UID | None, list[Verdict]] = {}
    for one in verdicts:
        found.setdefault(key(one.claim), []).append(one)
    return found.items()


def _why(verdict: Verdict) -> Elements:
    if isinstance(verdict, Committed):
        return {}
    return {_REASON: {"vr": "US", "Value": [int(verdict.reason)]}}


def _ui(value: UID | None) -> Elements:
    return {"vr": "UI", "Value": [value]}


def _sequence(items: list[Elements]) -> Elements:
    return {"vr": "SQ", "Value": items}
