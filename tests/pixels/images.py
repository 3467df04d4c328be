"""The frames of every sample file, as the archive would hand them to the sandbox."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from tests.dicom.corpus import Read, files, read
from tests.dicom.test_corpus import REFUSED, inflated
from vna.dicom.uids import syntax
from vna.errors import Undecodable
from vna.pixels.description import FrameSource, PixelDescription
from vna.pixels.registry import decodable

MOST_FRAMES = 3  # of one file: the others are made alike
Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Image:
    """One file with pixels that can be decoded: its description and its first frames."""

    path: Path
    description: PixelDescription
    frames: tuple[FrameSource, ...]
    members: dict[str, Any]

    @property
    def transfer_syntax(self) -> str:
        return self.frames[0].transfer_syntax

    def dataset(self) -> pydicom.Dataset:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pydicom.dcmread(self.path, force=True)


@cache
def paths() -> tuple[Path, ...]:
    """Every file that has pixels a codec of ours knows."""
    return tuple(path for path in files() if path.name not in REFUSED and image(path) is not None)


@cache
def image(path: Path) -> Image | None:
    """Read a file; None when there is nothing in it to decode."""
    reading = read(path.read_bytes())
    table = reading.scan.frames
    if table is None or table.is_stream or not decodable(reading.meta.transfer_syntax):
        return None
    try:
        description = PixelDescription.of(reading.json)
    except Undecodable:
        return None
    numbers = range(1, min(table.count, MOST_FRAMES) + 1)
    uid = reading.meta.transfer_syntax
    body = inflated(reading)
    sources = tuple(
        FrameSource(
            transfer_syntax=uid,
            data=frame_bytes(reading, body, number, description),
            description=description,
        )
        for number in numbers
    )
    return Image(path, description, sources, reading.json)


def frame_bytes(reading: Read, body: bytes, number: int, description: PixelDescription) -> bytes:
    """One frame as it is given out: little endian, from bit 0 on."""
    table, pixel = reading.scan.frames, reading.scan.pixel
    assert table is not None
    assert pixel is not None
    if table.bits is not None:
        offset, length, shift = table.frame_bits(number)
        whole = int.from_bytes(body[offset : offset + length], "little") >> shift
        whole &= (1 << table.bits) - 1
        return whole.to_bytes((table.bits + 7) // 8, "little")
    data = b"".join(body[at : at + size] for at, size in table.frame(number))
    if syntax(reading.meta.transfer_syntax).little or pixel.vr == "OB":
        return data
    word = max(description.bits_allocated // 8, 2)
    if len(data) % word:  # its last byte shares a word with the padding
        at, size = table.frame(number)[0]
        data = body[at : at + size + 1]
    return np.frombuffer(data, f">u{word}").astype(f"<u{word}").tobytes()


def expected(image: Image, number: int, *, raw: bool) -> tuple[Array, str] | None:
    """What pydicom makes of a frame, and in which colours; None when it cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = image.dataset()
            decoder = pydicom.pixels.get_decoder(image.transfer_syntax)
            array, told = decoder.as_array(dataset, index=number - 1, raw=raw)
        except (OSError, RuntimeError, AttributeError, ValueError, TypeError, KeyError):
            return None  # NotImplementedError is a RuntimeError
    return array, str(told["photometric_interpretation"])
