"""The scanner on data sets made for it: encodings, sequences, bulk values, oddities, limits."""

from __future__ import annotations

import dataclasses
import struct
import tracemalloc
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import factories as f
from tests.dicom.corpus import scan_bare, scan_pieces
from vna.config import Limits
from vna.dicom.scan import Bulk, Scanner
from vna.errors import MalformedInstance, TooLarge, VNAError

LIMITS = Limits()
UNCOMPRESSED = (f.EXPLICIT, f.IMPLICIT, f.BIG_ENDIAN, f.DEFLATED)


def limited(**changes: int) -> Limits:
    """The default limits with some changed."""
    return dataclasses.replace(LIMITS, **changes)


def rich(transfer_syntax: str, *, endless: bool = False) -> f.Instance:
    """An instance with everything that is awkward in it."""
    extra: list[f.Element] = [
        ("00080054", "AE", [" ONE ", "TWO"]),
        ("00081032", "SQ", [f.elements_of({"CodeValue": "1", "CodeMeaning": "One"}), []]),
        ("00090010", "LO", "EXAMPLE"),
        ("00091001", "UN", b"\1\2\3\4"),
        ("00091002", "OB", bytes(3000)),
        ("00204000", "LT", "line one\\not two\r\n" * 100),
        ("00280106", "US", 5),
        ("00400275", "SQ", [f.elements_of({"ScheduledProcedureStepID": "S1"})] * 3),
        ("0040A30A", "DS", ["1.5", "-2", "+3", "1e400", ""]),
        ("00280006", "US", []),
        ("00720076", "FL", [1.5, float("nan"), float("inf"), float("-inf")]),
        ("00720026", "AT", ["00100010", "7FE00010"]),
    ]
    return f.ct(transfer_syntax=transfer_syntax, endless=endless, extra=extra)


@pytest.mark.parametrize("endless", [False, True])
@pytest.mark.parametrize("transfer_syntax", UNCOMPRESSED)
def test_every_encoding_gives_the_same_json(transfer_syntax: str, endless: bool) -> None:
    _, expected = scan_bare(rich(f.EXPLICIT).dataset())
    scan, json = scan_bare(rich(transfer_syntax, endless=endless).dataset(), transfer_syntax)
    if transfer_syntax == f.IMPLICIT:
        expected["00091002"]["vr"] = "UN"
    assert json == expected
    assert scan.flags == frozenset()
    assert [bulk.path for bulk in scan.bulk] == ["00091002", "00204000"]
    assert scan.frames is not None
    assert scan.frames.count == 1


def test_values_are_written_as_the_json_model_has_them() -> None:
    _, json = scan_bare(rich(f.EXPLICIT).dataset())
    assert json["00080054"]["Value"] == ["ONE", "TWO"]
    assert json["00081032"]["Value"][1] == {}
    assert json["0040A30A"]["Value"] == [1.5, -2, "+3", "1e400", None]
    assert json["00720076"]["Value"] == [1.5, "NaN", "Infinity", "-Infinity"]
    assert json["00720026"]["Value"] == ["00100010", "7FE00010"]
    assert json["00280006"] == {"vr": "US"}
    assert json["00091001"] == {"vr": "UN", "InlineBinary": "AQIDBA=="}
    assert json["7FE00010"] == {"vr": "OW", "BulkDataURI": "bulkdata/7FE00010"}


def test_bulk_values_in_items_have_paths_and_places() -> None:
    waveform = bytes(range(256)) * 8
    inner: list[f.Element] = [("54001010", "OW", waveform)]
    data = f.dataset([("54000100", "SQ", [[("5400100A", "OB", b"\0\0")], inner])])
    scan, json = scan_bare(data)
    (bulk,) = scan.bulk
    assert bulk == Bulk("54000100.2.54001010", "OW", data.index(waveform), len(waveform))
    uri = json["54000100"]["Value"][1]["54001010"]["BulkDataURI"]
    assert uri == "bulkdata/54000100.2.54001010"


