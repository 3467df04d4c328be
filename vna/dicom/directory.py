"""A DICOMDIR: the Basic Directory of a file-set, from the DICOM JSON of its instances (PS3.3 F).

Patients, studies, series, and one record an instance, of the type its SOP Class belongs to. Keys a
type demands are written empty where the instance lacks them: a reader is helped more by a file that
names all instances than by none.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vna.dicom.attributes import tag_of, vr_of
from vna.dicom.encode import UTF8, encode_dataset
from vna.dicom.part10 import file_head, group2_for
from vna.dicom.uids import EXPLICIT_LITTLE

Elements = Mapping[str, Any]  # values of DICOM JSON differ by VR

_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_IN_USE = 0xFFFF
_NEXT_AT, _LOWER_AT = 16, 38  # where the two offsets stand in an item
_LONGEST_KEY = 4096  # bytes of a key's JSON: a directory tells instances apart, it describes none

_CONTENT = ("InstanceNumber", "ContentDate", "ContentTime")
_LABELLED = (*_CONTENT, "ContentLabel", "ContentDescription", "ContentCreatorName")
_KEYS: Mapping[str, tuple[str, ...]] = {
    "PATIENT": ("PatientName", "PatientID"),
    "STUDY": (
        *("StudyDate", "StudyTime", "StudyDescription", "StudyInstanceUID", "StudyID"),
        "AccessionNumber",
    ),
    "SERIES": ("Modality", "SeriesInstanceUID", "SeriesNumber"),
    "IMAGE": ("InstanceNumber",),
    "RT DOSE": ("InstanceNumber", "DoseSummationType"),
    "RT STRUCTURE SET": (
        *("InstanceNumber", "StructureSetLabel", "StructureSetDate", "StructureSetTime"),
    ),
    "RT PLAN": ("InstanceNumber", "RTPlanLabel", "RTPlanDate", "RTPlanTime"),
    "RT TREAT RECORD": ("InstanceNumber", "TreatmentDate", "TreatmentTime"),
    "PRESENTATION": (
        *("PresentationCreationDate", "PresentationCreationTime", "InstanceNumber"),
        *("ContentLabel", "ContentDescription", "ContentCreatorName"),
    ),
    "WAVEFORM": _CONTENT,
    "SR DOCUMENT": (
        *_CONTENT,
        *("CompletionFlag", "VerificationFlag", "ConceptNameCodeSequence"),
    ),
    "KEY OBJECT DOC": (*_CONTENT, "ConceptNameCodeSequence"),
    "SPECTROSCOPY": (
        *_CONTENT,
        *("ImageType", "NumberOfFrames", "Rows", "Columns", "DataPointRows", "DataPointColumns"),
    ),
    "RAW DATA": _CONTENT,
    "REGISTRATION": _LABELLED,
    "FIDUCIAL": _LABELLED,
    "ENCAP DOC": (
        *_CONTENT,
        *("DocumentTitle", "ConceptNameCodeSequence", "MIMETypeOfEncapsulatedDocument"),
    ),
    "VALUE MAP": _LABELLED,
    "STEREOMETRIC": (),
    "MEASUREMENT": _LABELLED,
    "SURFACE": _LABELLED,
    "SURFACE SCAN": ("ContentDate", "ContentTime"),
    "TRACT": _LABELLED,
    "ASSESSMENT": ("InstanceNumber", "InstanceCreationDate", "InstanceCreationTime"),
    "RADIOTHERAPY": ("InstanceNumber", "ContentDescription", "ContentCreatorName"),
    "ANNOTATION": _LABELLED,
    "PLAN": (),
}
"""Keys of each type of record (PS3.3 F.5)."""

_VERIFIED, _OBSERVERS = "0040A030", "0040A073"
_CONTENTS, _RELATION = "0040A730", "0040A010"
_BLENDING, _OF_BLENDING = "00700402", ("0020000D", "00081115")
_CONDITIONAL: Mapping[str, tuple[str, ...]] = {
    "PRESENTATION": ("ReferencedSeriesSequence", "BlendingSequence"),
    "SR DOCUMENT": ("VerificationDateTime", "ContentSequence"),
    "KEY OBJECT DOC": ("ContentSequence",),
    "SPECTROSCOPY": ("ReferencedImageEvidenceSequence",),
    "ENCAP DOC": ("HL7InstanceIdentifier",),
    "RADIOTHERAPY": ("UserContentLabel", "UserContentLongLabel"),
}
"""Keys of type 1C, which stand in a record where the instance has them (PS3.3 F.5)."""

# Storage SOP Classes by the end of their UID, the longest that fits counts; all others are images
_TYPES = {
    "11": "PRESENTATION",
    "9": "WAVEFORM",
    "88": "SR DOCUMENT",
    "88.59": "KEY OBJECT DOC",
    "4.2": "SPECTROSCOPY",
    "66": "RAW DATA",
    "66.1": "REGISTRATION",
    "66.2": "FIDUCIAL",
    "66.3": "REGISTRATION",
    "66.4": "IMAGE",
    "66.5": "SURFACE",
    "66.6": "TRACT",
    "66.7": "IMAGE",
    "66.8": "IMAGE",
    "67": "VALUE MAP",
    "68.1": "SURFACE SCAN",
    "68.2": "SURFACE SCAN",
    "77.1.5.3": "STEREOMETRIC",
    "78": "MEASUREMENT",
    "78.6": "SR DOCUMENT",
    "79": "SR DOCUMENT",
    "80": "MEASUREMENT",
    "90": "ASSESSMENT",
    "91": "ANNOTATION",
    "104": "ENCAP DOC",
    "131": "PRESENTATION",
    "481.1": "IMAGE",
    "481.2": "RT DOSE",
    "481.3": "RT STRUCTURE SET",
    "481.4": "RT TREAT RECORD",
    "481.5": "RT PLAN",
    "481.6": "RT TREAT RECORD",
    "481.7": "RT TREAT RECORD",
    "481.8": "RT PLAN",
    "481.9": "RT TREAT RECORD",
    "481": "RADIOTHERAPY",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One file of the file-set: its File ID, what is in it, and the keys `keys_of` kept of it."""

    file_id: tuple[str, ...]
    sop_class: str
    sop_instance: str
    transfer_syntax: str
    keys: Elements


