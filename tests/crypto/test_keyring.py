"""Root keys and their providers, key objects, and what the wraps bind."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
from pathlib import Path

import pytest

from vna.crypto.keyring import KeyObject, Keyring, RootKey, make_root_key
from vna.errors import ConfigError, Corrupt, NotFound, WrongKey

ROOT = RootKey(bytes(range(32)), "file")
ARCHIVE = b"A" * 16


def keyring() -> Keyring:
    made = Keyring(ROOT, ARCHIVE)
    made.add(made.new_archive_key(key_id=b"K" * 16, created_us=1))
    return made


def study_object() -> KeyObject:
    return keyring_and_object()[1]


def keyring_and_object() -> tuple[Keyring, KeyObject, bytes]:
    ring = keyring()
    made, key = ring.new_study_key("1.2.3", key_id=b"S" * 16, created_us=1763000000000000)
    return ring, made, key


def test_a_new_root_key_is_read_back(tmp_path: Path) -> None:
    make_root_key(tmp_path / "keys" / "root.key")

    root = RootKey.file(tmp_path / "keys" / "root.key")

    assert (tmp_path / "keys" / "root.key").stat().st_mode & 0o777 == 0o400
    assert root.unwrap(root.wrap(b"x" * 32, b"aad"), b"aad") == b"x" * 32


def test_a_root_key_is_never_written_over(tmp_path: Path) -> None:
    make_root_key(tmp_path / "root.key")
    kept = (tmp_path / "root.key").read_bytes()

    with pytest.raises(ConfigError, match="already"):
        make_root_key(tmp_path / "root.key")

    assert (tmp_path / "root.key").read_bytes() == kept


@pytest.mark.parametrize("mode", [0o600, 0o440, 0o404, 0o700, 0o444])
def test_a_root_key_others_could_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    make_root_key(tmp_path / "root.key")
    (tmp_path / "root.key").chmod(mode)

    with pytest.raises(ConfigError, match="0400"):
        RootKey.file(tmp_path / "root.key")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_root_key_of_another_user_is_refused(tmp_path: Path) -> None:
    make_root_key(tmp_path / "root.key")
    os.chown(tmp_path / "root.key", 12345, -1)

    with pytest.raises(ConfigError, match="belong"):
        RootKey.file(tmp_path / "root.key")


def test_a_root_key_that_is_a_link_or_not_there_is_refused(tmp_path: Path) -> None:
    make_root_key(tmp_path / "root.key")
    (tmp_path / "link").symlink_to(tmp_path / "root.key")

    os.mkfifo(tmp_path / "fifo", 0o400)

    for path in (tmp_path / "link", tmp_path / "nothing", tmp_path, tmp_path / "fifo"):
        with pytest.raises(ConfigError):
            RootKey.file(path)


@pytest.mark.parametrize("text", [b"", b"short", base64.b64encode(bytes(31)), b"\xff" * 44])
def test_what_is_not_32_bytes_in_base64_is_no_root_key(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "root.key").write_bytes(text)
    (tmp_path / "root.key").chmod(0o400)

    with pytest.raises(ConfigError, match="32 bytes"):
        RootKey.file(tmp_path / "root.key")


def test_a_root_key_comes_from_the_environment_where_it_is_set() -> None:
    text = base64.b64encode(bytes(range(32))).decode()

    root = RootKey.env({"VNA_ROOT_KEY": text})

    assert root.unwrap(ROOT.wrap(b"x" * 32, b""), b"") == b"x" * 32
    with pytest.raises(ConfigError, match="not set"):
        RootKey.env({})


def test_secrets_do_not_show() -> None:
    ring, made, key = keyring_and_object()

    shown = f"{ROOT!r} {ring!r} {made!r} {ring.current!r}"

    assert shown.startswith("RootKey(file)")
    for secret in (key, ring.current.key, made.wrapped, bytes(range(32))):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown


def test_a_key_object_is_canonical_json_and_its_sha256() -> None:
    made = study_object()

    line, check, rest = made.encode().split(b"\n")

    values = json.loads(line)
    assert json.dumps(values, sort_keys=True, separators=(",", ":")).encode() == line
    assert check.decode() == hashlib.sha256(line + b"\n").hexdigest()
    assert rest == b""
    assert set(values) == {
        "v", "kind", "archive", "key_id", "version", "parent_version", "study_sha256", "wrapped",
        "created_us",
    }  # fmt: skip
    assert values["study_sha256"] == hashlib.sha256(b"1.2.3").hexdigest()
    assert len(base64.b64decode(values["wrapped"])) == 60
    assert KeyObject.decode(made.encode()) == made


def test_every_flipped_bit_and_truncation_of_a_key_object_is_refused() -> None:
    data = study_object().encode()

    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(Corrupt):
            KeyObject.decode(bytes(flipped))
    for size in range(len(data)):
        with pytest.raises(Corrupt):
            KeyObject.decode(data[:size])
    with pytest.raises(Corrupt):
        KeyObject.decode(data + b"\n")


@pytest.mark.parametrize(
    ("name", "value"),
    [("v", 2), ("kind", "root"), ("version", "1"), ("version", True), ("version", 1 << 32),
     ("archive", "00"), ("wrapped", "AAAA"), ("wrapped", 7), ("extra", 1), ("created_us", -1)],
)  # fmt: skip
def test_a_well_summed_object_with_wrong_values_is_refused(name: str, value: object) -> None:
    values = json.loads(study_object().encode().split(b"\n")[0])
    values[name] = value
    line = json.dumps(values, sort_keys=True, separators=(",", ":")).encode() + b"\n"

    with pytest.raises(Corrupt):
        KeyObject.decode(line + hashlib.sha256(line).hexdigest().encode() + b"\n")


@pytest.mark.parametrize(
    ("name", "value"),
    [("archive", b"B" * 16), ("key_id", b"X" * 16), ("parent_version", 2), ("kind", "archive")],
)
def test_the_wrap_binds_archive_key_parent_and_purpose(name: str, value: object) -> None:
    ring, made, key = keyring_and_object()
    assert ring.open_study_key(made) == key

    with pytest.raises(Corrupt):  # WrongKey is one
        ring.open_study_key(dataclasses.replace(made, **{name: value}))  # type: ignore[arg-type]  # one name at a time


def test_an_archive_key_opens_only_under_its_root_and_for_its_archive() -> None:
    made = Keyring(ROOT, ARCHIVE).new_archive_key(key_id=b"K" * 16, created_us=1)

    with pytest.raises(WrongKey):
        Keyring(RootKey(bytes(32), "file"), ARCHIVE).add(made)
    with pytest.raises(Corrupt):
        Keyring(ROOT, b"B" * 16).add(made)
    with pytest.raises(WrongKey):
        Keyring(ROOT, ARCHIVE).add(dataclasses.replace(made, version=2))


def test_two_archive_keys_of_one_version_open_what_each_wrapped() -> None:
    ring, made, key = keyring_and_object()
    rival = Keyring(ROOT, ARCHIVE)
    rival.add(rival.new_archive_key(key_id=b"L" * 16, created_us=1))
    other, other_key = rival.new_study_key("1.2.3", key_id=b"T" * 16, created_us=1)
    with pytest.raises(WrongKey):
        ring.open_study_key(other)

    for found in rival_objects(rival):
        ring.add(found)

    assert ring.open_study_key(other) == other_key
    assert ring.open_study_key(made) == key


def rival_objects(rival: Keyring) -> list[KeyObject]:
    """Wrap a ring's archive key again, as its object would stand in the store."""
    key = rival.current
    blank = KeyObject(
        kind="archive", archive=ARCHIVE, key_id=key.key_id, version=key.version,
        parent_version=0, study_sha256=None, wrapped=bytes(60), created_us=1,
    )  # fmt: skip
    return [dataclasses.replace(blank, wrapped=ROOT.wrap(key.key, blank.aad()))]


def test_the_journal_key_is_drawn_from_its_archive_key() -> None:
    ring = keyring()

    key = ring.journal_key(b"K" * 16)

    assert len(key) == 32
    assert key != ring.current.key
    assert ring.journal_key(b"K" * 16) == key
    with pytest.raises(NotFound):
        ring.journal_key(b"X" * 16)


def test_an_empty_keyring_has_no_current_key() -> None:
    with pytest.raises(NotFound):
        _ = Keyring(ROOT, ARCHIVE).current
