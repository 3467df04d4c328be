"""What one instance says of its study, of its series and of itself, as the columns that hold it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from vna.dicom.attributes import CHARACTER_SET, INDEXED
from vna.dicom.refs import Level
from vna.dicom.text import FOLD_VERSION
from vna.index import terms
from vna.index.terms import Elements

PATIENT_TAGS = frozenset(INDEXED[Level.PATIENT])
STUDY_TAGS = PATIENT_TAGS | frozenset(INDEXED[Level.STUDY])
# the zone of its times is answered for every entity (PS3.18 Tables 10.6.3-3 to -5)
SERIES_TAGS = frozenset(INDEXED[Level.SERIES]) | {terms.ZONE}
INSTANCE_TAGS = frozenset(INDEXED[Level.IMAGE]) - {CHARACTER_SET} | {terms.ZONE}

_PART = (
    dict.fromkeys(INSTANCE_TAGS - {terms.ZONE}, 2)
    | dict.fromkeys(SERIES_TAGS, 1)
    | dict.fromkeys(STUDY_TAGS, 0)
)

Attributes = dict[str, Any]  # DICOM JSON elements: their values differ by VR

_NAME, _PATIENT_ID, _ISSUER = "00100010", "00100020", "00100021"
_IN_STUDY = (
    *(_NAME, _PATIENT_ID, _ISSUER, "00100030", "00100040", "0020000D", "00080020", "00080030"),
    *("00080050", "00200010", "00080090", "00081030"),
)
_IN_SERIES = (
    *("0020000E", "00080060", "00200011", "0008103E", "00180015", "00200060", "00400244"),
    *("00400245", terms.ZONE),
)
_IN_INSTANCE = (
    *(
        terms.ZONE,
        "00080018",
        "00080016",
        "00200013",
        "00080023",
        "00080033",
        "00280010",
        "00280011",
    ),
    *("00280100", "00280008"),
)
_ANSWER_MOST = 64 << 10
_ELEMENT_MOST = 1 << 10


def part(attributes: Elements, issuer: str) -> tuple[Attributes, Attributes, Attributes]:
    """Part the attributes of an instance: its study's, its series' and its own.

    The study's hold the patient's, and a Patient ID always has an issuer. Values that stand apart
    in bulk have no place in an answer.
    """
    study: Attributes = {}
    series: Attributes = {}
    own: Attributes = {}
    parts = (study, series, own)
    for tag, element in attributes.items():
        number = _PART.get(tag)
        if number is None or "BulkDataURI" in element:
            continue
        if (held := element.get("Value")) is not None and not any(map(_is_there, held)):
            element = {"vr": element["vr"]}  # noqa: PLW2901 -- one form of an empty value
        parts[number][tag] = element
    if (zone := study.get(terms.ZONE)) is not None:
        series[terms.ZONE] = own[terms.ZONE] = zone
    if _PATIENT_ID in study and "Value" in study[_PATIENT_ID]:
        study[_ISSUER] = {"vr": "LO", "Value": [issuer]}
    return study, series, own


def variant(elements: Elements) -> int:
    """Hash attributes, so that "the same as shown" is one comparison of numbers."""
    data = orjson.dumps(elements, option=orjson.OPT_SORT_KEYS)
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), signed=True)


def patient_id(elements: Elements) -> str:
    """Read the Patient ID as an identity: blank is ''. One too long for an index keeps its hash."""
    found = "\\".join(map(terms.text, terms.values(elements.get(_PATIENT_ID))))
    if len(found.encode()) <= 1024:
        return found
    return f"{found[:128]}#{hashlib.sha256(found.encode()).hexdigest()}"


def study_columns(elements: Elements) -> dict[str, Any]:
    """Read the columns of a study."""
    return {
        "issuer": terms.line(elements.get(_ISSUER)),
        "patient_id": terms.line(elements.get(_PATIENT_ID)),
        "patient_name": terms.name(elements.get(_NAME)),
        "patient_codes": terms.codes(elements.get(_NAME)),
        "birth_date": terms.date(elements.get("00100030")),
        "sex": terms.line(elements.get("00100040")),
        "study_date": terms.date(elements.get("00080020")),
        "study_time": terms.time(elements.get("00080030")),
        "accession": terms.line(elements.get("00080050")),
        "study_id": terms.line(elements.get("00200010")),
        "referring": terms.name(elements.get("00080090")),
        "referring_codes": terms.codes(elements.get("00080090")),
        "description": terms.line(elements.get("00081030")),
        "fold_version": FOLD_VERSION,
        "terms": as_json(terms.terms(elements, without=_IN_STUDY)),
        "answer": answer(elements),
    }


def series_columns(elements: Elements) -> dict[str, Any]:
    """Read the columns of a series."""
    return {
        "modality": terms.line(elements.get("00080060")),
        "series_number": terms.integer(elements.get("00200011")),
        "description": terms.line(elements.get("0008103E")),
        "body_part": terms.line(elements.get("00180015")),
        "laterality": terms.line(elements.get("00200060")),
        "step_date": terms.date(elements.get("00400244")),
        "step_time": terms.time(elements.get("00400245")),
        "fold_version": FOLD_VERSION,
        "terms": as_json(terms.terms(elements, without=_IN_SERIES)),
        "answer": answer(elements),
    }


def instance_columns(elements: Elements, flags: Sequence[str]) -> tuple[Any, ...]:
    """Read the columns of an instance, in the order in which registration lists them."""
    others = terms.terms(elements, without=_IN_INSTANCE)
    return (
        terms.integer(elements.get("00200013")),
        terms.date(elements.get("00080023")),
        terms.time(elements.get("00080033")),
        terms.integer(elements.get("00280010")),
        terms.integer(elements.get("00280011")),
        terms.integer(elements.get("00280100")),
        terms.integer(elements.get("00280008")),
        " ".join(flags) or None,
        as_json(others) if others else None,
        answer({tag: e for tag, e in elements.items() if tag not in ("00080018", "00080016")}),
    )


def answer(elements: Elements) -> str:
    """Write attributes as the DICOM JSON that answers are made of.

    Past 64 KiB the long ones are left out: an answer is a list of many, and WADO-RS metadata has
    the whole.
    """
    text = as_json(elements)
    if len(text) > _ANSWER_MOST:
        text = as_json({t: e for t, e in elements.items() if len(as_json(e)) <= _ELEMENT_MOST})
    return text


def _is_there(value: Any) -> bool:
    return value not in (None, "", {})


def as_json(value: Any, *, sort: bool = False) -> str:
    """Write JSON that PostgreSQL can hold; sorted, so that the same is written the same."""
    option = orjson.OPT_SORT_KEYS if sort else None
    data = orjson.dumps(value, option=option)
    if b"\\u0000" in data:  # PostgreSQL cannot hold it in jsonb, and no character set means it
        data = orjson.dumps(_without_nul(value), option=option)
    return data.decode()


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, Mapping):
        return {key: _without_nul(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nul(inner) for inner in value]
    return value
