"""What can be looked at: images as pictures, reports as text, documents and video as they are.

Frames are rendered in the sandbox (vna/pixels); what was rendered lately is kept in memory.
PS3.18 10.4.1.1.3, 10.4.1.1.4, 8.3.5.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from vna import telemetry
from vna.access.audit import Audit
from vna.access.policy import require, require_copies
from vna.access.principal import Action, Principal
from vna.blobs.rooms import Rooms
from vna.blobs.store import BlobStore
from vna.config import Settings
from vna.db.pool import Database
from vna.dicom.refs import InstanceRef, Ref
from vna.dicom.uids import syntax
from vna.errors import NotAcceptable, NotFound, TooLarge, Undecodable
from vna.index import locate, metadata
from vna.index.locate import Located
from vna.pixels.description import FrameSource
from vna.pixels.looks import for_image
from vna.pixels.sandbox import PixelPool
from vna.retrieve import documents, frames
from vna.retrieve.animation import animated
from vna.retrieve.kept import Lately
from vna.retrieve.kinds import Kind, kind_of, offers
from vna.retrieve.known import Knowledge, Known
from vna.retrieve.overlays import Overlays
from vna.retrieve.payload import Payload, lent, path_of
from vna.retrieve.state import Referenced, State, referenced
from vna.retrieve.wish import Wish

GIF = "image/gif"
_ROOMS = 4  # kept for frames on their way to the sandbox

Found = list[Located]
"""Instances that may be seen, in the archive's order."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One image as it is to be seen: under a presentation state, or by itself."""

    located: Located
    known: Known
    state: State | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """An object that stands in no catalogue: where it is, its DICOM JSON, its frame table."""

    located: Located
    members: dict[str, Any]
    weight: int  # of the JSON
    table: bytes | None


