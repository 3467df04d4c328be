"""Reading values out of DICOM JSON (PS3.18 F.2): what is missing or odd is None or empty."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator, Mapping
from typing import Any

Members = Mapping[str, Any]  # DICOM JSON: tag -> {"vr": ..., "Value": ...}

_SHARED, _PER_FRAME = "52009229", "52009230"


def values(members: Members, tag: str) -> list[Any]:
    """Return the values of an attribute."""
    found = members.get(tag)
    listed = found.get("Value") if isinstance(found, dict) else None
    return listed if isinstance(listed, list) else []


def text(members: Members, tag: str) -> str:
    """Return the first value as text; a person's name in its alphabetic form."""
    listed = values(members, tag)
    first = listed[0] if listed else ""
    if isinstance(first, dict):
        first = first.get("Alphabetic", "")
    return str(first).strip() if first is not None else ""


def numbers(members: Members, tag: str) -> list[float]:
    """Return the values that are finite numbers."""
    found = []
    for value in values(members, tag):
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if math.isfinite(number):
            found.append(number)
    return found


def number(members: Members, tag: str) -> float | None:
    """Return the first value, when it is a number."""
    listed = numbers(members, tag)
    return listed[0] if listed else None


def integer(members: Members, tag: str, default: int = 0) -> int:
    """Return the first value as a whole number."""
    found = number(members, tag)
    return default if found is None else int(found)


def binary(members: Members, tag: str) -> bytes:
    """Return a value that stands in the JSON as bytes; empty when it does not."""
    found = members.get(tag)
    inline = found.get("InlineBinary") if isinstance(found, dict) else None
    try:
        return base64.b64decode(inline) if isinstance(inline, str) else b""
    except (ValueError, binascii.Error):
        return b""


def items(members: Members, tag: str) -> list[dict[str, Any]]:
    """Return the items of a sequence."""
    return [item for item in values(members, tag) if isinstance(item, dict)]


def item(members: Members, tag: str) -> dict[str, Any]:
    """Return the first item of a sequence, or an empty one."""
    found = items(members, tag)
    return found[0] if found else {}


def groups_of(members: Members, number: int) -> Iterator[Members]:
    """Give the functional groups of a frame, from 1: its own, then all frames' (PS3.3 C.7.6.16)."""
    own = values(members, _PER_FRAME)  # counted with what is no item: nothing may move up
    if 0 < number <= len(own) and isinstance(own[number - 1], dict):
        yield own[number - 1]
    yield item(members, _SHARED)
