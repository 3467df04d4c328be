"""Storage Commitment data sets <-> values (PS3.4 Tables J.3-1 and J.3-2, PS3.3 C.14)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vna.dicom.attributes import shown_tag
from vna.dicom.encode import decode_dataset
from vna.dicom.refs import UID, uid
from vna.dimse.syntaxes import encode_identifier
from vna.errors import InvalidRequest, InvalidUID
from vna.operate.commitment import Claim
from vna.operate.pushes import Named, Report

REQUEST = 1  # Action Type ID (Table J.3-1)
ALL_COMMITTED, SOME_FAILED = 1, 2  # Event Type ID (Table J.3-2)

_TRANSACTION = "00081195"
_REFERENCED = "00081199"
_FAILED = "00081198"
_CLASS, _INSTANCE, _REASON = "00081150", "00081155", "00081197"
_MOST_REASON = 0xFFFF  # a US

Elements = Mapping[str, Any]  # values of DICOM JSON differ by VR


def read_request(data: bytes, transfer_syntax: str, *, most: int) -> tuple[UID, list[Claim]]:
    """Read the Action Information. Raises `InvalidRequest`, `TooLarge`."""
    elements = decode_dataset(data, transfer_syntax, most=most)
    claims = [
        Claim(sop_class=_uid(item, _CLASS), instance=_uid(item, _INSTANCE))
        for item in _items(elements, _REFERENCED)
    ]
    if not claims:
        raise InvalidRequest("The Referenced SOP Sequence is missing or empty.")
    return _uid(elements, _TRANSACTION), claims


def read_report(data: bytes, transfer_syntax: str, *, most: int) -> Report:
    """Read the Event Information. Raises `InvalidRequest`, `TooLarge`."""
    elements = decode_dataset(data, transfer_syntax, most=most)
    committed = tuple(_named(item) for item in _items(elements, _REFERENCED))
    failed = tuple((_named(item), _reason(item)) for item in _items(elements, _FAILED))
    if not committed and not failed:
        raise InvalidRequest("The report names no instance.")
    return Report(transaction=_uid(elements, _TRANSACTION), committed=committed, failed=failed)


def write_request(transaction: str, asked: Iterable[Named], transfer_syntax: str) -> bytes:
    """Write the Action Information."""
    elements = {_TRANSACTION: _ui(transaction), _REFERENCED: _sequence(map(_item, asked))}
    return encode_identifier(elements, transfer_syntax, charset="")


def write_report(report: Report, transfer_syntax: str) -> bytes:
    """Write the Event Information; its Event Type ID is `event_of`."""
    elements: dict[str, Any] = {_TRANSACTION: _ui(report.transaction)}
    if report.committed:
        elements[_REFERENCED] = _sequence(map(_item, report.committed))
    if report.failed:
        elements[_FAILED] = _sequence(
            {**_item(one), _REASON: {"vr": "US", "Value": [reason]}}
            for one, reason in report.failed
        )
    return encode_identifier(elements, transfer_syntax, charset="")


def event_of(report: Report) -> int:
    """Say which event a report is (Table J.3-2)."""
    return SOME_FAILED if report.failed else ALL_COMMITTED


def _ui(value: str) -> dict[str, Any]:
    return {"vr": "UI", "Value": [value]}


def _item(one: Named) -> dict[str, Any]:
    return {_CLASS: _ui(one.sop_class), _INSTANCE: _ui(one.instance)}


def _sequence(items: Iterable[Elements]) -> dict[str, Any]:
    return {"vr": "SQ", "Value": list(items)}


def _items(elements: Elements, tag: str) -> list[Elements]:
    found = elements.get(tag, {})
    if found.get("vr", "SQ") != "SQ":
        raise InvalidRequest("A sequence of references is no sequence.")
    return [item or {} for item in found.get("Value", [])]


def _named(item: Elements) -> Named:
    return Named(_uid(item, _CLASS), _uid(item, _INSTANCE))


def _uid(elements: Elements, tag: str) -> UID:
    values = elements.get(tag, {}).get("Value") or []
    if len(values) != 1 or not isinstance(values[0], str):
        raise InvalidUID(f"{shown_tag(tag)} must be one UID.")
    return uid(values[0].strip(" \0"))


def _reason(item: Elements) -> int:
    values = item.get(_REASON, {}).get("Value") or []
    reason = values[0] if values else None
    return reason if isinstance(reason, int) and 0 <= reason <= _MOST_REASON else 0x0110
