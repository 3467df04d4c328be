"""ZIP and ISO: everything sound is read, whatever else is in them, and no more than is there."""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.imports.conftest import disc, iso_of, zip_of
from vna.blobs.spool import Spool
from vna.errors import InvalidRequest, TooLarge
from vna.imports import iso, members
from vna.imports.held import MOST_AT_ONCE, HeldFile
from vna.imports.members import of_zip


class Held(io.BytesIO):
    """A container in memory."""

    @property
    def size(self) -> int:
        return len(self.getbuffer())

    def read_at(self, offset: int, size: int) -> bytes:
        return bytes(self.getbuffer()[offset : offset + size])


def read_iso(image: bytes) -> dict[str, bytes]:
    held = Held(image)
    return {
        entry.name: b"".join(held.read_at(*extent) for extent in entry.extents)
        for entry in iso.files(held.read_at)
    }


@pytest.mark.parametrize(("joliet", "udf"), [(False, False), (True, False), (True, True)])
def test_the_files_of_an_image_are_read_as_they_were_written(joliet: bool, udf: bool) -> None:
    files = {**disc(), "EMPTY": b"", "BIG": b"x" * 100_000}
    assert read_iso(iso_of(files, joliet=joliet, udf=udf)) == files


def test_a_file_in_several_extents_is_one_file() -> None:
    image = bytearray(iso_of({"ONE": b"a" * 2048, "TWO": b"b" * 100}, joliet=False))
    at = image.index(b"ONE.;1") - 33
    image[at + 25] |= 0x80  # more follows
    other = image.index(b"TWO.;1")
    image[other : other + 3] = b"ONE"
    assert read_iso(bytes(image)) == {"ONE": b"a" * 2048 + b"b" * 100}


def test_a_directory_that_holds_itself_is_read_once() -> None:
    image = bytearray(iso_of({"IMG/A": b"a"}, joliet=False))
    inner, outer = image.index(b"A.;1") - 33, image.index(b"\x03IMG") - 32
    image[inner + 2 : inner + 18] = image[outer + 2 : outer + 18]
    image[inner + 25] = 0x02
    assert read_iso(bytes(image)) == {}


@settings(max_examples=150)
@given(st.data())
def test_a_damaged_image_never_breaks_the_reader(data: st.DataObject) -> None:
    image = bytearray(iso_of(disc(), joliet=False))
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(16 * 2048, min(len(image), 30 * 2048) - 1))
        image[at] = data.draw(st.integers(0, 255))
    held = Held(bytes(image[: data.draw(st.integers(0, len(image)))]))
    with contextlib.suppress(InvalidRequest):
        for entry in iso.files(held.read_at):
            assert entry.size >= 0


def test_an_image_without_a_list_says_what_to_do() -> None:
    with pytest.raises(InvalidRequest, match="copy the files"):
        list(iso.files(Held(bytes(20 * 2048)).read_at))


def entries(data: bytes, ratio: int = 200) -> dict[str, bytes | str]:
    found: dict[str, bytes | str] = {}
    for member in of_zip(Held(data), ratio=ratio):  # type: ignore[arg-type]  # a file, too
        try:
            found[member.name] = member.problem or b"".join(member.pieces())
        except (TooLarge, zipfile.BadZipFile) as exc:
            found[member.name] = type(exc).__name__
    return found


def test_a_zip_of_more_entries_than_anything_sound_has_is_not_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(members, "_ENTRIES", 2)
    assert set(entries(zip_of({"a": b"1", "b": b"2"}))) == {"a", "b"}
    with pytest.raises(InvalidRequest, match="more than 2 entries"):
        entries(zip_of({"a": b"1", "b": b"2", "c": b"3"}))


def test_an_entry_that_inflates_beyond_reason_is_ended_and_the_next_is_read() -> None:
    packed = zip_of({"bomb": bytes(64 << 20), "sound": b"text"})
    assert entries(packed) == {"bomb": "TooLarge", "sound": b"text"}


def test_entries_that_lie_over_each_other_cannot_add_up() -> None:
    packed = bytearray(zip_of({f"{n}": bytes(200_000) for n in range(3)}))
    with zipfile.ZipFile(io.BytesIO(bytes(packed))) as archive:
        first = archive.infolist()[0].header_offset
    at = -1
    for _ in range(3):  # every entry of the list names the first one's bytes
        at = packed.index(b"PK\x01\x02", at + 1)
        packed[at + 42 : at + 46] = struct.pack("<I", first)
    assert list(entries(bytes(packed)).values()).count("BadZipFile") == 2


def test_an_encrypted_entry_says_so() -> None:
    packed = bytearray(zip_of({"secret": b"x" * 100}))
    at = packed.index(b"PK\x01\x02")
    packed[at + 8] |= 1
    assert "encrypted" in str(entries(bytes(packed))["secret"])


def test_an_entry_without_a_name_is_one_as_well() -> None:
    """What stands behind a zero in a name is none of it; here nothing is left."""
    packed = zip_of({"ab": b"text", "c": b"more"}).replace(b"ab", b"\0b")
    assert entries(packed) == {"": b"text", "c": b"more"}


def test_a_damaged_entry_costs_only_itself() -> None:
    packed = bytearray(zip_of({"a": b"a" * 500, "b": b"b" * 500}, method=zipfile.ZIP_STORED))
    packed[packed.index(b"a" * 500) + 100] ^= 1
    assert entries(bytes(packed)) == {"a": "BadZipFile", "b": b"b" * 500}


def test_what_is_no_zip_is_refused_in_words() -> None:
    with pytest.raises(InvalidRequest, match="ZIP cannot be read"):
        entries(b"PK\x03\x04" + bytes(1000))


def test_a_list_of_entries_beyond_the_limit_takes_no_memory(tmp_path: Path) -> None:
    length = MOST_AT_ONCE + 1
    spool = Spool(tmp_path)
    spool.append(bytes(length))
    spool.append(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, length, 0, 0))
    with pytest.raises(InvalidRequest, match="too long") as refused:
        list(of_zip(HeldFile(spool), ratio=200))
    spool.close()
    assert isinstance(refused.value.__cause__, TooLarge)
