"""Making a disc: every object read and verified, pages and pictures, the volume, reading it back.

Nothing of it touches a disk in plain: pictures wait in a sealed spool, the image goes into a sealed
object as it is walked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import orjson

from vna.access.principal import Action, Kind, Principal
from vna.blobs.derived import Derivates
from vna.blobs.spool import Spool
from vna.blobs.writer import StoredBlob
from vna.config import Settings
from vna.db.work import Item, Job, Settled
from vna.dicom.directory import Elements, Listed, dicomdir, keys_of
from vna.dicom.refs import InstanceRef, StudyRef, uid
from vna.errors import NotFound, Unavailable, VNAError
from vna.index.locate import Located
from vna.pixels.rendering import Viewport
from vna.retrieve import contents
from vna.retrieve.contents import WEB, SeriesPage, Shown, StudyPart
from vna.retrieve.engine import RetrieveEngine
from vna.retrieve.kinds import Kind as Sort
from vna.retrieve.kinds import kind_of
from vna.retrieve.package import file_names
from vna.retrieve.payload import Buffer, Stretch, ready
from vna.retrieve.render import RenderEngine
from vna.retrieve.volume import File, check, volume
from vna.retrieve.wish import Wish

LABEL = "MEDICAL_IMAGES"

_GONE = "It is no longer there."
_NOTE = 50  # objects of one note of how far it is
_SIDE = 1024  # pixels: the longest side of a picture
_PICTURE = Wish(
    media=("image/jpeg",), quality=85, viewport=Viewport(width=_SIDE, height=_SIDE), enlarge=False
)
# of what is no image: the extension of its file, and as what it is asked for
_DOCUMENTS = {
    Sort.REPORT: ("HTM", Wish(media=("text/html",))),
    Sort.PDF: ("PDF", Wish(media=("application/pdf",))),
}


class Left(Exception):
    """The work is to be left: the worker stops, or it was cancelled."""


@dataclass(frozen=True, slots=True)
class _Entry:
    number: int
    located: Located
    names: tuple[str, ...]
    digest: bytes
    members: Elements

    @property
    def path(self) -> str:
        return "/".join(self.names)


@dataclass(frozen=True, slots=True)
class Mastered:
    """A disc that is there: where it rests, and of what it was made."""

    blob: StoredBlob
    of: str


def contents_of(retrieve: RetrieveEngine, found: Iterable[Located]) -> str:
    """Hash which bytes a disc is made of: a correction or a deletion makes it another one."""
    names = sorted(retrieve.forms.revision_of(located) for located in found)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


class Mastering:
    """One disc in the making, for one thread."""

    def __init__(
        self,
        *,
        retrieve: RetrieveEngine,
        render: RenderEngine,
        derivates: Derivates,
        settings: Settings,
        job: Job,
        note: Callable[[Sequence[Settled]], None],
        must_leave: Callable[[], bool],
    ) -> None:
        self._retrieve = retrieve
        self._render = render
        self._derivates = derivates
        self._settings = settings
        self._note = note
        self._must_leave = must_leave
        self._who = Principal(
            kind=Kind.SYSTEM, name=job.requested_by, actions=frozenset([Action.RETRIEVE])
        )

    def make(self, items: Sequence[Item]) -> Mastered | None:
        """Make the disc of these instances; None when some of them could not be read.

        How it went with each is noted. Raises `Left`, `Unavailable`, `TooLarge`.
        """
        entries = self._entries(items)
        if entries is None:
            return None
        with closing(Spool(self._settings.data)) as spool:
            files = self._files(entries, spool)
            stored = self._write(volume([file for file, _ in files], LABEL))
            try:
                check(self._derivates.reader(stored.blob_id), _digests(files))
            except BaseException:
                self._derivates.delete(stored.blob_id)
                raise
        return Mastered(stored, contents_of(self._retrieve, (e.located for e in entries)))

    # -- the objects ---------------------------------------------------------------------------

    def _entries(self, items: Sequence[Item]) -> list[_Entry] | None:
        numbers = {item.instance: item.number for item in items}
        found = [one for one in self._located(items) if one.ref.instance in numbers]
        there = {str(one.ref.instance) for one in found}
        bad = [
            Settled(n, "failed", None, _GONE) for name, n in numbers.items() if name not in there
        ]
        self._note(bad)
        described = self._described(found)
        entries: list[_Entry] = []
        went: list[Settled] = []
        for located, names in zip(found, file_names(found), strict=True):
            number = numbers[located.ref.instance]
            try:
                digest = self._digest(located)
            except Unavailable:
                raise
            except VNAError as exc:
                bad.append(Settled(number, "failed", None, str(exc)))
                went.append(bad[-1])
            else:
                members = described.get(located.ref, {})
                entries.append(_Entry(number, located, names, digest, members))
                went.append(Settled(number, "done"))
            if len(went) >= _NOTE:
                self._note(went)
                went = []
        self._note(went)
        return None if bad or not entries else entries

    def _located(self, items: Sequence[Item]) -> Iterator[Located]:
        for study in dict.fromkeys(item.study for item in items if item.study is not None):
            try:
                yield from self._retrieve.instances(self._who, StudyRef(uid(study)))
            except NotFound:
                continue  # each of its objects is told of

    def _described(self, found: Sequence[Located]) -> dict[InstanceRef, Elements]:
        wanted = {located.ref for located in found}
        return {
            one.ref: _kept(one.members())
            for study in dict.fromkeys(located.ref.study for located in found)
            for one in self._retrieve.metadata(self._who, StudyRef(study))
            if one.ref in wanted
        }

    def _digest(self, located: Located) -> bytes:
        """Read a file to its end: every byte of it is authenticated on the way."""
        if self._must_leave():
            raise Left
        return _digest(self._retrieve.forms.whole(located))

    # -- the files -----------------------------------------------------------------------------

    def _files(self, entries: Sequence[_Entry], spool: Spool) -> list[tuple[File, bytes]]:
        made = [(File(e.path, self._retrieve.forms.whole(e.located)), e.digest) for e in entries]
        studies, pictures = self._pages(entries, spool)
        written = [
            ("DICOMDIR", dicomdir([self._listed(entry) for entry in entries])),
            ("INDEX.HTM", contents.index(studies)),
            ("README.TXT", contents.readme(studies, len(entries))),
            *((s.path, contents.series_page(study, s)) for study in studies for s in study.series),
        ]
        for path, data in written:
            made.append((File(path, ready(data)), hashlib.sha256(data).digest()))
        made += [(file, _digest(file.content)) for file in pictures]
        made.sort(key=lambda pair: pair[0].path)
        sums = contents.sums(_digests(made))
        made.append((File("SHA256.TXT", ready(sums)), hashlib.sha256(sums).digest()))
        return made

    def _listed(self, entry: _Entry) -> Listed:
        located = entry.located
        return Listed(
            file_id=entry.names,
            sop_class=located.sop_class,
            sop_instance=located.ref.instance,
            transfer_syntax=self._retrieve.forms.syntax_of(located),
            keys=entry.members,
        )

    def _pages(self, entries: Sequence[_Entry], spool: Spool) -> tuple[list[StudyPart], list[File]]:
        by_series: dict[tuple[str, str], list[_Entry]] = {}
        for entry in entries:
            by_series.setdefault((entry.names[1], entry.names[2]), []).append(entry)
        each = max(1, self._settings.discs.pictures // len(by_series))
        studies: dict[str, StudyPart] = {}
        files: list[File] = []
        for (study, series), held in by_series.items():
            members = held[0].members
            part = studies.setdefault(
                study, StudyPart(contents.patient_of(members), contents.study_of(members))
            )
            page = SeriesPage(f"{WEB}/{study}/{series}.HTM", contents.series_of(members), len(held))
            part.series.append(page)
            for entry in held[:: -(-len(held) // each)]:
                shown, file = self._shown(entry, spool, page, len(held), held.index(entry) + 1)
                page.shown.append(shown)
                files += [file] if file is not None else []
        return list(studies.values()), files

    def _shown(
        self, entry: _Entry, spool: Spool, page: SeriesPage, count: int, place: int
    ) -> tuple[Shown, File | None]:
        """Make the picture of an instance; one that cannot be shown is left out of the page."""
        if self._must_leave():
            raise Left
        sort = kind_of(entry.located)
        extension, wish = (
            ("JPG", _PICTURE) if sort is Sort.IMAGE else _DOCUMENTS.get(sort, ("", None))
        )
        caption = f"{page.title}, {place} of {count}"
        if wish is None:
            return Shown(None, caption), None
        try:
            payloads, _ = self._render.rendered(self._who, [entry.located], wish)
            data = b"".join(next(payloads).chunks)
        except Unavailable:
            raise
        except VNAError:
            return Shown(None, caption), None
        path = f"{WEB}/{'/'.join(entry.names[1:])}.{extension}"
        return Shown(path, caption), File(path, _kept_in(spool, data))

    # -- the image -----------------------------------------------------------------------------

    def _write(self, image: Stretch) -> StoredBlob:
        with self._derivates.writer() as writer:
            for piece in image.walk(0, image.length):
                if self._must_leave():
                    raise Left
                writer.write(piece)
            return writer.finish(orjson.dumps({"v": 1, "sort": "disc"}))


def _digests(files: Sequence[tuple[File, bytes]]) -> list[tuple[str, bytes]]:
    return [(file.path, digest) for file, digest in files]


def _digest(content: Stretch) -> bytes:
    found = hashlib.sha256()
    for piece in content.walk(0, content.length):
        found.update(piece)
    return found.digest()


def _kept_in(spool: Spool, data: bytes) -> Stretch:
    at = spool.size
    spool.append(data)

    def walk(start: int, end: int) -> Iterator[Buffer]:
        return spool.chunks(at + start, end - start)

    return Stretch(len(data), walk)


_TOLD = ("00100030", "00080080", "0008103E")  # birth date, institution, series description


def _kept(members: Elements) -> Elements:
    return {**keys_of(members), **{tag: members[tag] for tag in _TOLD if tag in members}}
