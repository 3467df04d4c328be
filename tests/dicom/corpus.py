"""The files our reading is held against: pydicom's own, and the shared ones where they are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pydicom.data

from vna.config import Limits
from vna.dicom.part10 import FileMeta, Part10Reader
from vna.dicom.scan import Scan, Scanner

REPOSITORY = Path(__file__).resolve().parents[2]


@cache
def files() -> tuple[Path, ...]:
    """Every sample file, each content once."""
    folders = [Path(pydicom.data.__file__).parent, shared() / "data" / "dicom"]
    found: dict[bytes, Path] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            is_sample = path.suffix == ".dcm" or "dicomdirtests" in path.parts
            if path.is_file() and is_sample and "README" not in path.name:
                found.setdefault(path.read_bytes(), path)
    return tuple(sorted(found.values()))


def shared() -> Path:
    """Where the shared samples lie, if they do."""
    return Path(os.environ.get("SHARED_SAMPLES", REPOSITORY.parent / "shared"))


def charset_files() -> list[Path]:
    """The files that are about character sets."""
    return [path for path in files() if path.name.startswith(("chr", "charset"))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What our own reading of a file gave."""

    meta: FileMeta
    scan: Scan
    text: bytes
    dataset: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The DICOM JSON as values."""
        values: dict[str, Any] = orjson.loads(self.text)
        return values


def read(data: bytes, *cuts: int, limits: Limits | None = None) -> Read:
    """Read a file in the pieces that lie between `cuts`."""
    limits = limits or Limits()
    reader = Part10Reader(meta_group_bytes=limits.meta_group_bytes)
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [bytes(reader.feed(data[a:b])) for a, b in pairwise(bounds)]
    pieces.append(reader.finish())
    assert reader.meta is not None
    written: list[bytes] = []
    scan = scan_pieces(reader.meta.transfer_syntax, pieces, written, limits)
    return Read(meta=reader.meta, scan=scan, text=b"".join(written), dataset=b"".join(pieces))


def scan_pieces(
    transfer_syntax: str, pieces: list[bytes], written: list[bytes], limits: Limits | None = None
) -> Scan:
    """Scan a bare data set that arrives in pieces."""
    scanner = Scanner(transfer_syntax, limits or Limits(), json=written.append)
    for piece in pieces:
        scanner.feed(piece)
    return scanner.finish()


def scan_bare(
    data: bytes, transfer_syntax: str = "1.2.840.10008.1.2.1", limits: Limits | None = None
) -> tuple[Scan, dict[str, Any]]:
    """Scan a bare data set at once: what was learnt, and the JSON."""
    written: list[bytes] = []
    scan = scan_pieces(transfer_syntax, [data], written, limits)
    return scan, orjson.loads(b"".join(written))
