"""Answers in the Transfer Syntax of their Presentation Context; the usual ones take no detour."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from typing import Any

from vna.dicom.encode import encode_dataset
from vna.dicom.uids import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE


def encode_identifier(
    elements: Mapping[str, Any], transfer_syntax: str, *, charset: str
) -> bytes:  # values of DICOM JSON differ by VR
    """Write an Identifier. `charset` is what the asker reads, used where it can carry the texts."""
    explicit = transfer_syntax != IMPLICIT_LITTLE
    data = encode_dataset(elements, explicit=explicit, charset=charset)
    if transfer_syntax == DEFLATED:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = deflate.compress(data) + deflate.flush()
        return data + b"\0" if len(data) % 2 else data
    return _big_endian(data) if transfer_syntax == EXPLICIT_BIG else data


def _big_endian(data: bytes) -> bytes:
    # retired in 2006: seldom enough for pydicom to turn the values round, and to be read only then
    from pydicom.dataset import Dataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.filereader import read_dataset
    from pydicom.filewriter import write_dataset

    ds = Dataset(read_dataset(io.BytesIO(data), is_implicit_VR=False, is_little_endian=True))
    for _ in ds.iterall():
        pass  # reads every value, so that none is copied as it stands
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = False, False
    write_dataset(out, ds)
    return out.getvalue()
