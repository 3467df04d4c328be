"""Metrics on a full disk: counted in memory, never the end of a process."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from vna.telemetry import RoomyDict


def full(handle: int, start: int, length: int) -> None:  # as posix_fallocate
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[RoomyDict]:
    with closing(RoomyDict(str(tmp_path / "counter_1.db"))) as found:
        yield found


@pytest.mark.usefixtures("kept")
def test_the_room_of_a_file_is_taken_when_it_is_opened(tmp_path: Path) -> None:
    about = (tmp_path / "counter_1.db").stat()
    assert about.st_blocks * 512 >= about.st_size > 0


def test_it_is_taken_before_the_file_grows(kept: RoomyDict, tmp_path: Path) -> None:
    for number in range(2000):
        kept.write_value(f"metric {number:040}", float(number), 0.0)
    about = (tmp_path / "counter_1.db").stat()
    assert about.st_blocks * 512 >= about.st_size > 1 << 16
    found = list(RoomyDict.read_all_values_from_file(str(tmp_path / "counter_1.db")))
    assert [value for _, value, _, _ in found] == [float(number) for number in range(2000)]


def test_without_room_it_counts_in_memory_and_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", full)
    with closing(RoomyDict(str(tmp_path / "counter_1.db"))) as kept:
        kept.write_value("metric", 3.0, 0.0)
        assert kept.read_value("metric") == (3.0, 0.0)
    assert list(tmp_path.iterdir()) == []  # one without a head could not be read by the others


def test_a_file_that_cannot_grow_goes_on_in_memory(
    monkeypatch: pytest.MonkeyPatch, kept: RoomyDict, tmp_path: Path
) -> None:
    kept.write_value("metric", 3.0, 0.0)
    monkeypatch.setattr(os, "posix_fallocate", full)
    size = (tmp_path / "counter_1.db").stat().st_size
    for number in range(2000):
        kept.write_value(f"metric {number:040}", float(number), 0.0)
    assert kept.read_value("metric") == (3.0, 0.0)
    assert kept.read_value(f"metric {1999:040}") == (1999.0, 0.0)
    assert (tmp_path / "counter_1.db").stat().st_size == size
