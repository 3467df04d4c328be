"""What goes in comes out, authenticated; what was changed does not."""

from __future__ import annotations

import datetime
import errno
import fcntl
import os
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.blobs.conftest import ARCHIVE, ROOT
from vna.blobs.backends import Backend, get, put
from vna.blobs.files import Files
from vna.blobs.keys import StudyKey
from vna.blobs.layout import blob_name, created_at, day_of, uuid7
from vna.blobs.local import LocalBackend
from vna.blobs.store import BlobStore, StoredBlob
from vna.crypto.envelope import open_header_with
from vna.crypto.keyring import Keyring, RootKey
from vna.crypto.stream import META_MAX
from vna.errors import (
    ConfigError,
    Corrupt,
    Gone,
    NotFound,
    TooLarge,
    Unavailable,
    VNAError,
    WrongKey,
)

SEGMENT = 65536
META = b'{"v":1}'


def save(store: BlobStore, payload: bytes, meta: bytes = META, study: str = "1.2.3") -> StoredBlob:
    with store.writer(store.keys.for_study(study)) as writer:
        writer.write(payload)
        return writer.finish(meta)


def path_of(folder: Path, blob: StoredBlob) -> Path:
    return folder / blob_name(blob.blob_id)


def test_a_blob_is_read_back_by_its_id_alone(store: BlobStore) -> None:
    payload = os.urandom(200_000)

    blob = save(store, payload)
    reader = store.reader(blob.blob_id)

    assert reader.read(0, 200_000) == payload
    assert b"".join(reader.chunks(size=SEGMENT)) == payload
    assert reader.meta() == META
    reader.verify()
    for name in ("blob_id", "header", "key_id", "key_version", "created_us", "payload_len",
                 "payload_sha256", "size", "checksum"):  # fmt: skip
        assert getattr(reader, name) == getattr(blob, name), name
    assert (reader.kind, len(blob.header)) == (1, 220)


def test_a_range_needs_only_what_the_index_holds(store: BlobStore) -> None:
    payload = os.urandom(200_000)
    blob = save(store, payload)

    got = store.read_range(blob.blob_id, blob.header, blob.payload_len, 65_500, 70_000)

    assert got == payload[65_500:135_500]
    streamed = store.chunks(blob.blob_id, blob.header, blob.payload_len, 10, 190_000, size=SEGMENT)
    assert b"".join(streamed) == payload[10:190_010]


@pytest.mark.parametrize("size", [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 3_000_000])
def test_every_size_around_a_segment_verifies(store: BlobStore, size: int) -> None:
    payload = os.urandom(size)

    blob = save(store, payload)

    store.check(blob.blob_id, keyed=False)
    store.check(blob.blob_id, keyed=True)
    assert store.read_range(blob.blob_id, blob.header, size, 0, size) == payload


