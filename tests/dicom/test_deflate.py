"""Inflating: any pieces, a cap on real bytes, and an end that must be there."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import factories as f
from vna.config import Limits
from vna.dicom.deflate import Inflater
from vna.dicom.scan import Scanner
from vna.errors import MalformedInstance, TooLarge

LIMITS = Limits()


def inflate(data: bytes, step: int, limits: Limits = LIMITS) -> bytes:
    """Inflate in steps."""
    inflater = Inflater(limits)
    steps = range(0, len(data), step)
    out = b"".join(b"".join(inflater.feed(data[i : i + step])) for i in steps)
    inflater.finish()
    return out


@given(st.binary(max_size=5000), st.integers(1, 5000))
def test_any_pieces_inflate(data: bytes, step: int) -> None:
    assert inflate(f.deflate(data), step) == data


def test_the_end_must_be_there() -> None:
    packed = f.deflate(bytes(range(256)) * 20)
    for cut in (1, len(packed) // 2, len(packed) - 3):
        with pytest.raises(MalformedInstance):
            inflate(packed[:cut], 64)


@pytest.mark.parametrize("data", [b"\xff" * 40, b"\0\1\2\3\4\5\6\7"])
def test_rubbish_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedInstance):
        inflate(data, 3)


def test_bytes_behind_the_end_are_noted_unless_they_are_padding() -> None:
    packed = f.deflate(b"data set")
    for rest, noted in ((b"", False), (b"\0\0", False), (b"junk", True)):
        for step in (1, 1000):
            inflater = Inflater(LIMITS)
            whole = packed + rest
            for i in range(0, len(whole), step):
                list(inflater.feed(whole[i : i + step]))
            assert inflater.trailing == noted


@pytest.mark.parametrize("setting", ["object_bytes", "inflate_bytes"])
def test_the_cap_holds_at_the_byte(setting: str) -> None:
    packed = f.deflate(bytes(range(256)) * 1000)
    for limit, fits in ((256_000, True), (255_999, False)):
        limits = dataclasses.replace(LIMITS, **{setting: limit})
        for step in (100, len(packed)):
            if fits:
                assert len(inflate(packed, step, limits)) == 256_000
            else:
                with pytest.raises(TooLarge):
                    inflate(packed, step, limits)


def test_the_ratio_holds_at_the_byte() -> None:
    data = bytes(range(256)) * 1000
    packed = f.deflate(data)
    ratio = -(-len(data) // len(packed))
    for allowed, fits in ((ratio, True), (ratio - 1, False)):
        limits = dataclasses.replace(LIMITS, inflate_ratio=allowed, head_bytes=0)
        if fits:
            assert inflate(packed, len(packed), limits) == data
        else:
            with pytest.raises(TooLarge):
                inflate(packed, len(packed), limits)


def test_a_small_blank_instance_is_no_bomb() -> None:
    packed = f.deflate(bytes(512 * 512 * 2))
    assert len(packed) * LIMITS.inflate_ratio < 512 * 512 * 2
    assert len(inflate(packed, len(packed))) == 512 * 512 * 2


@pytest.mark.parametrize("step", [512, 1 << 20])
def test_a_bomb_is_refused_before_memory_is_taken(step: int) -> None:
    bomb = f.deflate_bomb(64 << 20)
    scanner = Scanner(f.DEFLATED, LIMITS, json=lambda _: None)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            deque(map(scanner.feed, (bomb[i : i + step] for i in range(0, len(bomb), step))))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