@pytest.mark.parametrize(("vr", "size"), [("OB", 1024), ("UT", 1024), ("LT", 1024), ("UN", 1024)])
def test_bulk_begins_behind_a_kibibyte(vr: str, size: int) -> None:
    for length, by_uri in ((size, False), (size + 2, True)):
        scan, json = scan_bare(f.element("00091001", vr, b"a" * length))
        assert ("BulkDataURI" in json["00091001"]) == by_uri
        assert bool(scan.bulk) == by_uri


def test_a_huge_value_of_any_vr_goes_by_uri() -> None:
    how = f.writing(f.IMPLICIT)
    numbers = f.header("00186024", "UL", (1 << 20) + 4, how) + bytes((1 << 20) + 4)
    name = f.header("00104000", "LT", 0, how) + f.header("00120010", "LO", 1 << 21, how)
    scan, json = scan_bare(name + bytes(1 << 21) + numbers, f.IMPLICIT)
    assert json["00120010"] == {"vr": "UN", "BulkDataURI": "bulkdata/00120010"}
    assert json["00186024"]["vr"] in ("UL", "US")
    assert [bulk.length for bulk in scan.bulk] == [1 << 21, (1 << 20) + 4]


def test_small_pixel_data_always_goes_by_uri() -> None:
    icon: list[f.Element] = [("7FE00010", "OW", bytes(64))]
    small = f.ct(rows=4, columns=4, extra=[("00880200", "SQ", [icon])])
    for _ in range(2):
        scan, json = scan_bare(small.dataset())
        assert "BulkDataURI" in json["7FE00010"]
        assert "InlineBinary" in json["00880200"]["Value"][0]["7FE00010"]
        assert scan.pixel is not None
        assert scan.bulk == ()


def test_a_bulk_value_may_be_the_last_thing_in_items_of_known_length() -> None:
    inner: list[f.Element] = [("54001010", "OW", bytes(5000))]
    data = f.dataset([("00080060", "CS", "CT"), ("54000100", "SQ", [inner])])
    for pieces in ([data], [data[:1000], data[1000:]], [data[:-1], data[-1:]]):
        scan = scan_pieces(f.EXPLICIT, pieces, [])
        assert [bulk.length for bulk in scan.bulk] == [5000]


def test_an_element_without_a_value_may_be_the_last_in_an_item_of_known_length() -> None:
    """PS3.5 7.1.2: its eight bytes are all there is of it."""
    item = f.header("FFFEE000", "", 8) + f.header("00081155", "UI", 0)
    data = f.header("00081140", "SQ", len(item)) + item + f.element("00100020", "LO", "P1")
    scan, json = scan_bare(f.element("00080060", "CS", "CT") + data)
    assert json["00081140"] == {"vr": "SQ", "Value": [{"00081155": {"vr": "UI"}}]}
    assert json["00100020"]["Value"] == ["P1"]
    assert scan.flags == frozenset()


@pytest.mark.parametrize("tag", ["7FE00008", "7FE00009"])
def test_float_pixel_data_is_pixel_data(tag: str) -> None:
    width = 4 if tag == "7FE00008" else 8
    vr = "OF" if width == 4 else "OD"
    value = bytes(16 * 16 * width * 3)
    whole = f.ct(frames=3, pixel_element=f.element(tag, vr, value), values={"BitsAllocated": None})
    scan, _ = scan_bare(whole.dataset())
    assert scan.pixel is not None
    assert (scan.pixel.path, scan.pixel.vr, scan.pixel.length) == (tag, vr, len(value))
    assert scan.frames is not None
    start = scan.pixel.offset
    assert scan.frames.frame(3) == ((start + 2 * 256 * width, 256 * width),)


