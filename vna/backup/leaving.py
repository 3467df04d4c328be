"""Everything as files that need no program of ours: for whoever takes over from this archive.

DIR/DICOM/ST000001/SE000001/IM000001.dcm    an instance, as a DICOM file (PS3.10 7)
DIR/SHA256SUMS       a line "digest  path" for each file, for `sha256sum -c`
DIR/instances.csv    what each file is: path, size, UIDs, Transfer Syntax
DIR/studies.ndjson   a line a study: its folder, how much is in it, its attributes in DICOM JSON
DIR/export.json      which archive it came from; `ended` and counts once it is complete

The line of a study is written last, when all else of it is durable, and says how far the other
lists go. What was cut off goes on behind the last line. Names are numbers: no UID becomes a path.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vna.backup.exported import FORMAT, STUDIES, SUMMARY, SUMS, TABLE, summary
from vna.backup.manifest import Entry, digest_of, sync_folder, write_json
from vna.dicom.refs import InstanceRef
from vna.errors import ConfigError, Corrupt, Unavailable, VNAError

COLUMNS = (
    *("file", "bytes", "StudyInstanceUID", "SeriesInstanceUID"),
    *("SOPInstanceUID", "SOPClassUID", "TransferSyntaxUID"),
)

Missed = Callable[[InstanceRef, VNAError], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One instance: `name` within its study, and its bytes, walked once."""

    name: tuple[str, ...]
    ref: InstanceRef
    sop_class: str
    transfer_syntax: str
    chunks: Iterator[bytes | bytearray | memoryview]


@dataclass(slots=True)
class Counts:
    """What stands in an export, or in one study of it."""

    studies: int = 0
    instances: int = 0
    size: int = 0
    missing: int = 0

    def add(self, other: Counts) -> None:
        """Count more."""
        self.studies += other.studies
        self.instances += other.instances
        self.size += other.size
        self.missing += other.missing


class Export:
    """An export that is being written, begun now or by a run that was cut off."""

    def __init__(self, folder: Path, archive_id: str) -> None:
        """Begin, or go on. Raises `ConfigError` where the folder holds anything else."""
        self._folder = folder
        self._archive_id = archive_id
        self._known: set[str] = set()
        self.counts = Counts()
        _prepare(folder, archive_id)
        self._resume()
        self._sums = (folder / SUMS).open("ab")
        self._table = (folder / TABLE).open("ab")
        self._studies = (folder / STUDIES).open("ab")
        if not self._table.tell():
            self._table.write(_row(COLUMNS))

    def has(self, study: str) -> bool:
        """Whether a study is there already."""
        return study in self._known

    def add(
        self, study: str, attributes: Mapping[str, Any], files: Iterable[File], missed: Missed
    ) -> Counts:
        """Write a study; what cannot be read is told and left out."""
        folder = f"DICOM/ST{self.counts.studies + 1:06}"
        shutil.rmtree(self._folder / folder, ignore_errors=True)
        counts = Counts(studies=1)
        for file in files:
            path = "/".join((folder, *file.name))
            try:
                size, digest = _written(self._folder / path, file.chunks)
            except Unavailable:  # for a while: nothing is left out because of it
                raise
            except VNAError as exc:
                counts.missing += 1
                missed(file.ref, exc)
                continue
            counts.instances += 1
            counts.size += size
            ref = file.ref
            said = (ref.study, ref.series, ref.instance, file.sop_class, file.transfer_syntax)
            self._sums.write(Entry(path, digest).line())
            self._table.write(_row((path, size, *said)))
        self._end_study(study, folder, attributes, counts)
        return counts

    def finish(self) -> None:
        """Make it a complete one."""
        self.close()
        with (self._folder / SUMS).open("ab") as sums:
            for name in (TABLE, STUDIES):
                sums.write(Entry(name, digest_of(self._folder / name)).line())
            _sync(sums)
        counts = self.counts
        write_json(
            self._folder,
            SUMMARY,
            _begun(self._archive_id)
            | {"ended": _now(), "studies": counts.studies, "instances": counts.instances}
            | {"size": counts.size, "missing": counts.missing},
        )

    def close(self) -> None:
        """Close the lists as they are."""
        for out in (self._sums, self._table, self._studies):
            out.close()

    def _end_study(
        self, study: str, folder: str, attributes: Mapping[str, Any], counts: Counts
    ) -> None:
        _sync_below(self._folder / folder, self._folder)
        for out in (self._sums, self._table):
            _sync(out)
        line = {
            "folder": folder,
            "instances": counts.instances,
            "size": counts.size,
            "missing": counts.missing,
            "lists": [self._sums.tell(), self._table.tell()],
            "study": study,
            "attributes": attributes,
        }
        self._studies.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        _sync(self._studies)
        self._known.add(study)
        self.counts.add(counts)

    def _resume(self) -> None:
        """Read what is there; cut off what has no study's line behind it."""
        path, whole, ends = self._folder / STUDIES, 0, [0, 0]
        path.touch(0o600)
        with path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                study, counts, ends = _read(line)
                whole += len(line)
                self._known.add(study)
                self.counts.add(counts)
        for name, end in zip((STUDIES, SUMS, TABLE), (whole, *ends), strict=True):
            (self._folder / name).touch(0o600)
            if (self._folder / name).stat().st_size < end:
                raise _damaged(name)
            os.truncate(self._folder / name, end)


