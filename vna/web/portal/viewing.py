"""What the light viewer shows of a study: its series, and what stands at each place of one.

A place is one frame of an image, or a document or video as a whole. The page gets one series as a
list short enough to be sent at once; frames come from `rendered` resources as they are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vna.access.principal import Principal
from vna.dicom.refs import UID, InstanceRef, Level, SeriesRef
from vna.engines import Engines
from vna.errors import NotFound
from vna.pixels.elements import items
from vna.pixels.shape import PIXEL_MEASURES, shape_of
from vna.query.keys import from_parameters
from vna.retrieve.kinds import Kind, kind_of
from vna.retrieve.legend import frame_ms
from vna.retrieve.render import Found
from vna.texts import marked
from vna.web.portal.attributes import Reading
from vna.web.portal.modalities import NO_PICTURES, called

MOST_SERIES = 500

_FRAME_VOI = "00289132"  # Frame VOI LUT Sequence

_STUDY = ("StudyDescription", "NumberOfStudyRelatedInstances", "PatientSex")
_SERIES = ("BodyPartExamined", "SeriesDescription", "NumberOfSeriesRelatedInstances")
_KINDS = {
    Kind.IMAGE: "image",
    Kind.VIDEO: "video",
    Kind.REPORT: "report",
    Kind.PDF: "pdf",
    Kind.CDA: "cda",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series as the strip of the viewer and the lists of pages show it."""

    uid: str
    number: str
    modality: str
    description: str
    instances: int

    @property
    def has_picture(self) -> bool:
        """Whether there can be a thumbnail."""
        return self.modality not in NO_PICTURES

    @property
    def title(self) -> str:
        """Say in a few words what it is."""
        return self.description or called(self.modality) or marked("Series")


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One study as the viewer shows it."""

    uid: str
    name: str
    patient_id: str
    birth_date: str
    date: str
    description: str
    modalities: tuple[str, ...]
    instances: int
    series: tuple[Series, ...]

    @property
    def title(self) -> str:
        """Say in a few words what was examined."""
        named = ", ".join(dict.fromkeys(filter(None, map(called, self.modalities))))
        return self.description or named or marked("Images")

    @property
    def unlisted(self) -> int:
        """Count its objects in series that are more than pages list."""
        return unlisted(self.instances, self.series, MOST_SERIES)

    def one(self, uid: str) -> Series:
        """Return a series of it: the one named, or the first with pictures. Raises `NotFound`."""
        if uid:
            found = next((one for one in self.series if one.uid == uid), None)
        else:
            found = next((one for one in self.series if one.has_picture), None)
            found = found or next(iter(self.series), None)
        if found is None:
            raise NotFound("There is no such series.")
        return found


@dataclass(frozen=True, slots=True)
class Item:
    """One instance of a series: what kind of thing, and how many frames."""

    uid: str
    kind: str
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reel:
    """One series in the order it is looked at, and how its pictures begin to look.

    `window` is the center and width the first image asks for, where it says so; `rows` and
    `columns` are those of the first image, of square pixels.
    """

    items: tuple[Item, ...]
    is_grey: bool = False
    window: tuple[float, float] | None = None
    rows: int = 0
    columns: int = 0
    frame_ms: float = 100.0

    @property
    def places(self) -> int:
        """Count its places."""
        return sum(item.frames for item in self.items)

    def at(self, place: int) -> tuple[Item, int]:
        """Return the item at a place from 1 on, and which frame of it. Raises `NotFound`."""
        left = place
        for item in self.items:
            if left <= item.frames:
                return item, left
            left -= item.frames
        raise NotFound("There is no such image in this series.")

    def told(self) -> dict[str, Any]:
        """Write it for the page's script: what all UIDs begin with stands once."""
        common = _common([item.uid for item in self.items])
        return {
            "common": common,
            "items": [
                [item.uid[len(common) :], item.frames]
                if item.kind == "image"
                else [item.uid[len(common) :], item.frames, item.kind]
                for item in self.items
            ],
            "grey": self.is_grey,
            "window": self.window,
            "rows": self.rows,
            "columns": self.columns,
            "frame_ms": round(self.frame_ms, 2),
        }


class _Counted(Protocol):
    @property
    def instances(self) -> int: ...


