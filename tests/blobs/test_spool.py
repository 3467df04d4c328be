"""Bytes put aside come back as they were, and are noise on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vna.blobs import spool as spools
from vna.blobs.spool import BLOCK, MEMORY_BYTES, Spool
from vna.errors import Corrupt, Unavailable

BYTES = os.urandom(4 << 20)


@given(
    st.lists(st.integers(0, 3 * BLOCK) | st.just(MEMORY_BYTES), max_size=8),
    st.lists(st.tuples(st.integers(0, 3 << 20), st.integers(0, 3 << 20)), max_size=4),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_range_comes_back(
    tmp_path: Path, pieces: list[int], ranges: list[tuple[int, int]]
) -> None:
    spool = Spool(tmp_path)
    whole = b""
    for size in pieces:
        piece = BYTES[: size % len(BYTES)]
        spool.append(memoryview(piece))
        whole += piece
        assert spool.read(max(0, len(whole) - 10), 10) == whole[-10:]
    assert spool.size == len(whole)
    for offset, length in ranges:
        assert spool.read(offset, length) == whole[offset : offset + length]
        assert b"".join(spool.chunks(offset, length)) == whole[offset : offset + length]
    spool.close()


def test_the_file_has_no_name_and_holds_no_plaintext(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    marker = b"what nobody may read " * 100_000
    spool.append(marker)
    assert list(tmp_path.iterdir()) == []
    files = [Path(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    ours = [f for f in files if f.exists() and os.readlink(f).startswith(f"{tmp_path}/")]
    ours += [f for f in files if str(tmp_path) in _target(f)]
    assert ours
    for file in ours:
        assert marker[:21] not in file.read_bytes()
    spool.close()


def _target(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:  # the folder's own handle is gone by now
        return ""


def test_little_needs_no_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "absent")
    spool.append(bytes(MEMORY_BYTES))
    assert spool.read(0, MEMORY_BYTES) == bytes(MEMORY_BYTES)
    with pytest.raises(Unavailable):
        spool.append(b"x")
    spool.close()


def test_what_was_changed_on_the_disk_is_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "visible"
    monkeypatch.setattr(spools.tempfile, "TemporaryFile", lambda **_: path.open("w+b", buffering=0))
    spool = Spool(tmp_path)
    spool.append(bytes(2 * MEMORY_BYTES))
    raw = bytearray(path.read_bytes())
    raw[BLOCK + 100] ^= 1
    path.write_bytes(raw)
    assert spool.read(0, BLOCK) == bytes(BLOCK)
    with pytest.raises(Corrupt):
        spool.read(BLOCK, 10)
    spool.close()
    with pytest.raises(Corrupt):
        spool._block(0)


def test_a_closed_spool_is_empty(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(bytes(2 * MEMORY_BYTES))
    spool.close()
    assert spool.size == 0
    assert spool.read(0, 10) == b""
