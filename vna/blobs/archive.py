"""archive.json: which archive a store belongs to; written last by `vna init`, read first by all."""

from __future__ import annotations

import datetime
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from vna.blobs.backends import Backend, get, put
from vna.blobs.layout import (
    ARCHIVE_FILE,
    ARCHIVE_KEYS,
    BLOBS,
    archive_key_name,
    id_of,
    uuid7,
    wrap_of,
)
from vna.crypto.keyring import KEY_OBJECT_MAX, KeyObject, Keyring, RootKey
from vna.errors import ConfigError, Corrupt, NotFound, WrongKey

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
        raise ConfigError(
            "The file archive.json of the blob store is not readable: restore it from your copy."
        ) from exc


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


def rewrap(backend: Backend, keyring: Keyring, root: RootKey) -> None:
    """Keep every archive key under another root key, too: from then on either opens the store.

    `keyring` is this store's, open. May be run again after it was cut off.
    """
    other = Keyring(root, keyring.archive_id)
    kept = dict(_kept_keys(backend, keyring.archive_id))
    for found in kept.values():
        with suppress(WrongKey):
            other.add(found)
    missing = {one.key_id: one for one in kept.values() if one.key_id not in other.key_ids}
    # a number that was used before never is again: a backup has copied what stood under it
    number = max(map(wrap_of, kept), default=0) + 1
    for key_id, found in missing.items():
        put(backend, archive_key_name(key_id, number), keyring.under(root, found).encode())
    unlock(backend, Keyring(root, keyring.archive_id))


def forget_others(backend: Backend, keyring: Keyring) -> int:
    """Remove what is wrapped under other root keys than that of `keyring`; count the objects.

    No archive key is lost: a store is open only when its root key opens each of them.
    """
    gone = 0
    for name, found in list(_kept_keys(backend, keyring.archive_id)):
        if not keyring.opens(found):
            backend.delete(name)
            gone += 1
    return gone


def _kept_keys(backend: Backend, archive_id: bytes) -> Iterator[tuple[str, KeyObject]]:
    for name in backend.list(ARCHIVE_KEYS):
        if id_of(name) is None:
            continue
        try:
            found = KeyObject.decode(get(backend, name, KEY_OBJECT_MAX + 1))
        except Corrupt as exc:
            raise Corrupt(f"The archive key {name} is damaged: restore it from your copy.") from exc
        if found.archive == archive_id:  # another's is left over from a broken `vna init`
            yield name, found


def _load_keys(backend: Backend, keyring: Keyring) -> int:
    """Open every archive key of this archive; count them.

    One is kept twice while the root key is being changed: one of the two must open.
    """
    strange: dict[bytes, WrongKey] = {}
    for _, found in _kept_keys(backend, keyring.archive_id):
        try:
            keyring.add(found)
        except WrongKey as exc:
            strange[found.key_id] = exc
    for key_id, why in strange.items():
        if key_id not in keyring.key_ids:
            raise why
    return len(keyring.key_ids)


def _write(backend: Backend, archive_id: bytes, escrow_key: str | None) -> None:
    values = {
        "format": FORMAT,
        "archive_id": str(uuid.UUID(bytes=archive_id)),
        "store_id": str(uuid.UUID(bytes=uuid7())),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "escrow_key": escrow_key,
    }
    put(backend, ARCHIVE_FILE, json.dumps(values, indent=2).encode() + b"\n")
