"""zstd frames with a cap: what a frame says of its size is checked before memory is taken."""

from __future__ import annotations

import threading

import zstandard

from vna.errors import Corrupt, TooLarge

INFLATED_MAX = 256 << 20
LEVEL = 1  # DICOM JSON of a CT: 28 % of its size, at level 3 27 %

_MAGIC = b"\x28\xb5\x2f\xfd"
_STEP = 1 << 20
_own = threading.local()  # a zstandard context belongs to one thread at a time


def deflate(data: bytes) -> bytes:
    """Compress into one frame that names its size."""
    compressor: zstandard.ZstdCompressor | None = getattr(_own, "compressor", None)
    if compressor is None:
        compressor = _own.compressor = zstandard.ZstdCompressor(level=LEVEL)
    return compressor.compress(data)


def is_frame(data: bytes) -> bool:
    """Tell a zstd frame from plain JSON, by its magic."""
    return data[:4] == _MAGIC


def inflate(data: bytes, most: int = INFLATED_MAX) -> bytes:
    """Decompress one frame of at most `most` bytes. Raises `TooLarge`, `Corrupt`."""
    size = frame_size(data)
    if size is not None and size > most:
        raise TooLarge("A compressed record is larger than its limit when inflated.")
    decompressor: zstandard.ZstdDecompressor | None = getattr(_own, "decompressor", None)
    if decompressor is None:
        decompressor = _own.decompressor = zstandard.ZstdDecompressor()
    try:
        if size is None:
            return _by_steps(decompressor, data, most)
        return decompressor.decompress(data, allow_extra_data=False)
    except zstandard.ZstdError as exc:
        raise Corrupt("A compressed record is not readable.") from exc


def frame_size(data: bytes) -> int | None:
    """Read what a frame says of its inflated size; None when it says nothing. Raises `Corrupt`."""
    try:
        size = zstandard.frame_content_size(data)
    except zstandard.ZstdError as exc:
        raise Corrupt("A compressed record is not readable.") from exc
    return None if size < 0 else size


def _by_steps(decompressor: zstandard.ZstdDecompressor, data: bytes, most: int) -> bytes:
    """Inflate a frame of unknown size (a streaming writer's), never past the cap."""
    pieces = []
    total = 0
    with decompressor.stream_reader(data) as reader:
        while piece := reader.read(_STEP):
            total += len(piece)
            if total > most:
                raise TooLarge("A compressed record is larger than its limit when inflated.")
            pieces.append(piece)
    return b"".join(pieces)
