"""VNB1 against its test vectors, and every single-bit flip and truncation of the smallest one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from vna.crypto.envelope import Core, header_for, open_header
from vna.crypto.stream import ROOM_SIZE, Cut, PayloadOpener, Sealer, open_meta, open_trailer, scrub
from vna.errors import Corrupt, VNAError, WrongKey

VECTORS = sorted((Path(__file__).parents[1] / "vectors" / "crypto").glob("*.json"))


def load(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


def payload_of(case: dict[str, Any]) -> bytes:
    if "payload_text" in case:
        return str(case["payload_text"]).encode()
    return bytes((7 * i + 3) & 255 for i in range(case["payload_pattern"]["length"]))


def core_of(case: dict[str, Any]) -> Core:
    return Core(
        blob_id=bytes.fromhex(case["blob_id"]),
        archive_id=bytes.fromhex(case["archive_id"]),
        key_id=bytes.fromhex(case["key_id"]),
        key_version=case["key_version"],
        created_us=case["created_us"],
        store_id=bytes.fromhex(case["store_id"]),
    )


def seal(case: dict[str, Any], pieces: list[bytes] | None = None) -> bytes:
    header, keys = header_for(
        core_of(case),
        bytes.fromhex(case["study_key"]),
        dek=bytes.fromhex(case["dek"]),
        nonce=bytes.fromhex(case["wrap_nonce"]),
    )
    out = bytearray()
    sealer = Sealer(header, keys, out.extend, bytearray(ROOM_SIZE))
    for piece in pieces if pieces is not None else [payload_of(case)]:
        sealer.feed(piece)
    sealed = sealer.finish(case["meta"].encode())
    assert sealed.size == len(out)
    assert sealed.checksum == bytes(out[-32:])
    return bytes(out)


def open_all(file: bytes, kek: bytes) -> tuple[bytes, bytes]:
    """Read a file as a reader must: header, or its copy; trailer; payload and digest; meta."""
    if len(file) < 680:
        raise Corrupt
    failure: VNAError = Corrupt()
    for header in (file[:256], file[-392:-136]):
        try:
            Core.unpack(header)
            keys = open_header(header, kek)
            trailer = open_trailer(keys.meta, file[-136:], len(file))
        except VNAError as exc:
            failure = exc
            continue
        cut = Cut.of(trailer.payload_len, 0, trailer.payload_len)
        sealed = file[cut.start : cut.start + cut.size]
        payload = PayloadOpener(keys.payload).open(sealed, cut, memoryview(bytearray(cut.size)))
        if hashlib.sha256(payload).digest() != trailer.payload_sha256:
            raise Corrupt
        end = trailer.meta_offset + trailer.meta_size
        return payload, open_meta(keys.meta, file[trailer.meta_offset : end])
    raise failure


@pytest.mark.parametrize("path", VECTORS, ids=lambda p: p.stem)
def test_a_sealed_file_is_the_vector_to_the_byte(path: Path) -> None:
    case = load(path)

    file = seal(case)

    assert len(file) == case["file_size"]
    assert hashlib.sha256(file).hexdigest() == case["file_sha256"]
    assert file[128:188].hex() == case["wrap"]
    assert file[188:220].hex() == case["commitment"]
    assert hashlib.sha256(file[:128]).hexdigest() == case["core_sha256"]
    if "segment_0" in case:
        assert file[256:277].hex() == case["segment_0"]
        assert file[-104:-32].hex() == case["sealed_trailer"]


@pytest.mark.parametrize("path", VECTORS, ids=lambda p: p.stem)
def test_a_vector_opens_to_its_payload_and_meta(path: Path) -> None:
    case = load(path)
    file = seal(case)

    keys = open_header(file[:256], bytes.fromhex(case["study_key"]))
    payload, meta = open_all(file, bytes.fromhex(case["study_key"]))

    assert (keys.payload.hex(), keys.meta.hex()) == (case["payload_key"], case["meta_key"])
    assert payload == payload_of(case)
    assert meta == case["meta"].encode()
    scrub([file], len(file))


def test_every_bit_flip_is_found_by_the_scrub_and_never_changes_what_is_read() -> None:
    case = load(next(path for path in VECTORS if path.stem == "v2-hello"))
    kek = bytes.fromhex(case["study_key"])
    file = seal(case)
    whole = (b"hello", case["meta"].encode())
    refused = healed = 0

    for bit in range(len(file) * 8):
        flipped = bytearray(file)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(Corrupt):
            scrub([flipped], len(flipped))
        try:
            assert open_all(bytes(flipped), kek) == whole
            healed += 1
        except Corrupt:
            refused += 1

    # both header copies and the keyless checksum heal or are not needed: 2 x 256 + 32 bytes
    assert (refused, healed) == (1312, 4352)


def test_every_truncation_is_refused() -> None:
    case = load(next(path for path in VECTORS if path.stem == "v2-hello"))
    kek = bytes.fromhex(case["study_key"])
    file = seal(case)

    for size in range(len(file)):
        with pytest.raises(Corrupt):
            open_all(file[:size], kek)
        with pytest.raises(Corrupt):
            scrub([file[:size]], size)


@pytest.mark.parametrize("extra", [b"\0", b"VNBT", bytes(136)])
def test_trailing_bytes_are_refused(extra: bytes) -> None:
    case = load(VECTORS[0])
    file = seal(case) + extra

    with pytest.raises(Corrupt):
        open_all(file, bytes.fromhex(case["study_key"]))
    with pytest.raises(Corrupt):
        scrub([file], len(file))


@pytest.mark.parametrize("back", [136, 136 + 256, 136 + 256 + 38])
def test_bytes_put_between_the_parts_are_refused(back: int) -> None:
    case = load(next(path for path in VECTORS if path.stem == "v2-hello"))
    file = seal(case)
    file = file[:-back] + b"inserted" + file[-back:]

    with pytest.raises(Corrupt):
        open_all(file, bytes.fromhex(case["study_key"]))


def test_swapped_segments_are_refused() -> None:
    case = load(next(path for path in VECTORS if path.stem == "v5-four-segments"))
    file = bytearray(seal(case))
    a, b, size = 256, 256 + 65552, 65552
    file[a : a + size], file[b : b + size] = file[b : b + size], file[a : a + size]

    with pytest.raises(Corrupt, match="Segment 0"):
        open_all(bytes(file), bytes.fromhex(case["study_key"]))


def test_another_key_is_named_as_such() -> None:
    file = seal(load(VECTORS[0]))

    with pytest.raises(WrongKey):
        open_all(file, bytes(32))


@pytest.mark.parametrize(
    ("offset", "value"), [(8, 2), (9, 2), (10, 17), (11, 0), (11, 5), (12, 2), (15, 1), (127, 1)]
)
def test_an_unknown_version_suite_type_or_flag_is_refused(offset: int, value: int) -> None:
    header = bytearray(core_of(load(VECTORS[0])).pack())
    header[offset] = value

    with pytest.raises(Corrupt):
        Core.unpack(bytes(header))
