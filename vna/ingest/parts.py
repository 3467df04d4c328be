"""The bulk data of one request by where the metadata says it is (PS3.18 8.6.1.2, RFC 2557).

A part is found by its Content-Location, an absolute URI or one relative to the request's. Frames of
compressed Pixel Data are parts of their own: numbered (`.../frames/2`), or several in their order
under the one location of the Pixel Data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urljoin

from vna.dicom.compose import PIXEL_DATA
from vna.errors import MalformedInstance, MalformedMultipart

OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartHead:
    """What a part says of itself: media type in lower case, `transfer-syntax`, where it belongs."""

    media: str
    transfer_syntax: str | None = None
    location: str | None = None
    length: int | None = None


@dataclass(slots=True)
class Part:
    """One part that was put aside: where its bytes lie, and whether an instance wanted it."""

    head: PartHead
    offset: int
    length: int = 0
    is_wanted: bool = False


@dataclass(slots=True)
class Parts:
    """All bulk data parts of a request. `base` is the URI relative ones are read against."""

    base: str
    _found: list[Part] = field(default_factory=list)
    _by_uri: dict[str, list[Part]] = field(default_factory=dict)

    def add(self, part: Part) -> None:
        """Take a part. Raises `MalformedMultipart` when it can belong nowhere."""
        if not part.head.location:
            raise MalformedMultipart("A bulk data part needs a Content-Location.")
        known = self._by_uri.setdefault(self._absolute(part.head.location), [])
        if known and not all(is_frame(p.head) for p in (*known, part)):
            raise MalformedMultipart("Two parts have the same Content-Location.")
        known.append(part)
        self._found.append(part)

    def one(self, uri: str) -> Part | None:
        """Find the part of a BulkDataURI. Raises `MalformedInstance` when there are several."""
        found = self.several(uri)
        if len(found) > 1:
            raise MalformedInstance("Several parts have one Content-Location and are no frames.")
        return found[0] if found else None

    def several(self, uri: str) -> list[Part]:
        """Find all parts of a BulkDataURI, in the order they came."""
        found = self._by_uri.get(self._absolute(uri), [])
        for part in found:
            part.is_wanted = True
        return found

    def frames(self, uri: str) -> list[Part]:
        """Find the frames of Pixel Data: numbered ones, or those of one location."""
        absolute = self._absolute(uri)
        for root in (absolute, absolute.removesuffix(f"/bulkdata/{PIXEL_DATA}")):
            if f"{root}/frames/1" in self._by_uri:
                return self._numbered(f"{root}/frames/")
        return self.several(uri)

    def unwanted(self) -> int:
        """Count the parts no instance asked for."""
        return sum(not part.is_wanted for part in self._found)

    def _numbered(self, start: str) -> list[Part]:
        found: list[Part] = []
        while (part := self.one(f"{start}{len(found) + 1}")) is not None:
            found.append(part)
        return found

    def _absolute(self, uri: str) -> str:
        try:
            return urljoin(self.base, uri.strip())
        except ValueError:  # not a URI: it may still be the same text on both sides
            return uri


def is_frame(head: PartHead) -> bool:
    """Whether a part is of a kind that holds one frame of an image."""
    return head.media.startswith("image/") or bool(head.transfer_syntax)
