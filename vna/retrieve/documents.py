"""Reports and encapsulated documents, as text or as they are (PS3.18 8.7.4, PS3.3 C.24)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vna.dicom.text import decode
from vna.dicom.unknown import CHARSET, charset_of
from vna.errors import NotAcceptable, NotFound
from vna.index.locate import Located
from vna.pixels.elements import binary, integer, items
from vna.retrieve import report
from vna.retrieve.payload import Payload, Stretch, collected, path_of, ready

_DOCUMENT, _LENGTH = "00420011", "00420015"
_MOST_TEXT = 16 << 20  # bytes of the long texts of one report,
_WALKED, _SOUGHT = 4 << 10, 64 << 10  # each counted as so many at least: sought where deflated

Values = Callable[[str], Payload | None]
"""Gives the value behind a relative BulkDataURI."""


def document(located: Located, members: dict[str, Any], media: str, values: Values) -> Payload:
    """Give a report as HTML or plain text, or the document an instance encapsulates."""
    if media == "text/html":
        content = ready(report.as_html(_whole(members, values)).encode())
    elif media == "text/plain":
        content = ready(report.as_text(_whole(members, values)).encode())
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


def _whole(members: dict[str, Any], values: Values) -> dict[str, Any]:
    """Put the texts of a report where their URIs stand: a paragraph may be long enough for one.

    Raises `NotAcceptable` where all of them are more than is held.
    """
    left = _MOST_TEXT

    def filled(content: dict[str, Any], charset: str) -> dict[str, Any]:
        nonlocal left
        found = dict(content)
        charset = charset_of(content) if CHARSET in content else charset
        uri = (content.get(report.TEXT) or {}).get("BulkDataURI")
        stored = values(uri) if isinstance(uri, str) else None
        if stored is not None:
            left -= max(stored.length or 0, _SOUGHT if stored.stretch is None else _WALKED)
            if left < 0:
                raise NotAcceptable("This report is too long to be shown: take it whole.")
            text, _ = decode(bytes(collected(stored)), charset, "UT")
            found[report.TEXT] = {"vr": "UT", "Value": [text.rstrip(" \0")]}
        if below := items(content, report.CONTENT):
            found[report.CONTENT] = {"vr": "SQ", "Value": [filled(one, charset) for one in below]}
        return found

    return filled(members, "")


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
