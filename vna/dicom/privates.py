"""Private attributes by who made them, not by where they happen to stand (PS3.5 7.8.1).

A private element gggg,bbee belongs to the creator that reserved its block in gggg,00bb; another
data set may hold the same attribute in another block. Its name is `gggg00ee:CREATOR`, with the
block left out as in PS3.19 A.1.5; a standard attribute's name is its tag.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Elements = Mapping[str, Any]  # DICOM JSON elements: their values differ by VR


def is_private(tag: str) -> bool:
    """Whether a tag is of an odd group."""
    return int(tag[3], 16) % 2 == 1


def is_creator(tag: str) -> bool:
    """Whether a tag reserves a block for a creator."""
    return is_private(tag) and tag[4:6] == "00" and tag[6:] >= "10"


def creator_tag(tag: str) -> str:
    """Give the tag that says whose the block of a private element is."""
    return f"{tag[:4]}00{tag[4:6]}"


def name(tag: str, creator: str) -> str:
    """Name a private attribute by its creator."""
    return f"{tag[:4]}00{tag[6:]}:{creator.strip(' ')}"


def in_block(private_name: str, block: str) -> str:
    """Give the tag a named private attribute has in a block, `block` being two digits."""
    return f"{private_name[:4]}{block}{private_name[6:8]}"


def creator_of(private_name: str) -> str:
    """Give the creator in a name; empty for a standard attribute."""
    return private_name.partition(":")[2]


def find(elements: Elements, wanted: str) -> Any:  # a DICOM JSON element, or None
    """Find an attribute of one data set, or of one item, by its name."""
    if ":" not in wanted:
        return elements.get(wanted)
    group, creator = wanted[:4], creator_of(wanted)
    for tag, element in elements.items():
        if tag[:4] == group and is_creator(tag) and _is(element, creator):
            found = elements.get(in_block(wanted, tag[6:]))
            if found is not None:
                return found
    return None


def _is(element: Any, creator: str) -> bool:  # a DICOM JSON element
    return any(str(value).strip(" ") == creator for value in element.get("Value", ()))
