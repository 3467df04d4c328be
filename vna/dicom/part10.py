"""Part 10 files: taking off the head, and writing one (PS3.10 7.1).

The reader lets the data set through as it arrives and keeps group 2 byte for byte. It takes what is
met in practice: no preamble, no group length or a wrong one, group 2 in implicit VR, no group 2 at
all.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from vna.dicom import elements as el
from vna.dicom import uids
from vna.dicom.headers import read_header
from vna.errors import MalformedInstance, TooLarge

_PREFIX = b"DICM"
_PREAMBLE = 128
_STEP = 1 << 10  # of most files the whole head
NO_DICOM = "The bytes are neither a DICOM file nor a bare data set."
# A bare data set does not begin with a long value
_MOST_FIRST_LENGTH = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMeta:
    """What stood before the data set. `group2` and `preamble` are empty for a bare data set."""

    transfer_syntax: str
    sop_class: str | None
    sop_instance: str | None
    group2: bytes = field(repr=False)
    preamble: bytes = field(repr=False)


class Part10Reader:
    """Takes the bytes of a file in any pieces and gives back those of its data set."""

    def __init__(self, *, meta_group_bytes: int) -> None:
        self.meta: FileMeta | None = None
        """Known as soon as the head is complete."""
        self._most = meta_group_bytes
        self._head = bytearray()
        self._need = _PREAMBLE + 4

    def feed(self, data: bytes | bytearray | memoryview) -> bytes | bytearray | memoryview:
        """Give back the data set bytes that follow; none while still in the head.

        Raises `MalformedInstance`, `TooLarge`.
        """
        if self.meta is not None:
            return data
        view = memoryview(data)
        at = 0
        while at < len(view):  # little by little: a data set is not copied to find its head
            begin, at = at, at + max(self._need - len(self._head), len(self._head), _STEP)
            self._head += view[begin:at]
            rest = b"" if len(self._head) < self._need else self._advance(at_end=False)
            if self._is_complete():
                at = min(at, len(view))
                begin = at - len(rest)
                return view[begin:] if begin >= 0 else b"".join((rest, view[at:]))
        return b""

    def finish(self) -> bytes:
        """End the file: the bytes of a data set so short that it could not be told before.

        Raises `MalformedInstance` when the head never ended.
        """
        if self._is_complete():
            return b""
        if not self._head:
            raise MalformedInstance("The file is empty.")
        rest = self._advance(at_end=True)
        if not self._is_complete():
            raise MalformedInstance("The file ends before its data set.")
        return rest

    def _is_complete(self) -> bool:
        return self.meta is not None

    def _advance(self, *, at_end: bool) -> bytes:
        """Read as much of the head as is there; what follows it once it is complete."""
        head = bytes(self._head)
        start = self._start(head)
        if start < 0:
            self.meta = _bare(head)
            return self._release(0)
        walked = _walk(head, start, self._most, at_end=at_end)
        if isinstance(walked, int):
            self._need = max(walked, len(head) + 1)
            return b""
        end, values = walked
        syntax = values.get(0x00020010)
        if not syntax:
            if len(head) - end < 8 and not at_end:
                self._need = end + 8
                return b""
            syntax = _default(head[end : end + 8])
        self.meta = FileMeta(
            transfer_syntax=syntax,
            sop_class=values.get(0x00020002),
            sop_instance=values.get(0x00020003),
            group2=head[start:end],
            preamble=head[: start - 4] if start > 4 else b"",
        )
        return self._release(end)

    def _release(self, end: int) -> bytes:
        rest = bytes(self._head[end:])
        self._head.clear()
        return rest

    @staticmethod
    def _start(head: bytes) -> int:
        """Find where group 2 begins; -1 when there is none."""
        if head[_PREAMBLE : _PREAMBLE + 4] == _PREFIX:
            begins_as_dataset = _is_dataset(head[:8])
            return -1 if begins_as_dataset and not _is_group2(head, 132) else _PREAMBLE + 4
        if head[:4] == _PREFIX:
            return 4
        return 0 if _is_group2(head, 0) else -1


def _is_group2(head: bytes, pos: int) -> bool:
    return head[pos : pos + 2] == b"\x02\0" and head[pos + 3 : pos + 4] == b"\0"


def _is_dataset(first: bytes) -> bool:
    try:
        _guess(first)
    except MalformedInstance:
        return False
    return True


def _default(first: bytes) -> str:
    """Tell the Transfer Syntax where group 2 forgot to: the default, if it does not look else."""
    if len(first) < 8:
        return uids.IMPLICIT_LITTLE
    found = el.sniff(first, el.EXPLICIT_LITTLE)
    if first[4:6].decode("latin_1") in el.KNOWN_VRS:
        return uids.EXPLICIT_LITTLE if found.little else uids.EXPLICIT_BIG
    return uids.IMPLICIT_LITTLE


def _walk(head: bytes, pos: int, most: int, *, at_end: bool) -> tuple[int, dict[int, str]] | int:
    """Read the elements of group 2: where it ends and its UIDs, or how long the head must be."""
    first = pos
    values: dict[int, str] = {}
    encoding = el.EXPLICIT_LITTLE
    flags: set[str] = set()
    while True:
        if pos - first > most:
            raise TooLarge(f"The file meta information has more than {most} bytes.")
        have = len(head) - pos
        if at_end and have == 0:
            return pos, values
        if have < 8:
            return pos + 8
        if pos == first:
            encoding = el.sniff(head[pos : pos + 8], encoding)
        if encoding.tag.unpack_from(head, pos)[0] != 2:
            return pos, values
        header = read_header(head, pos, encoding, flags)
        if isinstance(header, int):
            return pos + header
        end = pos + header.size + header.length
        if end - first > most:
            raise TooLarge(f"The file meta information has more than {most} bytes.")
        if end > len(head):
            return end
        if header.tag in (0x00020002, 0x00020003, 0x00020010):
            raw = head[pos + header.size : end]
            values[header.tag] = raw.decode("latin_1").strip(" \0")
        pos = end


def _bare(head: bytes) -> FileMeta:
    """Take the bytes for a data set without a head, if they can be one."""
    syntax = _guess(head[:8])
    return FileMeta(
        transfer_syntax=syntax, sop_class=None, sop_instance=None, group2=b"", preamble=b""
    )


def _guess(first: bytes) -> str:
    """Tell the Transfer Syntax of an uncompressed data set from its first element's header."""
    if len(first) < 8:
        raise MalformedInstance(NO_DICOM)
    found = el.sniff(first, el.EXPLICIT_LITTLE)
    group, element = found.tag.unpack_from(first)
    if not 0x0002 < group <= el.LOW_GROUP:
        raise MalformedInstance(NO_DICOM)
    if found.explicit:
        if first[4:6].decode("latin_1") not in el.KNOWN_VRS:
            raise MalformedInstance(NO_DICOM)
        return uids.EXPLICIT_LITTLE if found.little else uids.EXPLICIT_BIG
    known = element == 0 or el.dictionary_vr(group << 16 | element) != "UN"
    if not known or found.long.unpack_from(first, 4)[0] >= _MOST_FIRST_LENGTH:
        raise MalformedInstance(NO_DICOM)
    if not found.little:
        raise MalformedInstance("Implicit VR Big Endian must be named in the file's head.")
    return uids.IMPLICIT_LITTLE


