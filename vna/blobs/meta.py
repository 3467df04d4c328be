"""The meta of a blob: a JSON object sealed beside the payload, enough to rebuild the index.

Written as the object streams in, the DICOM JSON (`attributes`) first, so that it is never held
whole; read back by recovery, reindex and retrieval. What the other fields say is the writer's
business (docs/crypto.md lists them).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
import zstandard

from vna.blobs.compression import LEVEL, deflate
from vna.config import Limits
from vna.errors import Corrupt

VERSION = 1
READY_BYTES = 1 << 20  # DICOM JSON up to this size also stands in the index, ready
_START = b'{"v":1,"attributes":'


class AttributesSink:
    """Takes the DICOM JSON of one instance in pieces; keeps it compressed, and plain while small.

    Past a cap nothing is kept: the metadata is then rebuilt from the payload when it is asked for.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pieces: list[bytes] = []
        self._stream: _Stream | None = None  # once it is too long to stand in the index
        self.length = 0
        self.over = False

    def __call__(self, piece: bytes) -> None:
        """Take the next piece."""
        if self.over:
            return
        self.length += len(piece)
        if self._stream is None:
            self._pieces.append(piece)
            if self.length > READY_BYTES:
                self._stream = _Stream([_START, *self._pieces])
                self._pieces = []
        else:
            self._stream.add(piece)
        packed = 0 if self._stream is None else self._stream.length
        if self.length > self._limits.json_bytes or packed > self._limits.metadata_bytes:
            self.over, self._stream, self._pieces = True, None, []

    @property
    def ready(self) -> bytes | None:
        """The DICOM JSON object, when it is small enough to stand in the index."""
        return None if self.over or self._stream is not None else b"".join(self._pieces)

    def finish(self, rest: dict[str, Any]) -> bytes:
        """Close the meta with its other fields; return it as one zstd frame."""
        if not self.over:
            rest["attributes_len"] = self.length
            tail = b"," + orjson.dumps(rest)[1:]
            if self._stream is None:
                frame = deflate(b"".join([_START, *self._pieces, tail]))
            else:
                frame = self._stream.close(tail)
            if len(frame) <= self._limits.metadata_bytes:
                return frame
        whole = {"v": VERSION, "attributes": None, **rest}
        whole.pop("attributes_len", None)
        return deflate(orjson.dumps(whole))


class _Stream:
    """A zstd frame in the making: nothing of it is held but what is packed."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._compressor = zstandard.ZstdCompressor(level=LEVEL).compressobj()
        self._packed: list[bytes] = []
        self.length = 0
        for piece in pieces:
            self.add(piece)

    def add(self, piece: bytes) -> None:
        packed = self._compressor.compress(piece)
        self._packed.append(packed)
        self.length += len(packed)

    def close(self, tail: bytes) -> bytes:
        self.add(tail)
        return b"".join([*self._packed, self._compressor.flush()])


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobMeta:
    """The meta of a blob as read back. `json` is the raw DICOM JSON object, None past the cap."""

    fields: dict[str, Any]
    json: bytes | None


def read(data: bytes) -> BlobMeta:
    """Read a meta. Raises `Corrupt` when it is none of this version."""
    try:
        fields = orjson.loads(data)
        if fields["v"] != VERSION:
            raise Corrupt("The meta of this blob has a version this archive does not know.")
        length = fields.get("attributes_len")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as exc:
        raise Corrupt("The meta of this blob is not readable.") from exc
    if length is None:
        return BlobMeta(fields=fields, json=None)
    return BlobMeta(fields=fields, json=data[len(_START) : len(_START) + length])
