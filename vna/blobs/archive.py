"""archive.json: which archive a store belongs to; written last by `vna init`, read first by all."""

from __future__ import annotations

import datetime
import json
import time
import uuid
from dataclasses import dataclass

from vna.blobs.backends import Backend, get, put
from vna.blobs.layout import ARCHIVE_FILE, ARCHIVE_KEYS, BLOBS, archive_key_name, id_of, uuid7
from vna.crypto.keyring import KEY_OBJECT_MAX, KeyObject, Keyring
from vna.errors import ConfigError, NotFound

FORMAT = "VNB1"

_SIZE_MAX = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What a store says of itself."""

    archive_id: bytes
    store_id: bytes
    created: str
    escrow_key: str | None


def describe(backend: Backend) -> Archive:
    """Read archive.json. Raises `NotFound`, `ConfigError`."""
    try:
        values = json.loads(get(backend, ARCHIVE_FILE, _SIZE_MAX))
        if values["format"] != FORMAT:
            raise ConfigError("The blob store has a format this version does not know.")
        return Archive(
            archive_id=uuid.UUID(values["archive_id"]).bytes,
            store_id=uuid.UUID(values["store_id"]).bytes,
            created=str(values["created"]),
            escrow_key=values["escrow_key"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ConfigError("The file archive.json of the blob store is not readable.") from exc


def establish(backend: Backend, keyring: Keyring, escrow_key: str | None) -> None:
    """Make a store of this archive: archive key first, archive.json last. May be run again.

    Raises `ConfigError` for the store of another archive, and for blobs without archive.json.
    """
    backend.prepare()
    try:
        _require_same(describe(backend), keyring)
    except NotFound:
        if next(backend.list(BLOBS), None) is not None:
            raise ConfigError("There are blobs, but no archive.json: restore it.") from None
        if not _load_keys(backend, keyring):
            made = keyring.new_archive_key(key_id=uuid7(), created_us=time.time_ns() // 1000)
            put(backend, archive_key_name(made.key_id), made.encode())
        _write(backend, keyring.archive_id, escrow_key)
    unlock(backend, keyring)


def unlock(backend: Backend, keyring: Keyring) -> Archive:
    """Open the archive keys of a store with the root key, which proves that it is the right one.

    Raises `ConfigError` for a store that is not set up, or another archive's; `WrongKey`.
    """
    try:
        found = describe(backend)
    except NotFound as exc:
        raise ConfigError("The blob store is not set up: run `vna init`.") from exc
    _require_same(found, keyring)
    if not _load_keys(backend, keyring):
        raise ConfigError("The blob store has no archive key of this archive: restore k/archive.")
    return found


def _require_same(found: Archive, keyring: Keyring) -> None:
    if found.archive_id != keyring.archive_id:
        raise ConfigError("The blob store belongs to another archive.")


def _load_keys(backend: Backend, keyring: Keyring) -> int:
    """Open every archive key of this archive; count them."""
    count = 0
    for name in backend.list(ARCHIVE_KEYS):
        if id_of(name) is None:
            continue
        found = KeyObject.decode(get(backend, name, KEY_OBJECT_MAX + 1))
        if found.archive == keyring.archive_id:  # another's is left over from a broken `vna init`
            keyring.add(found)
            count += 1
    return count


def _write(backend: Backend, archive_id: bytes, escrow_key: str | None) -> None:
    values = {
        "format": FORMAT,
        "archive_id": str(uuid.UUID(bytes=archive_id)),
        "store_id": str(uuid.UUID(bytes=uuid7())),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "escrow_key": escrow_key,
    }
    put(backend, ARCHIVE_FILE, json.dumps(values, indent=2).encode() + b"\n")
