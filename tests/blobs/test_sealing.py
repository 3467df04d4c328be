"""Sealed index JSON: opens only under its key, for its blob, unchanged."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vna.blobs.keys import StudyKey
from vna.blobs.layout import uuid7
from vna.blobs.sealing import DERIVER_VERSION, open_json, seal_json
from vna.errors import Corrupt

KEY = StudyKey(key_id=bytes(16), version=1, key=bytes(range(32)))
BLOB = uuid7()


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=5000))
def test_what_was_sealed_opens(data: bytes) -> None:
    sealed = seal_json(KEY, BLOB, data)

    assert sealed[0] == DERIVER_VERSION
    assert open_json(KEY, BLOB, sealed) == data


def test_the_same_json_never_looks_the_same() -> None:
    assert seal_json(KEY, BLOB, b"{}") != seal_json(KEY, BLOB, b"{}")


def test_another_blob_key_or_version_does_not_open_it() -> None:
    sealed = seal_json(KEY, BLOB, b"{}")
    other = StudyKey(key_id=bytes(16), version=1, key=bytes(32))

    for key, blob_id, data in (
        (other, BLOB, sealed),
        (KEY, uuid7(), sealed),
        (KEY, BLOB, b"\x02" + sealed[1:]),
    ):
        with pytest.raises(Corrupt):
            open_json(key, blob_id, data)


def test_every_change_and_truncation_is_refused() -> None:
    sealed = seal_json(KEY, BLOB, b'{"00100010":{}}')

    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        for data in (bytes(changed), sealed[:at]):
            with pytest.raises(Corrupt):
                open_json(KEY, BLOB, data)
