"""What a video says of itself: its Transfer Syntax, size and bits (PS3.5 8.2.5 to 8.2.11).

DICOM takes MPEG-2 streams, and H.264 and H.265 in an MP4 file or an MPEG-2 transport stream. Only
headers are read. Other containers and codecs are told by their first bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from vna.dicom.codestreams import Described, Read, boxes
from vna.dicom.nalunits import described, h264, h264_stream, h265, h265_stream
from vna.errors import MalformedInstance, UnsupportedMedia

SIGNS = 12
"""How many first bytes of a stream `refuse_foreign` wants."""

_PACKET = 188
_HEAD_BYTES = 2 << 20  # where a stream must have said what it is
_MOST_TABLE = 8 << 20


def refuse_foreign(first: bytes) -> None:
    """Refuse, by its first bytes, a container DICOM has no encoding for (`UnsupportedMedia`)."""
    name = None
    if first[:4] == b"RIFF":
        name = "AVI"
    elif first[:4] == b"\x1a\x45\xdf\xa3":
        name = "Matroska and WebM"
    elif first[:4] == b"\x30\x26\xb2\x75":
        name = "ASF and Windows Media"
    elif first[:3] == b"FLV":
        name = "Flash Video"
    elif first[:4] == b"OggS":
        name = "Ogg"
    elif first[4:12] == b"ftypqt  ":
        name = "QuickTime"
    if name is not None:
        raise UnsupportedMedia(
            f"{name} files have no DICOM encoding: send MPEG-2, or H.264 in MP4."
        )


def describe(read: Read, size: int) -> Described:
    """Describe a video by its headers. Raises `MalformedInstance`, `UnsupportedMedia`."""
    first = read(0, SIGNS)
    refuse_foreign(first)
    if first[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp"):
        return _mp4(read, size)
    if first[:1] == b"\x47" and read(_PACKET, 1) in (b"\x47", b""):
        return _transport_stream(read, size)
    if first[:4] in (b"\0\0\1\xba", b"\0\0\1\xb3"):
        return _mpeg_2(read(0, _HEAD_BYTES), size)
    raise UnsupportedMedia("This video is neither MPEG-2 nor an MP4 file or transport stream.")


def _mp4(read: Read, size: int) -> Described:
    movie = next(((at, n) for kind, at, n in boxes(read, 0, size) if kind == b"moov"), None)
    if movie is None:
        raise MalformedInstance("The MP4 file has no movie box.")
    for kind, at, length in boxes(read, movie[0], sum(movie)):
        if kind == b"trak" and (found := _track(read, at, at + length, size)) is not None:
            return found
    raise UnsupportedMedia("The MP4 file has no video track.")


def _track(read: Read, at: int, end: int, size: int) -> Described | None:
    media = _child(read, at, end, b"mdia")
    handler = _child(read, *media, b"hdlr")
    if read(handler[0] + 8, 4) != b"vide":
        return None
    table = _child(read, *_child(read, *media, b"minf"), b"stbl")
    sizes = _child(read, *table, b"stsz")
    (frames,) = struct.unpack(">I", _exactly(read, sizes[0] + 8, 4))
    entries = _child(read, *table, b"stsd")
    for kind, start, length in boxes(read, entries[0] + 8, entries[1]):
        width, height = struct.unpack(">HH", _exactly(read, start + 24, 4))
        number, bits = _codec(read, kind, start + 78, start + length)
        return described(number, height, width, size, bits=bits, frames=frames or None)
    raise MalformedInstance("The video track of the MP4 file says nothing of its codec.")


def _codec(read: Read, kind: bytes, at: int, end: int) -> tuple[str, int]:
    if kind in (b"avc1", b"avc3"):
        start, _ = _child(read, at, end, b"avcC")
        return h264(*_exactly(read, start + 1, 3)), 8
    if kind in (b"hvc1", b"hev1"):
        start, _ = _child(read, at, end, b"hvcC")
        body = _exactly(read, start, 13)
        return h265(body[1] & 0x1F, body[12])
    name = kind.decode("latin_1")
    shown = name if name.isascii() and name.isprintable() else "this kind"
    raise UnsupportedMedia(f"MP4 video of {shown} has no DICOM encoding: send H.264 or H.265.")


def _child(read: Read, at: int, end: int, wanted: bytes) -> tuple[int, int]:
    for kind, start, length in boxes(read, at, end):
        if kind == wanted:
            return start, start + length
    raise MalformedInstance(f"The MP4 file lacks a box of kind {wanted.decode()}.")


def _exactly(read: Read, at: int, count: int) -> bytes:
    data = read(at, count)
    if len(data) < count:
        raise MalformedInstance("The video is cut off in its headers.")
    return data


def _mpeg_2(head: bytes, size: int) -> Described:
    """Read the sequence header of an MPEG-2 (or MPEG-1) stream (ISO 13818-2 6.2.2)."""
    at = head.find(b"\0\0\1\xb3")
    if at < 0 or len(head) < at + 12:
        raise MalformedInstance("The MPEG-2 stream has no sequence header.")
    sizes = int.from_bytes(head[at + 4 : at + 7], "big")
    columns, rows = sizes >> 12, sizes & 0xFFF
    number = "100"
    extension = head.find(b"\0\0\1\xb5", at, at + 200)
    if extension >= 0 and len(head) >= extension + 10:
        body = int.from_bytes(head[extension + 4 : extension + 10], "big")
        profile, level = body >> 40 & 0x7, body >> 36 & 0xF
        columns |= (body >> 31 & 0x3) << 12
        rows |= (body >> 29 & 0x3) << 12
        if profile not in (4, 5) or level not in (4, 6, 8, 10):
            raise UnsupportedMedia("MPEG-2 has a DICOM encoding at Main Profile up to High Level.")
        number = "100" if level in (8, 10) else "101"
    return described(number, rows, columns, size)


def _transport_stream(read: Read, size: int) -> Described:
    """Find the video of a transport stream and read its headers (ISO 13818-1 2.4)."""
    head = read(0, _HEAD_BYTES)
    packets = [head[at : at + _PACKET] for at in range(0, len(head) - _PACKET + 1, _PACKET)]
    if any(packet[0] != 0x47 for packet in packets):
        raise MalformedInstance("The transport stream is damaged.")
    program = _section(packets, 0)
    if len(program) < 12:
        raise MalformedInstance("The transport stream has no program.")
    for at in range(8, len(program) - 7, 4):
        number, pid = struct.unpack_from(">HH", program, at)
        if number:
            return _program(packets, pid & 0x1FFF, size)
    raise MalformedInstance("The transport stream has no program.")


def _program(packets: list[bytes], pid: int, size: int) -> Described:
    table = _section(packets, pid)
    readers: dict[int, Callable[[bytes, int], Described]] = {
        0x01: _mpeg_2,
        0x02: _mpeg_2,
        0x1B: h264_stream,
        0x24: h265_stream,
    }
    at = 12 + (int.from_bytes(table[10:12], "big") & 0xFFF)
    while at + 5 <= len(table) - 4:
        kind, stream, extra = struct.unpack_from(">BHH", table, at)
        if kind in readers:
            payload = b"".join(_payload(packet) for packet in _of(packets, stream & 0x1FFF))
            return readers[kind](payload, size)
        at += 5 + (extra & 0xFFF)
    raise UnsupportedMedia("The transport stream holds no video that DICOM has an encoding for.")


def _of(packets: list[bytes], pid: int) -> list[bytes]:
    return [p for p in packets if int.from_bytes(p[1:3], "big") & 0x1FFF == pid]


def _payload(packet: bytes) -> bytes:
    has_field, has_payload = packet[3] & 0x20, packet[3] & 0x10
    start = 5 + packet[4] if has_field else 4
    return packet[start:] if has_payload else b""


def _section(packets: list[bytes], pid: int) -> bytes:
    """Read the first table of a packet identifier; it must fit its packet, as it does."""
    for packet in _of(packets, pid):
        payload = _payload(packet)
        if packet[1] & 0x40 and payload:
            section = payload[1 + payload[0] :]
            length = int.from_bytes(section[1:3], "big") & 0xFFF
            return section[: 3 + length]
    return b""