def unlisted(instances: int, series: Sequence[_Counted], most: int) -> int:
    """Count the objects of a study in no series of a list that was cut."""
    listed = sum(one.instances for one in series)
    return max(0, instances - listed) if len(series) >= most else 0


def study(engines: Engines, who: Principal, uid: UID) -> Study:
    """Read what the viewer shows of a study. Raises `NotFound`."""
    asked = [("StudyInstanceUID", uid), *(("includefield", name) for name in _STUDY)]
    query = from_parameters(Level.STUDY, asked, most=1).query
    found = next(engines.query.find(who, query).rows, None)
    if found is None:
        raise NotFound
    read = Reading(found.attributes)
    return Study(
        uid=uid,
        name=read.text("00100010"),
        patient_id=read.text("00100020"),
        birth_date=read.date("00100030"),
        date=read.date("00080020"),
        description=read.text("00081030"),
        modalities=tuple(found.attributes.get("00080061", {}).get("Value") or ()),
        instances=read.number("00201208"),
        series=_series(engines, who, uid),
    )


def reel(engines: Engines, who: Principal, ref: SeriesRef) -> Reel:
    """Read one series as it is looked at, as far as it may be seen. Raises `NotFound`."""
    return reel_of(engines.render.visible(who, ref), lambda one: _members(engines, who, one))


def reel_of(found: Found, members_of: Callable[[InstanceRef], Mapping[str, Any]]) -> Reel:
    """Put instances together as they are looked at; of the first image its attributes are asked."""
    items = tuple(
        Item(
            uid=one.ref.instance,
            kind=_KINDS.get(kind := kind_of(one), "other"),
            frames=max(1, one.frame_count or 1) if kind is Kind.IMAGE else 1,
        )
        for one in found
    )
    first = next((one.ref for one in found if kind_of(one) is Kind.IMAGE), None)
    if first is None:
        return Reel(items=items)
    members = members_of(first)
    rows, columns = _size(members)
    return Reel(
        items=items,
        is_grey=Reading(members).text("00280004").startswith("MONOCHROME"),
        window=_window(members),
        rows=rows,
        columns=columns,
        frame_ms=frame_ms(members),
    )


def _series(engines: Engines, who: Principal, study: UID) -> tuple[Series, ...]:
    asked = [("includefield", name) for name in _SERIES]
    query = from_parameters(Level.SERIES, asked, most=MOST_SERIES, study=study).query
    return tuple(
        Series(
            uid=read.text("0020000E"),
            number=read.text("00200011"),
            modality=read.text("00080060"),
            description=read.text("0008103E") or read.text("00180015").capitalize(),
            instances=read.number("00201209"),
        )
        for read in (Reading(answer.attributes) for answer in engines.query.find(who, query).rows)
    )


def _members(engines: Engines, who: Principal, ref: InstanceRef) -> dict[str, Any]:
    return next(engines.retrieve.metadata(who, ref)).members()


def _window(members: Mapping[str, Any]) -> tuple[float, float] | None:
    """Find the first window of an image, its own or that of all its frames (PS3.3 C.11.2)."""
    for holder in (members, *_of_frames(members, _FRAME_VOI)):
        try:
            center, width = (float(holder[tag]["Value"][0]) for tag in ("00281050", "00281051"))
        except (KeyError, IndexError, TypeError, ValueError):
            continue
        if width >= 1:
            return center, width
    return None


def _size(members: Mapping[str, Any]) -> tuple[int, int]:
    """Give rows and columns as many as there are of them when each pixel is a square one."""
    read = Reading(members)
    measured = next(iter(_of_frames(members, PIXEL_MEASURES)), {})
    shape = shape_of({**members, **measured})
    rows, columns = read.number("00280010"), read.number("00280011")
    return round(rows * shape.down), round(columns * shape.across)


def _of_frames(members: Mapping[str, Any], group: str) -> list[Mapping[str, Any]]:
    """List the items of a functional group: of all frames, else of the first (PS3.3 C.7.6.16)."""
    found: list[Mapping[str, Any]] = []
    for tag in ("52009229", "52009230"):
        for one in items(members, tag)[:1]:
            found += items(one, group)
    return found


def _common(uids: list[str]) -> str:
    """Find what all UIDs begin with."""
    if not uids:
        return ""
    low, high = min(uids), max(uids)
    for at, (one, other) in enumerate(zip(low, high, strict=False)):
        if one != other:
            return low[:at]
    return low
