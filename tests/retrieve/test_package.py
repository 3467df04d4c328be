"""ZIP files that are walked, not held: what any reader reads, and every range of them."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from vna.retrieve.package import Entry, checksums, package
from vna.retrieve.payload import Stretch, joined, ready

WHEN = dt.datetime(2024, 2, 29, 13, 37, 58, tzinfo=dt.UTC)


def entries(contents: list[bytes]) -> list[Entry]:
    return [
        Entry(name=f"DICOM/F{n}", content=ready(data), changed_at=WHEN, key=b"%d" % n)
        for n, data in enumerate(contents)
    ]


def octets(whole: Stretch, start: int = 0, end: int | None = None) -> bytes:
    return b"".join(map(bytes, whole.walk(start, whole.length if end is None else end)))


@given(st.lists(st.binary(max_size=300), max_size=5))
@settings(max_examples=50, deadline=None)
def test_any_reader_finds_every_file(contents: list[bytes]) -> None:
    whole = package(entries(contents), checksums())
    data = octets(whole)
    assert len(data) == whole.length
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert [found.read(name) for name in found.namelist()] == contents
        assert all(entry.date_time == (2024, 2, 29, 13, 37, 58) for entry in found.infolist())


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4), st.integers(0), st.integers(0))
@settings(max_examples=100, deadline=None)
def test_every_range_is_that_part_of_the_whole(contents: list[bytes], a: int, b: int) -> None:
    data = octets(package(entries(contents), checksums()))
    start, end = sorted((a % (len(data) + 1), b % (len(data) + 1)))
    fresh = package(entries(contents), checksums())
    assert octets(fresh, start, end) == data[start:end]


@given(st.lists(st.binary(max_size=9), max_size=6), st.integers(0, 60), st.integers(0, 60))
def test_joined_stretches_are_walked_from_anywhere(parts: list[bytes], a: int, b: int) -> None:
    data = b"".join(parts)
    start, end = sorted((min(a, len(data)), min(b, len(data))))
    assert octets(joined(map(ready, parts)), start, end) == data[start:end]


def zeros(size: int) -> Stretch:
    def walk(start: int, end: int):  # type: ignore[no-untyped-def]  # an iterator of bytes
        block = bytes(1 << 20)
        for at in range(start, end, len(block)):
            yield block[: min(len(block), end - at)]

    return Stretch(size, walk)


class Walked(io.RawIOBase):
    """A file whose bytes are walked when they are read."""

    def __init__(self, whole: Stretch) -> None:
        self._whole = whole
        self._at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._whole.length)[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._whole.length if size < 0 else min(self._at + size, self._whole.length)
        data = octets(self._whole, self._at, end)
        self._at = end
        return data


def test_files_past_4_gib_and_what_lies_behind_them_are_zip64() -> None:
    large = Entry(name="LARGE", content=zeros(5 << 30), changed_at=WHEN, key=b"large")
    small = Entry(name="SMALL", content=ready(b"small"), changed_at=WHEN, key=b"small")
    known = checksums()
    known.put(b"large", 0x12345678)  # nobody has to read 5 GiB to look at their head
    whole = package([large, small], known)
    with zipfile.ZipFile(Walked(whole)) as found:
        first, second = found.infolist()
        assert (first.file_size, first.CRC) == (5 << 30, 0x12345678)
        assert found.read("SMALL") == b"small"
        assert second.header_offset > 5 << 30


def test_more_files_than_16_bits_count_are_zip64() -> None:
    content = ready(b"")
    files = [
        Entry(name=f"F{n:06}", content=content, changed_at=WHEN, key=b"same") for n in range(65_540)
    ]
    with zipfile.ZipFile(Walked(package(files, checksums()))) as found:
        assert len(found.namelist()) == 65_540


def test_a_large_file_is_never_held_and_its_checksum_is_right() -> None:
    size = (9 << 20) + 5
    whole = package([Entry(name="F", content=zeros(size), changed_at=WHEN, key=b"f")], checksums())
    assert max(len(piece) for piece in whole.walk(0, whole.length)) <= 1 << 20
    with zipfile.ZipFile(Walked(whole)) as found:
        checksum = found.infolist()[0].CRC
        assert checksum == zlib.crc32(bytes(size))
        assert found.testzip() is None
