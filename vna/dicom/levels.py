"""Where the scanner is: one Level for each data set and sequence it is inside of."""

from __future__ import annotations

from vna.dicom.elements import Encoding
from vna.dicom.jsonmodel import Reading

ENDLESS = 1 << 62
"""The end of what has undefined length, with nothing of known length around it."""


class Level:
    """A data set (the whole, or an item) or a sequence that is being read.

    Sequences and data sets alternate. What an item inherits (character set, pixel representation)
    is copied down, so that nothing has to be looked up along the way.
    """

    __slots__ = (
        *("disordered", "encoding", "end", "is_sequence", "is_sized", "items", "last"),
        *("reading", "signed", "single_lut", "start", "tag", "unsure", "value_at"),
    )

    def __init__(
        self, *, encoding: Encoding, reading: Reading, end: int, start: int, signed: bool = False
    ) -> None:
        self.encoding = encoding
        self.reading = reading
        # absolute offset no element in here may pass: that behind the value, or, when the length is
        # undefined, the end of what is around it
        self.end = end
        self.is_sized = False  # the length was given
        self.start = start  # number of the first JSON piece
        self.signed = signed
        self.single_lut = False
        self.is_sequence = False
        self.disordered = False
        self.unsure = False  # the first element is to tell the encoding
        self.last = -1  # tag of the last element
        self.tag = 0  # of a sequence
        self.items = 0
        self.value_at = 0

    def sequence(self, tag: int, encoding: Encoding, value_at: int, end: int, start: int) -> Level:
        """Enter a sequence of this data set."""
        level = self._within(encoding, end, start)
        level.is_sequence, level.tag, level.value_at = True, tag, value_at
        return level

    def item(self, end: int, start: int) -> Level:
        """Enter the next item of this sequence."""
        self.items += 1
        level = self._within(self.encoding, end, start)
        level.unsure = self.unsure
        return level

    def _within(self, encoding: Encoding, end: int, start: int) -> Level:
        level = Level(
            encoding=encoding,
            reading=self.reading,
            end=min(end, self.end),
            start=start,
            signed=self.signed,
        )
        level.is_sized = end != ENDLESS
        return level


def path_of(levels: list[Level], tag: int) -> str:
    """Write the path of an attribute as it stands behind `bulkdata/`: tags and 1-based items."""
    steps = [f"{level.tag:08X}.{level.items}" for level in levels if level.is_sequence]
    return ".".join([*steps, f"{tag:08X}"])
