"""One file on its way into quarantine: opened when it holds others, or told apart.

What cannot be taken is noted with its reason, and the next one is read: one bad file costs nobody
the rest of a disc.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from vna.blobs.spool import Spool
from vna.errors import Conflict, InvalidRequest, TooLarge, Unavailable, VNAError
from vna.imports import documents, iso
from vna.imports.documents import Incoming
from vna.imports.held import HeldFile
from vna.imports.keeping import FULL, TWICE, Into, Keeping, Sent
from vna.imports.members import UNREADABLE, Member
from vna.imports.values import Result, Taken
from vna.ingest.outcome import AlreadyStored, Cause, Refused, Stored
from vna.texts import marked

HEAD = iso.MAGIC_AT + len(iso.MAGIC)
"""So many bytes tell what a file is."""

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_PREFIX = b"DICM"
_DIRECTORY = b"1.2.840.10008.1.3.10"
_AGAIN = (Cause.OUT_OF_RESOURCES, Cause.FAILED)
_LOOK_BYTES = 64 << 20  # that came since it was looked whether there is room for more
_ENDING = 4  # objects that are made durable beside the one that is read


class Taking:
    """Takes the bytes of one file; `finish` says what became of it. One thread at a time."""

    def __init__(
        self,
        keeping: Keeping,
        into: Into,
        sent: Sent,
    ) -> None:
        self._keeping = keeping
        self._into = into
        self._terms = into.terms
        self._sent = sent
        self._head = bytearray()
        self._size = 0
        self._counted = 0  # bytes that are on their way
        self._unseen = 0  # bytes since it was looked whether there is room
        self._object: _Object | None = None
        self._spool: Spool | None = None
        self._is_zip = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises `TooLarge`, `Unavailable`."""
        self._size += len(data)
        self._keeping.count(self._into.number, len(data))
        self._counted += len(data)
        self._look(len(data), self._size)
        if self._object is not None:
            self._object.feed(data)
        elif self._spool is not None:
            self._put_aside(data)
        else:
            self._head += data
            if len(self._head) >= HEAD:
                self._begin()

    def _look(self, count: int, size: int) -> None:
        """See that there is room when `count` bytes more came of a file, by now `size`."""
        if size > self._terms.bytes:
            raise TooLarge(FULL)
        self._unseen += count
        if self._unseen >= _LOOK_BYTES:  # others come beside it
            # of several that are on their way some may be given up: twice as much may be, no more
            if self._keeping.coming(self._into.number) > 2 * self._terms.bytes:
                raise TooLarge(FULL)
            self._keeping.require_room(self._into.number, self._terms, coming=size)
            self._unseen = 0

    def finish(self) -> Taken:
        """Say what became of it, and of everything in it.

        Raises `Conflict`, `Unavailable` when it is to be sent again; nothing of it is noted then.
        """
        self._uncount()
        try:
            if self._object is None and self._spool is None:
                self._begin()
            if self._object is not None:
                return self._object.finish()
            return self._opened()
        finally:
            self.abort()

    def abort(self) -> None:
        """Let go of what was not finished."""
        self._uncount()
        if self._object is not None:
            self._object.abort()
        if self._spool is not None:
            self._spool.close()

    def _uncount(self) -> None:
        self._keeping.count(self._into.number, -self._counted)
        self._counted = 0

    def _begin(self) -> None:
        head = bytes(self._head)
        self._head = bytearray()
        if kind := _container(head):
            self._spool, self._is_zip = self._keeping.spool(), kind == "zip"
            self._put_aside(head)
            return
        self._object = self._one(self._sent)
        self._object.feed(head)

    def _put_aside(self, data: bytes) -> None:
        spool = self._spool
        if spool is None or spool.size + len(data) > self._keeping.container_bytes():
            raise TooLarge(
                marked("A ZIP or ISO may not be larger than that: bring its files as a folder.")
            )
        spool.append(data)

    def _one(self, sent: Sent) -> _Object:
        return _Object(self._keeping, self._into, sent, keeps_documents=self._terms.documents)

    def _opened(self) -> Taken:
        if self._spool is None:
            raise Unavailable
        try:
            count = self._read_all(HeldFile(self._spool))
            taken = Taken(result=Result.OPENED, files=count)
        except InvalidRequest as exc:
            taken = Taken(result=Result.BAD, reason=str(exc))
        self._keeping.note(self._into.number, self._sent, self._size, taken)
        return taken

    def _read_all(self, file: HeldFile) -> int:
        count = 0
        with ThreadPoolExecutor(_ENDING, "import") as pool:
            ending: deque[Future[Taken]] = deque()
            for member in self._keeping.members(file, is_zip=self._is_zip):
                if count % 256 == 0:
                    self._keeping.require_room(self._into.number, self._terms)
                count += 1
                while len(ending) >= _ENDING:
                    ending.popleft().result()
                ending.append(pool.submit(self._read(member)))
            while ending:
                ending.popleft().result()
        return count

    def _read(self, member: Member) -> Callable[[], Taken]:
        """Read a member; what is given ends it, in whatever thread.

        Raises `TooLarge`, `Unavailable` when there is no room for what comes out of it.
        """
        one = self._one(Sent(member.name))
        if member.problem:
            return lambda: one.give_up(member.size, member.problem)
        try:
            # closed here, and not when it is forgotten: the container may be gone by then
            with contextlib.closing(member.pieces()) as pieces:
                for piece in pieces:
                    one.feed(piece, inside=True)
                    self._look(len(piece), one.size)
        except UNREADABLE as exc:
            one.abort()
            if str(exc) == FULL:
                raise  # nothing is wrong with the file
            why = str(exc) if isinstance(exc, TooLarge) else "It is damaged: its bytes do not fit."
            return lambda: one.give_up(member.size, why)
        except VNAError:
            one.abort()
            raise
        return one.finish


