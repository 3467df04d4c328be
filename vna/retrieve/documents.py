"""Reports and encapsulated documents, as text or as they are (PS3.18 8.7.4, PS3.3 C.24)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vna.errors import NotFound
from vna.index.locate import Located
from vna.pixels.elements import binary, integer
from vna.retrieve import report
from vna.retrieve.payload import Payload, Stretch, path_of, ready

_DOCUMENT, _LENGTH = "00420011", "00420015"

Values = Callable[[str], Payload | None]
"""Gives the value behind a relative BulkDataURI."""


def document(located: Located, members: dict[str, Any], media: str, values: Values) -> Payload:
    """Give a report as HTML or plain text, or the document an instance encapsulates."""
    if media == "text/html":
        content = ready(report.as_html(members).encode())
    elif media == "text/plain":
        content = ready(report.as_text(members).encode())
    else:
        content = _encapsulated(members, values)
    told = f"{media}; charset=utf-8" if media in ("text/html", "text/plain") else media
    is_stored = told is media
    return Payload(
        ref=located.ref,
        media_type=told,
        transfer_syntax=None,
        length=content.length,
        chunks=map(bytes, content.walk(0, content.length)),
        stretch=content if is_stored else None,
        location=path_of(located.ref),
        revision=located.blob_id.hex(),
    )


def _encapsulated(members: dict[str, Any], values: Values) -> Stretch:
    """Find the document, without the byte that may pad it."""
    element = members.get(_DOCUMENT)
    uri = element.get("BulkDataURI") if isinstance(element, dict) else None
    found = values(uri) if isinstance(uri, str) else None
    if found is None:
        content = ready(binary(members, _DOCUMENT))
    else:
        content = found.stretch or ready(b"".join(found.chunks))
    if not content.length:
        raise NotFound("There is no document in this instance.")
    return Stretch(_length(members, content), content.walk)


def _length(members: dict[str, Any], content: Stretch) -> int:
    told = integer(members, _LENGTH)
    if 0 < told <= content.length:
        return told
    last = b"".join(content.walk(content.length - 1, content.length))
    return content.length - (last == b"\0")
