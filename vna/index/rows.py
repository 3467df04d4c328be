"""Rows of a search: stored answer JSON with what is computed at read, as DICOM JSON elements."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from vna.index.faces import PATIENT_TAGS

Attributes = dict[str, Any]  # DICOM JSON elements: their values differ by VR

_ONLINE = {"vr": "CS", "Value": ["ONLINE"]}


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place of a row in the order of its search; the next page begins behind it.

    `keys` are (patient) or, from the top, (Study Date, study, number, series, number, instance) as
    far down as the level goes.
    """

    keys: tuple[dt.date | int | None, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One entity found. Elements of upper levels are shared between rows: they are only to read."""

    study: str | None
    series: str | None
    instance: str | None
    attributes: Attributes
    cursor: Cursor


def patient(answer: str, studies: int, series: int, instances: int) -> Attributes:
    """Answer for a patient: the patient attributes of the latest study, and counts."""
    found = {tag: e for tag, e in orjson.loads(answer).items() if tag in PATIENT_TAGS}
    found["00201200"] = _count(studies)
    found["00201202"] = _count(series)
    found["00201204"] = _count(instances)
    return found


def study(
    uid: str,
    answer: str,
    counts: tuple[int, int],
    modalities: Sequence[str],
    sop_classes: Sequence[str],
) -> Attributes:
    """Answer for a study; `counts` are of its series and its instances."""
    found: Attributes = orjson.loads(answer)
    found["00080056"] = _ONLINE
    found["00080061"] = {"vr": "CS", "Value": modalities} if modalities else {"vr": "CS"}
    found["00080062"] = {"vr": "UI", "Value": sop_classes}
    found["0020000D"] = _uid(uid)
    found["00201206"] = _count(counts[0])
    found["00201208"] = _count(counts[1])
    return found


def series(uid: str, answer: str, instances: int) -> Attributes:
    """Answer for a series, without its study's attributes."""
    found: Attributes = orjson.loads(answer)
    found["0020000E"] = _uid(uid)
    found["00201209"] = _count(instances)
    return found


def instance(uid: str, answer: str, sop_class: str, transfer_syntax: str) -> Attributes:
    """Answer for an instance, without its series' and study's attributes."""
    found: Attributes = orjson.loads(answer)
    found["00080016"] = _uid(sop_class)
    found["00080018"] = _uid(uid)
    found["00083002"] = _uid(transfer_syntax)
    return found


def _uid(value: str) -> Attributes:
    return {"vr": "UI", "Value": [value]}


def _count(number: int) -> Attributes:
    return {"vr": "IS", "Value": [number]}
