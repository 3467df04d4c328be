"""vna/dicom/rewrite.py: other encodings to Explicit VR Little Endian, compared through pydicom."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from tests import factories
from vna.config import Limits
from vna.dicom.rewrite import REWRITTEN, to_explicit_little, to_implicit_little
from vna.dicom.scan import Scanner
from vna.dicom.uids import DEFLATED as DEFLATED_LITTLE
from vna.dicom.uids import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from vna.errors import MalformedInstance, TooLarge, UnsupportedMedia

SHARED = (
    Path(os.environ.get("SHARED_SAMPLES", Path(__file__).parents[3] / "shared")) / "data" / "dicom"
)
LIMITS = Limits()
BEYOND_PYDICOM = "BigEndian_undefined_length"  # it reads the implicit VR inside UN as explicit


def _samples() -> list[Path]:
    """List the files in one of the rewritten encodings, one a content."""
    paths = sorted((Path(pydicom.__file__).parent / "data" / "test_files").rglob("*.dcm"))
    paths += sorted(SHARED.rglob("*.dcm")) if SHARED.is_dir() else []
    found: dict[bytes, Path] = {}
    for path in paths:
        raw = path.read_bytes()
        if raw[128:132] == b"DICM" and _split(raw)[0] in REWRITTEN and _is_stored(*_split(raw)):
            found.setdefault(raw, path)
    return sorted(found.values(), key=lambda path: path.name)


def _is_stored(syntax: str, data: bytes) -> bool:
    """Whether the archive takes the data set: what it refuses is never rewritten."""
    try:
        scanned(data, syntax)
    except MalformedInstance:
        return False
    return True


def scanned(data: bytes, syntax: str) -> Any:
    """Give the whole DICOM JSON of a data set as the archive reads it."""
    pieces: list[bytes] = []
    scanner = Scanner(syntax, LIMITS, json=pieces.append)
    scanner.feed(data)
    scanner.finish()
    return orjson.loads(b"".join(pieces))


def _split(raw: bytes) -> tuple[str, bytes]:
    """Take Transfer Syntax and data set of a file apart by hand."""
    at, syntax = 132, ""
    while raw[at : at + 2] == b"\2\0":
        element = int.from_bytes(raw[at + 2 : at + 4], "little")
        if raw[at + 4 : at + 6] in (b"OB", b"UN", b"UT", b"OW"):
            size, head = int.from_bytes(raw[at + 8 : at + 12], "little"), 12
        else:
            size, head = int.from_bytes(raw[at + 6 : at + 8], "little"), 8
        if element == 0x10:
            syntax = raw[at + head : at + head + size].rstrip(b"\0 ").decode()
        at += head + size
    return syntax, raw[at:]


SAMPLES = _samples()


def rewrite(data: bytes, syntax: str, *, cut: int = 1 << 16, limits: Limits = LIMITS) -> bytes:
    chunks = (data[at : at + cut] for at in range(0, len(data), cut))
    return b"".join(to_explicit_little(chunks, syntax, limits))


def explicit(data: bytes) -> Dataset:
    return read_dataset(io.BytesIO(data), is_implicit_VR=False, is_little_endian=True)


@lru_cache(maxsize=4)
def _read(path: Path) -> tuple[str, bytes]:
    return _split(path.read_bytes())


def _content(ds: Dataset, bits: int = 16) -> dict[str, Any]:
    """Give the DICOM JSON of a data set, with words in little endian and group lengths left out."""
    content: dict[str, Any] = {}
    for element in ds:
        if element.tag.element == 0:
            continue
        tag, vr = f"{element.tag:08X}", element.VR
        if vr == "SQ":
            content[tag] = [_content(item, bits) for item in element.value]
            continue
        if vr in ("OW", "OB or OW") or (vr == "OB" and element.tag == 0x7FE00010):
            value = element.value or b""
            if ds.original_encoding[1] is False and vr == "OW":
                unit = bits // 8 if bits > 16 and element.tag == 0x7FE00010 else 2
                value = np.frombuffer(value, f"u{unit}").byteswap().tobytes()
            content[tag] = ("words", value)
            continue
        content[tag] = element.to_json_dict(None, 1 << 40)
    return content


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # one family of files has them
def test_a_real_file_means_the_same_afterwards(path: Path) -> None:
    if BEYOND_PYDICOM in path.name:
        assert explicit(rewrite(*_read(path)[::-1])).SourceImageSequence[0].keys()
        return
    before = pydicom.dcmread(path)
    after = explicit(rewrite(*_read(path)[::-1]))
    assert _content(after) == _content(before, before.get("BitsAllocated", 16))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_the_archive_reads_the_same_before_and_after(path: Path) -> None:
    syntax, data = _read(path)
    assert scanned(rewrite(data, syntax), EXPLICIT_LITTLE) == scanned(data, syntax)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_chunks_of_any_size_give_the_same_bytes(path: Path) -> None:
    syntax, data = _read(path)
    whole = rewrite(data, syntax, cut=len(data))
    for cut in (1, 7, 1000) if len(data) < 50_000 else (8191,):
        assert rewrite(data, syntax, cut=cut) == whole


def test_there_are_samples_of_every_encoding() -> None:
    assert {_read(path)[0] for path in SAMPLES} >= {IMPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE}


FIRST = (0x00080060, b"CT")  # a first element that says which way round the bytes are


def _implicit(*elements: tuple[int, bytes]) -> bytes:
    return b"".join(
        struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value for tag, value in elements
    )


def test_sequences_of_defined_length_get_delimiters() -> None:
    item = _implicit((0x00080100, b"A "))
    body = struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item
    out = rewrite(_implicit((0x00081032, body), (0x00100020, b"P1")), IMPLICIT_LITTLE)
    assert out == (
        b"\x08\0\x32\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
        b"\x08\0\0\1SH\2\0A \xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
        b"\x10\0\x20\0LO\2\0P1"
    )


def test_pixel_representation_settles_signed_or_unsigned() -> None:
    for stored, vr in ((b"\0\0", "US"), (b"\1\0", "SS")):
        ds = explicit(
            rewrite(_implicit((0x00280103, stored), (0x00280106, b"\1\0")), IMPLICIT_LITTLE)
        )
        element = ds[0x00280106]
        assert (element.VR, element.value) == (vr, 1)


def test_private_elements_become_un_and_their_creators_lo() -> None:
    out = rewrite(_implicit((0x00090010, b"ACME"), (0x00091001, b"\1\2\3\4")), IMPLICIT_LITTLE)
    assert out == b"\x09\0\x10\0LO\4\0ACME\x09\0\1\x10UN\0\0\4\0\0\0\1\2\3\4"


@pytest.mark.parametrize(("size", "vr"), [(65534, "DS"), (65536, "UN")])
def test_a_value_too_long_for_a_short_length_goes_as_un(size: int, vr: str) -> None:
    out = rewrite(_implicit(FIRST, (0x30060050, b"1\\" * (size // 2))), IMPLICIT_LITTLE)
    assert out[14:16] == vr.encode()
    assert out.endswith(b"1\\" * (size // 2))


def test_group_lengths_are_dropped_at_every_depth() -> None:
    item = _implicit((0x00080000, b"\2\0\0\0"), (0x00080100, b"A "))
    body = struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item
    ds = explicit(
        rewrite(_implicit((0x00080000, b"\0\0\0\0"), (0x00081032, body)), IMPLICIT_LITTLE)
    )
    assert [element.tag for element in ds] == [0x00081032]
    assert [element.tag for element in ds.ProcedureCodeSequence[0]] == [0x00080100]


def test_un_of_undefined_length_holds_implicit_little_endian() -> None:
    item = _implicit((0x00080100, b"A "))
    data = b"\0\x08\x10\x32UN\0\0\xff\xff\xff\xff"
    data += struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item
    data += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    assert explicit(rewrite(data, EXPLICIT_BIG)).ProcedureCodeSequence[0].CodeValue == "A"


@given(words=st.lists(st.integers(0, 2**64 - 1), max_size=40), cut=st.integers(1, 30))
@settings(max_examples=50, deadline=None)
def test_numbers_turn_round_wherever_a_chunk_ends(words: list[int], cut: int) -> None:
    big = b"".join(word.to_bytes(8, "big") for word in words)
    for vr, unit in ((b"OW", 2), (b"OF", 4), (b"OV", 8), (b"OB", 1)):
        head = b"\0\x08\0\x60CS\0\2CT\x54\0\x10\x10" + vr + b"\0\0"
        out = rewrite(head + struct.pack(">I", len(big)) + big, EXPLICIT_BIG, cut=cut)
        turned = b"".join(big[at : at + unit][::-1] for at in range(0, len(big), unit))
        assert out[22:] == turned


@pytest.mark.parametrize("path", [p for p in SAMPLES if p.stat().st_size < 10_000][:8], ids=str)
def test_a_data_set_cut_inside_an_element_is_malformed(path: Path) -> None:
    syntax, data = _read(path)
    whole = rewrite(data, syntax)
    for end in range(1, len(data), max(1, len(data) // 200)):
        try:
            out = rewrite(data[:end], syntax)
        except MalformedInstance:
            continue
        assert whole.startswith(out)  # it was cut between two elements
        assert syntax != DEFLATED_LITTLE


@pytest.mark.parametrize(
    "data",
    [
        _implicit((0x00081032, b"\x08\0\0\1\0\0\0\0")),  # no item in a sequence
        _implicit(FIRST, (0xFFFEE000, b"")),  # an item at the top
        struct.pack("<HHI", 0x0008, 0x0060, 0xFFFFFFFF),  # CS of undefined length
        struct.pack("<HHI", 0x0008, 0x1032, 8) + struct.pack("<HHI", 0xFFFE, 0xE000, 99),
    ],
)
def test_nonsense_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedInstance):
        rewrite(data, IMPLICIT_LITTLE)


def test_another_encoding_than_the_declared_one_is_found_out() -> None:
    explicit_little = b"\x08\0\x60\0CS\2\0CT\x28\0\x10\0US\2\0\1\2"
    big = b"\0\x08\0\x60CS\0\2CT\0\x28\0\x10US\0\2\2\1"
    implicit = _implicit(FIRST, (0x00280010, b"\1\2"))
    for data in (explicit_little, big, implicit):
        for declared in (IMPLICIT_LITTLE, EXPLICIT_BIG):
            assert rewrite(data, declared) == explicit_little


def test_delimiters_too_many_or_too_few_are_put_right() -> None:
    item = struct.pack("<HHIHHI", 0x0008, 0x1032, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
    content = _implicit((0x00080100, b"A "))
    item_end, end = struct.pack("<HHI", 0xFFFE, 0xE00D, 0), struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    right = rewrite(item + content + item_end + end, IMPLICIT_LITTLE)
    assert rewrite(item + content + end, IMPLICIT_LITTLE) == right
    assert rewrite(item + content + item_end + item_end + end, IMPLICIT_LITTLE) == right
    assert rewrite(item + content + item_end + end + end, IMPLICIT_LITTLE) == right
    assert rewrite(item + content + item_end + end + item_end, IMPLICIT_LITTLE) == right


def test_nesting_has_a_limit() -> None:
    opening = struct.pack("<HHIHHI", 0x0008, 0x1032, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
    closing = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    assert rewrite(opening * 32 + closing * 32, IMPLICIT_LITTLE).startswith(b"\x08\0\x32\x10SQ")
    with pytest.raises(TooLarge):
        rewrite(opening * 33 + closing * 33, IMPLICIT_LITTLE)


def test_the_number_of_elements_has_a_limit() -> None:
    data = _implicit((0x00100020, b""), (0x00100030, b""), (0x00100040, b""))
    assert rewrite(data, IMPLICIT_LITTLE, limits=Limits(elements=3))
    with pytest.raises(TooLarge):
        rewrite(data, IMPLICIT_LITTLE, limits=Limits(elements=2))


def test_a_deflate_bomb_is_refused_while_it_grows() -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflater.compress(bytes(64 << 20)) + deflater.flush()
    with pytest.raises(TooLarge):
        rewrite(bomb, DEFLATED_LITTLE)
    assert len(rewrite(bomb, DEFLATED_LITTLE, limits=Limits(inflate_ratio=2000))) == 64 << 20
    with pytest.raises(TooLarge):
        rewrite(bomb, DEFLATED_LITTLE, limits=Limits(inflate_ratio=2000, inflate_bytes=32 << 20))


def test_bytes_that_do_not_inflate_are_malformed() -> None:
    with pytest.raises(MalformedInstance):
        rewrite(b"\xff\xff\xff\xff", DEFLATED_LITTLE)


@pytest.mark.parametrize("syntax", [IMPLICIT_LITTLE, EXPLICIT_BIG])
def test_memory_does_not_grow_with_the_object(syntax: str) -> None:
    chunk = bytes(1 << 20)

    def chunks(count: int) -> Iterator[bytes]:
        if syntax == IMPLICIT_LITTLE:
            yield struct.pack("<HHI", 0x7FE0, 0x0010, count << 20)
        else:
            yield struct.pack(">HH2sHI", 0x7FE0, 0x0010, b"OW", 0, count << 20)
        for _ in range(count):
            yield chunk

    tracemalloc.start()
    try:
        size = sum(len(piece) for piece in to_explicit_little(chunks(64), syntax, LIMITS))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == (64 << 20) + 12
    assert peak < 8 << 20


def test_explicit_little_passes_and_compressed_is_refused() -> None:
    assert rewrite(b"anything", EXPLICIT_LITTLE) == b"anything"
    with pytest.raises(UnsupportedMedia):
        rewrite(b"", "1.2.840.10008.1.2.4.50")


def implicit_of(data: bytes, syntax: str, *, cut: int = 1 << 16) -> bytes:
    chunks = (data[at : at + cut] for at in range(0, len(data), cut))
    return b"".join(to_implicit_little(chunks, syntax, LIMITS))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_implicit_reads_the_same_as_explicit(path: Path) -> None:
    syntax, data = _read(path)
    whole = implicit_of(data, syntax)
    if syntax == IMPLICIT_LITTLE:
        assert whole == data
        return
    before, after = scanned(data, syntax), scanned(whole, IMPLICIT_LITTLE)
    known = [tag for tag in before if after.get(tag, {}).get("vr") == before[tag]["vr"]]
    assert sorted(before) == sorted(after)
    public = [tag for tag in before if int(tag[:4], 16) % 2 == 0]
    assert len(known) > len(public) // 2  # private attributes have no VR of their own any more
    assert {tag: before[tag] for tag in known if before[tag]["vr"] != "SQ"} == {
        tag: after[tag] for tag in known if after[tag]["vr"] != "SQ"
    }
    assert implicit_of(data, syntax, cut=8191) == whole


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_there_and_back_is_the_same(path: Path) -> None:
    """Explicit to Implicit and back: every VR the dictionary knows comes back."""
    once = rewrite(*_read(path)[::-1])
    again = rewrite(implicit_of(once, EXPLICIT_LITTLE), IMPLICIT_LITTLE)
    first, second = scanned(once, EXPLICIT_LITTLE), scanned(again, EXPLICIT_LITTLE)
    public = [tag for tag in first if int(tag[:4], 16) % 2 == 0 and first[tag]["vr"] not in _UNSURE]
    same = [tag for tag in public if second[tag]["vr"] == first[tag]["vr"]]
    assert len(same) >= len(public) - 2
    assert {tag: first[tag] for tag in same} == {tag: second[tag] for tag in same}


_UNSURE = frozenset(("SQ", "UN", "OB", "OW"))  # their items hold private attributes; or open VRs


def test_compressed_pixels_cannot_stand_in_implicit_vr() -> None:
    data = factories.compressed([[factories.jpeg(1)]]).dataset()
    with pytest.raises(MalformedInstance, match="Encapsulated"):
        implicit_of(data, EXPLICIT_LITTLE)
    with pytest.raises(UnsupportedMedia):
        implicit_of(data, factories.JPEG)
