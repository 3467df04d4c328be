"""Which attributes are indexed at which level, and which keys a search must and may take.

Tags are 8 upper-case hexadecimal digits, as in the DICOM JSON Model. The tables follow PS3.4 C.6.1
and C.6.2, PS3.18 Tables 10.6.1-5 and 10.6.3-3 to -5. What a search room does with a key is its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from vna.dicom import dictionary
from vna.dicom.refs import Level

CHARACTER_SET = "00080005"


def _table(*tags: str) -> Mapping[str, tuple[str, str]]:
    return MappingProxyType(
        {tag: (dictionary.keyword_of(int(tag, 16)), dictionary.vr_of(int(tag, 16))) for tag in tags}
    )


INDEXED: Mapping[Level, Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        Level.PATIENT: _table(
            "00100010", "00100020", "00100021", "00101002", "00100030", "00100040"
        ),
        Level.STUDY: _table(
            *("0020000D", "00080020", "00080030", "00080050", "00080051", "00200010", "00081030"),
            *("00080090", "00080201", "00081032", "00081060"),
        ),
        Level.SERIES: _table(
            *("0020000E", "00080060", "00200011", "0008103E", "00180015", "00200060", "00400244"),
            *("00400245", "00400275", "00080080", "00081010", "00080070", "00081090"),
        ),
        Level.IMAGE: _table(
            *("00080018", "00080016", "00200013", "00280008", "00280010", "00280011", "00280100"),
            *("00280004", "00080023", "00080033", "0040A043", "0040A491", "0040A493", "00080005"),
        ),
    }
)
"""What the scanner hands to the index: {tag: (keyword, VR)} by the level it describes."""

ALL_INDEXED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {tag: names for level in INDEXED.values() for tag, names in level.items()}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys of one level: `unique` and `required` ones, those QIDO-RS always answers, the rest.

    Attribute paths inside a sequence are written as tuples of tags.
    """

    unique: str
    required: tuple[str, ...]
    web_required: tuple[tuple[str, ...], ...]
    web_answered: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def all(self) -> frozenset[str]:
        """Every top-level attribute that is a key of this level in one of the two services."""
        web = {path[0] for path in self.web_required} | set(self.web_answered)
        return frozenset({self.unique, *self.required, *self.optional} | web)


def _paths(*tags: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(tag.split(".")) for tag in tags)


PATIENT_KEYS = Keys(
    unique="00100020",
    required=("00100010",),
    web_required=(),
    web_answered=(),
    optional=(
        *("00100021", "00101002", "00100030", "00100032", "00100040", "00101001", "00102160"),
        *("00104000", "00201200", "00201202", "00201204"),
    ),
)

STUDY_KEYS = Keys(
    unique="0020000D",
    # PatientName and PatientID are required in the Study Root; in the Patient Root they belong to
    # the level above (PS3.4 Tables C.6-2 and C.6-5), where PATIENT_KEYS holds them
    required=("00080020", "00080030", "00080050", "00200010", "00100010", "00100020"),
    web_required=_paths(
        *("00080020", "00080030", "00080050", "00080061", "00080090", "00100010", "00100020"),
        *("0020000D", "00200010"),
    ),
    web_answered=(
        *("00080020", "00080030", "00080050", "00080056", "00080061", "00080090", "00080201"),
        *("00081190", "00100010", "00100020", "00100030", "00100040", "0020000D", "00200010"),
        *("00201206", "00201208"),
    ),
    optional=(
        *("00080061", "00080062", "00080063", "00080090", "00081030", "00081032", "00081060"),
        *("00080051", "00080201", "00081080", "00081110", "00101010", "00101020", "00101030"),
        *("00102180", "001021B0", "00201070", "00201206", "00201208"),
        *("00100021", "00101002", "00100030", "00100032", "00100040", "00101001", "00102160"),
        *("00104000", "00201200", "00201202", "00201204"),
    ),
)

SERIES_KEYS = Keys(
    unique="0020000E",
    required=("00080060", "00200011"),
    web_required=_paths(
        *("00080060", "0020000E", "00200011", "00400244", "00400245"),
        *("00400275.00400009", "00400275.00401001"),
    ),
    web_answered=(
        *("00080060", "00080201", "0008103E", "00081190", "0020000E", "00200011", "00201209"),
        *("00400244", "00400245", "00400275"),
    ),
    optional=(
        *("0008103E", "00180015", "00200060", "00400244", "00400245", "00400275", "00080080"),
        *("00081010", "00080070", "00081090", "00201209"),
    ),
)

INSTANCE_KEYS = Keys(
    unique="00080018",
    required=("00200013",),
    web_required=_paths("00080016", "00080018", "00200013"),
    web_answered=(
        *("00080016", "00080018", "00080056", "00080201", "00081190", "00083002", "00200013"),
        *("00280008", "00280010", "00280011", "00280100"),
    ),
    optional=(
        *("00080016", "00083002", "00080023", "00080033", "00280004", "00280008", "00280010"),
        *("00280011", "00280100", "0040A043", "0040A491", "0040A493"),
    ),
)

KEYS: Mapping[Level, Keys] = MappingProxyType(
    {
        Level.PATIENT: PATIENT_KEYS,
        Level.STUDY: STUDY_KEYS,
        Level.SERIES: SERIES_KEYS,
        Level.IMAGE: INSTANCE_KEYS,
    }
)


@lru_cache(8192)
def vr_of(tag: str) -> str | None:
    """Name the VR of a standard attribute, the first where it depends; None if unknown."""
    try:
        return dictionary.vr_of(int(tag, 16))[:2]
    except (
        KeyError,
        ValueError,
    ):  # ValueError: the name of a private attribute (vna.dicom.privates)
        return None


@lru_cache(8192)
def keyword_of(tag: str) -> str | None:
    """Name the keyword of a standard attribute, or None."""
    try:
        return None if ":" in tag else dictionary.keyword_of(int(tag, 16)) or None
    except KeyError:
        return None


@lru_cache(8192)
def tag_of(keyword: str) -> str | None:
    """Name the tag of an attribute given by keyword, or None."""
    tag = dictionary.tag_of(keyword)
    return None if tag is None else f"{tag:08X}"


def shown_tag(tag: str) -> str:
    """Write a tag as the standard does: `(0010,0020)` (PS3.5 7.1.1)."""
    return f"({tag[:4]},{tag[4:]})"
