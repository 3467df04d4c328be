"""Search results as text/csv, an extension for people with spreadsheets (RFC 4180).

One line a result, a column for each attribute of any of them in ascending order, named by keyword
or tag. Values of an attribute stand between backslashes, names as in a data set, sequences as the
DICOM JSON of their items.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from vna.dicom.attributes import keyword_of

_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
# A spreadsheet takes such a text for a formula and would run what a stranger wrote into a name; one
# of East Asia takes the signs in their full width alike.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def table(found: Sequence[Mapping[str, Any]]) -> bytes:  # DICOM JSON differs by VR
    """Write results as a table in UTF-8, with a head even where there is none."""
    tags = sorted({tag for elements in found for tag in elements})
    lines = [_line(keyword_of(tag) or tag for tag in tags)]
    lines += [_line(_cell(elements.get(tag)) for tag in tags) for elements in found]
    return "".join(lines).encode()


def _line(cells: Iterable[str]) -> str:
    return ",".join(f'"{cell}"' for cell in (text.replace('"', '""') for text in cells)) + "\r\n"


def _cell(element: Any) -> str:  # a DICOM JSON element, or None
    if element is None or "Value" not in element:
        return ""
    if element["vr"] == "SQ":
        return orjson.dumps(element["Value"]).decode()
    text = "\\".join(_text(value) for value in element["Value"])
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _text(value: Any) -> str:  # one value of DICOM JSON
    if value is None:
        return ""
    if isinstance(value, dict):
        return "=".join(str(value.get(group, "")) for group in _GROUPS).rstrip("=")
    return str(value)


def _is_number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdigit()
