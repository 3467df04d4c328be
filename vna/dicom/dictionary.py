"""The dictionaries of attributes and of UIDs (PS3.6), private ones too, in the tables of pydicom.

Only its tables are read: `import pydicom` brings numpy, image codecs and a HTTP client along, which
would weigh on every process of the archive and have no business where keys are.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any


def _tables(name: str) -> Any:  # a module of nothing but tables
    package = importlib.util.find_spec("pydicom")
    if package is None or not package.submodule_search_locations:
        raise ImportError("pydicom is not installed")
    file = Path(package.submodule_search_locations[0]) / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{__name__}.{name}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"pydicom has no {name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_attributes = _tables("_dicom_dict")
_ELEMENTS: Mapping[int, tuple[str, str, str, str, str]] = _attributes.DicomDictionary
_UIDS: Mapping[str, tuple[str, str, str, str, str]] = _tables("_uid_dict").UID_dictionary
_BY_KEYWORD: Mapping[str, int] = {entry[4]: tag for tag, entry in _ELEMENTS.items()}
# (bits that are not x, their values) -> entry, of groups that repeat: 60xx3000
_REPEATERS = tuple(
    (
        int("".join("0" if digit == "x" else "F" for digit in mask), 16),
        int(mask.replace("x", "0"), 16),
        entry,
    )
    for mask, entry in _attributes.RepeatersDictionary.items()
)


def vr_of(tag: int) -> str:
    """Look up the VR of a standard attribute, such as "DS" or "US or SS". Raises `KeyError`."""
    return _entry(tag)[0]


def keyword_of(tag: int) -> str:
    """Look up the keyword of a standard attribute. Raises `KeyError`."""
    return _entry(tag)[4]


def tag_of(keyword: str) -> int | None:
    """Look up the tag of a keyword; None when no attribute has it."""
    return _BY_KEYWORD.get(keyword)


def private_vr_of(tag: int, creator: str) -> str:
    """Look up the VR of a private attribute, whatever block it is in. Raises `KeyError`."""
    group, element = f"{tag >> 16:04X}", f"{tag & 0xFFFF:04X}"
    known = _private()[creator]
    for key in (
        f"{group}{element}",
        f"{group}xx{element[2:]}",
        f"{group[:2]}xxxx{element[2:]}",
    ):
        if key in known:
            return known[key][0]
    raise KeyError(tag)


def uids() -> Collection[str]:
    """Return every UID of the standard."""
    return _UIDS.keys()


def uid_name(uid: str) -> str:
    """Name a UID as the standard does, or give the UID itself."""
    return _UIDS[uid][0] if uid in _UIDS else uid


def uid_kind(uid: str) -> str:
    """Say what a UID of the standard is for: "SOP Class"; empty for one it does not know."""
    return _UIDS[uid][1] if uid in _UIDS else ""


def _entry(tag: int) -> tuple[str, str, str, str, str]:
    if tag in _ELEMENTS:
        return _ELEMENTS[tag]
    if not tag & 0x10000:
        for fixed, values, entry in _REPEATERS:
            if tag & fixed == values:
                found: tuple[str, str, str, str, str] = entry
                return found
    raise KeyError(tag)


@cache
def _private() -> Mapping[str, Mapping[str, tuple[str, str, str, str]]]:
    """Read the private dictionary when somebody asks: few do, and it is large."""
    found: Mapping[str, Mapping[str, tuple[str, str, str, str]]]
    found = _tables("_private_dict").private_dictionaries
    return found
