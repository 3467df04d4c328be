"""The multipart/related parser: every cut, every limit, and the writer as its inverse."""

from __future__ import annotations

import dataclasses
import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vna.config import Limits
from vna.errors import MalformedMultipart, TooLarge
from vna.web.multipart import (
    MultipartParser,
    PartBegins,
    PartData,
    boundary_of,
    closing,
    multipart_type,
    new_boundary,
    part_head,
)

LIMITS = Limits()
Part = tuple[dict[str, str], bytes]

WHOLE = (
    b"preamble, ignored\r\n--b b\t \r\n"
    b"Content-Type: application/dicom\r\nX-Long: one\r\n two\r\n\r\n"
    b"first\r\n--b not quite\r\r\n"
    b"\r\n--b b\r\ncontent-type:text/plain\r\n\r\n"
    b"\r\n--b b\r\n\r\n\r\n"
    b"\r\n--b b\r\nA: b\r\n"
    b"\r\n--b b--\r\nepilogue\r\n--b b\r\n"
)
PARTS: list[Part] = [
    ({"content-type": "application/dicom", "x-long": "one two"}, b"first\r\n--b not quite\r\r\n"),
    ({"content-type": "text/plain"}, b""),
    ({}, b"\r\n"),
    ({"a": "b"}, b""),
]


UUID = "c3c08755-85fd-4382-8409-6d2d1a4382a3"


def parse(pieces: list[bytes], boundary: bytes = b"b b", limits: Limits = LIMITS) -> list[Part]:
    parser = MultipartParser(boundary, limits)
    parts: list[Part] = []
    open_part = False
    for piece in pieces:
        for event in parser.feed(piece):
            if isinstance(event, PartBegins):
                assert not open_part
                parts.append((event.headers, b""))
                open_part = True
            elif isinstance(event, PartData):
                assert open_part
                parts[-1] = (parts[-1][0], parts[-1][1] + bytes(event.data))
            else:
                open_part = False
    parser.finish()
    assert not open_part
    return parts


def body(parts: list[bytes], boundary: str) -> bytes:
    pieces = []
    for number, content in enumerate(parts):
        pieces.append(
            part_head(boundary, "application/dicom", first=number == 0, length=len(content))
        )
        pieces.append(content)
    pieces.append(closing(boundary, empty=not parts))
    return b"".join(pieces)


def test_a_body_is_read_whole_with_preamble_folding_padding_and_epilogue() -> None:
    assert parse([WHOLE]) == PARTS


def test_every_cut_in_two_gives_the_same_parts() -> None:
    for cut in range(len(WHOLE) + 1):
        assert parse([WHOLE[:cut], WHOLE[cut:]]) == PARTS


def test_byte_by_byte_gives_the_same_parts() -> None:
    assert parse([WHOLE[i : i + 1] for i in range(len(WHOLE))]) == PARTS


@settings(max_examples=200, deadline=None)
@given(
    parts=st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.lists(
                st.sampled_from([b"\r", b"\n", b"-", b"--x", b"\r\n--", b"\r\n--x", b"x"])
            ).map(b"".join),
        ).filter(lambda content: b"\r\n--xy" not in b"\r\n" + content),
        max_size=4,
    ),
    cuts=st.lists(st.integers(0, 400), max_size=6),
)
def test_what_the_writer_wrote_the_parser_reads_whatever_the_cuts(
    parts: list[bytes], cuts: list[int]
) -> None:
    whole = body(parts, "xy")
    edges = sorted({0, len(whole), *(c for c in cuts if c < len(whole))})
    pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]
    read = parse(pieces, b"xy")
    assert [content for _, content in read] == parts
    assert all(headers["content-length"] == str(len(c)) for headers, c in read)


@settings(max_examples=300, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.sampled_from([b"--b", b"\r\n", b"--", b"A: b", b" ", b":", b"\r", b"\n", b"data"])
        ).map(b"".join),
    )
)
def test_garbage_is_refused_or_read_and_never_breaks(data: bytes) -> None:
    try:
        parse([data], b"b")
    except (MalformedMultipart, TooLarge):
        return
    assert b"--b" in data


def test_every_truncation_is_an_error() -> None:
    end = WHOLE.index(b"--b b--") + len(b"--b b--")
    for cut in range(end):
        with pytest.raises(MalformedMultipart):
            parse([WHOLE[:cut]])
    assert parse([WHOLE[:end]]) == PARTS


@pytest.mark.parametrize(
    "before", [b"--", b"x", b"\r", b"\n", b"\r\n--", b"line\r\n--", b"--b", b"\r\n-"]
)
def test_only_a_line_begins_with_a_boundary(before: bytes) -> None:
    whole = before + b"--b\r\n\r\nno\r\n--b\r\n\r\nyes\r\n--b--"
    expected: list[Part] | None
    try:
        expected = parse([whole], b"b")
    except MalformedMultipart:
        expected = None
    for cut in range(len(whole) + 1):
        try:
            assert parse([whole[:cut], whole[cut:]], b"b") == expected
        except MalformedMultipart:
            assert expected is None


