"""Index JSON, sealed under its study's key: what the database holds of an instance's attributes.

deriver version (1) | nonce (12) | AES-256-GCM of a zstd frame, aad = blob id | deriver version
"""

from __future__ import annotations

from vna.blobs.compression import deflate, inflate
from vna.blobs.keys import StudyKey
from vna.crypto.records import open_record, seal_record
from vna.errors import Corrupt

DERIVER_VERSION = 1

_LABEL = b"VNA json 1"


def seal_json(key: StudyKey, blob_id: bytes, data: bytes) -> bytes:
    """Compress and seal the DICOM JSON derived from a blob."""
    version = bytes([DERIVER_VERSION])
    return version + seal_record(key.key, _LABEL, deflate(data), blob_id + version)


def open_json(key: StudyKey, blob_id: bytes, sealed: bytes) -> bytes:
    """Open sealed DICOM JSON of any deriver version. Raises `Corrupt`."""
    view = memoryview(sealed)
    if not view:
        raise Corrupt("The sealed record is cut off.")
    return inflate(open_record(key.key, _LABEL, view[1:], blob_id + bytes(view[:1])))
