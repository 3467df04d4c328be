"""The key chain above a blob: root, archive and study keys, and the key objects that carry them.

    root key (provider) wraps archive key wraps study key wraps data key (envelope.py)

A key object is one line of canonical JSON and a line with its SHA-256: it finds rot, the wrap finds
tampering. Knows no place where key objects are kept. Layout and life cycle: docs/crypto.md 4.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import hmac
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from vna.crypto.envelope import KEY_SIZE, WRAP_SIZE, unwrap, wrap
from vna.crypto.records import derive
from vna.crypto.signing import SigningKey
from vna.errors import ConfigError, Corrupt, NotFound, WrongKey

ROOT_VARIABLE = "VNA_ROOT_KEY"
KEY_OBJECT_MAX = 4096

_JOURNAL_LABEL = b"VNK1 journal"
_DERIVED_LABEL = b"VNK1 derived"
_ACCESS_LABEL = b"VNK1 access"
_CHECKPOINT_LABEL = b"VNK1 audit checkpoint"


class RootKey:
    """The root of the chain, as its provider gives it. Never shown, never written by this class."""

    __slots__ = ("_key", "provider")

    def __init__(self, key: bytes, provider: str) -> None:
        if len(key) != KEY_SIZE:
            raise ConfigError("A root key is 32 bytes, written in base64.")
        self._key = key
        self.provider = provider

    def __repr__(self) -> str:
        return f"RootKey({self.provider})"

    @classmethod
    def file(cls, path: Path) -> Self:
        """Read the root key from a file of mode 0400 that this user owns. Raises `ConfigError`."""
        try:
            # not to wait for ever for somebody to write into a FIFO put in its place
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as exc:
            raise ConfigError(f"The root key {path} cannot be read: {exc.strerror}.") from exc
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) != 0o400:
                raise ConfigError(f"The root key {path} must be a file of mode 0400.")
            if found.st_uid != os.geteuid():
                raise ConfigError(f"The root key {path} must belong to the user of the archive.")
            return cls(_base64(os.read(fd, 1024)), "file")
        finally:
            os.close(fd)

    @classmethod
    def env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the root key from VNA_ROOT_KEY. Raises `ConfigError`."""
        text = (os.environ if environ is None else environ).get(ROOT_VARIABLE, "")
        if not text:
            raise ConfigError(f"The root key is to come from {ROOT_VARIABLE}, which is not set.")
        return cls(_base64(text.encode()), "env")

    def is_same(self, other: RootKey) -> bool:
        """Whether another provider gave the same key."""
        return hmac.compare_digest(self._key, other._key)

    @classmethod
    def parse(cls, text: str, provider: str) -> Self:
        """Read the text a root key is written in. Raises `ConfigError`."""
        return cls(_base64(text.encode()), provider)

    def wrap(self, secret: bytes, aad: bytes) -> bytes:
        """Wrap an archive key."""
        return wrap(self._key, secret, aad, os.urandom(12))

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        """Unwrap an archive key. Raises `WrongKey`."""
        return unwrap(self._key, wrapped, aad)


def make_root_key(path: Path) -> None:
    """Write a new root key, durable and of mode 0400; never over another. Raises `ConfigError`."""
    _write(path, os.urandom(KEY_SIZE))


def write_root_key(path: Path, root: RootKey) -> None:
    """Write a root key that was kept elsewhere, as a new one is written. Raises `ConfigError`."""
    _write(path, root._key)


def _write(path: Path, key: bytes) -> None:
    text = base64.b64encode(key) + b"\n"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, 0o400)
    except FileExistsError as exc:
        raise ConfigError(f"There is a root key at {path} already.") from exc
    except OSError as exc:
        raise _unwritten(path, exc) from exc
    try:
        _fill(fd, text)
        _sync_folder(path.parent)
    except OSError as exc:
        with suppress(OSError):
            path.unlink()  # half a key would be taken for one, or stand in the way of the next try
        raise _unwritten(path, exc) from exc


