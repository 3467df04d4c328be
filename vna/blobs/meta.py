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
        self._compressor = zstandard.ZstdCompressor(level=1).compressobj()
        self._packed = [self._compressor.compress(_START)]
        self._packed_len = 0
        self._ready: list[bytes] | None = []
        self.length = 0
        self.over = False

    def __call__(self, piece: bytes) -> None:
        """Take the next piece."""
        if self.over:
            return
        self.length += len(piece)
        packed = self._compressor.compress(piece)
        self._packed_len += len(packed)
        if self.length > self._limits.json_bytes or self._packed_len > self._limits.metadata_bytes:
            self.over, self._ready, self._packed = True, None, []
            return
        self._packed.append(packed)
        if self._ready is not None:
            self._ready.append(piece)
            if self.length > READY_BYTES:
                self._ready = None

    @property
    def ready(self) -> bytes | None:
        """The DICOM JSON object, when it is small enough to stand in the index."""
        return None if self._ready is None else b"".join(self._ready)

    def finish(self, rest: dict[str, Any]) -> bytes:
        """Close the meta with its other fields; return it as one zstd frame."""
        if not self.over:
            rest["attributes_len"] = self.length
            packed = [*self._packed, self._compressor.compress(b"," + orjson.dumps(rest)[1:])]
            frame = b"".join([*packed, self._compressor.flush()])
            if len(frame) <= self._limits.metadata_bytes:
                return frame
        whole = {"v": VERSION, "attributes": None, **rest}
        whole.pop("attributes_len", None)
        return zstandard.ZstdCompressor(level=3).compress(orjson.dumps(whole))


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
