"""What a process is lent that must not hold the keys of the archive: a key for each purpose named.

A lent key is drawn (HKDF) from an archive key for one label and opens nothing of another; neither
the archive key nor the root key can be found from it. Layout: docs/crypto.md 9.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, Self

import orjson

from vna.crypto.keyring import ArchiveKey, Keyring, RootKey
from vna.errors import Corrupt, NotFound, NotPermitted

_NOBODYS = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """The keys that are lent, as they are handed from process to process and never written."""

    archive_id: bytes
    current_id: bytes
    first_id: bytes
    drawn: Mapping[tuple[bytes, bytes], bytes] = field(repr=False)

    @classmethod
    def of(cls, keyring: Keyring, labels: Iterable[bytes]) -> Self:
        """Draw the keys of these labels from every archive key."""
        wanted = tuple(labels)
        return cls(
            archive_id=keyring.archive_id,
            current_id=keyring.current_id,
            first_id=keyring.first_id,
            drawn={
                (key_id, label): keyring.drawn_key(key_id, label)
                for key_id in keyring.key_ids
                for label in wanted
            },
        )

    def pack(self) -> bytes:
        """Write it for the process it is lent to."""
        head = [self.archive_id.hex(), self.current_id.hex(), self.first_id.hex()]
        keys = [
            [key_id.hex(), label.decode("ascii"), base64.b64encode(key).decode("ascii")]
            for (key_id, label), key in self.drawn.items()
        ]
        return orjson.dumps([head, keys])

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """Read it. Raises `Corrupt`."""
        try:
            head, keys = orjson.loads(packed)
            archive_id, current_id, first_id = map(bytes.fromhex, head)
            drawn = {
                (bytes.fromhex(key_id), label.encode("ascii")): base64.b64decode(key)
                for key_id, label, key in keys
            }
        except (ValueError, TypeError, AttributeError) as exc:
            raise Corrupt("What was lent is not readable.") from exc
        return cls(archive_id=archive_id, current_id=current_id, first_id=first_id, drawn=drawn)


class LentKeyring(Keyring):
    """A keyring of a process without the archive's keys: what was not lent is `NotPermitted`."""

    def __init__(self, lent: Lent) -> None:
        super().__init__(RootKey(_NOBODYS, "none"), lent.archive_id)
        self._lent = lent

    def __repr__(self) -> str:
        return f"LentKeyring({self.archive_id.hex()}, {len(self._lent.drawn)} keys)"

    @property
    def current_id(self) -> bytes:
        """Which archive key new secrets hang on."""
        return self._lent.current_id

    @property
    def first_id(self) -> bytes:
        """Which archive key never goes."""
        return self._lent.first_id

    @property
    def key_ids(self) -> list[bytes]:
        """List the archive keys something was drawn from."""
        return sorted({key_id for key_id, _ in self._lent.drawn})

    def drawn_key(self, key_id: bytes, label: bytes) -> bytes:
        """Give a key that was lent. Raises `NotPermitted`, and `NotFound` for an unknown one."""
        found = self._lent.drawn.get((bytes(key_id), label))
        if found is None:
            if all(label != known for _, known in self._lent.drawn):
                _refuse()
            raise NotFound("The archive key of an account's secret is not there.")
        return found

    @property
    def current(self) -> ArchiveKey:
        """Refuse: there is no archive key here."""
        _refuse()

    @property
    def first(self) -> ArchiveKey:
        """Refuse: there is no archive key here."""
        _refuse()

    def add(self, *_: object) -> NoReturn:
        """Refuse: there is no root key here."""
        _refuse()

    def new_archive_key(self, *_: object, **__: object) -> NoReturn:
        """Refuse: there is no root key here."""
        _refuse()

    def new_study_key(self, *_: object, **__: object) -> NoReturn:
        """Refuse: there is no archive key here."""
        _refuse()

    def open_study_key(self, *_: object) -> NoReturn:
        """Refuse: there is no archive key here."""
        _refuse()

    def journal_key(self, *_: object) -> NoReturn:
        """Refuse: there is no archive key here."""
        _refuse()

    def derived_key(self, *_: object) -> NoReturn:
        """Refuse: there is no archive key here."""
        _refuse()

    def access_key(self, *_: object) -> NoReturn:
        """Refuse: there is no archive key here."""
        _refuse()

    def checkpoint_key(self, *_: object) -> NoReturn:
        """Refuse: there is no archive key here."""
        _refuse()


def _refuse() -> NoReturn:
    raise NotPermitted("This process holds no key of the archive.")