def test_the_study_is_known_as_soon_as_it_was_met() -> None:
    data = f.ct().dataset()
    end = data.index(b"\x20\x00\x0d\x00UI") + 8 + len(f.uid(1)) + 1
    scanner = Scanner(f.EXPLICIT, LIMITS, json=lambda _: None)
    scanner.feed(data[: end - 8])
    assert scanner.study is None
    scanner.feed(data[end - 8 : end])
    assert scanner.study == f.uid(1)


def test_a_study_that_is_not_there_is_known_to_be_absent() -> None:
    scanner = Scanner(f.EXPLICIT, LIMITS, json=lambda _: None)
    scanner.feed(f.ct(values={"StudyInstanceUID": None}).dataset())
    assert scanner.study == ""
    assert scanner.finish().study is None


# -- what senders do -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("really", "declared"),
    [
        (f.IMPLICIT, f.EXPLICIT),
        (f.EXPLICIT, f.IMPLICIT),
        (f.BIG_ENDIAN, f.EXPLICIT),
        (f.EXPLICIT, f.BIG_ENDIAN),
        (f.BIG_ENDIAN, f.IMPLICIT),
    ],
)
def test_a_wrongly_declared_encoding_is_found_out(really: str, declared: str) -> None:
    whole = f.ct(transfer_syntax=really)
    scan, json = scan_bare(whole.dataset(), declared)
    assert scan.flags == {"other-encoding"}
    assert json == scan_bare(whole.dataset(), really)[1]


def test_implicit_elements_in_an_explicit_item_are_read() -> None:
    inner = f.dataset(f.elements_of({"00081150": "1.2", "00081155": "1.3"}), f.writing(f.IMPLICIT))
    item = f.header("FFFEE000", "", len(inner)) + inner
    data = f.element("00080060", "CS", "CT") + f.header("00081140", "SQ", len(item)) + item
    scan, json = scan_bare(data)
    assert json["00081140"]["Value"][0]["00081155"] == {"vr": "UI", "Value": ["1.3"]}
    assert scan.flags == {"mixed-vr"}


def test_un_of_undefined_length_is_an_implicit_sequence() -> None:
    inner = f.dataset(f.elements_of({"00081155": "1.3"}), f.writing(f.IMPLICIT))
    item = f.header("FFFEE000", "", 0xFFFFFFFF) + inner + f.header("FFFEE00D", "", 0)
    start = f.element("00080060", "CS", "CT") + f.header("00091010", "UN", 0xFFFFFFFF)
    _, json = scan_bare(start + item + f.header("FFFEE0DD", "", 0))
    assert json["00091010"]["vr"] == "SQ"
    assert json["00091010"]["Value"] == [{"00081155": {"vr": "UI", "Value": ["1.3"]}}]


