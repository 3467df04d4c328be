"""What a client takes: Accept header and `accept` parameter -> representations by preference.

Pure: text in, values out. The rules are those of PS3.18 8.3.3 and 8.7.5 to 8.7.8; where these
differ from one another, 8.7.8.1 is followed (docs/conformance-dicomweb.md).
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, groupby

from vna.dicom.uids import DEFAULT_BY_FRAME_TYPE, EXPLICIT_LITTLE, TRANSFER_SYNTAXES
from vna.errors import InvalidRequest, NotAcceptable
from vna.web.media import MediaType, media_list

DICOM = "application/dicom"
JSON = "application/dicom+json"
PLAIN_JSON = "application/json"
XML = "application/dicom+xml"
CSV = "text/csv"  # an extension of ours for searches
OCTETS = "application/octet-stream"
ZIP = "application/zip"
WADL = "application/vnd.sun.wadl+xml"
ANY, EASY = "*", "~"
"""As stored; and uncompressed where that takes no codec, else as stored."""


class Resource(enum.Enum):
    """What is asked for, as far as its representations differ (PS3.18 Table 10.4.4-1, 10.6.3)."""

    INSTANCES = enum.auto()
    INSTANCE = enum.auto()
    METADATA = enum.auto()
    SEARCH = enum.auto()
    STORED = enum.auto()
    COMMITMENT = enum.auto()
    CAPABILITIES = enum.auto()
    FRAMES = enum.auto()
    FRAME = enum.auto()
    BULK = enum.auto()
    BULKS = enum.auto()


Wish = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One acceptable representation. `syntaxes` None: no Transfer Syntax was named.

    `directory` is for a ZIP file: whether a DICOMDIR is to be in it. Those of one `rank` are
    equally welcome.
    """

    media: str
    multipart: bool
    syntaxes: tuple[str, ...] | None = None
    directory: bool = False
    rank: tuple[float, ...] = field(default=(), compare=False)

    @property
    def is_bulk(self) -> bool:
        """Whether it holds values rather than whole instances."""
        return self.media not in (DICOM, ZIP, JSON, PLAIN_JSON, XML)


@dataclass(frozen=True, slots=True)
class Acceptable:
    """The acceptable representations of one resource, best first; never empty."""

    wanted: tuple[Wanted, ...]

    @property
    def best(self) -> Wanted:
        """The representation to give where any can be given."""
        return self.wanted[0]

    @property
    def syntaxes(self) -> tuple[str, ...] | None:
        """Transfer Syntaxes by preference, `*` as stored; None when none was named."""
        if all(wanted.syntaxes is None for wanted in self.wanted):
            return None
        named = (w.syntaxes or (EXPLICIT_LITTLE,) for w in self.wanted)
        return tuple(dict.fromkeys(syntax for syntaxes in named for syntax in syntaxes))

    @property
    def wishes(self) -> tuple[Wish, ...] | None:
        """The same, those that are equally welcome together: the stored one of them is first.

        Clients name all they can decode in one header; nothing is converted then (8.7.8).
        """
        if all(wanted.syntaxes is None for wanted in self.wanted):
            return None
        wishes: list[Wish] = []
        for _, alike in groupby(self.wanted, lambda wanted: wanted.rank):
            named = chain.from_iterable(w.syntaxes or (EXPLICIT_LITTLE,) for w in alike)
            syntaxes = tuple(dict.fromkeys(named))
            wishes.append(syntaxes[0] if len(syntaxes) == 1 else syntaxes)
        return tuple(dict.fromkeys(wishes))

    def kinds(self) -> Iterator[Acceptable]:
        """Split by what is made: DICOM files, a ZIP file of them, or bulk data; best first."""
        kinds: dict[str, list[Wanted]] = {}
        for wanted in self.wanted:
            kinds.setdefault("bulk" if wanted.is_bulk else wanted.media, []).append(wanted)
        return (Acceptable(tuple(found)) for found in kinds.values())

    def form(self, media: str, syntax: str | None) -> Wanted:
        """Return the entry under which something in `media` and `syntax` goes out.

        Raises `NotAcceptable` when there is none.
        """
        for wanted in self.wanted:
            if not {ANY, EASY}.isdisjoint(wanted.syntaxes or ()):
                return wanted
            if wanted.media == media.lower() and (
                not wanted.syntaxes or syntax in (None, *wanted.syntaxes)
            ):
                return wanted
        raise NotAcceptable(f"This is stored as {media}; transfer-syntax={syntax}: ask for that.")


