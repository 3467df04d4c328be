"""Videos made by hand, as far as anybody looks who does not decode them."""

from __future__ import annotations

import struct

H264 = bytes([1, 100, 0, 41, 0xFF, 0xE1])
H265 = bytes([1, 1]) + bytes(10) + bytes([153]) + bytes(10)


def box(kind: str, *content: bytes) -> bytes:
    """Write a box of an ISO base media file."""
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind.encode()) + body


def mp4(
    codec: str = "avc1",
    setup: bytes | None = None,
    *,
    width: int = 64,
    height: int = 48,
    frames: int = 5,
    brand: str = "isom",
    handler: str = "vide",
    movie_first: bool = False,
) -> bytes:
    """Write an MP4 file of one track."""
    name, default = ("hvcC", H265) if codec.startswith(("hvc", "hev")) else ("avcC", H264)
    inner = box(name, default if setup is None else setup)
    entry = box(codec, bytes(24), struct.pack(">HH", width, height), bytes(50), inner)
    table = box(
        "stbl",
        box("stsd", struct.pack(">II", 0, 1), entry),
        box("stsz", struct.pack(">III", 0, 0, frames), bytes(4 * frames)),
    )
    media = box("mdia", box("hdlr", bytes(8), handler.encode(), bytes(12)), box("minf", table))
    sound = box("trak", box("mdia", box("hdlr", bytes(8), b"soun", bytes(12))))
    movie = box("moov", box("mvhd", bytes(100)), sound, box("trak", media))
    start = box("ftyp", brand.encode(), bytes(4), b"isomavc1")
    data = box("mdat", b"samples" * 40)
    return start + (movie + data if movie_first else data + movie)


def mpeg_2(columns: int = 352, rows: int = 288, level: int = 8, profile: int = 4) -> bytes:
    """Write the beginning of an MPEG-2 elementary stream."""
    sizes = (columns & 0xFFF) << 12 | rows & 0xFFF
    sequence = b"\0\0\1\xb3" + sizes.to_bytes(3, "big") + b"\x14\xff\xff\xe0\x18"
    body = 1 << 44 | profile << 40 | level << 36
    body |= (columns >> 12) << 31 | (rows >> 12) << 29
    return sequence + b"\0\0\1\xb5" + body.to_bytes(6, "big") + b"\0\0\1\0" + bytes(200)


class Bits:
    """Writes bits, as parameter sets are made of."""

    def __init__(self) -> None:
        self.text = ""

    def put(self, value: int, count: int) -> Bits:
        """Append a number of `count` bits."""
        self.text += f"{value:0{count}b}" if count else ""
        return self

    def golomb(self, *values: int) -> Bits:
        """Append numbers in Exp-Golomb code."""
        for value in values:
            bare = f"{value + 1:b}"
            self.text += "0" * (len(bare) - 1) + bare
        return self

    def done(self) -> bytes:
        """Give the bytes, ended as a NAL unit is."""
        whole = self.text + "1"
        whole += "0" * (-len(whole) % 8)
        return int(whole, 2).to_bytes(len(whole) // 8, "big")


def h264_parameters(columns: int, rows: int, *, profile: int = 100, level: int = 41) -> bytes:
    """Write a sequence parameter set of whole frames, cropped to size."""
    wide, high = -(-columns // 16), -(-rows // 16)
    bits = Bits().golomb(0)
    if profile in (100, 128):
        bits.golomb(1, 0, 0).put(0, 1).put(1, 1).put(1, 1).golomb(*([0] * 16)).put(0, 7)
    bits.golomb(0, 0, 4, 1).put(0, 1).golomb(wide - 1, high - 1).put(1, 1).put(1, 1)
    crop = (wide * 16 - columns) // 2, (high * 16 - rows) // 2
    bits.put(1, 1).golomb(0, crop[0], 0, crop[1]).put(0, 1)
    return b"\0\0\1\x67" + bytes([profile, 0, level]) + bits.done()


def h265_parameters(columns: int, rows: int, *, profile: int = 1, level: int = 153) -> bytes:
    """Write a sequence parameter set with a conformance window of two lines."""
    bits = Bits().put(0, 4).put(1, 3).put(1, 1).put(0, 3).put(profile, 5).put(0, 80).put(level, 8)
    bits.put(1, 1).put(1, 1).put(0, 14).put(0, 96)
    bits.golomb(0, 1, columns, rows + 2).put(1, 1).golomb(0, 0, 0, 1).golomb(0, 0)
    return b"\0\0\1\x42\1" + bits.done().replace(b"\0\0\0", b"\0\0\3\0")


def transport_stream(kind: int, stream: bytes) -> bytes:
    """Write a transport stream of one program with one stream of a kind."""
    association = b"\0\xb0\x0d\0\1\xc1\0\0" + b"\0\1\xe1\0" + bytes(4)
    entry = struct.pack(">BHH", kind, 0xE101, 0xF000)
    program = b"\2\xb0" + bytes([13 + len(entry)]) + b"\0\1\xc1\0\0" + b"\xe1\1\xf0\0" + entry
    packets = [
        _packet(0, b"\0" + association, True),
        _packet(0x100, b"\0" + program + bytes(4), True),
    ]
    stream = b"\0\0\1\xe0\0\0\x80\0\0" + stream
    for at in range(0, len(stream), 184):
        packets.append(_packet(0x101, stream[at : at + 184], at == 0))
    return b"".join(packets)


def _packet(pid: int, payload: bytes, is_start: bool) -> bytes:
    head = b"\x47" + struct.pack(">H", pid | 0x4000 * is_start)
    room = 184 - len(payload)
    if not room:
        return head + b"\x10" + payload
    stuffing = bytes([room - 1]) + (b"\0" + b"\xff" * (room - 2) if room > 1 else b"")
    return head + b"\x30" + stuffing + payload