def test_a_standard_attribute_written_as_un_gets_its_vr_back() -> None:
    data = f.element("00100010", "UN", b"Doe^Jane") + f.element("00280010", "UN", b"\x10\0")
    scan, json = scan_bare(f.element("00080060", "CS", "CT") + data)
    assert json["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]}
    assert json["00280010"] == {"vr": "US", "Value": [16]}
    assert scan.attributes["00100010"] == json["00100010"]


@pytest.mark.parametrize("vr", ["??", "ZZ"])
@pytest.mark.parametrize("value", [b"", b"abcd", b"a" * 256, b"a" * 258])
def test_an_unknown_vr_is_passed(vr: str, value: bytes) -> None:
    odd = struct.pack("<HH2sH", 9, 0x1001, vr.encode(), len(value)) + value
    data = f.element("00080060", "CS", "CT") + odd + f.element("00100020", "LO", "P1")
    scan, json = scan_bare(data)
    assert json["00091001"]["vr"] == "UN"
    assert json["00100020"]["Value"] == ["P1"]
    assert "unknown-vr" in scan.flags


def test_an_unknown_vr_with_a_long_length_is_passed() -> None:
    odd = struct.pack("<HH2sHI", 9, 0x1001, b"ZZ", 0, 6) + b"abcdef"
    data = f.element("00080060", "CS", "CT") + odd + f.element("00100020", "LO", "P1")
    _, json = scan_bare(data)
    assert json["00091001"] == {"vr": "UN", "InlineBinary": "YWJjZGVm"}
    assert json["00100020"]["Value"] == ["P1"]


def test_a_value_of_a_wrong_length_refuses_nothing() -> None:
    odd = struct.pack("<HH2sH", 0x28, 0x10, b"US", 3) + b"abc"
    data = f.element("00080060", "CS", "CT") + odd + f.element("00280011", "US", 7)
    scan, json = scan_bare(data)
    assert json["00280010"] == {"vr": "UN", "InlineBinary": "YWJj"}
    assert json["00280011"]["Value"] == [7]
    assert "bad-value" in scan.flags


def test_group_lengths_and_stray_heads_are_left_out() -> None:
    data = f.element("00020010", "UI", "1.2") + f.element("00080000", "UL", 99)
    _, json = scan_bare(data + f.element("00080060", "CS", "CT"))
    assert list(json) == ["00080060"]


def test_trailing_padding_is_kept_or_passed() -> None:
    data = f.ct().dataset() + f.element("FFFCFFFC", "OB", bytes(2000))
    scan, json = scan_bare(data)
    assert json["FFFCFFFC"] == {"vr": "OB", "BulkDataURI": "bulkdata/FFFCFFFC"}
    for zeros in (2, 9, 4000):
        scan, json = scan_bare(f.ct().dataset() + bytes(zeros))
        assert scan.flags == {"trailing-bytes"}
        assert list(json)[-1] == "7FE00010"
    for gap in (8, 4000):
        with pytest.raises(MalformedInstance):
            scan_bare(f.ct().dataset() + bytes(gap) + f.element("00100020", "LO", "P1"))


def test_elements_out_of_order_are_put_in_order_and_the_last_of_two_stays() -> None:
    parts = [
        *(f.element("00100020", "LO", "P1"), f.element("00080060", "CS", "CT")),
        *(f.element("00100020", "LO", "P2"), f.element("00080070", "LO", "Maker")),
    ]
    scan, json = scan_bare(b"".join(parts))
    assert list(json) == ["00080060", "00080070", "00100020"]
    assert json["00100020"]["Value"] == ["P2"]
    assert scan.attributes["00100020"]["Value"] == ["P2"]
    assert scan.flags == frozenset()


def test_elements_of_an_item_that_are_out_of_order_are_put_in_order() -> None:
    parts = f.element("00081155", "UI", "1.3"), f.element("00081150", "UI", "1.2")
    item = f.header("FFFEE000", "", sum(map(len, parts))) + b"".join(parts)
    scan, json = scan_bare(f.header("00081140", "SQ", len(item)) + item)
    assert list(json["00081140"]["Value"][0]) == ["00081150", "00081155"]
    assert scan.flags == frozenset()


def test_a_sequence_that_is_none_is_kept_as_bytes() -> None:
    rubbish = b"\x12\x34" * 40
    item = f.header("FFFEE000", "", len(rubbish)) + rubbish
    broken = f.header("00081140", "SQ", len(item)) + item
    data = f.element("00080060", "CS", "CT") + broken + f.element("00100020", "LO", "P1")
    scan, json = scan_bare(data)
    assert json["00081140"] == {"vr": "UN", "BulkDataURI": "bulkdata/00081140"}
    assert json["00100020"]["Value"] == ["P1"]
    assert scan.flags >= {"broken-sequence"}
    assert scan.bulk == (Bulk("00081140", "UN", data.index(item), len(item)),)


@pytest.mark.parametrize("inside", ["element", "sequence", "fragments", "half a header"])
def test_nothing_of_undefined_length_passes_what_is_around_it(inside: str) -> None:
    long = f.element("00204000", "LT", "x" * 300)
    values = {
        "element": long,
        "sequence": f.header("00081140", "SQ", 0xFFFFFFFF) + f.header("FFFEE000", "", 200) + long,
        "fragments": f.encapsulated([[bytes(300)]]),
        "half a header": f.element("00081155", "UI", "1.2")[:6],
    }
    body = (f.header("FFFEE000", "", 0xFFFFFFFF) + values[inside])[:100]
    broken = f.header("00081140", "SQ", len(body)) + body
    data = f.element("00080060", "CS", "CT") + broken + f.element("00100020", "LO", "P1")
    for pieces in ([data], [data[i : i + 7] for i in range(0, len(data), 7)]):
        written: list[bytes] = []
        scan = scan_pieces(f.EXPLICIT, pieces, written)
        json = orjson.loads(b"".join(written))
        assert json["00081140"] == {"vr": "UN", "BulkDataURI": "bulkdata/00081140"}
        assert json["00100020"]["Value"] == ["P1"]
        assert "broken-sequence" in scan.flags
        assert scan.bulk[0].length == len(body)


def test_missing_and_superfluous_delimiters_are_forgiven() -> None:
    inner = f.element("00081155", "UI", "1.2")
    endless = f.header("00081140", "SQ", 0xFFFFFFFF) + f.header("FFFEE000", "", 0xFFFFFFFF) + inner
    end, item_end = f.header("FFFEE0DD", "", 0), f.header("FFFEE00D", "", 0)
    sized = f.header("FFFEE000", "", len(inner)) + inner
    cases = [
        endless + end,
        endless + item_end + end,
        endless + item_end + end + end,
        f.header("00081140", "SQ", 0xFFFFFFFF) + sized + item_end + end,
        f.header("00081140", "SQ", len(sized) + 8) + sized + item_end,
    ]
    for case in cases:
        _, json = scan_bare(
            f.element("00080060", "CS", "CT") + case + inner.replace(b"\x08", b"\x20")
        )
        assert json["00081140"]["Value"] == [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]
        assert next(iter(json)) == "00080060"


# -- character sets --------------------------------------------------------------------------------


def test_items_inherit_and_override_the_character_set() -> None:
    def item(charset: str | None, name: bytes) -> list[f.Element]:
        found: list[f.Element] = [("00100010", "PN", name)]
        return [("00080005", "CS", charset), *found] if charset else found

    items = [item(None, "Müller".encode()), item("ISO_IR 144", "Жук".encode("iso8859_5"))]
    data = f.dataset([("00080005", "CS", "ISO_IR 192"), ("00101002", "SQ", items)])
    scan, json = scan_bare(data + f.element("00104000", "LT", "é".encode()))
    names = [item["00100010"]["Value"][0]["Alphabetic"] for item in json["00101002"]["Value"]]
    assert names == ["Müller", "Жук"]
    assert json["00104000"]["Value"] == ["é"]
    assert scan.charset == "ISO_IR 192"


def test_bad_bytes_and_unknown_sets_are_flagged() -> None:
    scan, json = scan_bare(f.ct(charset="ISO_IR 192", patient_name="M\xfcller").dataset())
    assert json["00100010"]["Value"] == [{"Alphabetic": "M\ufffdller"}]
    assert scan.flags == {"bad-characters"}
    scan, json = scan_bare(f.ct(charset="KLINGON", patient_name="M\xfcller").dataset())
    assert json["00100010"]["Value"] == [{"Alphabetic": "Müller"}]
    assert scan.flags == {"bad-characters", "unknown-charset"}


# -- limits, truncation, rubbish -------------------------------------------------------------------


@pytest.mark.parametrize("transfer_syntax", [f.EXPLICIT, f.IMPLICIT, f.BIG_ENDIAN])
@pytest.mark.parametrize("endless", [False, True])
def test_nesting_is_limited(transfer_syntax: str, endless: bool) -> None:
    how = f.writing(transfer_syntax, endless=endless)
    _, json = scan_bare(f.nested(32, how), transfer_syntax)
    for _ in range(32):
        json = json["00081140"]["Value"][0]
    assert json["00080100"]["Value"] == ["T1"]
    with pytest.raises(TooLarge):
        scan_bare(f.nested(33, how), transfer_syntax)


def test_elements_are_limited() -> None:
    data = f.dataset([(f"0009{n:04X}", "US", n) for n in range(0x1000, 0x1100)])
    scan_bare(data, limits=limited(elements=256))
    with pytest.raises(TooLarge):
        scan_bare(data, limits=limited(elements=255))


def test_items_and_fragments_count_as_elements() -> None:
    items = f.header("00081140", "SQ", 800) + f.header("FFFEE000", "", 0) * 100
    fragments = f.encapsulated([[b"ab"]] * 100)
    for data in (items, f.element("00080060", "CS", "CT") + fragments):
        with pytest.raises(TooLarge):
            scan_bare(data, limits=limited(elements=90))


def test_the_object_is_limited() -> None:
    data = f.ct().dataset()
    scan_bare(data, limits=limited(object_bytes=len(data)))
    with pytest.raises(TooLarge):
        scan_bare(data, limits=limited(object_bytes=len(data) - 1))


@pytest.mark.parametrize("transfer_syntax", [f.EXPLICIT, f.IMPLICIT, f.BIG_ENDIAN])
def test_cut_anywhere_but_between_elements_is_malformed(transfer_syntax: str) -> None:
    whole = rich(transfer_syntax, endless=True)
    whole.rows = whole.columns = 4
    data = whole.dataset()
    ends = set()
    for cut in range(len(data)):
        try:
            scan, _ = scan_bare(data[:cut], transfer_syntax)
        except MalformedInstance:
            continue
        assert scan.length == cut
        # a lone zero may be padding as well as the first byte of a big endian tag
        if "trailing-bytes" not in scan.flags:
            ends.add(cut)
    # fewer places than elements, and none inside a value
    assert len(ends) < 80
    pixels = data.rindex(b"\x7f\xe0" if transfer_syntax == f.BIG_ENDIAN else b"\xe0\x7f")
    assert max(ends) == pixels


@pytest.mark.parametrize("name", ["garbage", "truncated", "unclosed-sequence", "length-past-end"])
def test_broken_objects_are_malformed(name: str) -> None:
    head = f.ct().group2()
    data = f.broken(name)[132 + len(head) :]
    with pytest.raises(MalformedInstance) as caught:
        scan_bare(data)
    assert "Doe" not in str(caught.value)


def test_nothing_is_malformed() -> None:
    with pytest.raises(MalformedInstance):
        scan_bare(b"")


cuts = st.lists(st.integers(0, 6000), max_size=12)


@given(cuts, st.sampled_from([*UNCOMPRESSED, f.JPEG]), st.booleans(), st.booleans())
@settings(max_examples=120, deadline=None)
def test_any_cutting_gives_the_same(
    at: list[int], transfer_syntax: str, endless: bool, as_view: bool
) -> None:
    if transfer_syntax == f.JPEG:
        whole = f.compressed([[f.jpeg(1)[:20], f.jpeg(1)[20:]], [f.jpeg(3)]], table=False)
    else:
        whole = rich(transfer_syntax, endless=endless)
    data = whole.dataset()
    expected: list[bytes] = []
    reference = scan_pieces(transfer_syntax, [data], expected)
    bounds = [0, *sorted(cut % len(data) for cut in at), len(data)]
    pieces: list[Any] = [data[a:b] for a, b in pairwise(bounds)]
    written: list[bytes] = []
    scan = scan_pieces(
        transfer_syntax, [memoryview(p) for p in pieces] if as_view else pieces, written
    )
    assert b"".join(written) == b"".join(expected)
    assert dataclasses.replace(scan, frames=None) == dataclasses.replace(reference, frames=None)
    assert scan.frames is not None
    assert reference.frames is not None
    assert scan.frames.encode() == reference.frames.encode()


def test_byte_by_byte_gives_the_same() -> None:
    for whole in (rich(f.IMPLICIT, endless=True), rich(f.DEFLATED)):
        data, one, other = whole.dataset(), [], []
        a = scan_pieces(whole.transfer_syntax, [data], one)
        b = scan_pieces(whole.transfer_syntax, [data[i : i + 1] for i in range(len(data))], other)
        assert b"".join(one) == b"".join(other)
        assert dataclasses.replace(a, frames=None) == dataclasses.replace(b, frames=None)


@given(
    st.sampled_from([*UNCOMPRESSED, f.JPEG]),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8),
    st.integers(1, 5000),
)
@settings(max_examples=200, deadline=None)
def test_changed_bytes_never_do_more_than_refuse(
    transfer_syntax: str, changes: list[tuple[int, int]], step: int
) -> None:
    whole = (
        f.compressed([[f.jpeg(1)], [f.jpeg(2)]])
        if transfer_syntax == f.JPEG
        else rich(transfer_syntax, endless=True)
    )
    data = bytearray(whole.dataset())
    for place, value in changes:
        data[place % min(len(data), 4000)] = value
    results = []
    for size in (len(data), step):
        written: list[bytes] = []
        try:
            pieces = [bytes(data[i : i + size]) for i in range(0, len(data), size)]
            scan = scan_pieces(transfer_syntax, pieces, written)
        except VNAError as refusal:
            results.append((type(refusal), None, None))
        else:
            orjson.loads(b"".join(written))
            results.append((scan.flags, b"".join(written), scan.bulk))
    assert results[0] == results[1]


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_rubbish_never_does_more_than_refuse(data: bytes) -> None:
    for transfer_syntax in UNCOMPRESSED:
        try:
            scan_bare(data, transfer_syntax)
        except VNAError:
            continue


