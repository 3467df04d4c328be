"""An archive with an import desk, and files as discs hold them."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pycdlib
import pytest

from tests.archive import Archive, open_archive
from tests.factories import ct
from vna.db.pool import Database
from vna.imports.values import Taken

PDF = b"%PDF-1.7\nA report that is no DICOM object.\n%%EOF\n"


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database) as archive:
        yield archive


def mark(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def give(
    archive: Archive, number: int, name: str, data: bytes, *, digest: bytes | None = None
) -> Taken:
    """Send one file to an import, in uneven pieces."""
    taking = archive.imports.intake.take(
        archive.who, number, name=name, mark=mark(name), digest=digest
    )
    try:
        for at in range(0, len(data), 50_001):
            taking.feed(data[at : at + 50_001])
        return taking.finish()
    finally:
        taking.abort()


def zip_of(files: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Write a ZIP."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return held.getvalue()


def iso_of(files: Mapping[str, bytes], *, joliet: bool = True, udf: bool = False) -> bytes:
    """Write an ISO image; names are `FOLDER/NAME` in ISO 9660's letters."""
    image = pycdlib.PyCdlib()
    image.new(joliet=3 if joliet else None, udf="2.60" if udf else None)
    for folder in sorted({name.rpartition("/")[0] for name in files} - {""}):
        image.add_directory(
            f"/{folder}",
            joliet_path=f"/{folder}" if joliet else None,
            udf_path=f"/{folder}" if udf else None,
        )
    for name, data in files.items():
        image.add_fp(
            io.BytesIO(data),
            len(data),
            f"/{name}.;1",
            joliet_path=f"/{name}" if joliet else None,
            udf_path=f"/{name}" if udf else None,
        )
    held = io.BytesIO()
    image.write_fp(held)
    image.close()
    return held.getvalue()


def disc(count: int = 3, study: int = 1) -> dict[str, bytes]:
    """What a disc of one patient holds, by name."""
    slices = {f"IMG/IM{n:04}": ct(study, 1, n).part10() for n in range(1, count + 1)}
    return {**slices, "README": b"How to open this disc. " * 20, "REPORT": PDF}