def file_head(*, group2: bytes, preamble: bytes) -> bytes:
    """Write what stands before the payload in a file that is sent: always the same bytes.

    Only a TIFF preamble is kept: anything else could make the file a program (CVE-2019-11687).
    """
    is_tiff = len(preamble) == _PREAMBLE and preamble.startswith((b"II*\0", b"MM\0*"))
    return (preamble if is_tiff else bytes(_PREAMBLE)) + _PREFIX + group2


def group2_for(
    *, sop_class: str, sop_instance: str, transfer_syntax: str, source_ae: str | None = None
) -> bytes:
    """Write the group 2 of an object that came without one (PS3.10 Table 7.1-1)."""
    elements = [
        _element(0x0001, b"OB", b"\0\1"),
        _element(0x0002, b"UI", sop_class.encode("ascii")),
        _element(0x0003, b"UI", sop_instance.encode("ascii")),
        _element(0x0010, b"UI", transfer_syntax.encode("ascii")),
        _element(0x0012, b"UI", uids.IMPLEMENTATION_CLASS.encode("ascii")),
        _element(0x0013, b"SH", uids.IMPLEMENTATION_VERSION.encode("ascii")),
    ]
    if source_ae is not None:
        elements.append(_element(0x0016, b"AE", source_ae.encode("latin_1", "replace")))
    return _group(elements)


def with_transfer_syntax(group2: bytes, transfer_syntax: str) -> bytes:
    """Write a group 2 anew with another Transfer Syntax UID, ascending, its length right."""
    elements: dict[int, bytes] = {}
    encoding = el.sniff(group2[:8], el.EXPLICIT_LITTLE) if len(group2) >= 8 else el.EXPLICIT_LITTLE
    flags: set[str] = set()
    pos = 0
    while pos < len(group2):
        header = read_header(group2, pos, encoding, flags)
        if isinstance(header, int):
            break
        pos += header.size
        written = header.vr.encode("ascii")
        elements[header.tag] = _element(
            header.tag & 0xFFFF, written, group2[pos : pos + header.length]
        )
        pos += header.length
    elements.pop(0x00020000, None)
    elements[0x00020010] = _element(0x0010, b"UI", transfer_syntax.encode("ascii"))
    return _group([elements[tag] for tag in sorted(elements)])


def _group(elements: list[bytes]) -> bytes:
    body = b"".join(elements)
    return _element(0x0000, b"UL", struct.pack("<I", len(body))) + body


def _element(element: int, vr: bytes, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0" if vr in (b"UI", b"OB", b"UN") else b" "
    if vr.decode("ascii") in el.LONG_VRS:
        return struct.pack("<HH2sHI", 2, element, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value