@dataclass(slots=True)
class _Record:
    kind: str
    keys: Elements
    listed: Listed | None = None
    below: list[_Record] = field(default_factory=list)
    at: int = 0
    item: bytearray = field(default_factory=bytearray)


_WANTED = frozenset(
    tag_of(keyword) or "" for keys in (*_KEYS.values(), *_CONDITIONAL.values()) for keyword in keys
)


def keys_of(members: Elements) -> Elements:
    """Keep of an instance's DICOM JSON what a directory may need."""
    found = {tag: members[tag] for tag in members if tag in _WANTED}
    for tag, items in (
        (_CONTENTS, [one for one in _items(members, _CONTENTS) if _is_modifier(one)]),
        (_BLENDING, [_blended(one) for one in _items(members, _BLENDING)]),
    ):
        found.pop(tag, None)
        if items:
            found[tag] = {"vr": "SQ", "Value": items}
    verified = [_first(one, _VERIFIED) for one in _items(members, _OBSERVERS)]
    if told := [moment for moment in verified if moment and isinstance(moment, str)]:
        found[_VERIFIED] = {"vr": "DT", "Value": [max(told)]}  # the latest (PS3.3 F.5.25)
    return found


def _blended(item: Elements) -> Elements:
    """Say of what is blended only which images it is, not how they look (PS3.3 F.5.23)."""
    return {tag: item[tag] for tag in _OF_BLENDING if tag in item}


def _items(members: Elements, tag: str) -> list[Elements]:
    found = members.get(tag, {}).get("Value") or ()
    return [item for item in found if isinstance(item, Mapping)]  # senders write any VR


def _is_modifier(content: Elements) -> bool:
    """Whether a content item modifies the document's title: only those are keys (PS3.3 F.5.25)."""
    return bool(_first(content, _RELATION) == "HAS CONCEPT MOD")


def record_type(sop_class: str) -> str:
    """Tell the type of the directory record of an instance (PS3.3 Table F.4-1)."""
    if sop_class.startswith("1.2.840.10008.5.1.4.34."):
        return "PLAN"
    steps = sop_class.removeprefix(_STORAGE).split(".")
    for length in range(len(steps), 0, -1):
        if found := _TYPES.get(".".join(steps[:length])):
            return found
    return "IMAGE"


