"""The sealer against itself in any cut, and against the format's reference where it is there."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vna.crypto.envelope import Core, header_for, open_header, seal_header, wrap
from vna.crypto.records import open_record, seal_record
from vna.crypto.stream import ROOM_SIZE, Cut, PayloadOpener, Sealer, open_meta, open_trailer, scrub
from vna.errors import Corrupt, TooLarge

SHARED = Path(os.environ.get("SHARED_SAMPLES", Path(__file__).parents[3] / "shared"))
KEK = bytes(range(32))
DEK = bytes(range(32, 64))
NONCE = bytes(12)
CORE = Core(
    blob_id=b"B" * 16, archive_id=b"A" * 16, key_id=b"K" * 16, key_version=3, created_us=7,
    store_id=b"S" * 16,
)  # fmt: skip
SIZES = st.sampled_from([0, 1, 65535, 65536, 65537, 131072, 196607, 1_300_000]) | st.integers(
    0, 300_000
)


def seal(pieces: list[bytes], meta: bytes) -> bytes:
    header, keys = header_for(CORE, KEK, dek=DEK, nonce=NONCE)
    out = bytearray()
    sealer = Sealer(header, keys, out.extend, bytearray(ROOM_SIZE))
    for piece in pieces:
        sealer.feed(piece)
    sealer.finish(meta)
    return bytes(out)


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """The runnable reference of the format, when the shared folder is there."""
    path = SHARED / "design" / "vnb_reference.py"
    if not path.is_file():
        pytest.skip("the reference of the format is not on this machine")
    spec = importlib.util.spec_from_file_location("vnb_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@settings(max_examples=40, deadline=None)
@given(size=SIZES, cuts=st.lists(st.integers(0, 1_300_000), max_size=8))
def test_a_payload_in_any_pieces_gives_the_same_file(size: int, cuts: list[int]) -> None:
    payload = os.urandom(size)
    places = sorted({0, size, *(cut % (size + 1) for cut in cuts)})
    pieces = [payload[a:b] for a, b in zip(places, [*places[1:], size], strict=True)]

    assert seal(pieces, b"{}") == seal([payload], b"{}")


def test_a_payload_byte_by_byte_gives_the_same_file() -> None:
    payload = os.urandom(65_600)

    assert seal([payload[i : i + 1] for i in range(len(payload))], b"{}") == seal([payload], b"{}")


@pytest.mark.parametrize("view", [bytes, bytearray, memoryview, lambda b: memoryview(b).cast("H")])
def test_any_buffer_is_taken(view: Any) -> None:
    payload = os.urandom(70_000)

    assert seal([view(payload)], b"{}") == seal([payload], b"{}")


@settings(max_examples=25, deadline=None)
@given(size=SIZES, meta=st.dictionaries(st.text(max_size=5), st.integers(), max_size=5))
def test_the_reference_reads_what_we_write_and_writes_the_same(
    reference: ModuleType, size: int, meta: dict[str, int]
) -> None:
    payload = os.urandom(size)
    core = CORE.pack()
    theirs = reference.seal(KEK, core, DEK, NONCE, payload, meta)
    header = theirs[:256]
    keys = open_header(header, KEK)
    trailer = open_trailer(keys.meta, theirs[-136:], len(theirs))
    sealed = theirs[trailer.meta_offset : trailer.meta_offset + trailer.meta_size]

    ours = seal([payload], open_meta(keys.meta, sealed))

    assert ours == theirs
    assert reference.read_all(lambda *_: KEK, ours) == (payload, meta)
    reference.scrub(ours)


@settings(max_examples=60, deadline=None)
@given(size=SIZES, offset=st.integers(0, 1_400_000), length=st.integers(0, 1_400_000))
def test_a_cut_holds_exactly_the_segments_of_its_range(size: int, offset: int, length: int) -> None:
    payload = bytes(range(251)) * (size // 251 + 1)
    payload = payload[:size]
    file = seal([payload], b"{}")
    opener = PayloadOpener(open_header(file[:256], KEK).payload)

    cut = Cut.of(size, offset, length)
    sealed = file[cut.start : cut.start + cut.size]

    assert (
        opener.open(sealed, cut, memoryview(bytearray(cut.size)))
        == payload[offset : offset + length]
    )
    assert cut.size <= length + 2 * 65552 + (length // 65536 + 1) * 16


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_scrub_takes_a_file_in_any_pieces(data: st.DataObject) -> None:
    file = seal([os.urandom(data.draw(st.integers(0, 70_000)))], b"{}")
    size = data.draw(st.sampled_from([1, 7, 135, 136, 137, 1000, 1 << 20]))
    if len(file) // size > 3000:
        size = 1000
    pieces = [file[i : i + size] for i in range(0, len(file), size)]

    scrub(pieces, len(file))

    at = data.draw(st.integers(0, len(file) - 1))
    broken = bytearray(file)
    broken[at] ^= 0x10
    with pytest.raises(Corrupt):
        scrub([bytes(broken[i : i + size]) for i in range(0, len(file), size)], len(file))


def test_two_blobs_of_one_payload_share_nothing() -> None:
    (one, one_keys), (two, two_keys) = seal_header(CORE, KEK), seal_header(CORE, KEK)

    assert one[128:] != two[128:]
    assert one_keys.payload != two_keys.payload
    assert open_header(one, KEK) == one_keys
    assert open_header(one[:220], KEK) == one_keys


def test_a_wrap_that_opens_but_was_not_committed_to_is_refused() -> None:
    header, _ = seal_header(CORE, KEK)
    packed = CORE.pack()
    forged = packed + wrap(KEK, bytes(32), b"VNB1 wrap" + packed, NONCE) + header[188:]

    with pytest.raises(Corrupt, match="commitment"):
        open_header(forged, KEK)


def test_keys_of_a_blob_do_not_show() -> None:
    _, keys = seal_header(CORE, KEK)

    assert repr(keys) == "Subkeys()"


def test_a_meta_past_its_cap_is_refused_before_anything_is_sealed() -> None:
    header, keys = seal_header(CORE, KEK)
    sealer = Sealer(header, keys, lambda _: None, bytearray(ROOM_SIZE))

    with pytest.raises(TooLarge):
        sealer.finish(bytes((16 << 20) + 1))


def test_an_id_that_is_no_id_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Core(
            blob_id=b"short", archive_id=b"A" * 16, key_id=b"K" * 16, key_version=1, created_us=1,
            store_id=b"S" * 16,
        ).pack()  # fmt: skip


def test_a_record_opens_under_its_label_only() -> None:
    sealed = seal_record(KEK, b"one", b"data", b"aad")

    assert open_record(KEK, b"one", sealed, b"aad") == b"data"
    with pytest.raises(Corrupt):
        open_record(KEK, b"two", sealed, b"aad")