def test_the_same_object_twice_has_no_bytes_in_common(local: BlobStore, folder: Path) -> None:
    payload = bytes(SEGMENT) * 2  # nothing could be more alike

    files = [path_of(folder, save(local, payload)).read_bytes() for _ in range(2)]

    sealed = [{file[at : at + 16] for at in range(256, 256 + len(payload), 16)} for file in files]
    assert not sealed[0] & sealed[1]
    assert len(sealed[0]) == len(payload) // 16  # nor has one with itself


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    size=st.sampled_from([0, 5, SEGMENT, SEGMENT + 1, 5 * SEGMENT - 1, 1_200_000]),
    data=st.data(),
)
def test_any_range_of_any_cut_equals_the_slice(
    local: BlobStore, size: int, data: st.DataObject
) -> None:
    payload = os.urandom(size)
    around = st.integers(0, size + 10) | st.integers(0, size // SEGMENT + 1).flatmap(
        lambda n: st.integers(max(0, n * SEGMENT - 2), n * SEGMENT + 2)
    )
    with local.writer(local.keys.for_study("1.2.3")) as writer:
        rest = memoryview(payload)
        while rest:
            take = data.draw(st.sampled_from([1, 7, 4096, SEGMENT - 1, SEGMENT, 131_072, 500_000]))
            take = max(take, len(rest) // 50)
            writer.write(rest[:take])
            rest = rest[take:]
        blob = writer.finish(META)
    reader = local.reader(blob.blob_id)

    for _ in range(6):
        start, length = data.draw(around), data.draw(around)
        expected = payload[start : start + length]
        assert reader.read(start, length) == expected
        assert local.read_range(blob.blob_id, blob.header, size, start, length) == expected
        assert b"".join(local.chunks(blob.blob_id, blob.header, size, start, length)) == expected
    local.delete(blob.blob_id)


def test_an_unfinished_blob_leaves_nothing(store: BlobStore) -> None:
    with store.writer(store.keys.for_study("1.2.3")) as writer:
        writer.write(bytes(500_000))

    assert list(store.blob_ids()) == []
    with pytest.raises(ValueError, match="dropped, not open"):
        writer.write(b"more")
    with pytest.raises(NotFound):
        store.reader(writer.blob_id)


def test_nothing_can_be_added_to_a_finished_blob(store: BlobStore, key: StudyKey) -> None:
    writer = store.writer(key)
    blob = writer.finish(META)

    with pytest.raises(ValueError, match="settled, not open"):
        writer.finish(META)
    with pytest.raises(ValueError, match="settled, not open"):
        writer.write(b"more")
    writer.abort()

    store.check(blob.blob_id, keyed=True)


def test_a_sealed_blob_is_nowhere_before_it_is_settled(store: BlobStore, key: StudyKey) -> None:
    writer = store.writer(key)
    with pytest.raises(ValueError, match="open, not sealed"):
        writer.settle()
    blob = writer.seal(META)
    assert list(store.blob_ids()) == []
    with pytest.raises(ValueError, match="sealed, not open"):
        writer.write(b"more")
    writer.settle()
    writer.settle()
    assert list(store.blob_ids()) == [blob.blob_id]
    store.check(blob.blob_id, keyed=True)


def test_a_sealed_blob_may_still_be_dropped(store: BlobStore, key: StudyKey) -> None:
    with store.writer(key) as writer:
        writer.seal(META)
    assert list(store.blob_ids()) == []
    with pytest.raises(ValueError, match="dropped, not sealed"):
        writer.settle()


def test_ids_are_walked_and_begin_at_a_day(store: BlobStore) -> None:
    blobs = {save(store, b"x").blob_id for _ in range(5)}
    today = day_of(min(blobs))

    assert set(store.blob_ids()) == blobs
    assert set(store.blob_ids(since=today)) == blobs
    assert list(store.blob_ids(since=today + datetime.timedelta(days=2))) == []


def test_the_folders_of_a_day_are_made_beforehand(local: BlobStore, folder: Path) -> None:
    local.make_ready()
    local.make_ready()
    blob = save(local, b"x" * 10)
    day = path_of(folder, blob).parent.parent
    assert len(list(day.iterdir())) == 256
    assert list(local.blob_ids()) == [blob.blob_id]


def test_a_deleted_blob_is_gone(store: BlobStore) -> None:
    blob = save(store, b"x")

    store.delete(blob.blob_id)
    store.delete(blob.blob_id)

    assert list(store.blob_ids()) == []
    with pytest.raises(NotFound):
        store.read_range(blob.blob_id, blob.header, 1, 0, 1)


def test_a_data_key_is_handed_out_for_its_own_blob_alone(store: BlobStore) -> None:
    one, two = save(store, b"hello"), save(store, b"world")

    key = store.data_key(one.blob_id, one.header)

    open_header_with(one.header, key)
    with pytest.raises(Corrupt):
        open_header_with(two.header, key)
    with pytest.raises(Corrupt, match="another"):
        store.data_key(one.blob_id, two.header)
    store.keys.destroy(one.key_id)
    with pytest.raises(Gone):
        store.data_key(one.blob_id, one.header)


def test_a_scrub_needs_no_key_and_a_check_with_keys_does(store: BlobStore) -> None:
    blob = save(store, b"hello")
    for keyed in (False, True):
        store.check(blob.blob_id, keyed=keyed)

    store.keys.destroy(blob.key_id)

    store.check(blob.blob_id, keyed=False)
    with pytest.raises(Gone):
        store.check(blob.blob_id, keyed=True)


def test_a_damaged_header_heals_from_its_copy(local: BlobStore, folder: Path) -> None:
    blob = save(local, b"hello")
    file = bytearray(path_of(folder, blob).read_bytes())
    file[:256] = bytes(256)
    path_of(folder, blob).write_bytes(file)

    reader = local.reader(blob.blob_id)

    assert reader.read(0, 5) == b"hello"
    assert reader.header == blob.header
    with pytest.raises(Corrupt):
        local.check(blob.blob_id, keyed=False)


def test_every_flipped_bit_is_found_and_none_is_served(local: BlobStore, folder: Path) -> None:
    blob = save(local, b"hello")
    path = path_of(folder, blob)
    whole = path.read_bytes()
    for offset in range(len(whole)):  # all bits of a file: see tests/crypto/test_vectors.py
        file = bytearray(whole)
        file[offset] ^= 1 << (offset & 7)
        path.write_bytes(file)
        with pytest.raises(Corrupt):
            local.check(blob.blob_id, keyed=False)
        try:
            assert local.reader(blob.blob_id).read(0, 5) == b"hello"
        except Corrupt:
            continue


def test_every_truncation_is_refused(local: BlobStore, folder: Path) -> None:
    blob = save(local, b"hello")
    path = path_of(folder, blob)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(Corrupt):
            local.reader(blob.blob_id)
        with pytest.raises(Corrupt):
            local.check(blob.blob_id, keyed=False)


def test_trailing_bytes_are_refused(local: BlobStore, folder: Path) -> None:
    blob = save(local, b"hello")
    with path_of(folder, blob).open("ab") as file:
        file.write(b"\0")

    with pytest.raises(Corrupt):
        local.reader(blob.blob_id)
    with pytest.raises(Corrupt):
        local.check(blob.blob_id, keyed=False)


def test_an_exchanged_file_is_refused_everywhere(local: BlobStore, folder: Path) -> None:
    blob, other = save(local, b"hello"), save(local, b"world")
    path_of(folder, blob).write_bytes(path_of(folder, other).read_bytes())

    with pytest.raises(Corrupt, match="another's name"):
        local.reader(blob.blob_id)
    with pytest.raises(Corrupt, match="another's name"):
        local.check(blob.blob_id, keyed=False)
    with pytest.raises(Corrupt, match="Segment 0"):
        local.read_range(blob.blob_id, blob.header, 5, 0, 5)
    with pytest.raises(Corrupt, match="another blob's"):
        local.read_range(blob.blob_id, other.header, 5, 0, 5)


def test_a_wrong_length_from_the_index_is_refused(store: BlobStore) -> None:
    blob = save(store, b"hello")

    for wrong in (4, 6, SEGMENT + 1):
        with pytest.raises(Corrupt):
            store.read_range(blob.blob_id, blob.header, wrong, 0, wrong)
    with pytest.raises(ValueError, match="negative"):
        store.read_range(blob.blob_id, blob.header, 5, -1, 2)


def test_a_header_changed_in_the_index_is_refused(store: BlobStore) -> None:
    blob = save(store, b"hello")
    for offset in range(220):
        header = bytearray(blob.header)
        header[offset] ^= 1
        with pytest.raises((Corrupt, NotFound)):
            store.read_range(blob.blob_id, bytes(header), 5, 0, 5)


def test_a_blob_without_its_key_is_gone(store: BlobStore, backend: Backend) -> None:
    blob = save(store, b"hello")
    store.keys.destroy(blob.key_id)

    with BlobStore.open(backend, Keyring(ROOT, ARCHIVE)) as fresh, pytest.raises(Gone):
        fresh.reader(blob.blob_id)


def test_a_disk_that_is_not_mounted_loses_nothing(local: BlobStore, folder: Path) -> None:
    blob = save(local, b"hello")
    folder.rename(folder.with_name("elsewhere"))
    folder.mkdir()

    with pytest.raises(Unavailable):
        local.reader(blob.blob_id)
    with pytest.raises(Unavailable):
        local.read_range(blob.blob_id, blob.header, 5, 0, 5)
    with pytest.raises(Unavailable):
        local.check(blob.blob_id, keyed=False)
    with pytest.raises(Unavailable):
        local.keys.open(uuid7(), 1)


@pytest.mark.parametrize("sized", [True, False])
def test_a_compressed_meta_is_inflated(store: BlobStore, sized: bool) -> None:
    text = b'{"v":1,"x":"' + b"y" * 200_000 + b'"}'
    frame = zstandard.ZstdCompressor(write_content_size=sized).compress(text)

    assert store.reader(save(store, b"", frame).blob_id).meta() == text


def test_a_meta_at_its_cap_is_kept_and_one_past_it_refused(local: BlobStore) -> None:
    blob = save(local, b"x", b" " * META_MAX)

    assert len(local.reader(blob.blob_id).meta()) == META_MAX
    local.check(blob.blob_id, keyed=False)
    with pytest.raises(TooLarge):
        save(local, b"x", b" " * (META_MAX + 1))
    assert list(local.blob_ids()) == [blob.blob_id]


@pytest.mark.parametrize("sized", [True, False])
def test_a_meta_that_inflates_past_its_cap_is_refused_before_memory_is_taken(
    local: BlobStore, sized: bool
) -> None:
    compressor = zstandard.ZstdCompressor(level=1, write_content_size=sized)
    bomb = compressor.compress(bytes((256 << 20) + 1))
    assert len(bomb) < 1 << 16

    def keep_and_read() -> None:
        blob = save(local, b"x", bomb)  # a frame that names its size is refused here already
        local.reader(blob.blob_id).meta()

    with pytest.raises(TooLarge):
        keep_and_read()


def test_a_damaged_frame_of_meta_is_corrupt(local: BlobStore) -> None:
    frame = zstandard.ZstdCompressor().compress(b"x" * 1000)
    for broken in (frame[:-3], frame + b"x"):
        blob = save(local, b"x", broken)
        with pytest.raises(Corrupt):
            local.reader(blob.blob_id).meta()


def test_init_is_repeated_without_effect(backend: Backend) -> None:
    BlobStore.init(backend, ARCHIVE, ROOT, escrow_key="age1example")
    before = BlobStore.describe(backend)
    names = list(backend.list("k/"))

    BlobStore.init(backend, ARCHIVE, ROOT)

    assert BlobStore.describe(backend) == before
    assert before.escrow_key == "age1example"
    assert list(backend.list("k/")) == names
    assert len(names) == 1


def test_the_store_of_another_archive_is_refused(store: BlobStore, backend: Backend) -> None:
    with pytest.raises(ConfigError, match="another archive"):
        BlobStore.init(backend, uuid7(), ROOT)
    with pytest.raises(ConfigError, match="another archive"):
        BlobStore.open(backend, Keyring(ROOT, uuid7()))


def test_another_root_key_does_not_open_a_store(store: BlobStore, backend: Backend) -> None:
    other = RootKey(bytes(32), "file")

    with pytest.raises(WrongKey):
        BlobStore.open(backend, Keyring(other, ARCHIVE))
    with pytest.raises(WrongKey):
        BlobStore.init(backend, ARCHIVE, other)


def test_a_store_that_is_not_set_up_says_so(backend: Backend) -> None:
    with pytest.raises(ConfigError, match="vna init"):
        BlobStore.open(backend, Keyring(ROOT, ARCHIVE))


def test_blobs_without_archive_json_are_not_taken_over(store: BlobStore, backend: Backend) -> None:
    save(store, b"x")
    backend.delete("archive.json")

    with pytest.raises(ConfigError, match=r"no archive\.json"):
        BlobStore.init(backend, ARCHIVE, ROOT)


def test_a_damaged_archive_key_is_named(store: BlobStore, backend: Backend) -> None:
    (name,) = backend.list("k/archive/")
    whole = get(backend, name, 4096)
    backend.delete(name)
    put(backend, name, whole[:20])
    with pytest.raises(Corrupt, match=f"The archive key {name} is damaged"):
        BlobStore.open(backend, Keyring(ROOT, ARCHIVE))


def test_a_store_without_archive_key_is_refused(store: BlobStore, backend: Backend) -> None:
    for name in list(backend.list("k/archive/")):
        backend.delete(name)

    with pytest.raises(ConfigError, match="archive key"):
        BlobStore.open(backend, Keyring(ROOT, ARCHIVE))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format":"VNB2"}', '{"format":"VNB1","archive_id":3}']
)
def test_a_broken_archive_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "archive.json").write_text(text)

    with pytest.raises(ConfigError):
        BlobStore.describe(tmp_path)