def _fill(fd: int, text: bytes) -> None:
    with os.fdopen(fd, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(fd)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _unwritten(path: Path, why: OSError) -> ConfigError:
    return ConfigError(f"The root key {path} cannot be written: {why.strerror}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyObject:
    """A wrapped key as it is kept beside the blobs."""

    kind: str  # "archive" or "study"
    archive: bytes
    key_id: bytes
    version: int
    parent_version: int  # of the archive key for a study key; 0, the root key, for an archive key
    study_sha256: bytes | None
    wrapped: bytes = field(repr=False)
    created_us: int

    def encode(self) -> bytes:
        """Write the canonical line (sorted keys, no spaces, ASCII) and its SHA-256 line."""
        line = _canonical(
            {
                "v": 1,
                "kind": self.kind,
                "archive": self.archive.hex(),
                "key_id": self.key_id.hex(),
                "version": self.version,
                "parent_version": self.parent_version,
                "study_sha256": self.study_sha256.hex() if self.study_sha256 else None,
                "wrapped": base64.b64encode(self.wrapped).decode(),
                "created_us": self.created_us,
            }
        )
        return line + hashlib.sha256(line).hexdigest().encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> KeyObject:
        """Read a key object. Raises `Corrupt`."""
        line, newline, rest = data[:KEY_OBJECT_MAX].partition(b"\n")
        line += newline
        if len(data) > KEY_OBJECT_MAX or not hmac.compare_digest(
            hashlib.sha256(line).hexdigest().encode() + b"\n", rest
        ):
            raise Corrupt("A key object is damaged.")
        try:
            return cls._read(line)
        except (ValueError, KeyError, TypeError) as exc:
            raise Corrupt("A key object is not well formed.") from exc

    @classmethod
    def _read(cls, line: bytes) -> KeyObject:
        values = json.loads(line)
        if _canonical(values) != line or values["v"] != 1:
            raise ValueError
        study = values["study_sha256"]
        read = cls(
            kind=values["kind"],
            archive=bytes.fromhex(values["archive"]),
            key_id=bytes.fromhex(values["key_id"]),
            version=_number(values["version"]),
            parent_version=_number(values["parent_version"]),
            study_sha256=None if study is None else bytes.fromhex(study),
            wrapped=base64.b64decode(values["wrapped"], validate=True),
            created_us=_number(values["created_us"], bits=64),
        )
        if (
            read.kind not in ("archive", "study")
            or len(read.archive) != 16
            or len(read.key_id) != 16
            or len(read.wrapped) != WRAP_SIZE
            or read.encode().partition(b"\n")[0] + b"\n" != line
        ):
            raise ValueError
        return read

    def aad(self) -> bytes:
        """What the wrap binds: purpose, archive, key, and the version it hangs on."""
        if self.kind == "study":
            purpose, version = b"VNK1|sk|", self.parent_version
        else:
            purpose, version = b"VNK1|ak|", self.version
        return purpose + self.archive + self.key_id + version.to_bytes(4, "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveKey:
    """An unwrapped archive key."""

    key_id: bytes
    version: int
    key: bytes = field(repr=False)


class Keyring:
    """The archive keys of one archive, opened with its root key; makes and opens study keys."""

    def __init__(self, root: RootKey, archive_id: bytes) -> None:
        self.archive_id = archive_id
        self._root = root
        self._keys: dict[bytes, ArchiveKey] = {}

    def __repr__(self) -> str:
        return f"Keyring({self.archive_id.hex()}, {len(self._keys)} keys)"

    def new_archive_key(self, *, key_id: bytes, created_us: int) -> KeyObject:
        """Make the next version of the archive key; it counts once its object is added."""
        version = max((key.version for key in self._keys.values()), default=0) + 1
        return self._wrapped(
            kind="archive", key_id=key_id, version=version, parent_version=0,
            study_sha256=None, created_us=created_us, key=os.urandom(KEY_SIZE),
        )  # fmt: skip

    def add(self, found: KeyObject) -> None:
        """Take an archive key from its object. Raises `WrongKey` when the root key is another."""
        if found.kind != "archive" or found.archive != self.archive_id:
            raise Corrupt("The key object is not an archive key of this archive.")
        try:
            key = self._root.unwrap(found.wrapped, found.aad())
        except WrongKey as exc:
            raise WrongKey(
                "The root key does not open the key of this archive: "
                "it is another archive's, or not the one this archive was made with."
            ) from exc
        self._keys[found.key_id] = ArchiveKey(key_id=found.key_id, version=found.version, key=key)

    def opens(self, found: KeyObject) -> bool:
        """Whether an archive key's object is wrapped under this root key."""
        try:
            self._root.unwrap(found.wrapped, found.aad())
        except WrongKey:
            return False
        return True

    def under(self, root: RootKey, found: KeyObject) -> KeyObject:
        """Wrap an archive key that is open here under another root key; all else stays."""
        secret = self._keys[found.key_id].key
        return dataclasses.replace(found, wrapped=root.wrap(secret, found.aad()))

    @property
    def current(self) -> ArchiveKey:
        """The newest archive key. Raises `NotFound`."""
        if not self._keys:
            raise NotFound("The archive has no archive key.")
        return max(self._keys.values(), key=lambda key: (key.version, key.key_id))

    @property
    def first(self) -> ArchiveKey:
        """The oldest archive key. Raises `NotFound`."""
        if not self._keys:
            raise NotFound("The archive has no archive key.")
        return min(self._keys.values(), key=lambda key: (key.version, key.key_id))

    @property
    def current_id(self) -> bytes:
        """Which archive key new secrets hang on. Raises `NotFound`."""
        return self.current.key_id

    @property
    def first_id(self) -> bytes:
        """Which archive key never goes, for what must be found again. Raises `NotFound`."""
        return self.first.key_id

    @property
    def key_ids(self) -> list[bytes]:
        """List the archive keys there are."""
        return sorted(self._keys)

    def new_study_key(
        self, study: str, *, key_id: bytes, created_us: int
    ) -> tuple[KeyObject, bytes]:
        """Make a study key; it may be used once its object is durable."""
        key = os.urandom(KEY_SIZE)
        made = self._wrapped(
            kind="study", key_id=key_id, version=1, parent_version=self.current.version,
            study_sha256=hashlib.sha256(study.encode()).digest(), created_us=created_us, key=key,
        )  # fmt: skip
        return made, key

    def open_study_key(self, found: KeyObject) -> bytes:
        """Unwrap a study key. Raises `WrongKey`, `Corrupt`."""
        if found.kind != "study" or found.archive != self.archive_id:
            raise Corrupt("The key object is not a study key of this archive.")
        for parent in self._keys.values():
            if parent.version == found.parent_version:
                try:
                    return unwrap(parent.key, found.wrapped, found.aad())
                except WrongKey:
                    # Two rotations at once may have made the same version: the other may fit
                    continue
        raise WrongKey("No archive key opens this study key.")

    def journal_key(self, key_id: bytes) -> bytes:
        """Draw the key that journal objects are sealed under. Raises `NotFound`."""
        if key_id not in self._keys:
            raise NotFound("The archive key of a journal entry is not there.")
        return derive(self._keys[key_id].key, _JOURNAL_LABEL)

    def derived_key(self, key_id: bytes) -> bytes:
        """Draw the key that what can be made again is sealed under. Raises `NotFound`."""
        if key_id not in self._keys:
            raise NotFound("The archive key of a derived object is not there.")
        return derive(self._keys[key_id].key, _DERIVED_LABEL)

    def access_key(self, key_id: bytes) -> bytes:
        """Draw the key that secrets of accounts are sealed and peppered with. Raises `NotFound`."""
        if key_id not in self._keys:
            raise NotFound("The archive key of an account's secret is not there.")
        return derive(self._keys[key_id].key, _ACCESS_LABEL)

    def drawn_key(self, key_id: bytes, label: bytes) -> bytes:
        """Draw from an access key the key of one purpose, which opens no other's. `NotFound`."""
        return derive(self.access_key(key_id), label)

    def checkpoint_key(self, key_id: bytes) -> SigningKey:
        """Draw the key that checkpoints of the audit trail are signed with. Raises `NotFound`."""
        if key_id not in self._keys:
            raise NotFound("The archive key of a checkpoint is not there.")
        return SigningKey(derive(self._keys[key_id].key, _CHECKPOINT_LABEL))

    def _wrapped(self, *, key: bytes, **fields: Any) -> KeyObject:  # the fields of a key object
        blank = KeyObject(archive=self.archive_id, wrapped=bytes(WRAP_SIZE), **fields)
        if blank.kind == "archive":
            wrapped = self._root.wrap(key, blank.aad())
        else:
            wrapped = wrap(self.current.key, key, blank.aad(), os.urandom(12))
        return KeyObject(archive=self.archive_id, wrapped=wrapped, **fields)


def _canonical(values: Any) -> bytes:  # a JSON value
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _number(value: Any, *, bits: int = 32) -> int:  # a JSON value
    if type(value) is not int or not 0 <= value < 1 << bits:
        raise ValueError
    return value


def _base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except binascii.Error as exc:
        raise ConfigError("A root key is 32 bytes, written in base64.") from exc
