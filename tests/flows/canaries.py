"""Words that must be found nowhere, and where one looks for them: files, logs, metrics, answers."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote_plus

_BLOCK, _OVERLAP = 8 << 20, 512


@dataclass(slots=True)
class Canaries:
    """What was put in: by name, so that a finding says which one it is and shows none."""

    indexed: dict[str, str] = field(default_factory=dict)  # may stand in columns of the database
    secrets: dict[str, str] = field(default_factory=dict)  # may stand nowhere

    def all(self) -> dict[str, str]:
        """Everything."""
        return {**self.indexed, **self.secrets}


def found_in(data: bytes, words: dict[str, str]) -> list[str]:
    """Name the words that stand in some bytes, however they are written."""
    lower = data.lower()
    return [name for name, word in words.items() if _stands_in(word, data, lower)]


def found_below(folder: Path, words: dict[str, str], *, without: Iterable[Path] = ()) -> list[str]:
    """Name the words that stand in the files below a folder, or in their names."""
    left_out = tuple(without)
    found = []
    for path in _files(folder, left_out):
        for name in found_in(str(path.relative_to(folder)).encode(), words):
            found.append(f"{name} in the name of a file")
        for block in _blocks(path):
            found += [f"{name} in {path.relative_to(folder)}" for name in found_in(block, words)]
    return found


def _stands_in(word: str, data: bytes, lower: bytes) -> bool:
    """Look for a word as programs write it: as text, for an address, in Base64."""
    raw = word.encode()
    if word.isdecimal() and len(word) <= 8:  # a code; other numbers may hold its digits
        return re.search(rb"(?<!\d)" + raw + rb"(?!\d)", data) is not None
    ways = (raw.lower(), word.lower().encode("utf-16-le"), raw.hex().encode())
    quoted = quote_plus(word).lower().encode()
    # what stands before a word decides where its groups of three begin
    coded = [base64.b64encode(b"\0" * shift + raw)[(shift * 8 + 5) // 6 : -4] for shift in range(3)]
    return any(way in lower for way in (*ways, quoted)) or any(way in data for way in coded)


def _files(folder: Path, left_out: tuple[Path, ...]) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        is_out = any(path.is_relative_to(one) for one in left_out)
        if not is_out and path.is_file() and not path.is_symlink():
            yield path


def _blocks(path: Path) -> Iterator[bytes]:
    before = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield before + block
            before = block[-_OVERLAP:]
