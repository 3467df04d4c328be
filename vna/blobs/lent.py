"""A store for a process without study keys: each blob opens by its own data key, or not at all.

It reads data sets alone and writes nothing. What the index keeps sealed under study keys stays
closed here; the same stands in the blob.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from vna.blobs.archive import Archive
from vna.blobs.backends import Backend
from vna.blobs.recent import Recent
from vna.blobs.store import BlobStore
from vna.crypto.envelope import DATA_SET, USED_SIZE, Core, Subkeys, open_header_with
from vna.crypto.lent import LentKeyring
from vna.errors import Corrupt, NotPermitted

KeyOfBlob = Callable[[bytes], bytes]
"""Gives a blob's data key. Raises `NotFound` where this process was not given it."""

_OPENERS, _OPEN_S = 512, 30.0  # not long: who held the key may have left


class LentStore(BlobStore):
    """The blobs whose data keys a process is given. Shared by its threads."""

    def __init__(
        self, backend: Backend, found: Archive, keyring: LentKeyring, key_of: KeyOfBlob
    ) -> None:
        super().__init__(backend, found, keyring)
        self._key_of = key_of
        self._openers = Recent(_OPENERS, _OPEN_S)

    def writer(self, *_: object, **__: object) -> NoReturn:
        """Refuse: nothing is written here."""
        _refuse()

    def data_key(self, *_: object) -> NoReturn:
        """Refuse: keys are passed on by who holds the archive's."""
        _refuse()

    def delete(self, *_: object, **__: object) -> NoReturn:
        """Refuse: nothing is removed here."""
        _refuse()

    def ids(self, *_: object, **__: object) -> NoReturn:
        """Refuse: nobody needs a list of all blobs here."""
        _refuse()

    def index_json(self, *_: object) -> None:
        """Say that this cannot be done here: it takes a study key."""

    def _subkeys(self, core: Core, header: bytes) -> Subkeys:
        if core.archive_id != self.archive_id:
            raise Corrupt("The blob belongs to another archive.")
        if core.kind != DATA_SET:
            _refuse()
        if len(header) < USED_SIZE or any(header[USED_SIZE:]):
            raise Corrupt("The blob's header is damaged.")
        return open_header_with(header, self._key_of(core.blob_id))


def _refuse() -> NoReturn:
    raise NotPermitted("This process reads what was shared, and nothing else.")