def _compressed() -> dict[str, tuple[str, ...]]:
    found = {media.lower(): [default] for media, default in DEFAULT_BY_FRAME_TYPE.items()}
    for syntax in TRANSFER_SYNTAXES.values():
        if syntax.uid not in found[syntax.frame_type.lower()]:
            found[syntax.frame_type.lower()].append(syntax.uid)
    return {media: tuple(syntaxes) for media, syntaxes in found.items() if media != OCTETS}


COMPRESSED = _compressed()
"""Transfer Syntaxes of the compressed media types, the default first (PS3.18 8.7.3.3)."""

ALIASES = {
    "image/x-dicom-rle": "image/dicom-rle",
    "image/x-jls": "image/jls",
    "video/mpeg2": "video/mpeg",
    "video/mp4v-es": "video/mp4",
}
"""Names older editions and clients use, and those of the standard."""
_RENDERED = frozenset(
    ("image/png", "image/gif", "text/html", "text/plain", "text/xml", "text/rtf", "application/pdf")
)
_PIXELS = frozenset((Resource.FRAMES, Resource.FRAME, Resource.BULK, Resource.BULKS))
_BULK_OFFERS = tuple((media, True) for media in (OCTETS, *COMPRESSED))
_BULK_SINGLE = tuple((media, False) for media in (OCTETS, *COMPRESSED))
# (media type, multipart): the first is the default, which a matching wildcard asks for.
_OFFERS: dict[Resource, tuple[tuple[str, bool], ...]] = {
    Resource.INSTANCES: ((DICOM, True), (ZIP, False), *_BULK_OFFERS),
    Resource.INSTANCE: ((DICOM, True), (DICOM, False), (ZIP, False), *_BULK_OFFERS),
    Resource.METADATA: ((JSON, False), (PLAIN_JSON, False), (XML, True)),
    Resource.SEARCH: ((JSON, False), (PLAIN_JSON, False), (XML, True), (CSV, False)),
    Resource.STORED: ((JSON, False), (PLAIN_JSON, False), (XML, False)),
    Resource.COMMITMENT: (
        *((JSON, False), (PLAIN_JSON, False), (XML, False), (JSON, True), (XML, True)),
    ),
    Resource.CAPABILITIES: ((WADL, False), (PLAIN_JSON, False)),
    Resource.FRAMES: _BULK_OFFERS,
    Resource.FRAME: (*_BULK_OFFERS, *_BULK_SINGLE),
    Resource.BULK: (*_BULK_SINGLE, *_BULK_OFFERS),
    Resource.BULKS: _BULK_OFFERS,
}
_CACHED_MOST = 1024  # characters: clients say the same short thing again and again
# RFC 9110 12.4.2 wants a digit before the point; what Java 8 to 11 send unasked ends "*/*; q=.2"
_Q = re.compile(r"(?=\.?\d)0?(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Range:
    media: str  # lower case, may be a range
    multipart: bool | None  # None: */*, which covers both
    syntax: str | None
    q: float
    directory: bool = False

    def covers(self, media: str, multipart: bool) -> bool:
        if self.multipart not in (None, multipart):
            return False
        kind, _, rest = self.media.partition("/")
        return self.media == media or (rest == "*" and kind in ("*", media.partition("/")[0]))

    @property
    def is_wildcard(self) -> bool:
        return self.media.endswith("/*")


def negotiate(
    resource: Resource,
    header: str | None,
    parameters: tuple[str, ...] = (),
    *,
    strict: bool = False,
) -> Acceptable:
    """Find the acceptable representations of a resource.

    `parameters` are the values of the `accept` query parameter; each of their entries counts
    before the header's, if the header covers it (PS3.18 8.3.3.1). Without a header everything is
    acceptable; `strict` refuses such a request (8.7.5). Raises `NotAcceptable`, and
    `InvalidRequest` when DICOM and rendered media types are mixed.
    """
    if len(header or "") + sum(map(len, parameters)) <= _CACHED_MOST:
        return _cached(resource, header, parameters, strict)
    return _negotiated(resource, header, parameters, strict)


def _negotiated(
    resource: Resource, header: str | None, parameters: tuple[str, ...], strict: bool
) -> Acceptable:
    if not header and strict:
        raise NotAcceptable(f"Without an Accept header there is no answer. {_possible(resource)}")
    ranges = tuple(_ranges(media_list(header or "*/*")))
    asked = [
        entry
        for entry in _ranges(entry for text in parameters for entry in media_list(text))
        if not entry.is_wildcard and _is_covered(entry, ranges)
    ]
    _refuse_mixture(resource, (*asked, *ranges))
    wanted = [*_wanted(resource, asked, 0), *_wanted(resource, ranges, 1)]
    if not wanted:
        raise NotAcceptable(_possible(resource))
    return Acceptable(tuple(dict.fromkeys(wanted)))


_cached = functools.lru_cache(maxsize=1024)(_negotiated)


def offers(resource: Resource) -> tuple[tuple[str, bool], ...]:
    """List what a resource is given as: media type, and whether in a multipart; default first."""
    return _OFFERS[resource]


def _possible(resource: Resource) -> str:
    given = (f'multipart/related; type="{m}"' if multi else m for m, multi in _OFFERS[resource])
    return f"This resource is given as one of: {', '.join(given)}."


def _ranges(entries: Iterable[MediaType]) -> Iterator[_Range]:
    for entry in entries:
        q = entry.parameter("q") or "1"
        if not _Q.fullmatch(q):
            continue
        media, multipart = entry.name, None if entry.name == "*/*" else False
        if media in ("multipart/related", "multipart/*"):
            media, multipart = (entry.parameter("type") or "*/*").lower(), True
        yield _Range(
            ALIASES.get(media, media),
            multipart,
            entry.parameter("transfer-syntax"),
            float(q),
            entry.parameter("dicomdir") == "true",
        )


def _is_covered(entry: _Range, ranges: Iterable[_Range]) -> bool:
    return any(r.q > 0 and r.covers(entry.media, bool(entry.multipart)) for r in ranges)


def _refuse_mixture(resource: Resource, ranges: Iterable[_Range]) -> None:
    """PS3.18 8.3.3.1, 8.7.5. A type both kinds have counts as what the resource makes of it."""
    named = [r for r in ranges if r.q > 0 and not r.is_wildcard]
    rendered = any(
        r.multipart is False
        and (r.media in _RENDERED or (r.media in COMPRESSED and resource not in _PIXELS))
        for r in named
    )
    if rendered and any(r.multipart or r.media in (DICOM, JSON, XML, OCTETS) for r in named):
        raise InvalidRequest("DICOM and rendered media types must not be mixed in one request.")


def _wanted(resource: Resource, ranges: Iterable[_Range], source: int) -> Iterator[Wanted]:
    given = _OFFERS[resource]
    ordered = sorted(ranges, key=lambda r: -r.q)
    refused = {(r.media, r.multipart) for r in ordered if r.q == 0}
    for entry in ordered:
        if entry.q == 0:
            continue
        rank = (source, -entry.q, entry.is_wildcard)
        if not entry.is_wildcard:
            if (entry.media, bool(entry.multipart)) in given:
                named = _named(entry)
                yield Wanted(entry.media, bool(entry.multipart), named, entry.directory, rank)
            continue
        for media, multipart in given:
            if (media, multipart) not in refused and entry.covers(media, multipart):
                yield Wanted(media, multipart, _unnamed(resource, entry, media), rank=rank)
                if entry.media == "*/*" or media not in COMPRESSED:
                    break


def _named(entry: _Range) -> tuple[str, ...] | None:
    """Transfer Syntaxes of an entry that names its media type."""
    if entry.media in COMPRESSED and entry.syntax in (None, ANY):
        return COMPRESSED[entry.media]
    if entry.media == OCTETS:
        return (entry.syntax or EXPLICIT_LITTLE,)
    return (entry.syntax,) if entry.syntax and entry.media in (DICOM, ZIP, *COMPRESSED) else None


def _unnamed(resource: Resource, entry: _Range, media: str) -> tuple[str, ...] | None:
    """Transfer Syntaxes of a wildcard: anything will do, uncompressed rather than as stored.

    Of `image/*` and the like only what is of that kind.
    """
    if entry.media != "*/*" and (resource in _PIXELS or media in COMPRESSED):
        return _named(replace(entry, media=media))
    if entry.syntax:
        return (entry.syntax,)
    if resource in _PIXELS:
        return (ANY,)
    return (EASY,) if resource in (Resource.INSTANCE, Resource.INSTANCES) else None