@pytest.mark.parametrize(
    "text",
    [b"--bx\r\n\r\n\r\n--b--", b"--b\r\nno colon\r\n\r\n\r\n--b--", b"--b\r\n: v\r\n\r\n\r\n--b--"],
)
def test_a_malformed_line_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedMultipart):
        parse([text], b"b")


def test_bytes_held_of_views_outlive_the_buffer_they_came_in() -> None:
    parser = MultipartParser(b"b", LIMITS)
    buffer = bytearray(b"--b\r\n\r\nabc\r\n--")
    first = [bytes(e.data) for e in parser.feed(memoryview(buffer)) if isinstance(e, PartData)]
    buffer[:] = b"x" * len(buffer)
    second = [bytes(e.data) for e in parser.feed(b"c\r\n--b--") if isinstance(e, PartData)]
    assert b"".join(first + second) == b"abc\r\n--c"


def small(**changes: int) -> Limits:
    return dataclasses.replace(LIMITS, **changes)


def test_the_number_of_parts_is_limited() -> None:
    limits = small(parts=3)
    assert len(parse([body([b""] * 3, "b")], b"b", limits)) == 3
    with pytest.raises(TooLarge):
        parse([body([b""] * 4, "b")], b"b", limits)


def test_the_number_of_header_fields_is_limited() -> None:
    def with_fields(count: int) -> bytes:
        fields = b"".join(b"F%d: v\r\n" % i for i in range(count))
        return b"--b\r\n" + fields + b"\r\n\r\n--b--"

    assert len(parse([with_fields(128)], b"b")[0][0]) == 128
    with pytest.raises(TooLarge):
        parse([with_fields(129)], b"b")


@pytest.mark.parametrize("step", [1, 8192, 1 << 20])
def test_the_size_of_a_header_field_is_limited(step: int) -> None:
    def with_length(length: int) -> list[bytes]:
        whole = b"--b\r\nF: " + b"v" * (length - 3) + b"\r\n\r\n\r\n--b--"
        return [whole[i : i + step] for i in range(0, len(whole), step)]

    assert len(parse(with_length(8192), b"b")[0][0]["f"]) == 8189
    with pytest.raises(TooLarge):
        parse(with_length(8193), b"b")


def test_a_folded_header_field_cannot_grow_without_end() -> None:
    with pytest.raises(TooLarge):
        parse([b"--b\r\nF: v\r\n" + b" more\r\n" * 4000], b"b")


def test_an_endless_header_line_is_refused_before_it_is_kept() -> None:
    parser = MultipartParser(b"b", LIMITS)
    parser.feed(b"--b\r\nF: ")
    for _ in range(8):
        parser.feed(b"v" * 1000)
    with pytest.raises(TooLarge):
        parser.feed(b"v" * 1000)


def test_white_space_after_a_boundary_is_limited() -> None:
    with pytest.raises(TooLarge):
        parse([b"--b" + b" " * 200], b"b")


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (
            'multipart/related; type="application/dicom"; boundary=abc',
            ("application/dicom", b"abc"),
        ),
        ("multipart/related;type=application/dicom;boundary=abc", ("application/dicom", b"abc")),
        (
            'Multipart/Related; BOUNDARY="a b:=?"; Type="Application/DICOM"',
            ("application/dicom", b"a b:=?"),
        ),
        (
            "multipart/related; type=application/dicom; boundary=" + "x" * 70,
            ("application/dicom", b"x" * 70),
        ),
        # longer than RFC 2046 5.1.1 has it: what the DICOMweb client of Orthanc writes
        (
            'multipart/related; type="application/dicom"; boundary=' + "-".join([UUID, UUID]),
            ("application/dicom", f"{UUID}-{UUID}".encode()),
        ),
    ],
)
def test_type_and_boundary_are_read_quoted_and_unquoted(
    content_type: str, expected: tuple[str, bytes]
) -> None:
    assert boundary_of(content_type) == expected


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/related; type=application/dicom",
        "multipart/related; type=application/dicom; boundary=",
        "multipart/related; boundary=abc",
        "multipart/related; type=application/dicom; boundary=" + "x" * 257,
        'multipart/related; type=application/dicom; boundary="a\\"b"',
        'multipart/related; type=application/dicom; boundary="a "',
        "multipart/related; type=application/dicom; boundary=é",
    ],
)
def test_a_missing_or_impossible_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(MalformedMultipart):
        boundary_of(content_type)


def test_a_written_content_type_is_read_back() -> None:
    boundary = new_boundary()
    written = multipart_type("application/dicom", boundary, "1.2.840.10008.1.2.4.70")
    assert boundary_of(written) == ("application/dicom", boundary.encode())


def test_a_large_part_passes_through_as_views_faster_than_a_gigabyte_a_second() -> None:
    chunk = bytes(range(256)) * 4096  # 1 MiB with a CR in every 256 bytes
    parser = MultipartParser(b"f" * 32, LIMITS)
    parser.feed(b"--" + b"f" * 32 + b"\r\n\r\n")
    begun = time.process_time()
    total = sum(
        len(event.data)
        for _ in range(256)
        for event in parser.feed(chunk)
        if isinstance(event, PartData)
    )
    took = time.process_time() - begun
    assert total > 255 << 20
    assert total / took > 1e9