class RenderEngine:
    """Gives things out to be looked at. One a process, shared by its threads."""

    def __init__(
        self,
        *,
        store: BlobStore,
        database: Database,
        audit: Audit,
        settings: Settings,
        pixels: PixelPool,
    ) -> None:
        self._database = database
        self._audit = audit
        self._pool = pixels
        self._stored = Knowledge(
            store=store,
            database=database,
            limits=settings.limits,
            overlays=Overlays(database, settings),
        )
        self._rooms = Rooms(_ROOMS)
        self._pictures: Lately[bytes] = Lately(settings.pixels.cache_bytes, len)

    def find(self, principal: Principal, ref: Ref, what: str = "rendered") -> list[Located]:
        """Every current instance of `ref` in the archive's order. Raises `NotFound` when none."""
        require(principal, Action.RETRIEVE, ref)
        within = principal.scope.within()
        with self._database.pointing() as conn:
            if isinstance(ref, InstanceRef):  # the same query gives all its looks depend on
                one = metadata.shown(conn, ref, within=within)
                found = [] if one is None else [one.located]
            else:
                one, found = None, locate.instances(conn, ref, within=within)
        if not found:
            raise NotFound
        if one is not None:
            self._stored.learn(one)
        self._audit.read(principal, ref.study, what, count=len(found), size=0)
        telemetry.RETRIEVALS.labels(what).inc(len(found))
        return found

    def visible(self, principal: Principal, ref: Ref) -> list[Located]:
        """List the instances of `ref` that may be seen, be it a part. Raises `NotFound`."""
        require(principal, Action.RETRIEVE)
        if not principal.scope.touches(ref):
            raise NotFound
        with self._database.pointing() as conn:
            found = locate.instances(conn, ref, within=principal.scope.within())
        if not found:
            raise NotFound
        self._audit.read(principal, ref.study, "viewer", count=len(found), size=0)
        return found

    def rendered(
        self,
        principal: Principal,
        found: Sequence[Located],
        wish: Wish,
        *,
        numbers: Sequence[int] | None = None,
        state: Located | None = None,
    ) -> tuple[Iterator[Payload], int]:
        """Render instances of `find`, and say how many of them cannot be.

        `numbers` are the frames of the only one; `state` a presentation state to show it under.
        Raises `NotAcceptable` when there is nothing `wish` takes, `NotFound` for a frame outside:
        for one instance before anything is given, of many those that fail are left out.
        """
        require(principal, Action.RETRIEVE)
        chosen = [(located, wish.choose(offers(located))) for located in found]
        given = [(located, media) for located, media in chosen if media is not None]
        for _, media in given:
            wish.require_profile(media)
        if not given:
            raise NotAcceptable(_possible(found))
        if len(found) > 1:
            return self._each(principal, given, wish.but(all_frames=True)), len(found) - len(given)
        located, media = given[0]
        if numbers is not None or state is not None:
            if kind_of(located) is not Kind.IMAGE:
                raise NotFound("This instance has no frames that can be rendered.")
            shown = Sight(located, self._stored.of(located), self._state(state) if state else None)
            return self._frames(shown, media, wish, numbers), 0
        return self._shown(principal, located, media, wish), 0

    def _each(
        self, principal: Principal, given: Sequence[tuple[Located, str]], wish: Wish
    ) -> Iterator[Payload]:
        """Every instance in turn; one that turns out to be damaged is left out."""
        for located, media in given:
            try:
                yield from self._shown(principal, located, media, wish)
            except (NotAcceptable, NotFound, TooLarge):
                continue  # one damaged image of a study must not hide the others

    def thumbnail(
        self,
        principal: Principal,
        found: Sequence[Located],
        wish: Wish,
        *,
        number: int | None = None,
    ) -> Payload:
        """Render what stands for all of `find`: the image in the middle of the first series of any.

        `number` is a frame of it, else that in the middle. Raises `NotFound` without an image.
        """
        require(principal, Action.RETRIEVE)
        images = [located for located in found if kind_of(located) is Kind.IMAGE]
        if not images:
            raise NotFound("There is no image here to make a thumbnail of.")
        first = [located for located in images if located.ref.series == images[0].ref.series]
        located = first[len(first) // 2]
        media = wish.choose(offers(located))
        if media is None:
            raise NotAcceptable(_possible([located]))
        known = self._stored.of(located)
        count = frames.count(known.table)
        if number is not None and number > count:
            raise NotFound(f"This instance has {count} frames.")
        return self._picture(Sight(located, known), number or (count + 1) // 2, media, wish)

    def pictures(
        self, principal: Principal, found: Sequence[Located], wish: Wish
    ) -> Iterator[tuple[Located, bytes]]:
        """Render each image once, of several frames that in the middle; leave out damaged ones.

        Raises `NotFound` where there is no image at all, `NotPermitted` of what is only lent.
        """
        require(principal, Action.RETRIEVE)
        for one in found:
            require_copies(principal, one.ref)
        images = [located for located in found if kind_of(located) is Kind.IMAGE]
        if not images:
            raise NotFound("There is no image here to make a picture of.")
        return self._each_once(principal, images, wish)

    def _each_once(
        self, principal: Principal, images: Sequence[Located], wish: Wish
    ) -> Iterator[tuple[Located, bytes]]:
        for located in images:
            try:
                yield located, b"".join(self.thumbnail(principal, [located], wish).chunks)
            except (NotAcceptable, NotFound, TooLarge):
                continue  # as in `_each`

    def apart(self, one: Apart, wish: Wish, *, number: int = 1) -> Payload:
        """Render an object that stands in no catalogue, for somebody who was let in elsewhere.

        Raises `NotAcceptable`, and `NotFound` for a frame outside.
        """
        located, kind = one.located, kind_of(one.located)
        media = wish.choose(offers(located))
        if media is None or kind is Kind.STATE:
            raise NotAcceptable(_possible([located]))
        wish.require_profile(media)
        if kind in (Kind.REPORT, Kind.PDF, Kind.CDA):
            return documents.document(located, one.members, media, self._stored.values(located))
        if kind is Kind.VIDEO:
            return self._stored.frame(located, one.table, 1)
        known = self._stored.apart(located, one.members, one.weight, one.table)
        if number > frames.count(known.table):
            raise NotFound(f"This instance has {frames.count(known.table)} frames.")
        wish.require_region(known.description)
        return self._picture(Sight(located, known), number, media, wish)

    def state(self, principal: Principal, ref: InstanceRef) -> Located:
        """Find a presentation state by its UIDs. Raises `NotFound`."""
        located = self.find(principal, ref)[0]
        if kind_of(located) is not Kind.STATE:
            raise NotFound("There is no presentation state under these UIDs.")
        return located

    # -- one instance --------------------------------------------------------------------------

    def _shown(
        self, principal: Principal, located: Located, media: str, wish: Wish
    ) -> Iterator[Payload]:
        kind = kind_of(located)
        if kind in (Kind.REPORT, Kind.PDF, Kind.CDA):
            members = self._stored.read(located)[0]
            values = self._stored.values(located)
            return iter((documents.document(located, members, media, values),))
        if kind is Kind.STATE:
            return self._presented(principal, located, media, wish)
        if kind is Kind.VIDEO:
            return iter((self._stored.frame(located, self._stored.table(located), 1),))
        return self._frames(Sight(located, self._stored.of(located)), media, wish, None)

    def _frames(
        self, sight: Sight, media: str, wish: Wish, numbers: Sequence[int] | None
    ) -> Iterator[Payload]:
        count = frames.count(sight.known.table)
        chosen = list(numbers or range(1, count + 1))
        if not count:
            raise Undecodable("No frame can be found in the Pixel Data of this instance.")
        if max(chosen) > count:
            raise NotFound(f"This instance has {count} frames.")
        wish.require_region(sight.known.description)
        if numbers is None and media == GIF and count > 1:
            return iter((self._moving(sight, wish),))
        if numbers is None and not wish.all_frames:
            chosen = chosen[:1]
        made = (self._picture(sight, number, media, wish) for number in chosen)
        return chain((next(made),), made)  # what fails, fails before anything goes out

    def _moving(self, sight: Sight, wish: Wish) -> Payload:
        """All frames as one moving picture."""
        known, located = sight.known, sight.located
        made = (
            b"".join(self._picture(sight, number, GIF, wish).chunks)
            for number in range(1, frames.count(known.table) + 1)
        )
        return Payload(
            ref=located.ref,
            media_type=GIF,
            transfer_syntax=None,
            length=None,
            chunks=animated(chain((next(made),), made), frame_ms=known.frame_ms),
            location=path_of(located.ref),
            revision=located.blob_id.hex(),
        )

    def _picture(self, sight: Sight, number: int, media: str, wish: Wish) -> Payload:
        """One frame, from what is kept or from the sandbox."""
        known, located = sight.known, sight.located
        state = sight.state
        shown = state.blob_id if state else None
        texts = tuple(known.texts.items())
        key = (located.blob_id, number, media, wish.looks(), shown, texts)
        data = self._pictures.get(key, lambda: self._made(sight, number, media, wish))
        telemetry.BYTES_SENT.labels("rendered").inc(len(data))
        of_frame = "" if frames.count(known.table) == 1 else f"/frames/{number}"
        return Payload(
            ref=located.ref,
            media_type=media,
            transfer_syntax=None,
            length=len(data),
            chunks=iter((data,)),
            location=path_of(located.ref) + of_frame,
            revision=located.blob_id.hex(),
        )

    def _made(self, sight: Sight, number: int, media: str, wish: Wish) -> bytes:
        known, located, state = sight.known, sight.located, sight.state
        stored = self._stored.frame(located, known.table, number)
        self._pool.check_size(known.description, stored.length or 0)
        applied = for_image(state.looks, located.ref.instance, number) if state else None
        members = known.looks.of_frame(number, applied)
        how = wish.rendering(media, known.texts)
        with lent(stored, self._rooms) as data:
            source = FrameSource(
                transfer_syntax=located.transfer_syntax, data=data, description=known.description
            )
            return self._pool.render(source, how, members=members, number=number)

    # -- presentation states -------------------------------------------------------------------

    def _presented(
        self, principal: Principal, located: Located, media: str, wish: Wish
    ) -> Iterator[Payload]:
        """Render every image a presentation state is of, in its order."""
        state = self._state(located)
        every = wish.but(all_frames=True)
        made = chain.from_iterable(
            self._of_state(principal, image, media, every, state)
            for image in referenced(located.ref.study, state.members)
        )
        first = next(made, None)
        if first is None:
            raise NotFound("The images this presentation state is of are not here.")
        return chain((first,), made)

    def _of_state(
        self, principal: Principal, image: Referenced, media: str, wish: Wish, state: State
    ) -> Iterator[Payload]:
        try:
            found = self.find(principal, image.ref)[0]
        except NotFound:
            return iter(())
        if kind_of(found) is not Kind.IMAGE:
            return iter(())
        sight = Sight(found, self._stored.of(found), state)
        return self._frames(sight, media, wish, image.frames or None)

    def _state(self, located: Located) -> State:
        members, _ = self._stored.read(located)
        return State.of(located.blob_id, members, partial(self._stored.fetch, located))


def _possible(found: Sequence[Located]) -> str:
    """Say what can be had instead (PS3.18 8.5: 406 lists what is possible)."""
    possible = dict.fromkeys(chain.from_iterable(offers(located) for located in found))
    if not possible:
        held = syntax(found[0].transfer_syntax).name
        return f"This cannot be rendered: there is no picture or text in it we can show ({held})."
    return f"This can be rendered as {', '.join(possible)}."
