"""Sample objects for `vna demo`: pydicom's own test files, and what must come back for each."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.data import get_testdata_file

from vna.dicom.part10 import Part10Reader
from vna.errors import ConfigError

_BY_STORE = (
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_bigendian.dcm",
    "rtplan.dcm",
    "JPEG2000.dcm",
    "test-SR.dcm",
)
_BY_STOW = (
    "examples_rgb_color.dcm",
    "examples_palette.dcm",
    "examples_ybr_color.dcm",
    "SC_rgb_rle.dcm",
    "image_dfl.dcm",
    "waveform_ecg.dcm",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One file: what it is, and the digest of its data set."""

    name: str
    path: Path
    data: bytes
    dataset: bytes
    sop_class: str
    sop_instance: str
    study: str
    series: str
    transfer_syntax: str
    patient_id: str
    by_store: bool

    @property
    def digest(self) -> str:
        """SHA-256 of the data set: what is stored must come back with the same one."""
        return hashlib.sha256(self.dataset).hexdigest()


def samples() -> list[Sample]:
    """The sample objects, half for C-STORE and half for STOW-RS.

    MR_small_bigendian is the same SOP Instance as MR_small in another byte order: the archive must
    see that it is the same content.
    """
    return [_sample(name, by_store=name in _BY_STORE) for name in (*_BY_STORE, *_BY_STOW)]


def _sample(name: str, *, by_store: bool) -> Sample:
    found = get_testdata_file(name, download=False)
    if not isinstance(found, str):
        raise ConfigError(f"pydicom's sample {name} is not installed.")
    data = Path(found).read_bytes()
    reader = Part10Reader(meta_group_bytes=1 << 16)
    dataset = bytes(reader.feed(data))
    reader.finish()
    ds = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    return Sample(
        name=name,
        path=Path(found),
        data=data,
        dataset=dataset,
        sop_class=str(ds.SOPClassUID),
        sop_instance=str(ds.SOPInstanceUID),
        study=str(ds.StudyInstanceUID),
        series=str(ds.SeriesInstanceUID),
        transfer_syntax=str(ds.file_meta.TransferSyntaxUID),
        patient_id=str(ds.get("PatientID") or ""),
        by_store=by_store,
    )
