"""What parent and child say to each other over two pipes and a room of memory.

    request   u32 length of the head, u64 length of the body, head (JSON), body (bytes)
    answer    1 byte, u64 length, bytes: `+` and the result, or the letter of a fault and nothing

A body the room has space for lies there; a larger one follows in the pipe. The room belongs to one
pair, its size is sealed, and the child may only read it.

A child reads only what its parent wrote. The parent believes nothing: an answer is one letter of a
table or bytes of at most the size that was asked for.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Any

import orjson

from vna.pixels.description import FrameSource, PixelDescription

REQUEST = struct.Struct("<IQ")
ANSWER = struct.Struct("<cQ")
DONE = b"+"
PIPE_BYTES = 1 << 20
ROOM_BYTES = 64 << 20  # of addresses: memory is taken as it is written


def request(work: str, frame: FrameSource, **more: Any) -> bytes:  # what orjson can write
    """Write what is asked of a child; the frame's bytes follow as they are."""
    head = orjson.dumps(
        {"work": work, "ts": frame.transfer_syntax, "of": frame.description, **more}
    )
    return REQUEST.pack(len(head), len(frame.data)) + head


def read_request(handle: int, room: mmap.mmap) -> tuple[dict[str, Any], FrameSource] | None:
    """Read one request; None when the parent is gone. Its frame may lie in the room."""
    raw = read_exactly(handle, REQUEST.size)
    if raw is None:
        return None
    head_size, size = REQUEST.unpack(raw)
    head = read_exactly(handle, head_size)
    data = memoryview(room)[:size] if size <= ROOM_BYTES else read_exactly(handle, size)
    if head is None or data is None:
        return None
    asked = orjson.loads(head)
    description = PixelDescription(**asked.pop("of"))
    frame = FrameSource(transfer_syntax=asked.pop("ts"), data=data, description=description)
    return asked, frame


def read_exactly(handle: int, size: int) -> bytearray | None:
    """Read so many bytes from a blocking pipe; None when it ends before."""
    data = bytearray(size)
    view = memoryview(data)
    at = 0
    while at < size:
        count = os.readv(handle, [view[at:]])
        if not count:
            return None
        at += count
    return data


def write_all(handle: int, data: bytes | bytearray | memoryview) -> None:
    """Write everything to a blocking pipe."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
