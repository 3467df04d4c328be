"""In which forms an instance goes out: as stored or converted, what was corrected laid over it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain

from vna.blobs.recent import Recent
from vna.blobs.store import BlobStore
from vna.config import Limits
from vna.dicom.corrected import Overlay
from vna.dicom.part10 import file_head, with_transfer_syntax
from vna.dicom.rewrite import evened, to_implicit_little
from vna.dicom.uids import EXPLICIT_LITTLE, IMPLICIT_LITTLE, syntax
from vna.errors import NotAcceptable
from vna.index.locate import Located
from vna.pixels.sandbox import PixelPool
from vna.retrieve import representation, transcode
from vna.retrieve.datasets import in_syntax, stored_chunks, stored_stretch
from vna.retrieve.outgoing import Body, Outgoing
from vna.retrieve.overlays import Overlays, revision, stored_as
from vna.retrieve.payload import Buffer, Payload, Stretch, joined, path_of, ready
from vna.retrieve.representation import Wishes, is_converted
from vna.retrieve.transcode import Source

_SOURCES, _SOURCES_S = 1024, 600.0


class Forms:
    """Gives what was located in a form that is asked for; who may have it was asked before."""

    def __init__(
        self, *, store: BlobStore, overlays: Overlays, limits: Limits, pixels: PixelPool
    ) -> None:
        self._store = store
        self._overlays = overlays
        self._limits = limits
        self._pixels = pixels
        self._sources: Recent[bytes, Source] = Recent(_SOURCES, _SOURCES_S)

    def image_size(self, located: Located) -> tuple[int, int]:
        """Tell the rows and columns of an image. Raises `Undecodable`."""
        described = self.source(located).description
        return described.rows, described.columns

    def source(self, located: Located) -> Source:
        """Tell what converting an instance's pixels takes; frames are asked for one by one."""
        found = self._sources.get(located.blob_id)
        if found is None:
            found = transcode.source_of(self._store, located, self._limits)
            self._sources.put(located.blob_id, found)
        return found

    def choose(self, located: Located, acceptable: Wishes | None) -> str:
        """The Transfer Syntax in which this instance goes out. Raises `NotAcceptable`."""
        stored = stored_as(located, self._overlay(located))
        return representation.choose(stored, acceptable, lambda: self._targets(located))

    def given(
        self, found: Sequence[Located], acceptable: Wishes | None
    ) -> tuple[list[tuple[Located, str]], int]:
        """Choose for many: those that can go out, and how many cannot (PS3.18 10.4.3.1).

        Raises `NotAcceptable` when none can.
        """
        chosen: list[tuple[Located, str]] = []
        refusal: NotAcceptable | None = None
        for located in found:
            try:
                chosen.append((located, self.choose(located, acceptable)))
            except NotAcceptable as exc:
                refusal = refusal or exc
        if refusal is not None and not chosen:
            raise refusal
        return chosen, len(found) - len(chosen)

    def part10(self, located: Located, transfer_syntax: str) -> Payload:
        """One of `instances` as a DICOM file (PS3.10 7): head, then the data set."""
        head = file_head(group2=located.group2, preamble=located.preamble)
        if transfer_syntax != located.transfer_syntax:
            group2 = with_transfer_syntax(located.group2, transfer_syntax)
            head = file_head(group2=group2, preamble=located.preamble)
        body = self.dataset(located, transfer_syntax)
        length = None if body.length is None else len(head) + body.length
        return Payload(
            ref=located.ref,
            media_type="application/dicom",
            transfer_syntax=transfer_syntax,
            length=length,
            chunks=_headed(head, body.chunks),
            stretch=None if body.stretch is None else joined((ready(head), body.stretch)),
            location=path_of(located.ref),
            revision=revision(located, self._overlay(located)),
            changed_at=located.changed_at,
        )

    def dataset(self, located: Located, transfer_syntax: str) -> Payload:
        """One of `instances` as a bare data set, as C-STORE sends it."""
        overlay = self._overlay(located)
        as_stored = overlay is None and transfer_syntax == located.transfer_syntax
        chunks = self._in_syntax(located, transfer_syntax)
        if overlay is not None:
            chunks = self._overlays.stream(chunks, transfer_syntax, overlay)
        return Payload(
            ref=located.ref,
            media_type="application/dicom",
            transfer_syntax=transfer_syntax,
            length=located.payload_len if as_stored else None,
            chunks=chunks,
            stretch=stored_stretch(self._store, located) if as_stored else None,
        )

    def whole(self, located: Located) -> Stretch:
        """One of `instances` as the file it is stored as, to be walked from anywhere."""
        if (overlay := self._overlay(located)) is not None:
            given = stored_as(located, overlay)
            return self._overlays.stretch(lambda: self.part10(located, given).chunks)
        head = file_head(group2=located.group2, preamble=located.preamble)
        return joined((ready(head), stored_stretch(self._store, located)))

    def syntax_of(self, located: Located) -> str:
        """The Transfer Syntax of what `whole` gives."""
        return stored_as(located, self._overlay(located))

    def revision_of(self, located: Located) -> str:
        """Name the bytes that `whole` gives: other bytes have another name."""
        return revision(located, self._overlay(located))

    def outgoing(self, located: Located) -> Outgoing:
        """One of `instances` as something to be sent to another AE."""
        stored = stored_as(located, self._overlay(located))
        return Outgoing(
            ref=located.ref,
            sop_class=located.sop_class,
            transfer_syntax=stored,
            forms=representation.forms(stored),
            load=partial(self._body, located),
        )

    def _overlay(self, located: Located) -> Overlay | None:
        return self._overlays.of(located.ref.study, located.changed_at)

    def _targets(self, located: Located) -> frozenset[str]:
        if located.pixel is None:  # then the Transfer Syntax says how attributes are written
            return frozenset({EXPLICIT_LITTLE})
        return transcode.targets(self.source(located))

    def _body(self, located: Located, transfer_syntax: str) -> Body:
        body = self._received(located, transfer_syntax)
        if located.payload_len % 2:
            body = self._evened(body.chunks, transfer_syntax)
        overlay = self._overlay(located)
        if overlay is None:
            return body
        chunks = self._overlays.stream(body.chunks, transfer_syntax, overlay)
        return Body(length=None, chunks=chunks)

    def _received(self, located: Located, transfer_syntax: str) -> Body:
        stored = located.transfer_syntax
        if transfer_syntax == stored and located.payload_len % 2:
            return Body(length=None, chunks=stored_chunks(self._store, located))
        if transfer_syntax == stored:
            whole = stored_stretch(self._store, located)
            return Body(length=whole.length, chunks=whole.walk(0, whole.length))
        if not is_converted(stored, transfer_syntax):
            return Body(length=None, chunks=self._in_syntax(located, transfer_syntax))
        made = EXPLICIT_LITTLE if transfer_syntax == IMPLICIT_LITTLE else transfer_syntax
        if made not in self._targets(located):
            raise NotAcceptable(f"What is stored in {stored} cannot become {made}.")
        chunks = self._in_syntax(located, made)
        if made != transfer_syntax:
            chunks = to_implicit_little(chunks, made, self._limits)
        return Body(length=None, chunks=chunks)

    def _evened(self, chunks: Iterator[Buffer], transfer_syntax: str) -> Body:
        """Make even what came with an odd number of bytes, which PS3.5 7.1.1 rules out.

        DCMTK and what is built on it end an association at a fragment of odd length.
        """
        if syntax(transfer_syntax).deflated:
            chunks = chain(chunks, (b"\0",))  # PS3.5 A.5
        elif syntax(transfer_syntax).little:
            chunks = evened(map(bytes, chunks), transfer_syntax, self._limits)
        return Body(length=None, chunks=chunks)

    def _in_syntax(self, located: Located, transfer_syntax: str) -> Iterator[bytes]:
        stored = located.transfer_syntax
        if located.pixel is None or not is_converted(stored, transfer_syntax):
            return in_syntax(self._store, located, transfer_syntax, self._limits)
        return transcode.transcoded(self.source(located), transfer_syntax, self._pixels)


def _headed(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Give the head once the first of the rest is there: what fails then has given nothing."""
    first = next(chunks, b"")
    yield head + first
    yield from chunks
