"""Transfer Syntaxes and SOP Classes: what a UID says about an object (PS3.5 A, PS3.6 A)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from vna.dicom import dictionary

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
IMPLEMENTATION_CLASS = "2.25.231936421270415927134711803127206187301"
IMPLEMENTATION_VERSION = "VNA_1"
_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"  # DICOMDIR: describes a medium, is no composite instance
IMPLICIT_BIG_PRIVATE = "1.2.840.113619.5.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSyntax:
    """How a data set of this Transfer Syntax is written.

    `frame_type` is the media type of one frame, or of a video, in WADO-RS (PS3.18 Table 8.7.3-5).
    """

    uid: str
    name: str
    explicit: bool = True
    little: bool = True
    deflated: bool = False
    encapsulated: bool = False
    is_video: bool = False
    lossless: bool = True
    frame_type: str = "application/octet-stream"


_JPEG = {"50": False, "51": False, "57": True, "70": True}
# Retired processes stand under the same media type: there is no other, and the stream is JPEG
_JPEG_RETIRED = {
    "52": False,
    "53": False,
    "54": False,
    "55": False,
    "56": False,
    "58": True,
    "59": False,
    "60": False,
    "61": False,
    "62": False,
    "63": False,
    "64": False,
    "65": True,
    "66": True,
}
_BY_TYPE = {
    "image/jpeg": {**_JPEG, **_JPEG_RETIRED},
    "image/jls": {"80": True, "81": False},
    "image/jp2": {"90": True, "91": False},
    "image/jpx": {"92": True, "93": False},
    "image/jphc": {"201": True, "202": True, "203": False},
    "image/jxl": {"110": True, "111": False, "112": False},
}
_VIDEO = {
    "video/mpeg": ("100", "100.1", "101", "101.1"),
    "video/mp4": (
        *("102", "102.1", "103", "103.1", "104", "104.1", "105", "105.1", "106", "106.1"),
    ),
    "video/H265": ("107", "108"),
}
_NAMES = {
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
    IMPLICIT_BIG_PRIVATE: "Implicit VR Big Endian (private)",
}


def _name(uid: str) -> str:
    return _NAMES.get(uid) or dictionary.uid_name(uid)


def _table() -> Mapping[str, TransferSyntax]:
    base = EXPLICIT_LITTLE + "."
    found = [
        TransferSyntax(uid=IMPLICIT_LITTLE, name=_name(IMPLICIT_LITTLE), explicit=False),
        TransferSyntax(uid=EXPLICIT_LITTLE, name=_name(EXPLICIT_LITTLE)),
        TransferSyntax(uid=DEFLATED, name=_name(DEFLATED), deflated=True),
        TransferSyntax(uid=EXPLICIT_BIG, name=_name(EXPLICIT_BIG), little=False),
        TransferSyntax(uid=base + "98", name=_name(base + "98"), encapsulated=True),
        TransferSyntax(
            uid=IMPLICIT_BIG_PRIVATE, name=_name(IMPLICIT_BIG_PRIVATE), explicit=False, little=False
        ),
        TransferSyntax(
            uid="1.2.840.10008.1.2.5",
            name=_name("1.2.840.10008.1.2.5"),
            encapsulated=True,
            frame_type="image/dicom-rle",
        ),
        TransferSyntax(
            uid="1.2.840.10008.1.2.8.1", name=_name("1.2.840.10008.1.2.8.1"), encapsulated=True
        ),
    ]
    # JPIP references hold no pixels; the second of each kind is deflated (PS3.5 A.7, A.8)
    for number, deflated in {"94": False, "95": True, "204": False, "205": True}.items():
        uid = f"1.2.840.10008.1.2.4.{number}"
        found.append(TransferSyntax(uid=uid, name=_name(uid), deflated=deflated))
    # Of real-time video only the description is ever stored (PS3.22)
    for number in ("1", "2", "3"):
        uid = f"1.2.840.10008.1.2.7.{number}"
        found.append(TransferSyntax(uid=uid, name=_name(uid), encapsulated=True))
    for frame_type, numbers in _BY_TYPE.items():
        for number, lossless in numbers.items():
            found.append(_compressed(number, frame_type, lossless=lossless))
    for frame_type, videos in _VIDEO.items():
        found += [_compressed(n, frame_type, lossless=False, is_video=True) for n in videos]
    return MappingProxyType({syntax.uid: syntax for syntax in found})


def _compressed(
    number: str, frame_type: str, *, lossless: bool, is_video: bool = False
) -> TransferSyntax:
    uid = f"1.2.840.10008.1.2.4.{number}"
    return TransferSyntax(
        uid=uid,
        name=_name(uid),
        encapsulated=True,
        is_video=is_video,
        lossless=lossless,
        frame_type=frame_type,
    )


TRANSFER_SYNTAXES: Mapping[str, TransferSyntax] = _table()
"""Every Transfer Syntax the archive knows, by UID."""

DEFAULT_BY_FRAME_TYPE: Mapping[str, str] = MappingProxyType(
    {
        "application/octet-stream": EXPLICIT_LITTLE,
        "image/jpeg": "1.2.840.10008.1.2.4.70",
        "image/dicom-rle": "1.2.840.10008.1.2.5",
        "image/jls": "1.2.840.10008.1.2.4.80",
        "image/jp2": "1.2.840.10008.1.2.4.90",
        "image/jpx": "1.2.840.10008.1.2.4.92",
        "image/jphc": "1.2.840.10008.1.2.4.201",
        "image/jxl": "1.2.840.10008.1.2.4.110",
        "video/mpeg": "1.2.840.10008.1.2.4.101",
        "video/mp4": "1.2.840.10008.1.2.4.102",
        "video/H265": "1.2.840.10008.1.2.4.107",
    }
)
"""The Transfer Syntax a media type means when none is named (PS3.18 Table 8.7.3-5)."""


def transfer_syntax(uid: str) -> TransferSyntax | None:
    """Look up a Transfer Syntax; None when it is not known."""
    return TRANSFER_SYNTAXES.get(uid)


def syntax(uid: str) -> TransferSyntax:
    """Describe a Transfer Syntax; an unknown one as encapsulated, so that it is passed on as is."""
    return TRANSFER_SYNTAXES.get(uid) or TransferSyntax(uid=uid, name=uid, encapsulated=True)


# Storage SOP Classes the dictionary does not hold yet (PS3.4 Table B.5-1)
_NEWER_STORAGE = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("9.100.1", "9.100.2", "66.7", "66.8")
)


_REPORTS = "1.2.840.10008.5.1.4.1.1.88."
# of eyes: Spectacle Prescription, Macular Grid Thickness and Volume
_MORE_REPORTS = frozenset(f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("78.6", "79.1"))


def is_report(sop_class: str) -> bool:
    """Whether the instances of a SOP Class are Structured Reports (PS3.3 A.35)."""
    return sop_class.startswith(_REPORTS) or sop_class in _MORE_REPORTS


@lru_cache(4096)
def is_storage(sop_class: str) -> bool:
    """Whether a UID is a Storage SOP Class of the standard (PS3.4 B.5 and its retired ones)."""
    if sop_class in _NEWER_STORAGE:
        return True
    if dictionary.uid_kind(sop_class) != "SOP Class":
        return False
    bare = (
        dictionary.uid_name(sop_class)
        .split(" - ")[0]
        .removesuffix(" (Retired)")
        .removesuffix(" SOP Class")
    )
    return bare.endswith("Storage") and sop_class != _MEDIA_DIRECTORY


def storage_classes() -> frozenset[str]:
    """Return every Storage SOP Class of the standard."""
    return _NEWER_STORAGE | {uid for uid in dictionary.uids() if is_storage(uid)}


def sop_class_name(sop_class: str) -> str:
    """Name a SOP Class as the standard does, or give the UID itself."""
    return dictionary.uid_name(sop_class)