# -- memory ----------------------------------------------------------------------------------------


def feed_stream(size: int, fragment: int | None) -> int:
    """Feed an object of `size` bytes that never exists as a whole; the most memory it took."""
    head = f.ct(pixel_element=b"").dataset()
    block = memoryview(bytes(1 << 20))
    item = memoryview(f.header("FFFEE000", "", fragment or 0) + bytes(fragment or 0))
    scanner = Scanner(f.EXPLICIT if fragment is None else f.JPEG, LIMITS, json=lambda _: None)
    tracemalloc.start()
    try:
        scanner.feed(head)
        if fragment is None:
            scanner.feed(f.header("7FE00010", "OW", size))
            for _ in range(size >> 20):
                scanner.feed(block)
        else:
            scanner.feed(f.header("7FE00010", "OB", 0xFFFFFFFF) + f.header("FFFEE000", "", 0))
            for _ in range(size // fragment):
                scanner.feed(item)
            scanner.feed(f.header("FFFEE0DD", "", 0))
        scan = scanner.finish()
        assert scan.length > size - (fragment or 0)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("fragment", [None, 30_000, 3 << 20])
def test_memory_stays_flat(fragment: int | None) -> None:
    assert feed_stream(64 << 20, fragment) < 2 << 20


@pytest.mark.long
@pytest.mark.parametrize("fragment", [None, 100_000])
def test_memory_stays_flat_for_a_gibibyte(fragment: int | None) -> None:
    assert feed_stream(1 << 30, fragment) < 4 << 20


def test_memory_stays_flat_however_much_json_there_is() -> None:
    item = f.dataset([(f"0009{n:04X}", "LO", "x" * 60) for n in range(0x1000, 0x1020)])
    item = f.header("FFFEE000", "", len(item)) + item
    total = 0

    def count(piece: bytes) -> None:
        nonlocal total
        total += len(piece)

    scanner = Scanner(f.EXPLICIT, LIMITS, json=count)
    tracemalloc.start()
    try:
        scanner.feed(f.header("00081140", "SQ", 0xFFFFFFFF))
        for _ in range(1000):
            scanner.feed(item)
        scanner.feed(f.header("FFFEE0DD", "", 0))
        scanner.finish()
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()
    assert total > 2 << 20