class _Object:
    """One file that holds no others: an object, or something that is none."""

    def __init__(
        self,
        keeping: Keeping,
        into: Into,
        sent: Sent,
        *,
        keeps_documents: bool,
    ) -> None:
        self._keeping = keeping
        self._into = into
        self._sent = sent
        self._keeps_documents = keeps_documents
        self._document: Incoming | None = None
        self._size = 0
        self._head = b""
        self._is_container = False
        self._receiving = keeping.receive(into, sent)

    @property
    def size(self) -> int:
        """How many bytes came."""
        return self._size

    def feed(self, data: bytes, *, inside: bool = False) -> None:
        """Take the next bytes; `inside` a container there is no other one."""
        if not self._size:
            self._head = bytes(data[:HEAD])
            self._is_container = inside and bool(_container(self._head))
            media = documents.media_of(self._head) if self._keeps_documents else None
            if media is not None:
                self._document = self._keeping.document(self._into, media)
        self._size += len(data)
        if self._document is not None:
            self._document.feed(data)
        else:
            self._receiving.feed(data)

    def finish(self) -> Taken:
        """Keep it, or say why not. Raises `Conflict`, `Unavailable` when it is to come again."""
        if self._document is not None:
            return self._kept(self._document)
        outcome = self._receiving.finish()
        if isinstance(outcome, Stored):
            return Taken(result=Result.KEPT)
        if isinstance(outcome, AlreadyStored):
            return Taken(result=Result.TWICE, reason=TWICE)
        if outcome.cause in _AGAIN:
            raise Unavailable(outcome.message)
        if outcome.cause is Cause.MISMATCH:
            raise Conflict(outcome.message)
        if outcome.cause is Cause.TOO_LARGE and outcome.message == FULL:
            raise TooLarge(FULL)  # nothing is wrong with the file
        taken = self._told_apart(outcome)
        self._keeping.note(self._into.number, self._sent, self._size, taken)
        return taken

    def _kept(self, document: Incoming) -> Taken:
        self._receiving.abort()
        return self._keeping.keep_document(
            self._into, document.finish(), document.media, self._sent
        )

    def give_up(self, size: int, why: str) -> Taken:
        """Note that it could not be read."""
        taken = Taken(result=Result.BAD, reason=why)
        self._keeping.note(self._into.number, self._sent, max(size, 0), taken)
        return taken

    def abort(self) -> None:
        """Keep nothing of it."""
        self._receiving.abort()
        if self._document is not None:
            self._document.abort()

    def _told_apart(self, outcome: Refused) -> Taken:
        head = self._head
        if not self._size:
            return Taken(result=Result.BAD, reason=marked("The file is empty."))
        if self._is_container:
            return Taken(
                result=Result.BAD, reason=marked("A ZIP or ISO inside another: bring it alone.")
            )
        if _DIRECTORY in head[:1024]:
            why = marked("The disc's own list of files: every file is read, whatever it says.")
            return Taken(result=Result.OTHER, reason=why)
        if documents.media_of(head) is not None:
            why = marked("A document or picture that is no DICOM object.")
            return Taken(result=Result.DOCUMENT, reason=why)
        if not head.strip(b"\0"):
            why = marked("It begins with nothing but zeros: the disc could not be read there.")
            return Taken(result=Result.BAD, reason=why)
        if head[128:132] == _PREFIX:
            return Taken(result=Result.BAD, reason=outcome.message)
        return Taken(result=Result.OTHER, reason=marked("It is no DICOM file."))


def _container(head: bytes) -> str:
    if head.startswith(_ZIP):
        return "zip"
    start = iso.MAGIC_AT
    if head[start : start + len(iso.MAGIC)] in (iso.MAGIC, iso.UDF_MAGIC):
        return "iso"
    return ""
