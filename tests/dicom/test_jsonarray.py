"""Objects of a JSON array are found as it goes by, however it is cut."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vna.dicom.jsonarray import ObjectCutter
from vna.errors import MalformedInstance


def cut(text: bytes, *cuts: int) -> list[bytes]:
    """The objects of a text that comes in pieces."""
    cutter = ObjectCutter()
    bounds = [0, *sorted(min(c, len(text)) for c in cuts), len(text)]
    places = [place for a, b in pairwise(bounds) for place in cutter.feed(text[a:b])]
    cutter.finish()
    return [text[at : at + length] for at, length in places]


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.lists(st.dictionaries(st.text(max_size=4), values, max_size=3), max_size=4)


@given(objects, st.lists(st.integers(0, 300), max_size=6), st.booleans(), st.none() | st.just(1))
@settings(max_examples=200, deadline=None)
def test_every_object_is_found(
    found: list[object], cuts: list[int], is_ascii: bool, indent: int | None
) -> None:
    text = json.dumps(found, ensure_ascii=is_ascii, indent=indent).encode()
    assert [json.loads(piece) for piece in cut(text, *cuts)] == found


def test_one_object_alone_is_one() -> None:
    assert cut(b' {"a": "}\\"{"} ', 4, 8, 9, 10) == [b'{"a": "}\\"{"}']


def test_a_text_byte_by_byte_is_the_same() -> None:
    text = b'[{"a":[{}]},\n{"b":"\\\\"}]'
    assert cut(text, *range(len(text))) == cut(text)


@pytest.mark.parametrize(
    "text",
    [b"", b" ", b"[", b"[{}", b"[{}] {}", b"[{},]", b"[,{}]", b"[{} {}]", b"[1]", b'["a"]', b"nul",
     b"{}{}", b"[[{}]]", b"]", b'[{"a]', b"\xef\xbb\xbf[]", b"<xml/>"],
)  # fmt: skip
def test_what_is_no_array_of_objects_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedInstance):
        cut(text)


def test_what_is_pending_is_counted() -> None:
    cutter = ObjectCutter()
    cutter.feed(b' [{"a": ')
    assert cutter.pending == 6
    cutter.feed(b'"x"}, ')
    assert cutter.pending == 0
