"""`vna export`: everything as DICOM files that need no program of ours, or a look at such files."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from vna import app
from vna.access.audit import Event
from vna.access.principal import Principal
from vna.archive import Archive
from vna.backup.exported import check
from vna.backup.leaving import Export, File
from vna.cli.progress import Bar, later_bar
from vna.cli.quantities import in_bytes
from vna.cli.shell import shell
from vna.config import Settings
from vna.dicom.refs import InstanceRef, Level, StudyRef
from vna.errors import ConfigError, NotFound, VNAError
from vna.query.answers import Answer
from vna.query.keys import from_parameters
from vna.retrieve.engine import RetrieveEngine

_ALL = 1 << 31


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Writes every instance that can be found into DIR as a DICOM file, with a digest of each "
        "(`sha256sum -c SHA256SUMS`), a table of what each is and a line of DICOM JSON a study: "
        "what another archive needs to take over. Works while the archive serves. One that was "
        "cut off goes on where it was. Nothing in DIR is encrypted."
    )
    parser.add_argument("dir", type=Path, metavar="DIR", help="an empty folder, or one cut off")
    parser.add_argument(
        "--check",
        action="store_true",
        help="read the export in DIR and compare every digest; needs no archive and no key",
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Write or check; 1 when something could not be read, or is damaged."""
    folder = Path(os.path.abspath(args.dir))
    if args.check:
        return _check(folder)
    data = settings.data.resolve()
    if folder.resolve().is_relative_to(data) or data.is_relative_to(folder.resolve()):
        raise ConfigError("The export must not lie in the data folder, nor around it.")
    archive_id = str(UUID(bytes=app.store_of(settings)))
    with app.at_work(settings, "export") as archive:
        export = Export(folder, archive_id)
        with contextlib.closing(export), later_bar("studies") as shown:
            _write(archive, export, shell("export"), shown)
            export.finish()
        _note(archive, export)
    return _tell(export, folder)


def _write(archive: Archive, export: Export, who: Principal, shown: Bar) -> None:
    """Add each study that is not there yet."""

    def missed(ref: InstanceRef, exc: VNAError) -> None:
        shown.say(f"left out  {ref.study} {ref.instance}: {exc}")

    for answer in _studies(archive, who):
        study = answer.study
        if study is not None and not export.has(study):
            with contextlib.suppress(NotFound):  # deleted meanwhile
                files = _files(archive.engines.retrieve, who, StudyRef(study))
                export.add(study, answer.attributes, files, missed)
        shown.reach(export.counts.studies)


def _studies(archive: Archive, who: Principal) -> Iterator[Answer]:
    every = [("includefield", "all")]
    asked = from_parameters(Level.STUDY, every, most=_ALL)
    return archive.engines.query.find(who, asked.query).rows


def _files(engine: RetrieveEngine, who: Principal, study: StudyRef) -> Iterator[File]:
    for file in engine.files(who, study, what="export"):
        yield File(
            name=file.name,
            ref=file.ref,
            sop_class=file.sop_class,
            transfer_syntax=file.transfer_syntax,
            chunks=file.content.walk(0, file.content.length),
        )


def _note(archive: Archive, export: Export) -> None:
    """Write into the trail that everything was written out."""
    counts = export.counts
    detail = {"studies": counts.studies, "instances": counts.instances, "size": counts.size}
    event = Event(kind="archive.exported", outcome="done", detail=detail)
    with archive.database.transaction() as tx:
        archive.audit.write(tx, shell("export"), [event])


def _tell(export: Export, folder: Path) -> int:
    counts = export.counts
    print(f"{counts.studies} studies, {counts.instances} instances ({in_bytes(counts.size)})")
    print(f"in {folder}, as plain files: keep it as safe as what is in it")
    if counts.missing:
        print(f"{counts.missing} instances could not be read and are left out: `vna verify` looks")
    return 1 if counts.missing else 0


def _check(folder: Path) -> int:
    damaged = 0
    with later_bar("files") as shown:
        for path, why in check(folder, shown.reach):
            damaged += 1
            shown.say(f"damaged  {path}: {why}")
    print(f"{damaged} damaged" if damaged else "every file is what was written")
    return 1 if damaged else 0
