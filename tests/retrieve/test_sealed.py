"""ZIP files sealed by a passphrase: what another program opens, and every range of them."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.retrieve.test_package import Walked, octets
from vna.crypto.keyring import Keyring, RootKey
from vna.crypto.sealed_zip import FileSeal, PackageSeal, code_of
from vna.retrieve.package import Entry, checksums, package
from vna.retrieve.payload import Buffer, Stretch, ready
from vna.retrieve.sealed import Seals, codes, sealed_package

WHEN = dt.datetime(2024, 2, 29, 13, 37, 58, tzinfo=dt.UTC)
SEAL = PackageSeal(bytes(32), "holder", bytes(16))
SEVEN = shutil.which("7zz") or shutil.which("7z") or "7zz"

SALT = bytes(range(16))


def entries(contents: list[bytes]) -> list[Entry]:
    return [
        Entry(name=f"DICOM/F{n}", content=ready(data), changed_at=WHEN, key=b"%d" % n + data)
        for n, data in enumerate(contents)
    ]


def seven(*said: str | Path) -> subprocess.CompletedProcess[str]:
    """Run 7-Zip."""
    return subprocess.run(
        [SEVEN, *map(str, said)], capture_output=True, text=True, timeout=60, check=False
    )


def zeros(size: int) -> Stretch:
    def walk(start: int, end: int) -> Iterator[Buffer]:
        block = bytes(1 << 20)
        for at in range(start, end, len(block)):
            yield block[: min(len(block), end - at)]

    return Stretch(size, walk)


def test_7_zip_opens_it_with_the_passphrase_and_with_no_other(tmp_path: Path) -> None:
    # the counter's third octet changes past 1 MiB, and a file may be empty
    contents = [b"", b"x", os.urandom(15), os.urandom(16), os.urandom(17), os.urandom(1_200_003)]
    whole = sealed_package(entries(contents), SEAL, codes())
    file = tmp_path / "sealed.zip"
    file.write_bytes(octets(whole))
    assert file.stat().st_size == whole.length

    given = seven("x", f"-p{SEAL.passphrase}", f"-o{tmp_path / 'out'}", file)
    assert given.returncode == 0, given.stdout + given.stderr
    assert [(tmp_path / f"out/DICOM/F{n}").read_bytes() for n in range(6)] == contents

    for wrong in ("wrong", SEAL.passphrase.upper(), SEAL.passphrase.replace("-", "")):
        refused = seven("t", f"-p{wrong}", file)
        assert refused.returncode == 2
        assert "Wrong password" in refused.stderr + refused.stdout


def test_7_zip_finds_each_octet_that_was_changed(tmp_path: Path) -> None:
    whole = octets(sealed_package(entries([bytes(100)]), SEAL, codes()))
    start = whole.index(b"DICOM/F0") + len(b"DICOM/F0") + 11
    for at in (start + 18, start + 60, start + 18 + 100 + 9):  # first, middle, code
        changed = bytearray(whole)
        changed[at] ^= 1
        file = tmp_path / "changed.zip"
        file.write_bytes(changed)
        assert seven("t", f"-p{SEAL.passphrase}", file).returncode == 2


def test_what_7_zip_seals_is_what_we_make_of_its_salt(tmp_path: Path) -> None:
    data = os.urandom(100_000)
    (tmp_path / "data").write_bytes(data)
    file = tmp_path / "theirs.zip"
    made = seven("a", "-tzip", "-mem=AES256", "-mx=0", "-pcorrect horse", file, tmp_path / "data")
    assert made.returncode == 0, made.stdout + made.stderr
    with zipfile.ZipFile(file) as found:
        one = found.infolist()[0]
    raw = file.read_bytes()
    at = one.header_offset
    at += 30 + int.from_bytes(raw[at + 26 : at + 28], "little")
    at += int.from_bytes(raw[one.header_offset + 28 : one.header_offset + 30], "little")
    theirs = raw[at : at + one.compress_size]
    keys = FileSeal("correct horse", theirs[:16])
    sealed = keys.sealed(data, 0)
    coder = keys.coder()
    coder.update(sealed)
    assert theirs == keys.head + sealed + code_of(coder)


def test_nothing_of_contents_nor_of_when_they_came_is_in_clear() -> None:
    said = b"DOE^JANE" * 20
    whole = octets(sealed_package(entries([said, said]), SEAL, codes()))
    assert b"DOE" not in whole
    # the same contents twice have nothing in common, not even the checksum an open file shows
    plain = octets(package(entries([said]), checksums()))
    assert plain[14:18] not in whole
    first, second = (whole.index(b"DICOM/F%d" % n) + 19 for n in range(2))
    assert whole[first : first + 190] != whole[second : second + 190]
    assert plain[10:14] not in whole  # the time


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4), st.integers(0), st.integers(0))
@settings(max_examples=60, deadline=None)
def test_every_range_is_that_part_of_the_whole(contents: list[bytes], a: int, b: int) -> None:
    data = octets(sealed_package(entries(contents), SEAL, codes()))
    start, end = sorted((a % (len(data) + 1), b % (len(data) + 1)))
    assert octets(sealed_package(entries(contents), SEAL, codes()), start, end) == data[start:end]


@given(st.binary(min_size=1, max_size=400), st.integers(0, 399), st.integers(0, 1 << 40))
@settings(max_examples=60, deadline=None)
def test_what_is_sealed_in_parts_is_what_is_sealed_whole(data: bytes, cut: int, at: int) -> None:
    keys = FileSeal("passphrase", SALT)
    cut = min(cut, len(data))
    parts = keys.sealed(data[:cut], at) + keys.sealed(data[cut:], at + cut)
    assert parts == keys.sealed(data, at)
    assert keys.sealed(parts, at) == data


def test_a_large_file_is_walked_and_its_head_says_zip64() -> None:
    content = zeros((4 << 30) - 20)  # fits in 32 bits until it is sealed
    entry = Entry(name="LARGE", content=content, changed_at=WHEN, key=b"large")
    small = Entry(name="SMALL", content=ready(b"small"), changed_at=WHEN, key=b"small")
    whole = sealed_package([entry, small], SEAL, codes())
    head = octets(whole, 0, 200)
    assert max(len(piece) for piece in whole.walk(0, 3 << 20)) <= 1 << 20
    middle = (1 << 32) - 100
    assert octets(whole, middle, middle + 40) == octets(whole, middle - 5, middle + 40)[5:]
    with zipfile.ZipFile(Walked(whole)) as found:
        first, second = found.infolist()
        assert (first.file_size, first.compress_size) == ((4 << 30) - 20, (4 << 30) + 8)
        assert second.header_offset > 4 << 30
    assert b"LARGE" in head


def test_a_code_that_is_known_needs_no_second_reading() -> None:
    walked: list[tuple[int, int]] = []
    data = os.urandom(500)

    def walk(start: int, end: int) -> Iterator[Buffer]:
        walked.append((start, end))
        yield data[start:end]

    entry = Entry(name="F", content=Stretch(500, walk), changed_at=WHEN, key=b"f")
    known = codes()
    whole = octets(sealed_package([entry], SEAL, known))
    walked.clear()
    again = sealed_package([entry], SEAL, known)
    at = whole.index(b"F") + 1 + 11 + 18
    assert octets(again, at + 490) == whole[at + 490 :]
    assert walked == [(490, 500)]


def test_another_object_in_the_same_place_is_sealed_by_keys_of_its_own() -> None:
    """Two of one length under the same key stream would tell how they differ (SP 800-38A)."""
    contents = b"DOE^JANE" * 8, b"ROE^RITA" * 8
    streams = []
    for number, said in enumerate(contents):
        entry = Entry(name="F", content=ready(said), changed_at=WHEN, key=b"%d" % number)
        whole = octets(sealed_package([entry], SEAL, codes()))
        at = whole.index(b"F") + 1 + 11 + 18
        streams.append(bytes(a ^ b for a, b in zip(whole[at:], said, strict=False)))
    assert streams[0] != streams[1]


def test_a_package_that_was_begun_is_found_after_the_archive_key_is_rotated() -> None:
    keyring = Keyring(RootKey.parse("A" * 43 + "=", "file"), bytes(16))
    keyring.add(keyring.new_archive_key(key_id=bytes(16), created_us=1))
    seals = Seals(keyring)
    begun, label = seals.begin("holder")
    keyring.add(keyring.new_archive_key(key_id=bytes([1] * 16), created_us=2))
    assert seals.begun("holder", label).passphrase == begun.passphrase


def test_each_package_and_each_holder_has_a_passphrase_of_its_own() -> None:
    key = os.urandom(32)
    one, other = PackageSeal.fresh(key, "holder"), PackageSeal.fresh(key, "holder")
    found = {
        seal.passphrase
        for seal in (
            one,
            other,
            PackageSeal(key, "other", one.number),
            PackageSeal(bytes(32), "holder", one.number),
        )
    }
    assert len(found) == 4
    assert PackageSeal(key, "holder", one.number).passphrase == one.passphrase
    assert all(len(one) == 23 and one == one.lower() for one in found)
    assert one.salt(b"a") != one.salt(b"b") != other.salt(b"b")
    assert one.passphrase not in one.name


@pytest.mark.parametrize("at", [0, 16 * 65_535, 16 * 65_536, 16 * (1 << 24)])
def test_the_counter_is_little_endian_and_begins_with_one(at: int) -> None:
    keys = FileSeal("passphrase", SALT)
    number = at // 16 + 1
    made = keys.sealed(bytes(16), at)
    assert made == keys._cipher.update(number.to_bytes(16, "little"))
