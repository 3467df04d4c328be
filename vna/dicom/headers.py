"""Reading one element's header, as the standard writes it and as senders do (PS3.5 7.1, 6.2.2)."""

from __future__ import annotations

from typing import Literal, NamedTuple

from vna.dicom import elements as el


class Header(NamedTuple):
    """Tag, VR to be used, VR as written (empty if none), length, bytes of the header itself.

    The VR may still be one that depends ("US or SS").
    """

    tag: int
    vr: str
    written: str
    length: int
    size: int


def read_header(window: bytes, pos: int, encoding: el.Encoding, flags: set[str]) -> Header | int:
    """Read the header at `pos`, or say how many bytes from there on must be at hand."""
    have = len(window) - pos
    if have < 8:
        return 8
    group, element = encoding.tag.unpack_from(window, pos)
    tag: int = group << 16 | element
    if group == 0xFFFE:
        return Header(tag, "", "", encoding.long.unpack_from(window, pos + 4)[0], 8)
    if not encoding.explicit or not tag:
        length = encoding.long.unpack_from(window, pos + 4)[0]
        return Header(tag, el.dictionary_vr(tag), "", length, 8)
    written = window[pos + 4 : pos + 6].decode("latin_1")
    if written in el.SHORT_VRS:
        return Header(tag, written, written, encoding.short.unpack_from(window, pos + 6)[0], 8)
    if written in el.LONG_VRS:
        if have < 12:
            return 12
        length = encoding.long.unpack_from(window, pos + 8)[0]
        vr = _known_vr(tag, length) if written == "UN" and encoding.little else written
        return Header(tag, vr, written, length, 12)
    if not _may_be_vr(written):
        # some writers change to implicit VR in the middle, most often inside sequences
        flags.add("mixed-vr")
        length = encoding.long.unpack_from(window, pos + 4)[0]
        return Header(tag, el.dictionary_vr(tag), "", length, 8)
    return _unknown_vr(window, pos, tag, encoding, flags)


def _known_vr(tag: int, length: int) -> str:
    """Give a standard attribute its own VR back though it was written as UN (PS3.5 6.2.2 note)."""
    return el.dictionary_vr(tag) if length < 0xFFFF or length == el.UNDEFINED else "UN"


def _may_be_vr(written: str) -> bool:
    return written == "??" or (written.isascii() and written.isalpha() and written.isupper())


def _unknown_vr(
    window: bytes, pos: int, tag: int, encoding: el.Encoding, flags: set[str]
) -> Header | int:
    """A VR of another time: new ones have 32-bit lengths (PS3.5 7.1.2), made-up ones 16-bit."""
    flags.add("unknown-vr")
    vr = el.dictionary_vr(tag)
    length = window[pos + 6] | window[pos + 7]
    if length:
        return Header(tag, vr, "", int.from_bytes(window[pos + 6 : pos + 8], _order(encoding)), 8)
    if len(window) - pos < 14:
        return 14
    group, element = encoding.tag.unpack_from(window, pos + 8)
    follows = group << 16 | element
    if follows > tag and window[pos + 12 : pos + 14].decode("latin_1") in el.KNOWN_VRS:
        return Header(tag, vr, "", 0, 8)
    return Header(tag, vr, "", encoding.long.unpack_from(window, pos + 8)[0], 12)


def _order(encoding: el.Encoding) -> Literal["little", "big"]:
    return "little" if encoding.little else "big"
