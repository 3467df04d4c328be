"""What kind of thing an instance is to someone who wants to look at it (PS3.18 8.7.2, 8.7.4)."""

from __future__ import annotations

import enum

from vna.dicom.uids import is_report, syntax
from vna.index.locate import Located
from vna.pixels.registry import decodable
from vna.pixels.rendering import MEDIA

_ROOT = "1.2.840.10008.5.1.4.1.1."
GREY_STATE, COLOUR_STATE = _ROOT + "11.1", _ROOT + "11.2"
_PDF, _CDA = _ROOT + "104.1", _ROOT + "104.2"


class Kind(enum.Enum):
    """What can be shown of an instance."""

    IMAGE = enum.auto()
    VIDEO = enum.auto()
    REPORT = enum.auto()
    PDF = enum.auto()
    CDA = enum.auto()
    STATE = enum.auto()
    NONE = enum.auto()

    @property
    def is_as_stored(self) -> bool:
        """Whether what is shown are bytes of the instance."""
        return self in (Kind.VIDEO, Kind.PDF, Kind.CDA)


def kind_of(located: Located) -> Kind:
    """Tell what an instance is, by its SOP Class, its pixels and their Transfer Syntax."""
    if located.pixel is not None:
        if syntax(located.transfer_syntax).is_video:
            return Kind.VIDEO
        return Kind.IMAGE if decodable(located.transfer_syntax) else Kind.NONE
    if is_report(located.sop_class):
        return Kind.REPORT
    by_class = {_PDF: Kind.PDF, _CDA: Kind.CDA, GREY_STATE: Kind.STATE, COLOUR_STATE: Kind.STATE}
    return by_class.get(located.sop_class, Kind.NONE)


def offers(located: Located) -> tuple[str, ...]:
    """List the media types an instance can be rendered to, the default first (Table 8.7.4-1)."""
    kind = kind_of(located)
    if kind is Kind.VIDEO:
        return (syntax(located.transfer_syntax).frame_type,)
    return {
        Kind.IMAGE: MEDIA,
        Kind.STATE: MEDIA,
        Kind.REPORT: ("text/html", "text/plain"),
        Kind.PDF: ("application/pdf",),
        Kind.CDA: ("text/xml",),
    }.get(kind, ())
