"""Modalities as people meet them: what they are called, and which of them show nothing."""

from __future__ import annotations

from vna.texts import marked

# series of these modalities hold nothing a thumbnail could show (PS3.3 C.7.3.1.1.1)
NO_PICTURES = frozenset(
    {
        *("SR", "DOC", "KO", "PR", "REG", "RTSTRUCT", "RTPLAN", "RTRECORD", "PLAN", "FID", "RWV"),
        *("AU", "ECG", "HD", "RESP"),
    }
)

# what people call them; others are called by what they are (PS3.3 C.7.3.1.1.1)
_XRAY, _DENTAL, _ULTRASOUND = marked("X-ray"), marked("Dental X-ray"), marked("Ultrasound")
_CALLED = {
    "CT": marked("CT"), "MR": marked("MRI"), "US": _ULTRASOUND, "IVUS": _ULTRASOUND,
    "CR": _XRAY, "DX": _XRAY, "IO": _DENTAL, "PX": _DENTAL, "MG": marked("Mammogram"),
    "XA": marked("Angiography"), "RF": marked("Fluoroscopy"), "NM": marked("Nuclear medicine"),
    "PT": marked("PET"), "ES": marked("Endoscopy"), "OP": marked("Eye photograph"),
    "OPT": marked("Eye scan"), "ECG": marked("ECG"), "SM": marked("Microscopy"),
    "XC": marked("Photograph"), "BMD": marked("Bone density"), "SR": marked("Report"),
    "DOC": marked("Document"), "OT": marked("Image"),
}  # fmt: skip
REPORTS = frozenset({"SR", "DOC"})
# what explains images and is none: nobody calls an examination by these
_ASIDE = REPORTS | {"KO", "PR", "REG", "SEG", "FID", "RWV"}


def called(modality: str) -> str:
    """Say a modality as people do."""
    return _CALLED.get(modality, modality)


def plain_of(modalities: tuple[str, ...]) -> tuple[str, ...]:
    """Say in words people use what was done; they are translated where they are shown."""
    shown = [one for one in modalities if one not in _ASIDE] or list(modalities)
    return tuple(dict.fromkeys(map(called, shown))) or (marked("Images"),)
