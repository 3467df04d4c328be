"""Reports and encapsulated documents, as text or as they are (PS3.18 8.7.4, PS3.3 C.24)."""

from __future__ import annotations

from typing import Any

from vna.errors import NotFound
from vna.index.locate import Located
from vna.pixels.elements import binary, integer
from vna.pixels.looks import Fetch
from vna.retrieve import report
from vna.retrieve.payload import Payload, path_of

_DOCUMENT, _LENGTH = "00420011", "00420015"


def document(located: Located, members: dict[str, Any], media: str, fetch: Fetch) -> Payload:
    """Give a report as HTML or plain text, or the document an instance encapsulates."""
    if media == "text/html":
        data = report.as_html(members).encode()
    elif media == "text/plain":
        data = report.as_text(members).encode()
    else:
        data = _encapsulated(members, fetch)
    told = f"{media}; charset=utf-8" if media in ("text/html", "text/plain") else media
    return Payload(
        ref=located.ref,
        media_type=told,
        transfer_syntax=None,
        length=len(data),
        chunks=iter((data,)),
        location=path_of(located.ref),
        revision=located.blob_id.hex(),
    )


def _encapsulated(members: dict[str, Any], fetch: Fetch) -> bytes:
    """Read the document, without the byte that may pad it."""
    element = members.get(_DOCUMENT)
    uri = element.get("BulkDataURI") if isinstance(element, dict) else None
    data = fetch(uri) if isinstance(uri, str) else binary(members, _DOCUMENT)
    if not data:
        raise NotFound("There is no document in this instance.")
    length = integer(members, _LENGTH)
    if 0 < length <= len(data):
        return data[:length]
    return data[:-1] if data.endswith(b"\0") else data