@pytest.mark.parametrize("url", ["ftp://x/y", "http://x/y", "s3://"])
def test_a_url_that_is_no_blob_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        BlobStore.describe(url)


def test_ids_only_grow_and_tell_their_time() -> None:
    ids = [uuid7() for _ in range(5000)]

    assert ids == sorted(set(ids))
    assert all(i[6] >> 4 == 7 and i[8] >> 6 == 2 for i in ids)
    age = datetime.datetime.now(datetime.UTC) - created_at(ids[0])
    assert abs(age) < datetime.timedelta(minutes=1)
    assert day_of(b"\xff" * 16) == datetime.date(9999, 12, 31)


def test_secrets_do_not_show(store: BlobStore, key: StudyKey) -> None:
    shown = repr([key, store.keyring, ROOT, store.keyring.current])

    for secret in (key.key, store.keyring.current.key, bytes(range(32))):
        assert secret.hex() not in shown
        assert repr(secret) not in shown


def test_errors_of_a_closed_seam_are_ours(local: BlobStore, folder: Path) -> None:
    blob = save(local, b"x")
    path_of(folder, blob).unlink()
    path_of(folder, blob).mkdir()

    with pytest.raises(VNAError):
        local.reader(blob.blob_id)


def flags(folder: Path) -> int | None:
    """Read the flags of a folder; None where the file system has none."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        answer = fcntl.ioctl(fd, 0x80086601, bytes(8))  # FS_IOC_GETFLAGS
    except OSError:
        return None
    finally:
        os.close(fd)
    return int.from_bytes(answer[:4], "little")


def test_parts_of_processes_lie_apart_where_the_file_system_can(tmp_path: Path) -> None:
    before = flags(tmp_path)
    backend = LocalBackend(str(tmp_path / "blobs"), Files())
    backend.prepare()

    backend.create("b/x/y.vnb").abort()

    tops = 0x00020000
    after = flags(tmp_path / "blobs" / "tmp")
    is_ext = before is not None and before & 0x00080000  # EXT4_EXTENTS_FL: every folder of ext4
    assert after is None or bool(after & tops) or not is_ext


class Plain(Files):
    """A file system that knows no such flag."""

    def scatter(self, fd: int) -> None:
        raise OSError(errno.ENOTTY, "not that sort of file system")


def test_a_file_system_that_cannot_scatter_stores_all_the_same(tmp_path: Path) -> None:
    backend = LocalBackend(str(tmp_path / "blobs"), Plain())
    backend.prepare()
    backend.make_ready(["b/x"])

    part = backend.create("b/x/y.vnb")
    part.write(b"bytes")
    part.commit()

    assert backend.read("b/x/y.vnb", 0, 5) == b"bytes"