def _prepare(folder: Path, archive_id: str) -> None:
    folder.mkdir(0o700, parents=True, exist_ok=True)
    if not any(path.name != f"{SUMMARY}.part" for path in folder.iterdir()):
        write_json(folder, SUMMARY, _begun(archive_id))
        return
    if not (folder / SUMMARY).exists():
        raise ConfigError(f"The folder {folder} holds something else: name an empty one.")
    found = summary(folder)
    if found.get("archive_id") != archive_id:
        raise ConfigError(f"The export in {folder} is of another archive.")
    if "ended" in found:
        raise ConfigError(f"The export in {folder} is complete, of {found['ended']}: name another.")


def _begun(archive_id: str) -> dict[str, Any]:
    return {"format": FORMAT, "archive_id": archive_id}


def _read(line: bytes) -> tuple[str, Counts, list[int]]:
    """Read the line of a study: which, what is in it, and how far the other lists went then."""
    try:
        told = json.loads(line)
        much = (int(told[name]) for name in ("instances", "size", "missing"))
        ends = [int(end) for end in told["lists"]]
        found = str(told["study"]), Counts(1, *much), ends
    except (ValueError, KeyError, TypeError) as exc:
        raise _damaged(STUDIES) from exc
    if len(ends) != len((SUMS, TABLE)):
        raise _damaged(STUDIES)
    return found


def _damaged(name: str) -> Corrupt:
    return Corrupt(f"The list {name} of the export is damaged: begin in another folder.")


def _written(path: Path, chunks: Iterator[bytes | bytearray | memoryview]) -> tuple[int, str]:
    """Write a file, durable; give its size and digest. What fails leaves nothing."""
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as out:
        path.chmod(0o600)
        try:
            for chunk in chunks:
                out.write(chunk)
                digest.update(chunk)
                size += len(chunk)
        except VNAError:
            path.unlink()
            raise
        _sync(out)
    return size, digest.hexdigest()


def _sync(out: io.BufferedWriter) -> None:
    out.flush()
    os.fsync(out.fileno())


def _sync_below(folder: Path, root: Path) -> None:
    """Make the names in a study's folder durable, and those that lead to it."""
    folder.mkdir(0o700, parents=True, exist_ok=True)  # where nothing of it could be read
    for below in (*folder.iterdir(), folder, folder.parent, root):
        if below.is_dir():
            sync_folder(below)


def _row(values: Iterable[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