def dicomdir(files: Sequence[Listed]) -> bytes:
    """Write the DICOMDIR of these files, always the same for the same files."""
    digest = hashlib.sha256("\n".join(listed.sop_instance for listed in files).encode())
    group2 = group2_for(
        sop_class=_MEDIA_DIRECTORY,
        sop_instance=f"2.25.{int.from_bytes(digest.digest()[:16], 'big')}",
        transfer_syntax=EXPLICIT_LITTLE,
    )
    head = file_head(group2=group2, preamble=b"")
    top = _tree(files)
    records = list(_in_order(top))
    start = len(head) + len(_opening(0, 0, 0))
    at = start
    for record in records:
        record.item = bytearray(_item(record))
        record.at, at = at, at + len(record.item)
    _link(top)
    first, last = (top[0].at, top[-1].at) if top else (0, 0)
    return b"".join((head, _opening(first, last, at - start), *(r.item for r in records)))


def _tree(files: Iterable[Listed]) -> list[_Record]:
    top: list[_Record] = []
    known: dict[tuple[Any, ...], _Record] = {}
    for listed in files:
        found, path = top, ()
        for kind, name in (("PATIENT", "00100020"), ("STUDY", "0020000D"), ("SERIES", "0020000E")):
            told = _first(listed.keys, name)
            if kind == "PATIENT" and not told:  # without a number the name tells them apart
                told = _first(listed.keys, "00100010")
            path = (*path, str(told))  # type: ignore[assignment]  # grows
            record = known.get(path)
            if record is None:
                record = known[path] = _Record(kind, listed.keys)
                found.append(record)
            found = record.below
        found.append(_Record(record_type(listed.sop_class), listed.keys, listed))
    return top


def _first(keys: Elements, tag: str) -> Any:  # any value of DICOM JSON
    return (keys.get(tag, {}).get("Value") or [""])[0]


def _in_order(records: Iterable[_Record]) -> Iterable[_Record]:
    for record in records:
        yield record
        yield from _in_order(record.below)


def _link(records: Sequence[_Record]) -> None:
    """Write into each record where the next one and the first one below stand."""
    for number, record in enumerate(records):
        following = records[number + 1].at if number + 1 < len(records) else 0
        struct.pack_into("<I", record.item, _NEXT_AT, following)
        struct.pack_into("<I", record.item, _LOWER_AT, record.below[0].at if record.below else 0)
        _link(record.below)


def _item(record: _Record) -> bytes:
    elements: dict[str, Any] = {
        "00041400": {"vr": "UL", "Value": [0]},
        "00041410": {"vr": "US", "Value": [_IN_USE]},
        "00041420": {"vr": "UL", "Value": [0]},
        "00041430": {"vr": "CS", "Value": [record.kind]},
    }
    if (listed := record.listed) is not None:
        elements["00041500"] = {"vr": "CS", "Value": list(listed.file_id)}
        elements["00041510"] = {"vr": "UI", "Value": [listed.sop_class]}
        elements["00041511"] = {"vr": "UI", "Value": [listed.sop_instance]}
        elements["00041512"] = {"vr": "UI", "Value": [listed.transfer_syntax]}
    for keyword in _KEYS[record.kind]:
        tag = tag_of(keyword) or ""
        elements[tag] = _usable(record.keys.get(tag), tag)
    for keyword in _CONDITIONAL.get(record.kind, ()):
        tag = tag_of(keyword) or ""
        if "Value" in (element := _usable(record.keys.get(tag), tag)):
            elements[tag] = element
    body = encode_dataset(elements, explicit=True, charset=UTF8)
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(body)) + body


def _usable(element: Any, tag: str) -> Any:  # a JSON element, or None
    """Take a value that can stand in a directory; empty where it is missing, large or elsewhere."""
    written = repr(element)  # of a sequence the items, too
    is_usable = isinstance(element, dict) and "'BulkDataURI'" not in written
    return element if is_usable and len(written) <= _LONGEST_KEY else {"vr": vr_of(tag) or "UN"}


def _opening(first: int, last: int, size: int) -> bytes:
    """Write what stands before the records (PS3.3 F.3.2.2)."""
    elements: dict[str, Any] = {
        "00041130": {"vr": "CS"},
        "00041200": {"vr": "UL", "Value": [first]},
        "00041202": {"vr": "UL", "Value": [last]},
        "00041212": {"vr": "US", "Value": [0]},
    }
    sequence = struct.pack("<HH2sHI", 0x0004, 0x1220, b"SQ", 0, size)
    return encode_dataset(elements, explicit=True) + sequence
